import assert from "node:assert/strict";
import { GoogleGenAI, setDefaultBaseUrls } from "@google/genai";
import { RECALL, acceptance, fence, gather, refused, unique } from "./world.mjs";

const MODEL = "gemini-3.7-flash";

async function works(ai) {
  const made = await ai.interactions.create({ model: MODEL, input: "Hi" });
  assert.equal(made.output_text, "Hi");
  assert.equal((await ai.interactions.get(made.id)).output_text, "Hi");
  const events = await gather(await ai.interactions.get(made.id, { stream: true }));
  assert.equal(events.at(-1).event_type, "interaction.completed");
}

acceptance([67], "every version", async (world) => {
  for (const apiVersion of ["v1", "v1beta", "v1alpha"]) await works(world.client({ apiVersion }));
});

acceptance([67], "Vertex", async (world) => {
  const { url: baseUrl, api_key: key } = world.place;
  const headers = { Authorization: `Bearer ${key}` };
  const httpOptions = { baseUrl, apiVersion: "v1beta1", headers };
  await works(new GoogleGenAI({ vertexai: true, project: "p", location: "global", httpOptions }));
});

acceptance([68], "every spelling of the base URL", async (world) => {
  const { url, api_key: apiKey } = world.place;
  for (const baseUrl of [`${url}/`, `${url}//`, `${url}/v1beta`]) {
    await works(world.client({ baseUrl }));
  }
  process.env.GOOGLE_GEMINI_BASE_URL = url;
  try {
    await works(new GoogleGenAI({ apiKey }));
  } finally {
    delete process.env.GOOGLE_GEMINI_BASE_URL;
  }
  setDefaultBaseUrls({ geminiUrl: url });
  try {
    await works(new GoogleGenAI({ apiKey }));
  } finally {
    setDefaultBaseUrls({});
  }
});

acceptance([69], "refusals are repeated and one run is made", async (world) => {
  const token = unique("t");
  const ai = world.client({ baseUrl: `${world.place.door}/503.503/${token}` });
  const before = await world.environments();
  const made = await ai.interactions.create({
    agent: "antigravity",
    agent_config: RECALL,
    input: "Hi",
    environment: "remote",
  });
  const { bodies } = await world.back(`traffic/${token}`);
  assert.equal(bodies.length, 3);
  assert.equal(new Set(bodies).size, 1);
  const after = [...(await world.environments())].filter((id) => !before.has(id));
  assert.deepEqual(after, [made.environment_id]);
});

acceptance([69], "a lost call is repeated by the SDK and one run is made", async (world) => {
  const token = unique("t");
  const ai = world.client({ baseUrl: `${world.place.door}/lost/${token}` });
  const before = await world.environments();
  const made = await ai.interactions.create({
    agent: "antigravity",
    agent_config: RECALL,
    input: `hold:${token}`,
    environment: "remote",
  });
  assert(made.output_text.includes(token));
  const { bodies, runs } = await world.back(`traffic/${token}`);
  assert.equal(bodies.length, 2);
  assert.equal(runs, 1);
  const after = [...(await world.environments())].filter((id) => !before.has(id));
  assert.deepEqual(after, [made.environment_id]);
});

acceptance([69], "a call that timed out is repeated by the SDK and one run is made", async (world) => {
  const token = unique("t");
  const ai = world.client({ baseUrl: `${world.place.door}/pass/${token}` });
  const made = await ai.interactions.create(
    { model: "gemini-flash-latest", input: `hold:${token}` },
    { timeout: 3_000 },
  );
  assert.equal(made.status, "completed");
  const { bodies, runs } = await world.back(`traffic/${token}`);
  assert(bodies.length > 1);
  assert.equal(runs, 1);
});

acceptance([70], "a limit is waited for", async (world) => {
  const token = unique("t");
  const ai = world.client({ baseUrl: `${world.place.door}/429-1/${token}` });
  const made = await ai.interactions.create({ model: MODEL, input: "Hi" });
  assert.equal(made.output_text, "Hi");
  const [first, second] = (await world.back(`traffic/${token}`)).at;
  assert(second - first >= 0.9);
});

acceptance([70], "no more retries than are asked for", async (world) => {
  const token = unique("t");
  const ai = world.client({ baseUrl: `${world.place.door}/503.503.503/${token}` });
  await refused("InternalServerError", () =>
    ai.interactions.create({ model: MODEL, input: "Hi" }, { maxRetries: 1 }),
  );
  assert.equal((await world.back(`traffic/${token}`)).at.length, 2);
});

acceptance([68], "headers and fields of the caller's own", async (world) => {
  const made = await world.ai.interactions.create(
    { model: MODEL, input: fence("say", "Extra.") },
    {
      timeout: 60_000,
      headers: { "x-team": "ice", "Api-Revision": "2026-05-20" },
      query: { pretty: "1" },
      body: { labels: { team: "ice" } },
    },
  );
  assert.equal(made.output_text, "Extra.");
  assert.deepEqual(made.labels, { team: "ice" });
});

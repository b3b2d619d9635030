import assert from "node:assert/strict";
import { acceptance, call, fence, refused, unique } from "./world.mjs";

const WEATHER = {
  type: "function",
  name: "get_weather",
  description: "The weather of a city.",
  parameters: { type: "object", properties: { city: { type: "string" } } },
};
const CODE = { type: "code_execution" };

// The calls that the caller is to answer, found as the documents do.
function pending(interaction) {
  const answered = new Set(
    interaction.steps.filter((step) => step.type === "function_result").map((s) => s.call_id),
  );
  return interaction.steps.filter(
    (step) => step.type === "function_call" && !answered.has(step.id),
  );
}

acceptance([25, 26], "a function is asked for and answered", async (world) => {
  const prompt =
    call("list_dir", { DirectoryPath: "/workspace" }) + "\n" + call("get_weather", { city: "Lima" });
  const asked = await world.create(prompt, { tools: [WEATHER, CODE] });
  assert.equal(asked.status, "requires_action");
  const [one, ...more] = pending(asked);
  assert.equal(more.length, 0);
  assert.equal(one.name, "get_weather");
  assert.deepEqual(one.arguments, { city: "Lima" });
  const result = { type: "function_result", name: one.name, call_id: one.id };
  const ended = await world.create([{ ...result, result: { temperature: 23 } }], {
    previous_interaction_id: asked.id,
    environment: asked.environment_id,
  });
  assert.equal(ended.status, "completed");
  assert.match(ended.output_text, /23/);
});

acceptance([23], "tools that are named replace the agent's own", async (world) => {
  const tools = [{ type: "google_search" }, { type: "url_context" }];
  const prompt =
    call("google_search", { queries: ["penguins"] }) +
    "\n" +
    call("url_context", { urls: [`${world.place.site}/article`] });
  const made = await world.create(prompt, { tools });
  const kinds = made.steps.map((step) => step.type);
  assert(kinds.includes("google_search_result") && kinds.includes("url_context_result"));
  assert(!kinds.some((kind) => kind.startsWith("code_execution")));
});

acceptance([27, 29], "an MCP server is called with its headers", async (world) => {
  const secret = unique("secret");
  const server = {
    type: "mcp_server",
    name: "weather",
    url: world.place.mcp,
    headers: { authorization: `Bearer ${secret}` },
    allowed_tools: ["temperature"],
  };
  const made = await world.create(call("weather__temperature", { city: "Rome" }), {
    tools: [server],
  });
  assert.match(made.output_text, /23 degrees in Rome/);
  const [asked, told] = made.steps;
  assert.equal(asked.type, "mcp_server_tool_call");
  assert.equal(told.type, "mcp_server_tool_result");
  assert.equal(told.call_id, asked.id);
  const seen = JSON.stringify(await world.back("mcp/headers"));
  assert(seen.includes(secret));
  assert(!JSON.stringify(await world.ai.interactions.get(made.id)).includes(secret));
});

acceptance([28], "the name of an MCP server", async (world) => {
  const server = { type: "mcp_server", name: "Weather", url: world.place.mcp };
  const error = await refused("BadRequestError", () => world.create("Hi", { tools: [server] }));
  assert.match(error.message, /name/);
});

acceptance([77], "every kind of step is read", async (world) => {
  const prompt = [
    fence("think", "Look around."),
    fence("python", "print(1)"),
    call("write_to_file", { TargetFile: "/workspace/kinds.txt", CodeContent: "kinds" }),
    call("weather__radar"),
    call("google_search", { queries: ["penguins"] }),
    call("url_context", { urls: [`${world.place.site}/article`] }),
    fence("say", "Asking."),
    call("get_weather", { city: "Lima" }),
  ].join("\n");
  const server = { type: "mcp_server", name: "weather", url: world.place.mcp };
  const search = { type: "google_search" };
  const tools = [WEATHER, CODE, server, search, { type: "url_context" }];
  const made = await world.create(prompt, { tools });
  assert.equal(made.status, "requires_action");
  const kept = await world.ai.interactions.get(made.id);
  assert.equal(kept.steps.length, made.steps.length + 1);
  for (const step of kept.steps) {
    assert.equal(typeof step.type, "string");
    if (step.type.endsWith("_call")) assert(step.id && typeof step.arguments === "object");
    if (step.type.endsWith("_result")) assert(step.call_id && step.result !== undefined);
  }
  assert.equal(new Set(made.steps.map((step) => step.type)).size, 12);
});

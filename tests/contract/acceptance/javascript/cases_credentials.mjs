import assert from "node:assert/strict";
import { acceptance, call, codeResults, fence, refused, unique } from "./world.mjs";

const OAUTH = {
  type: "oauth2",
  client_id: "id-s3cret",
  client_secret: "client-s3cret",
  refresh_token: "refresh-s3cret",
  token_url: "https://auth.example.com/token",
};

acceptance([65], "the life of a credential", async (world) => {
  const { credentials } = world.ai;
  const bearer = { type: "bearer_token", token: "bearer-s3cret", prefix: "" };
  const variable = {
    type: "environment_variable",
    value: "value-s3cret",
    injection_location: ["header", "body"],
    trusted_domains: ["api.example.com"],
  };
  const ids = [bearer, OAUTH, variable].map(() => unique("credential"));
  for (const [index, body] of [bearer, OAUTH, variable].entries()) {
    const made = await credentials.create({ id: ids[index], ...body });
    assert.deepEqual([made.id, made.type, made.status], [ids[index], body.type, "active"]);
    const found = await credentials.get(made.id);
    assert.equal(found.id, made.id);
    assert(!JSON.stringify([made, found]).includes("s3cret"));
  }
  const listed = await credentials.list();
  const names = listed.credentials.map((one) => one.id);
  assert(ids.every((id) => names.includes(id)));
  assert(!JSON.stringify(listed).includes("s3cret"));
  const update = { type: "bearer_token", token: "new-s3cret" };
  const changed = await credentials.update(ids[0], update);
  assert(!JSON.stringify(changed).includes("s3cret"));
  await refused("ConflictError", () => credentials.create({ id: ids[0], ...bearer }));
  const wrong = { id: unique("wrong"), ...bearer };
  const unknown = await refused("BadRequestError", () =>
    credentials.create({ ...wrong, extra_body: { headerName: "X" } }, {}),
  );
  assert.match(unknown.message, /Unknown parameter/);
  await refused("BadRequestError", () => credentials.update(ids[1], update));
  for (const id of ids) {
    await credentials.delete(id);
    await refused("NotFoundError", () => credentials.get(id));
  }
});

acceptance([30], "an MCP server is asked with a credential", async (world) => {
  const [name, secret] = [unique("credential"), unique("secret")];
  await world.ai.credentials.create({ id: name, type: "bearer_token", token: secret });
  const server = { type: "mcp_server", name: "weather", url: world.place.mcp, credential: name };
  const made = await world.create(call("weather__reveal"), { tools: [server] });
  assert.equal(made.status, "completed");
  const seen = (await world.back("mcp/headers")).filter((one) =>
    JSON.stringify(one).includes(secret),
  );
  assert(seen.length && seen.every((one) => one.authorization === `Bearer ${secret}`));
  const kept = await world.ai.interactions.get(made.id);
  assert(!JSON.stringify([made, kept]).includes(secret));
});

acceptance([47], "a variable is a placeholder of its credential", async (world) => {
  const [name, secret] = [unique("my-api-token"), unique("secret")];
  const trusted = `${unique("trusted")}.test`;
  await world.ai.credentials.create({
    id: name,
    type: "environment_variable",
    value: secret,
    injection_location: "header",
    trusted_domains: [trusted],
  });
  const env = { LOG_LEVEL: "debug", API_TOKEN: { credential: name } };
  const ask = `curl -sS -m 30 -H "X-Token: $API_TOKEN" "https://${trusted}/"`;
  const made = await world.create(fence("bash", "echo $LOG_LEVEL $API_TOKEN", ask), {
    environment: { type: "remote", env },
  });
  const [level, placeholder] = codeResults(made)[0].split(/\s+/);
  assert.equal(level, "debug");
  assert(placeholder && placeholder !== secret);
  assert(!JSON.stringify(made).includes(secret));
  const [met] = await world.back(`outside/${trusted}`);
  assert.equal(met.headers["x-token"], secret);
});

import assert from "node:assert/strict";
import { acceptance, codeResults, fence, unique } from "./world.mjs";

const allowing = (entries, more = {}) => ({
  type: "remote",
  network: { allowlist: entries },
  ...more,
});
const curl = (...urls) => fence("bash", ...urls.map((url) => `curl -sS -m 30 '${url}' 2>&1 || true`));
const headersSeen = async (world, host) => (await world.back(`outside/${host}`)).at(-1).headers;
const REFUSED = /is not in this environment's allowlist/;

acceptance([42], "headers are injected and other hosts blocked", async (world) => {
  const [host, token] = [`${unique("api")}.test`, unique("token")];
  const interaction = await world.create(curl(`https://${host}/`, "http://other.test/"), {
    environment: allowing([
      { domain: host, transform: { Authorization: `Bearer ${token}` } },
      { domain: "packages.example.com" },
    ]),
  });
  const [allowed, plain] = codeResults(interaction);
  assert.equal(JSON.parse(allowed).path, "/");
  assert.match(plain, REFUSED);
  assert(!JSON.stringify(interaction).includes(token));
  assert.equal((await headersSeen(world, host)).authorization, `Bearer ${token}`);
});

acceptance([43], "headers may be a list", async (world) => {
  const host = `${unique("list")}.test`;
  const transform = [{ "X-One": "first" }, { "X-Two": "second" }];
  await world.create(curl(`https://${host}/`), {
    environment: allowing([{ domain: host, transform }]),
  });
  const seen = await headersSeen(world, host);
  assert.deepEqual([seen["x-one"], seen["x-two"]], ["first", "second"]);
});

acceptance([44], "a disabled network reaches nothing", async (world) => {
  const environment = { type: "remote", network: "disabled" };
  const interaction = await world.create(curl("https://some.test/"), { environment });
  assert.match(codeResults(interaction)[0], /curl: \(/);
});

acceptance([45], "a wildcard is what lies below", async (world) => {
  const domain = `${unique("wild")}.test`;
  const interaction = await world.create(curl(`https://a.${domain}/`, `http://${domain}/`), {
    environment: allowing([{ domain: `*.${domain}` }]),
  });
  const [below, itself] = codeResults(interaction);
  assert.equal(JSON.parse(below).headers.host, `a.${domain}`);
  assert.match(itself, REFUSED);
});

acceptance([46], "new rules replace the old ones", async (world) => {
  const [host, other] = [`${unique("old")}.test`, `${unique("new")}.test`];
  const first = await world.create(fence("bash", "echo kept > note.txt"), {
    environment: allowing([{ domain: host }]),
  });
  const second = await world.create(
    `${curl(`http://${host}/`, `https://${other}/`)}\n${fence("bash", "cat note.txt")}`,
    {
      environment: allowing([{ domain: other, transform: { "X-Token": "the-new-one" } }], {
        environment_id: first.environment_id,
      }),
    },
  );
  assert.equal(second.environment_id, first.environment_id);
  const [refused, , note] = codeResults(second);
  assert.match(refused, REFUSED);
  assert.equal(note.trim(), "kept");
  assert.equal((await headersSeen(world, other))["x-token"], "the-new-one");
});

acceptance([47], "variables stand for credentials", async (world) => {
  const [id, value] = [unique("my-api-token"), unique("real-secret")];
  const trusted = `${unique("trusted")}.test`;
  await world.ai.credentials.create({
    id,
    type: "environment_variable",
    value,
    injection_location: "header",
    trusted_domains: [trusted],
  });
  const interaction = await world.create(
    fence("bash", "echo $API_TOKEN", `curl -sS -m 30 -H "X-Token: $API_TOKEN" https://${trusted}/`),
    {
      environment: allowing([{ domain: trusted }], { env: { API_TOKEN: { credential: id } } }),
    },
  );
  const [placeholder] = codeResults(interaction);
  assert(placeholder.trim().length > 0);
  assert(!JSON.stringify(interaction).includes(value));
  assert.equal((await headersSeen(world, trusted))["x-token"], value);
});

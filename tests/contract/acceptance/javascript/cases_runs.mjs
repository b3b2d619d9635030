import assert from "node:assert/strict";
import { AGENT, INLINE, RECALL, acceptance, call, fence, refused, unique } from "./world.mjs";

const FIBONACCI = `numbers = [0, 1]
while len(numbers) < 20: numbers.append(numbers[-1] + numbers[-2])
open("fibonacci.txt", "w").write(" ".join(map(str, numbers)))
print(open("fibonacci.txt").read())`;
const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

acceptance([1, 3, 5], "the quickstart and its follow-ups", async (world) => {
  const first = await world.create(fence("python", FIBONACCI), { environment: "remote" });
  assert.equal(first.status, "completed");
  assert(first.id && first.environment_id);
  assert.match(first.output_text, /4181/);
  assert.deepEqual(
    first.steps.map((step) => step.type),
    ["code_execution_call", "code_execution_result", "model_output"],
  );

  const second = await world.create(fence("bash", "wc -w < fibonacci.txt"), {
    previous_interaction_id: first.id,
    environment: first.environment_id,
  });
  assert.equal(second.output_text.trim(), "20");
  assert.equal(second.environment_id, first.environment_id);

  const look = call("list_dir", { DirectoryPath: "/workspace" });
  const other = await world.create(look, {
    previous_interaction_id: second.id,
    environment: "remote",
  });
  assert.notEqual(other.environment_id, first.environment_id);
  assert.doesNotMatch(other.output_text, /fibonacci/);
});

acceptance([5], "a chat goes on in a new environment", async (world) => {
  const first = await world.create("I am Ada.", { agent_config: RECALL });
  const second = await world.create("Who am I?", {
    agent_config: RECALL,
    previous_interaction_id: first.id,
    environment: "remote",
  });
  assert(second.output_text.includes("I am Ada. | Who am I?"));
  assert.notEqual(second.environment_id, first.environment_id);
});

acceptance([2], "the agent of May", async (world) => {
  const agent = "antigravity-preview-05-2026";
  const made = await world.create(fence("python", "print(6 * 7)"), { agent });
  assert.equal(made.status, "completed");
  assert.equal(made.output_text.trim(), "42");
  assert.equal(made.agent, agent);
});

acceptance([4], "an environment keeps files and no chat", async (world) => {
  const name = unique("knowledge");
  const write = fence("python", `open('${name}.md', 'w').write('The name is Grace.')`);
  const first = await world.create(write);
  const read = await world.create(call("view_file", { AbsolutePath: `/workspace/${name}.md` }));
  assert.equal(read.environment_id, first.environment_id);
  assert.match(read.output_text, /Grace/);
  const asked = await world.create("What did I say?", { agent_config: RECALL });
  assert(!asked.output_text.includes(name));
});

acceptance([10, 11], "models answer and remember", async (world) => {
  const joke = await world.ai.interactions.create({
    model: "gemini-3.7-flash",
    input: fence("say", "A short joke."),
  });
  assert.equal(joke.output_text, "A short joke.");
  assert.equal(joke.environment_id, undefined);
  const model = "gemini-flash-latest";
  const first = await world.ai.interactions.create({ model, input: "I am Ada." });
  const second = await world.ai.interactions.create({
    model,
    input: "Who am I?",
    previous_interaction_id: first.id,
  });
  assert.equal(second.output_text.trim(), "I am Ada. | Who am I?");
});

acceptance([24], "a picture reaches the model", async (world) => {
  const parts = [
    { type: "text", text: "What is this?" },
    { type: "image", data: PIXEL, mime_type: "image/png" },
  ];
  const made = await world.create(parts, { agent_config: RECALL });
  assert(made.output_text.includes("What is this? | [picture]"));
});

acceptance([31], "the model of an agent is chosen", async (world) => {
  const agent_config = { type: "antigravity", model: "gemini-3.5-flash-lite" };
  const made = await world.create(fence("say", "Here."), { agent_config });
  assert.equal(made.output_text, "Here.");
  const found = await world.ai.interactions.get(made.id);
  assert.equal(found.agent_config.model, "gemini-3.5-flash-lite");
});

acceptance([32], "a budget ends a run and it is continued", async (world) => {
  const prompt = "word ".repeat(300) + "\n" + fence("python", "print('one')", "print('two')");
  const ended = await world.create(prompt, {
    agent_config: { ...INLINE, max_total_tokens: 200 },
  });
  assert.equal(ended.status, "incomplete");
  assert(ended.usage.total_tokens >= 200);
  const again = await world.create("continue", { previous_interaction_id: ended.id });
  assert.equal(again.status, "completed");
  assert.equal(again.output_text.trim(), "two");
});

acceptance([33], "an agent takes no generation settings", async (world) => {
  for (const more of [{ generation_config: { temperature: 0.5 } }, { temperature: 0.5 }]) {
    const error = await refused("BadRequestError", () => world.create("Hi", more));
    assert.equal(error.status, 400);
    assert(error.message.includes(Object.keys(more)[0]), error.message);
  }
});

acceptance([56], "an environment that is not there", async (world) => {
  const environment = "0".repeat(32);
  const error = await refused("NotFoundError", () => world.create("Hi", { environment }));
  assert.equal(error.status, 404);
  const gone = await world.create("Hi", { environment: "remote" });
  await world.ai.environments.delete(gone.environment_id);
  await refused("NotFoundError", () =>
    world.create("Hi", { environment: gone.environment_id }),
  );
});

acceptance([66, 73], "a conversation that the caller keeps", async (world) => {
  const prompt = [
    fence("think", "Look."),
    fence("python", "print('one')"),
    call("list_dir", { DirectoryPath: "/workspace" }),
    fence("say", "Seen."),
  ].join("\n");
  const first = await world.create(prompt, { store: false });
  const said = { type: "user_input", content: [{ type: "text", text: "Begin." }] };
  const asked = { type: "user_input", content: [{ type: "text", text: "And?" }] };
  const made = await world.ai.interactions.create({
    model: "gemini-flash-latest",
    input: [said, ...first.steps, asked],
    store: false,
  });
  assert.equal(made.output_text.trim(), "Begin. | And?");
});

acceptance([66, 73], "every form of input", async (world) => {
  const text = { type: "text", text: "One." };
  const step = { type: "user_input", content: [text] };
  const said = { type: "model_output", content: [{ type: "text", text: "Well." }] };
  for (const form of ["One.", text, [text], [step], [step, said, step]]) {
    const made = await world.create(form);
    assert.equal(made.status, "completed");
    assert.equal(made.output_text, "One.");
    const kept = await world.ai.interactions.get(made.id);
    assert.equal(kept.steps[0].type, "user_input");
  }
  const environment = { type: "remote", environment_id: world.place.environment };
  const made = await world.ai.interactions.create({
    agent: AGENT,
    agent_config: INLINE,
    input: fence("say", "Same."),
    environment,
  });
  assert.equal(made.environment_id, environment.environment_id);
});

import assert from "node:assert/strict";
import { acceptance, fence, refused, unique } from "./world.mjs";

acceptance([12, 18], "a background run is polled and followed by another", async (world) => {
  const name = unique("made");
  const begun = await world.create(fence("bash", `echo 12 > ${name}; echo done`), {
    background: true,
  });
  assert.equal(begun.status, "in_progress");
  const ended = await world.ended(begun.id);
  assert.equal(ended.output_text.trim(), "done");
  const second = await world.create(fence("bash", `cat ${name}`), {
    previous_interaction_id: begun.id,
    environment: begun.environment_id,
    background: true,
  });
  assert.equal((await world.ended(second.id)).output_text.trim(), "12");
});

acceptance([13, 17], "a running interaction is not followed but cancelled", async (world) => {
  const begun = await world.create(fence("bash", "sleep 600"), { background: true });
  const error = await refused("BadRequestError", () =>
    world.create("Go on.", { previous_interaction_id: begun.id }),
  );
  assert.match(error.message, /in progress/);
  assert.equal((await world.ai.interactions.cancel(begun.id)).status, "cancelled");
  assert.equal((await world.ai.interactions.get(begun.id)).status, "cancelled");
});

acceptance([19, 20], "what is not stored", async (world) => {
  const error = await refused("BadRequestError", () =>
    world.create("Hi", { store: false, background: true }),
  );
  assert.match(error.message, /store/);
  const made = await world.create("Hi", { store: false });
  assert.equal(made.output_text, "Hi");
  await refused("NotFoundError", () =>
    world.create("And?", { previous_interaction_id: made.id }),
  );
});

acceptance([21], "deleting", async (world) => {
  const made = await world.create("Hi");
  await world.ai.interactions.delete(made.id);
  const error = await refused("NotFoundError", () => world.ai.interactions.get(made.id));
  assert(error.message.includes(made.id));
});

acceptance([22], "input and the steps of the input", async (world) => {
  const made = await world.create(fence("say", "Well."));
  assert.deepEqual(made.steps.map((step) => step.type), ["model_output"]);
  const found = await world.ai.interactions.get(made.id);
  assert.deepEqual(found.steps.map((step) => step.type), ["user_input", "model_output"]);
  assert.equal(found.input, undefined);
  assert.equal(found.output_text, "Well.");
  const full = await world.ai.interactions.get(made.id, { include_input: true });
  assert.equal(full.input, fence("say", "Well."));
});

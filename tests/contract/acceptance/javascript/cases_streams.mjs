import assert from "node:assert/strict";
import { acceptance, call, fence, gather, textOf, unique, waiting } from "./world.mjs";

const PROMPT = [
  fence("think", "First I work."),
  fence("python", "print('working')"),
  fence("say", "All is *well*, grüße 😀."),
].join("\n");

acceptance([6, 7, 8, 9, 72], "a stream tells the whole run", async (world) => {
  const events = await gather(await world.create(PROMPT, { stream: true }));
  assert.equal(events[0].event_type, "interaction.created");
  assert.equal(events.at(-1).event_type, "interaction.completed");
  assert.equal(new Set(events.map((event) => event.event_id)).size, events.length);
  assert(events.some((event) => event.event_type === "step.stop" && event.usage?.total_tokens));

  const ended = events.at(-1).interaction;
  assert.equal(ended.status, "completed");
  assert(Number.isInteger(ended.usage.total_tokens));
  const kept = await world.ai.interactions.get(ended.id);
  assert.equal(textOf(events), kept.output_text);
  assert.equal(kept.output_text, "All is *well*, grüße 😀.");
  assert.equal(ended.environment_id, kept.environment_id);
});

acceptance([6], "steps of a stream are whole", async (world) => {
  const prompt = PROMPT + "\n" + call("list_dir", { DirectoryPath: "/workspace" });
  const events = await gather(await world.create(prompt, { stream: true }));
  let open;
  let seen = 0;
  for (const event of events.slice(1, -1)) {
    if (event.event_type === "step.start") {
      assert.equal(open, undefined);
      assert.equal(event.index, seen);
      assert.equal(event.step.content, undefined);
      open = event.index;
    } else if (event.event_type === "step.stop") {
      assert.equal(event.index, open);
      open = undefined;
      seen += 1;
    } else if (event.event_type === "step.delta") {
      assert.equal(event.index, open);
    }
  }
  const kept = await world.ai.interactions.get(events.at(-1).interaction.id);
  assert.equal(seen, kept.steps.length - 1);
});

acceptance([15], "a running interaction is followed from the start", async (world) => {
  const go = unique("go");
  const begun = await world.create(fence("say", "Before.") + "\n" + fence("bash", waiting(go)), {
    background: true,
  });
  const seen = [];
  for await (const event of await world.ai.interactions.get(begun.id, { stream: true })) {
    seen.push(event);
    if (event.event_type === "step.start" && event.step.type === "code_execution_call") {
      assert.equal((await world.ai.interactions.get(begun.id)).status, "in_progress");
      await world.put(go);
    }
  }
  assert.equal(seen[0].event_type, "interaction.created");
  assert.equal(seen.at(-1).interaction.status, "completed");
});

acceptance([16], "a stream is resumed after any event", async (world) => {
  const events = await gather(await world.create(PROMPT, { stream: true }));
  const ids = events.map((event) => event.event_id);
  const { id } = events.at(-1).interaction;
  for (const [number, last_event_id] of ids.entries()) {
    const again = await gather(
      await world.ai.interactions.get(id, { stream: true, last_event_id }),
    );
    const rest = ids.slice(number + 1);
    assert.deepEqual(
      again.map((event) => event.event_id),
      rest.length ? rest : ids.slice(-1),
    );
  }
});

acceptance([71], "a stream that is left stops nothing", async (world) => {
  const go = unique("go");
  const stream = await world.create(fence("say", "Before.") + "\n" + fence("bash", waiting(go)), {
    environment: { type: "remote", environment_id: world.place.environment },
    stream: true,
    background: true,
    store: true,
  });
  const first = [];
  for await (const event of stream) {
    first.push(event);
    if (event.event_type === "step.stop") break;
  }
  await world.put(go);
  const { id } = first[0].interaction;
  const last_event_id = first.at(-1).event_id;
  const rest = await gather(await world.ai.interactions.get(id, { stream: true, last_event_id }));
  const whole = await gather(await world.ai.interactions.get(id, { stream: true }));
  assert.deepEqual(
    [...first, ...rest].map((event) => event.event_id),
    whole.map((event) => event.event_id),
  );
  assert.equal(rest.at(-1).interaction.status, "completed");
});

acceptance([71], "an aborted stream stops nothing", async (world) => {
  const go = unique("go");
  const controller = new AbortController();
  const stream = await world.create(
    fence("say", "Before.") + "\n" + fence("bash", waiting(go)),
    { stream: true, background: true },
    { fetch_options: { signal: controller.signal } },
  );
  const first = [];
  await assert.rejects(async () => {
    for await (const event of stream) {
      first.push(event);
      if (event.event_type === "step.stop") controller.abort();
    }
  });
  await world.put(go);
  const { id } = first[0].interaction;
  const ended = await world.ended(id);
  assert.equal(ended.status, "completed");
  const whole = await gather(await world.ai.interactions.get(id, { stream: true }));
  assert.deepEqual(
    first.map((event) => event.event_id),
    whole.slice(0, first.length).map((event) => event.event_id),
  );
});

// Runs tests for another process: a message a line on standard input, an answer a line back.
import { readdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { World, tests } from "./world.mjs";

const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
console.log = console.info = console.debug = console.error;

for (const name of (await readdir(import.meta.dirname)).sort()) {
  if (/^cases_.*\.mjs$/.test(name)) await import(`./${name}`);
}

let place;
for await (const line of createInterface({ input: process.stdin })) {
  if (!place) {
    place = JSON.parse(line);
    continue;
  }
  const run = tests.get(JSON.parse(line).test);
  try {
    await run(new World(place));
    say({ error: null });
  } catch (error) {
    say({ error: String(error.stack ?? error) });
  }
}

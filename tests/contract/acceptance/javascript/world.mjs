// What a test of an acceptance case works with, in the SDK's own words as far as it goes.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { GoogleGenAI } from "@google/genai";

export const AGENT = "antigravity-preview-09-2026";
export const INLINE = { type: "antigravity", model: "script/inline" };
// A model that repeats all that users said to it, so that its memory shows.
export const RECALL = { type: "antigravity", model: "local/recall" };
const WAIT_MS = 60_000;

export const tests = new Map();

// Register the test of some cases. Python reads these calls, too: registry.py knows their form.
export function acceptance(cases, name, run) {
  assert(!tests.has(name), `two tests are called ${name}`);
  tests.set(name, run);
}

export class World {
  constructor(place) {
    this.place = place;
    this.ai = this.client();
  }

  // A client of the SDK; `http` are further `httpOptions`.
  client(http = {}) {
    return new GoogleGenAI({
      apiKey: this.place.api_key,
      httpOptions: { baseUrl: this.place.url, ...http },
    });
  }

  // Run the agent on a prompt that is its own script, in the shared environment.
  async create(input, more = {}, options = {}) {
    const { environment } = this.place;
    const body = { agent: AGENT, agent_config: INLINE, environment, input, ...more };
    return this.ai.interactions.create(body, { timeout: WAIT_MS, ...options });
  }

  // Poll as the documents do, until it is not in progress any more.
  async ended(id) {
    return until(async () => {
      const found = await this.ai.interactions.get(id);
      return found.status === "in_progress" ? undefined : found;
    });
  }

  // Make an empty file in the shared environment, beside what runs there.
  async put(name) {
    await this.ai.environments.files.upload({
      environment: this.place.environment,
      path: `workspace/${name}`,
      file: new Blob([""]),
    });
  }

  // JSON without any SDK.
  async http(url) {
    const answer = await fetch(url, { headers: { "x-goog-api-key": this.place.api_key } });
    assert(answer.ok, await answer.clone().text());
    return answer.json();
  }

  // What reached the servers of the tests.
  back(path) {
    return this.http(`${this.place.back}/${path}`);
  }

  // The ids of all environments.
  async environments() {
    const listed = await this.ai.environments.list({ page_size: 1000 });
    return new Set(listed.environments.map((one) => one.id));
  }
}

// Ask again until there is an answer.
export async function until(ask) {
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await sleep(50)) {
    const found = await ask();
    if (found !== undefined) return found;
  }
  throw new Error("it never came");
}

// A word that no other test uses: environments are shared.
export const unique = (word) => `${word}-${randomUUID().slice(0, 8)}`;

// A prompt of code blocks.
export const fence = (language, ...blocks) =>
  blocks.map((block) => `\`\`\`${language}\n${block}\n\`\`\``).join("\n");

// A prompt that calls a tool.
export const call = (name, args = {}) => fence(`tool ${name}`, JSON.stringify(args));

// Code that ends once a file is there, or after a minute.
export const waiting = (name) =>
  `for i in $(seq 600); do [ -e ${name} ] && echo over && break; sleep 0.1; done`;

// What each block of code printed.
export const codeResults = (interaction) =>
  interaction.steps
    .filter((step) => step.type === "code_execution_result")
    .map((step) => step.result);

// All events of a stream.
export async function gather(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

// What the text deltas of a stream add up to.
export const textOf = (events) =>
  events
    .filter((event) => event.event_type === "step.delta" && event.delta.type === "text")
    .map((event) => event.delta.text)
    .join("");

// The error of a call that the SDK must throw as `name`.
export async function refused(name, doing) {
  let answer;
  try {
    answer = await doing();
  } catch (error) {
    assert.equal(error.constructor.name, name, String(error.stack));
    return error;
  }
  throw new Error(`not refused: ${JSON.stringify(answer).slice(0, 500)}`);
}

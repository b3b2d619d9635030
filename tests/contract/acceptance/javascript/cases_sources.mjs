import assert from "node:assert/strict";
import { acceptance, codeResults, fence, refused } from "./world.mjs";

const MEBIBYTE = 1024 * 1024;
const inline = (target, content) => ({ type: "inline", target, content });

acceptance([34], "a repository is cloned", async (world) => {
  const url = "https://git.test/tool.git";
  const environment = {
    type: "remote",
    sources: [{ type: "repository", source: url, target: "/workspace/tool" }],
  };
  const interaction = await world.create(fence("bash", "cat /workspace/tool/readme"), {
    environment,
  });
  assert.deepEqual(codeResults(interaction), ["from a repository\n"]);
});

acceptance([36], "inline sources have limits", async (world) => {
  const tooMuch = [
    [inline("/", "x")],
    [inline("/workspace/a", "x".repeat(MEBIBYTE + 1))],
    [..."abc"].map((name) => inline(`/workspace/${name}`, "x".repeat(MEBIBYTE))),
  ];
  for (const sources of tooMuch) {
    const error = await refused("BadRequestError", () =>
      world.create("Begin.", { environment: { type: "remote", sources } }),
    );
    assert.match(error.message, /environment\.sources/);
  }
});

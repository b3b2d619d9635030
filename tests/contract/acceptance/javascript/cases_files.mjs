import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { acceptance, fence, refused, unique } from "./world.mjs";

const text = (bytes) => new TextDecoder().decode(bytes);

// A tar with one small file, by hand: a header of 512 bytes, the bytes, two empty blocks.
function tar(name, data) {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write(data.length.toString(8).padStart(11, "0") + "\0", 124);
  header.write("00000000000\0", 136);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(sum.toString(8).padStart(6, "0") + "\0 ", 148);
  const body = Buffer.alloc(Math.ceil(data.length / 512) * 512);
  body.write(data);
  return Buffer.concat([header, body, Buffer.alloc(1024)]);
}

acceptance([48], "environments are listed, read and deleted", async (world) => {
  const { environments } = world.ai;
  const made = (await world.create("Hi", { environment: "remote" })).environment_id;
  const listed = await environments.list({ page_size: 10 });
  assert.equal(listed.environments[0].id, made);
  const first = await environments.list({ page_size: 1 });
  const second = await environments.list({ page_size: 1, page_token: first.next_page_token });
  assert.equal(second.environments[0].id, listed.environments[1].id);
  assert.equal((await environments.get(made)).status, "active");
  await environments.delete(made);
  await refused("NotFoundError", () => environments.get(made));
});

acceptance([50, 51, 54], "files are listed and downloaded", async (world) => {
  const { files } = world.ai.environments;
  const environment = world.place.environment;
  const folder = unique("listed");
  await world.create(
    fence("bash", `mkdir -p '${folder}/a b'; echo one > ${folder}/one.txt; echo two > '${folder}/a b/two.txt'`),
  );
  const root = await files.list({ environment, path: "" });
  assert(root.files.some((one) => one.name === "workspace" && one.type === "directory"));
  const base = `workspace/${folder}`;
  const deep = await files.list({ environment, path: base, recursive: true });
  assert(deep.files.some((one) => one.path === `${base}/a b/two.txt`));
  const [one] = (await files.list({ environment, path: `${base}/one.txt` })).files;
  assert.equal(Number(one.size_bytes), 4);
  const data = await files.download({ environment, path: `${base}/one.txt` });
  assert.equal(text(data), "one\n");
  const packed = await files.download({ environment, path: base });
  assert(text(packed).includes("one.txt"));
  await refused("NotFoundError", () => files.list({ environment, path: `${base}/no.txt` }));
});

acceptance([52], "files are uploaded", async (world) => {
  const { files } = world.ai.environments;
  const environment = world.place.environment;
  const path = `workspace/${unique("data")}/file.txt`;
  const target = { environment, path, mime_type: "text/plain" };
  const made = await files.upload({ ...target, file: new Blob(["one"]), overwrite: true });
  assert.equal(made.files[0].name, "file.txt");
  assert.equal(text(await files.download({ environment, path })), "one");
  await assert.rejects(
    files.upload({ ...target, file: new Blob(["two"]) }, { maxRetries: 0 }),
    (error) => error.status === 409,
  );
  assert.equal(text(await files.download({ environment, path })), "one");
  const large = new Uint8Array(9_000_000).fill(7);
  await files.upload({ ...target, file: new Blob([large]), overwrite: true });
  const back = await files.download({ environment, path });
  assert.equal(back.length, large.length);
});

acceptance([53], "an archive is unpacked", async (world) => {
  const { files } = world.ai.environments;
  const environment = world.place.environment;
  const path = `workspace/${unique("src")}/`;
  const file = new Blob([gzipSync(tar("a.txt", "packed"))]);
  const made = await files.upload({ environment, path, file, extract: true });
  assert.equal(made.files[0].name, "a.txt");
  assert.equal(text(await files.download({ environment, path: `${path}a.txt` })), "packed");
});

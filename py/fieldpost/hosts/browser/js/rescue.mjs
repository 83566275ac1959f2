// Rescue files (docs/formats.md section 7): one compact JWE a line. The way out when a gateway or
// a device is lost, so it depends on a passphrase only, and any JOSE library reads it.

import { base64url, CompactEncrypt, compactDecrypt } from "jose";
import { GlueError } from "./errors.mjs";
import { putManifest, putPart, readManifest, readPart } from "./files.mjs";
import { base64, text, unbase64, utf8 } from "./frame.mjs";

const ROUNDS = 600_000;
/** A file asking for more is refused: it would only burn time. */
const ROUNDS_MAX = 2_000_000;
const CTY = "fieldpost-rescue+1";

const unreadable = (cause) => new GlueError("QUEUE_RESCUE_UNREADABLE",
  "The rescue file does not open with this passphrase, or it is damaged.", cause);

const sealLine = (key, value) => new CompactEncrypt(utf8(JSON.stringify(value)))
  .setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(key);

/** Items (JSON lines, as the engine wrote them) and the bytes they refer to, as a Blob. */
export const rescueOut = (ctx, passphrase, lines) => writeRescue(passphrase, lines.split("\n").filter(Boolean), {
  manifest: (id) => readManifest(ctx, id),
  part: (id, n) => readPart(ctx, id, n),
});

/** A rescue file as a Blob: `lines` are items as JSON, `files` finds their manifests and parts. */
export async function writeRescue(passphrase, lines, files) {
  const key = crypto.getRandomValues(new Uint8Array(32));
  const first = await new CompactEncrypt(utf8(JSON.stringify({ version: 1, at: Date.now(), key: base64url.encode(key) })))
    .setProtectedHeader({ alg: "PBES2-HS512+A256KW", enc: "A256GCM", cty: CTY })
    .setKeyManagementParameters({ p2c: ROUNDS }).encrypt(utf8(passphrase));
  const out = [`${first}\n`];
  const write = async (value) => { // a Blob a line: the browser may keep it outside the heap
    out.push(new Blob([await sealLine(key, value), "\n"]));
  };
  let [items, parts] = [0, 0];
  for (const line of lines) {
    const item = JSON.parse(line);
    await write({ type: "item", ...item });
    items += 1;
    for (const { id } of item.attachments ?? []) {
      const manifest = await files.manifest(id);
      if (!manifest) continue;
      await write({ ...manifest, mime: manifest.type, type: "manifest" });
      for (let n = 1; n <= manifest.sha256.length; n++) {
        const bytes = await files.part(id, n);
        if (!bytes) continue;
        await write({ type: "part", attachment_id: id, n, data: base64(bytes) });
        parts += 1;
      }
    }
  }
  await write({ type: "end", items, parts });
  return new Blob(out, { type: "text/plain" });
}

async function* linesOf(blob) {
  let rest = "";
  const reader = blob.stream().pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const pieces = (rest + value).split("\n");
    rest = pieces.pop();
    yield* pieces;
  }
  if (rest) yield rest;
}

const manifestJson = ({ id, name, mime, size, sha256, at }) => JSON.stringify({ id, name, type: mime, size, sha256, at });

async function openLine(line, key, options) {
  try {
    return JSON.parse(text((await compactDecrypt(line, key, options)).plaintext));
  } catch (error) {
    throw unreadable(error);
  }
}

/** `file`: a Blob or its URL. Stores manifests and parts; resolves to the items as JSON lines. Rejects unless the file is whole. */
export async function rescueIn(ctx, passphrase, file) {
  const blob = typeof file === "string" ? await (await fetch(file)).blob() : file;
  const found = [];
  let [key, end, parts] = [null, null, 0];
  for await (const line of linesOf(blob)) {
    if (!key) {
      const opened = await openLine(line, utf8(passphrase),
        { keyManagementAlgorithms: ["PBES2-HS512+A256KW"], maxPBES2Count: ROUNDS_MAX });
      if (opened.version !== 1) throw unreadable();
      key = base64url.decode(opened.key);
      continue;
    }
    const record = await openLine(line, key, { keyManagementAlgorithms: ["dir"] });
    if (record.type === "item") found.push(JSON.stringify(record));
    else if (record.type === "manifest") await putManifest(ctx, manifestJson(record));
    else if (record.type === "part") {
      await putPart(ctx, record.attachment_id, record.n, unbase64(record.data));
      parts += 1;
    } else if (record.type === "end") end = record;
  }
  if (end?.items !== found.length || end.parts !== parts) throw unreadable();
  return found.join("\n");
}

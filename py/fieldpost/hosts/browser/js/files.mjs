// Attachments: sealed parts of 1 MiB and a sealed manifest in `blobs`. Files never cross Python.

import { rangeOf } from "./commit.mjs";
import { ANSWER_MS } from "./database.mjs";
import { seal, unseal } from "./envelope.mjs";
import { GlueError } from "./errors.mjs";
import { base64, Frame, text, utf8 } from "./frame.mjs";

export const PART_BYTES = 1024 * 1024; // engine/limits.py
/** Slices read, hashed and sealed ahead of the writer: what a file may take in memory. */
const AHEAD = 4;
const MANIFEST = 0; // its place among the parts, which count from 1
const THUMBNAIL_BYTES_MAX = 20 * 1024 * 1024;
/** No SVG: opened in a tab of its own it would run scripts as us. */
const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"]);

/** Attachments being stored in this context -> whether they were dropped meanwhile, which ends it. */
const storing = new Map();

const where = (id, n) => ({ id, kind: "attachment", part: n === MANIFEST ? "manifest" : String(n) });
const write = (ctx, work) => ctx.database.run(["blobs"], "readwrite", (tx) => work(tx.objectStore("blobs")), ANSWER_MS);
const read = (ctx, work) => ctx.database.run(["blobs"], "readonly", (tx) => work(tx.objectStore("blobs")));

export const digest = async (bytes) => base64(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));

async function sealedBlob(ctx, id, n, bytes) {
  const kid = ctx.ring.active;
  return { kid, data: await seal(ctx.ring, kid, where(id, n), bytes, { deflate: n === MANIFEST }) };
}

/** Part `n` of a File of so many bytes. */
export async function readSlice(file, n, size) {
  const unreadable = (cause) => new GlueError("QUEUE_ATTACHMENT_UNREADABLE",
    "The file could not be read to its end; it may have been moved or changed.", cause);
  const start = (n - 1) * PART_BYTES;
  const end = Math.min(start + PART_BYTES, size);
  let bytes;
  try {
    bytes = new Uint8Array(await (size ? file.slice(start, end) : file).arrayBuffer());
  } catch (error) {
    throw unreadable(error); // NotReadableError: gone, or changed since it was chosen
  }
  if (bytes.length !== end - start || file.size !== size) throw unreadable();
  return bytes;
}

/**
 * Stream a File into sealed parts, then its manifest; each write is a strict commit. Resolves to
 * JSON {id, name, type, size, parts}; on any failure its parts are removed.
 */
export async function storeFile(ctx, file, id, limitBytes, onProgress) {
  const { size } = file;
  if (size > limitBytes) throw new GlueError("QUEUE_ATTACHMENT_TOO_LARGE", "The file is larger than an attachment may be.");
  const parts = Math.ceil(size / PART_BYTES);
  if (!size) await readSlice(file, 1, size); // one that is gone says 0, too
  const sha256 = [];
  const prepare = async (n) => {
    const bytes = await readSlice(file, n, size);
    const [blob, hash] = await Promise.all([sealedBlob(ctx, id, n, bytes), digest(bytes)]);
    sha256[n - 1] = hash;
    return blob;
  };
  const ahead = [];
  let started = 0;
  const goOn = () => {
    if (storing.get(id)) throw new GlueError("QUEUE_ATTACHMENT_UNREADABLE", "The file was removed while it was being stored.");
  };
  storing.set(id, false);
  try {
    for (let n = 1; n <= parts; n++) {
      goOn();
      while (started < parts && ahead.length < AHEAD) {
        const part = prepare(++started);
        part.catch(() => {}); // awaited in its turn; a failure of an earlier one ends the loop first
        ahead.push(part);
      }
      const blob = await ahead.shift();
      await write(ctx, (blobs) => blobs.put(blob, [id, n]));
      onProgress?.(Math.min(n * PART_BYTES, size), size);
    }
    await writeManifest(ctx, { id, name: file.name ?? "", type: file.type ?? "", size, sha256, at: Date.now() });
    goOn();
  } catch (error) {
    await Promise.allSettled(ahead);
    await dropFile(ctx, id);
    throw error;
  } finally {
    storing.delete(id);
  }
  return JSON.stringify({ id, name: file.name ?? "", type: file.type ?? "", size, parts });
}

async function writeManifest(ctx, { id, at, ...sealed }) {
  const blob = await sealedBlob(ctx, id, MANIFEST, utf8(JSON.stringify(sealed)));
  await write(ctx, (blobs) => blobs.put({ ...blob, at }, [id, MANIFEST]));
}

export async function dropFile(ctx, id) {
  if (storing.has(id)) storing.set(id, true);
  await write(ctx, (blobs) => blobs.delete(rangeOf(id)));
}

/** {id, at, name, type, size, sha256} or null. */
export async function readManifest(ctx, id) {
  const blob = await read(ctx, (blobs) => blobs.get([id, MANIFEST]));
  if (!blob) return null;
  return { id, at: blob.at, ...JSON.parse(text(await unseal(ctx.ring, blob.kid, where(id, MANIFEST), blob.data))) };
}

/** The plain bytes of part `n`, or null. */
export async function readPart(ctx, id, n) {
  const blob = await read(ctx, (blobs) => blobs.get([id, n]));
  return blob ? unseal(ctx.ring, blob.kid, where(id, n), blob.data) : null;
}

/** An object URL of a whole image (the caller revokes it), or null. */
export async function fileUrl(ctx, id) {
  const manifest = await readManifest(ctx, id);
  if (!manifest || !IMAGES.has(manifest.type) || manifest.size > THUMBNAIL_BYTES_MAX) return null;
  const parts = await Promise.all(manifest.sha256.map((_, i) => readPart(ctx, id, i + 1)));
  return parts.includes(null) ? null : URL.createObjectURL(new Blob(parts, { type: manifest.type }));
}

/**
 * An object URL of a whole file, to be saved elsewhere (the caller revokes it), or null when a part
 * is missing. Of no type: whatever it is, it is downloaded and never shown as ours.
 */
export async function fileCopy(ctx, id) {
  const manifest = await readManifest(ctx, id);
  const parts = [];
  for (let n = 1; manifest && n <= manifest.sha256.length; n++) {
    const bytes = await readPart(ctx, id, n);
    if (!bytes) return null;
    parts.push(new Blob([bytes])); // one after the other: the browser may put blobs on the disk
  }
  return manifest && URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
}

// --- for the worker's store ----------------------------------------------------------------------

export const putManifest = (ctx, json) => writeManifest(ctx, JSON.parse(json));

export async function putPart(ctx, id, n, bytes) {
  const blob = await sealedBlob(ctx, id, n, bytes);
  await write(ctx, (blobs) => blobs.put(blob, [id, n]));
}

export const manifest = async (ctx, json) => JSON.stringify(await readManifest(ctx, JSON.parse(json).id));

export async function part(ctx, json) {
  const { id, n } = JSON.parse(json);
  const bytes = await readPart(ctx, id, n);
  const frame = new Frame();
  return frame.finish({ part: bytes && frame.add(bytes) });
}

/** When a UUIDv7 was made, in ms; parts without a manifest (a crash while storing) have no other date. */
const madeAt = (id) => (id[14] === "7" ? parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : Infinity);

/** JSON [attachment id], oldest first: made before `before`, and no row, capture or draft refers to them. */
export async function orphans(ctx, json) {
  const { before, limit } = JSON.parse(json);
  const found = await ctx.database.run(["blobs", "items", "inbox", "drafts"], "readonly", async (tx) => {
    const drafted = new Set((await tx.objectStore("drafts").getAll()).flatMap((draft) => draft.attachments));
    const blobs = tx.objectStore("blobs");
    const unused = [];
    let cursor = await blobs.openKeyCursor();
    while (cursor) {
      const [id, n] = cursor.key;
      const at = n === MANIFEST ? (await blobs.get([id, n])).at : madeAt(id);
      const count = (store) => tx.objectStore(store).index("attached").count(id);
      if (at < before && !drafted.has(id) && !await count("items") && !await count("inbox")) unused.push([at, id]);
      cursor = await cursor.continue([id, []]); // on to the next attachment
    }
    return unused;
  });
  return JSON.stringify(found.sort(([a], [b]) => a - b).slice(0, limit).map(([, id]) => id));
}

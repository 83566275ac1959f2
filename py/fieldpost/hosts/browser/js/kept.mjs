// What a tab holds while the storage fails: files in its own memory, a rescue file made of that, and
// the browser's question before the tab is left. Nothing here needs the database.

import { digest, PART_BYTES, readManifest, readPart, readSlice } from "./files.mjs";
import { GlueError } from "./errors.mjs";
import { writeRescue } from "./rescue.mjs";

const noMemory = (cause) => new GlueError("QUEUE_ATTACHMENT_TOO_LARGE",
  "This tab has no memory left to keep the file in.", cause);

/** What `storeFile` and a rescue file ask of a File, out of this tab's memory. */
class HeldFile {
  constructor(id, { name = "", type = "" }, size, parts) {
    Object.assign(this, { id, name, type, size, parts });
  }

  /** `start` is where a part begins: only those are asked for. */
  slice(start) {
    return { arrayBuffer: async () => this.parts[start / PART_BYTES].buffer };
  }

  async arrayBuffer() { // of an empty file
    return new ArrayBuffer(0);
  }

  async manifest() {
    const sha256 = await Promise.all(this.parts.map(digest));
    return { id: this.id, name: this.name, type: this.type, size: this.size, sha256, at: Date.now() };
  }
}

async function gathered(id, facts, size, read) {
  const parts = [];
  try {
    for (let n = 1; n <= Math.ceil(size / PART_BYTES); n++) parts.push(await read(n));
  } catch (error) {
    if (error instanceof RangeError || error.cause instanceof RangeError) throw noMemory(error);
    throw error;
  }
  return new HeldFile(id, facts, size, parts);
}

/** Read a File into this tab's memory, whatever becomes of the place it came from. At most `room`
 *  bytes. Resolves to what `storeFile` takes in place of the File. */
export async function hold(file, id, room) {
  if (file.size > room) throw noMemory();
  if (!file.size) await readSlice(file, 1, 0);
  return gathered(id, file, file.size, (n) => readSlice(file, n, file.size));
}

/** The same of a file that lies in the storage; null when it does not. */
export async function recall(ctx, id, room) {
  const manifest = await readManifest(ctx, id);
  if (!manifest) return null;
  if (manifest.size > room) throw noMemory();
  return gathered(id, manifest, manifest.size, async (n) => {
    const bytes = await readPart(ctx, id, n);
    if (!bytes) throw new GlueError("QUEUE_ATTACHMENT_UNREADABLE", "A part of the file is missing.");
    return bytes.slice();
  });
}

/** The line of a rescue file for a capture: as the engine writes it of an item it has made. */
const lineOf = ({ id, at, data }) => JSON.stringify({
  operation: "create", lane: null, priority: null, not_before: null, expires_at: null, step: null, attachments: [],
  ...data, id, send_id: data.send_id ?? id, created_at: at, state: "pending",
});

/** A rescue file (docs/formats.md section 7) of captures that were never stored: JSON
 *  [{id, at, data}], and their files as `hold` gave them. */
export function rescueKept(passphrase, json, files) {
  const held = new Map(files.map((file) => [file.id, file]));
  return writeRescue(passphrase, JSON.parse(json).map(lineOf), {
    manifest: async (id) => held.get(id)?.manifest(),
    part: async (id, n) => held.get(id)?.parts[n - 1],
  });
}

const ask = (event) => {
  event.preventDefault();
  event.returnValue = true; // what browsers before 2024 look at
};

/** Whether the browser is to ask before this tab is closed or loaded anew. */
export function warnBeforeLeaving(on) {
  if (on) addEventListener("beforeunload", ask);
  else removeEventListener("beforeunload", ask);
}

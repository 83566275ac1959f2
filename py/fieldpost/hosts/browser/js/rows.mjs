// How a row lies in `items` (docs/formats.md section 3), and how it is found. From version 3 of the
// database on ids and indexed marks are bytes: Chromium writes a text key at two bytes a character,
// and the id again in every index entry. Columns that no index needs stand in a list, without their
// names. Rows of before are read as they are, and keep their key when they are written again.

import { GlueError } from "./errors.mjs";
import { base64url, unbase64url } from "./frame.mjs";

/** The columns of list `c`, in order. Only ever added to, at its end; one not named here, of a later
 *  version say, is a property of its own. */
const LISTED = ["kind", "operation", "lane", "send_id", "updated_at", "priority", "revision", "size",
  "body_bytes", "kid", "owner", "schema", "attempts", "attempt", "step", "ready", "due_at", "not_before",
  "error_code", "lease_owner", "lease_until", "sent_at", "handed_to", "attachments", "parents",
  "on_parent_failed"];
const PLACE = new Map(LISTED.map((name, i) => [name, i]));
/** Marks that have an index of their own, besides which only their time is looked at. */
const BYTES = ["fingerprint", "natural_key"];

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HEX = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, "0"));

/** The key of a row that is written for the first time. */
export function keyOf(id) {
  if (!UUID.test(id)) return id;
  const key = new DataView(new ArrayBuffer(16));
  const digits = id.replaceAll("-", "");
  for (let i = 0; i < 4; i++) key.setUint32(4 * i, parseInt(digits.slice(8 * i, 8 * i + 8), 16));
  return key.buffer;
}

/** The inverse, of a key of any version. */
export function idOf(key) {
  if (!(key instanceof ArrayBuffer)) return key;
  let id = "";
  new Uint8Array(key).forEach((byte, i) => { id += (i === 4 || i === 6 || i === 8 || i === 10 ? "-" : "") + HEX[byte]; });
  return id;
}

/** What is put for a row. `key`: the one it has, of a row that is there; `marks`: the bytes of its
 *  marks where they are at hand. */
export function toStored(row, key, marks = {}) {
  const stored = {};
  const listed = [];
  for (const name in row) {
    const at = PLACE.get(name);
    if (at === undefined) stored[name] = row[name];
    else listed[at] = row[name];
  }
  for (let at = 0; at < listed.length; at++) listed[at] ??= null; // a list without holes is written faster
  stored.id = key;
  for (const name of BYTES) if (row[name] !== undefined) stored[name] = marks[name] ?? unbase64url(row[name]).buffer;
  stored.c = listed;
  return stored;
}

/** The row by its columns' names, and `key`; undefined as it is. */
export function fromStored(stored) {
  if (stored === undefined) return undefined;
  const { c: listed, ...row } = stored;
  row.key = stored.id;
  if (!listed) return row; // of before version 3
  row.id = idOf(stored.id);
  listed.forEach((value, at) => { if (value !== null) row[LISTED[at]] = value; });
  for (const name of BYTES) if (row[name] instanceof ArrayBuffer) row[name] = base64url(new Uint8Array(row[name]));
  return row;
}

export const fromAll = (stored) => stored.map(fromStored);

/** Whether rows of before version 3 may be there, asked once for a device (`ctx.old`). Nobody writes
 *  another one: "no" holds for good, and "yes" only costs a second look. */
export async function hasOldRows(database) {
  const texts = IDBKeyRange.bound("0", "g"); // what a UUID begins with
  return await database.run(["items"], "readonly", (tx) => tx.objectStore("items").getKey(texts)) !== undefined;
}

/** The row of this id, or undefined. */
export async function rowOf(items, id, old) {
  const found = await items.get(keyOf(id));
  return fromStored(found ?? (old ? await items.get(id) : undefined));
}

/** Whether there is one. */
export async function isItem(items, id, old) {
  return await items.count(keyOf(id)) > 0 || (old && await items.count(id) > 0);
}

/** The first parts of an indexed mark's keys: of rows as they are written, and of those of before. */
export const markKeys = (name, hmac, old) =>
  !BYTES.includes(name) ? [hmac] : old ? [unbase64url(hmac).buffer, hmac] : [unbase64url(hmac).buffer];

// --- head and body in one envelope ---------------------------------------------------------------

export const PARTS = ["head", "body", "intent", "history", "links"];
/** The part that holds head and body of a small new row: one envelope costs as much as the other. */
export const BOTH = "both";
const BOTH_MAX = 1023; // above it a body is deflated, and heads are read without their bodies

/** `head` and `body` as one part, or undefined when they do not go together. */
export function joined(head, body) {
  if (!head || !body || head.length + body.length + 2 > BOTH_MAX) return undefined;
  const data = new Uint8Array(2 + head.length + body.length);
  data[0] = head.length >> 8;
  data[1] = head.length & 255;
  data.set(head, 2);
  data.set(body, 2 + head.length);
  return data;
}

function split(data, id) {
  const end = 2 + (data[0] << 8 | data[1]);
  if (data.length < 2 || end > data.length) throw new GlueError("QUEUE_DECRYPTION_ERROR", `The parts of ${id} are not understood.`);
  return { head: data.subarray(2, end), body: data.subarray(end) };
}

/** {part: bytes} of those asked for that the row has; `open(part)` unseals one. */
export async function partsOf(row, asked, open) {
  const own = asked.filter((part) => row[part]);
  const within = row[BOTH] ? asked.filter((part) => !row[part] && (part === "head" || part === "body")) : [];
  const [both, ...opened] = await Promise.all([within.length ? open(BOTH) : null, ...own.map(open)]);
  const found = Object.fromEntries(own.map((part, i) => [part, opened[i]]));
  const halves = both && split(both, row.id);
  for (const part of within) found[part] = halves[part];
  return found;
}

/** Keep of the old row's parts those that are not replaced. */
export function keepParts(row, old, sealed) {
  for (const part of PARTS) {
    const bytes = part in sealed ? sealed[part] : old?.[part];
    if (bytes) row[part] = bytes;
  }
  const both = sealed[BOTH] ?? old?.[BOTH];
  if (both && !(row.head && row.body)) row[BOTH] = both;
}

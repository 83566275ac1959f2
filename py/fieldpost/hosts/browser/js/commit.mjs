// One commit is one transaction: all or nothing (ports.Store.commit). Everything that has to be
// awaited (sealing, HMAC) is done before it opens, because a transaction ends as soon as it is
// left alone. Invariant 5 is kept here: a write with an old revision is refused inside it.

import { unwrap } from "idb";
import { bringInStep, countMove, isClaimable, raiseRevision, readCounters, setHead } from "./counters.mjs";
import { markBytes, seal } from "./envelope.mjs";
import { GlueError, Refusal } from "./errors.mjs";
import { base64url, Frame, utf8 } from "./frame.mjs";
import { idsInLine, lineOf, waitsOf } from "./lines.mjs";
import { BOTH, fromAll, idOf, joined, keepParts, keyOf, markKeys, rowOf, toStored } from "./rows.mjs";

/** Rows sealed at a time: enough to keep the browser's crypto threads busy, few enough to hold. */
const SEAL_ROWS = 2048;
/** From this many inserts on, their absence is left to `add` to find out instead of being read. */
const BULK_INSERTS = 64;

export const rangeOf = (...prefix) => IDBKeyRange.bound(prefix, [...prefix, []]);

// --- before the transaction ----------------------------------------------------------------------

/** Marks of this commit, as bytes: a bulk of one person's items has one owner, whose HMAC is made
 *  once. */
function marksOf(ring) {
  const made = new Map();
  return (name, value, keep = name !== "fingerprint") => { // rows that are put: no two are the same
    const key = `${name}|${value}`;
    const known = made.get(key);
    if (known || !keep) return known ?? markBytes(ring, name, value);
    made.set(key, markBytes(ring, name, value));
    return made.get(key);
  };
}

async function knowKey(ring, kid) {
  if (!ring.data.has(kid) && !await ring.key(kid)) throw new GlueError("QUEUE_ENCRYPTION_ERROR", "A row's key is not on this device.");
}

/** Begin to seal what a put brings; what comes of it is waited for with `waiting`. */
function sealPut(ring, marked, put, bytes, waiting) {
  const { row, insert, parts } = put;
  put.sealed = {};
  put.hmacs = {};
  const sealPart = (part, data) =>
    waiting.push(seal(ring, put.kid, { id: row.id, kind: row.kind, part }, data).then((made) => { put.sealed[part] = made; }));
  const bytesOf = (slice) => slice && bytes.subarray(slice[0], slice[0] + slice[1]);
  const both = insert ? joined(bytesOf(parts.head), bytesOf(parts.body)) : undefined;
  if (both) sealPart(BOTH, both);
  for (const part in parts) {
    if (both && (part === "head" || part === "body")) continue;
    if (parts[part]) sealPart(part, bytesOf(parts[part]));
    else put.sealed[part] = null;
  }
  for (const name in put.marks) {
    waiting.push(marked(name, put.marks[name]).then((hmac) => {
      put.hmacs[name] = hmac;
      row[name] = base64url(new Uint8Array(hmac));
    }));
  }
}

async function prepare(ring, change, bytes) {
  const marked = marksOf(ring);
  await Promise.all(change.expect.filter(({ t }) => t === "unique").map(async (expected) => {
    const hmac = await marked(expected.mark, expected.value, true); // the row that asks has it too
    expected.hmac = base64url(new Uint8Array(hmac));
  }));
  // A row has one key: parts that stay as they are must open with the kid of those that change.
  for (const put of change.puts) put.kid = put.insert ? ring.active : put.row.kid ?? ring.active;
  for (const kid of new Set(change.puts.map((put) => put.kid))) await knowKey(ring, kid);
  for (let i = 0; i < change.puts.length; i += SEAL_ROWS) {
    const waiting = [];
    for (const put of change.puts.slice(i, i + SEAL_ROWS)) sealPut(ring, marked, put, bytes, waiting);
    await Promise.all(waiting);
  }
  const texts = change.side.filter(([, , value]) => value !== null);
  await Promise.all(texts.map(async (entry) => {
    entry[2] = { kid: ring.active, data: await seal(ring, ring.active, sideWhere(entry[0], entry[1]), utf8(entry[2])) };
  }));
}

export const sideWhere = (table, key) => ({ id: `${table}/${key}`, kind: "side", part: "body" });

// --- inside it -----------------------------------------------------------------------------------

function storesFor(change) {
  const stores = ["meta"];
  if (change.expect.length || change.puts.length || change.drop.length) stores.push("items");
  if (change.journal) stores.push("journal");
  if (change.adopt.length || change.drop.length) stores.push("inbox");
  if (change.drop_blobs.length || change.drop.length) stores.push("blobs");
  if (change.drop.length) stores.push("drafts");
  if (change.side.length) stores.push("side");
  return stores;
}

/** The id of the oldest row created from `since` to `until` that carries the mark, or undefined. */
async function holder(tx, { mark: name, hmac, since, until }, old) {
  const items = tx.objectStore("items");
  if (name === "fingerprint" || name === "natural_key") {
    const found = await Promise.all(markKeys(name, hmac, old).map((key) =>
      items.index(name).getKey(IDBKeyRange.bound([key, since], [key, until ?? []]))));
    return idOf(found.findLast((key) => key !== undefined)); // rows of before come last, and are older
  }
  const rows = await rowsMarked(items, name, hmac, old);
  return rows.find((row) => row.created_at >= since && row.created_at <= (until ?? Infinity))?.id;
}

/** Rows that carry the mark, oldest first. There is no index of owners: that one walks the table. */
export async function rowsMarked(items, name, hmac, old, limit) {
  const indexed = name !== "owner";
  const found = indexed
    ? await Promise.all(markKeys(name, hmac, old).map((key) => items.index(name).getAll(rangeOf(key), name === "entity" ? undefined : limit)))
    : [await items.getAll()];
  const rows = fromAll(found.flat()).filter((row) => indexed || row[name] === hmac);
  return rows.sort((a, b) => a.created_at - b.created_at).slice(0, limit);
}

/** From this many rows on, they are first asked for as one range: ids grow with time, so a batch in
 *  the order of its making lies together, and one request then brings what else takes hundreds. */
const RANGE_ROWS = 8;

/** Fill `rows` (id -> undefined) from the table; ids that the range did not bring, one by one. */
async function loadRows(items, rows, old) {
  const ids = [...rows.keys()];
  if (ids.length >= RANGE_ROWS) {
    const sorted = [...ids].sort();
    const found = await items.getAll(IDBKeyRange.bound(keyOf(sorted[0]), keyOf(sorted.at(-1))), ids.length);
    for (const row of fromAll(found)) if (rows.has(row.id)) rows.set(row.id, row);
    // The range came whole: what is missing does not exist.
    if (found.length < ids.length && !old) return;
  }
  await Promise.all(ids.filter((id) => !rows.get(id)).map(async (id) => rows.set(id, await rowOf(items, id, old))));
}

/** Read everything the verdict needs, in one go: requests are issued before any is awaited. */
async function readAll(tx, change, inserts, old) {
  const rows = new Map();
  const loading = [];
  const load = (id) => rows.set(id, undefined);
  const counting = readCounters(tx);
  for (const expected of change.expect) {
    const leftToAdd = expected.t === "absent" && inserts.size >= BULK_INSERTS && inserts.has(expected.id) && !old;
    if (expected.id && !leftToAdd) load(expected.id);
    if (expected.t === "line") loading.push(idsInLine(tx.objectStore("items"), expected).then((ids) => { expected.found = ids; }));
    if (expected.t === "unique") loading.push(holder(tx, expected, old).then((id) => { expected.holder = id; }));
  }
  // `add` does not see a row of before version 3: its key is another one.
  for (const put of change.puts) if (!put.insert || old) load(put.row.id);
  for (const id of change.drop) load(id);
  if (rows.size) loading.push(loadRows(tx.objectStore("items"), rows, old));
  const captures = new Map(); // id -> key in the inbox, of those that are still there
  for (const id of change.adopt) {
    loading.push(tx.objectStore("inbox").index("id").getKey(id).then((key) => key !== undefined && captures.set(id, key)));
  }
  await Promise.all(loading);
  const counters = await counting;
  if (change.puts.length || change.drop.length) await bringInStep(tx, counters);
  return { rows, counters, captures, unused: await unusedAfter(tx, change.drop.map((id) => rows.get(id))) };
}

/** Ids of the dropped rows' attachments that no other row, no capture and no draft refers to. */
async function unusedAfter(tx, dropped) {
  const gone = new Set(dropped.filter(Boolean).map((row) => row.id));
  const ids = new Set(dropped.flatMap((row) => row?.attachment_ids ?? []));
  if (!ids.size) return [];
  for (const { attachments } of await tx.objectStore("drafts").getAll()) attachments.forEach((id) => ids.delete(id));
  await Promise.all([...ids].map(async (id) => {
    const [users, captured] = await Promise.all([
      tx.objectStore("items").index("attached").getAllKeys(id), tx.objectStore("inbox").index("attached").count(id)]);
    if (captured || users.some((user) => !gone.has(idOf(user)))) ids.delete(id);
  }));
  return [...ids];
}

/** Throws a `Refusal` for the first precondition that does not hold. */
function judge(change, { rows, counters, captures }) {
  change.expect.forEach((expected, index) => {
    const { t, id } = expected;
    if (t === "absent" && rows.get(id)) throw new Refusal(index, id);
    if (t === "revision" && rows.get(id)?.revision !== expected.revision) throw new Refusal(index, rows.get(id)?.id);
    if (t === "unique" && expected.holder) throw new Refusal(index, expected.holder);
    if (t === "line" && expected.found.join() !== expected.ids.join()) throw new Refusal(index);
    if (t === "below" && (counters[expected.counter] ?? 0) >= expected.limit) throw new Refusal(index);
  });
  const revisions = new Map(); // as the puts so far leave them: one row may come several times
  change.puts.forEach((put, index) => {
    const { id, revision } = put.row;
    const stored = rows.get(id);
    if (put.insert) {
      if (stored) throw offended(change, index);
      // Its capture was taken back, or adopted elsewhere, after the engine had read it.
      if (change.adopt.includes(id) && !captures.has(id)) throw new Refusal(change.expect.length + index, id);
      revisions.set(id, 1);
      return;
    }
    const present = revisions.get(id) ?? stored?.revision;
    if (present !== revision) throw new Refusal(change.expect.length + index, present && id);
    if (stored && stored.kid !== put.kid) throw new GlueError("QUEUE_ENCRYPTION_ERROR", "A row was sealed with another key.");
    revisions.set(id, present + 1);
  });
}

/** Complete the record: what the store gives (sequence, revision, kid) and the indexed properties. */
function toRecord(put, old, counters) {
  const { row, sealed } = put;
  row.sequence = old ? old.sequence : ++counters.sequence;
  row.revision = old ? old.revision + 1 : 1;
  row.kid = put.kid;
  if (row.ready !== false) row.rank = [row.lane, 10 - row.priority + (row.step ? 10 : 0), row.sequence];
  else if (isClaimable(row.state) && (row.due_at ?? row.not_before) !== undefined) {
    row.wake = [row.lane, Math.max(row.due_at ?? 0, row.not_before ?? 0)]; // with neither, a commit frees it
  }
  const [line, waits] = [lineOf(row), waitsOf(row)];
  if (line) row.line = line;
  if (waits) row.waits = waits;
  if (row.attachments) row.attachment_ids = row.attachments.map((a) => a.id);
  keepParts(row, old, sealed);
  return row;
}

/** Issue every write. The plain IndexedDB objects, without idb's promise for each request: a bulk
 *  insert would make ten thousand of them, and the transaction's own end says all there is. */
function writeAll(tx, change, { rows, counters, captures, unused }) {
  const store = (name) => unwrap(tx).objectStore(name);
  const adding = new Map(); // request -> number of its put
  const items = change.puts.length ? store("items") : null;
  change.puts.forEach((put, index) => {
    const old = put.insert ? undefined : rows.get(put.row.id);
    const record = toRecord(put, old, counters);
    rows.set(record.id, record);
    countMove(counters, old, record);
    const key = old ? old.key : keyOf(record.id);
    const stored = toStored(record, key, put.hmacs);
    record.key = key; // one row may come several times
    if (put.insert) adding.set(items.add(stored), index);
    else items.put(stored);
  });
  for (const id of change.drop) {
    if (!rows.get(id)) continue;
    countMove(counters, rows.get(id), undefined);
    store("items").delete(rows.get(id).key);
  }
  for (const key of captures.values()) store("inbox").delete(key);
  counters.inbox -= captures.size;
  for (const id of [...change.drop_blobs, ...unused]) store("blobs").delete(rangeOf(id));
  for (const [table, key, value] of change.side) {
    if (value === null) store("side").delete([table, key]);
    else store("side").put(value, [table, key]);
  }
  raiseRevision(counters);
  if (change.journal) {
    counters.journal += 1;
    store("journal").add({ n: counters.journal, ...change.journal });
    setHead(counters, change.journal, counters.journal);
  }
  store("meta").put(counters, "counters");
  unwrap(tx).commit?.(); // saves a turn
  return adding;
}

/** The number of the precondition that an insert on an existing id offends: the `Absent` if there
 *  is one, else the put itself, counted on after the preconditions. */
function offended(change, index) {
  const { id } = change.puts[index].row;
  const named = change.expect.findIndex((e) => e.t === "absent" && e.id === id);
  return new Refusal(named < 0 ? change.expect.length + index : named, id);
}

export async function commit(ctx, json, bytes) {
  const change = { drop: [], ...JSON.parse(json) };
  await prepare(ctx.ring, change, bytes);
  const inserts = new Set(change.puts.filter((put) => put.insert).map((put) => put.row.id));
  let doubled = null;
  try {
    const revision = await ctx.database.run(storesFor(change), "readwrite", async (tx) => {
      const read = await readAll(tx, change, inserts, ctx.old);
      judge(change, read);
      const adding = writeAll(tx, change, read);
      unwrap(tx).addEventListener("error", (event) => {
        const index = adding.get(event.target);
        if (index !== undefined && event.target.error?.name === "ConstraintError") doubled ??= offended(change, index);
      }, true); // while capturing: idb ends the transaction's promise when the event bubbles
      return read.counters.revision;
    });
    const rows = change.puts.map(({ row, marks }) =>
      [row.sequence, row.revision, row.kid, Object.keys(marks).map((name) => [name, row[name]])]);
    return new Frame().finish({ revision, rows });
  } catch (error) {
    const refusal = doubled ?? error;
    if (refusal instanceof Refusal) return new Frame().finish({ refused: refusal.refused });
    throw error;
  }
}

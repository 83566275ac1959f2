// What the worker's store reads. Each is one transaction; parts are opened after it has ended.

import { readCounters, shownCounters } from "./counters.mjs";
import { mark, unseal } from "./envelope.mjs";
import { Frame, text } from "./frame.mjs";
import { rangeOf, rowsMarked, sideWhere } from "./commit.mjs";
import { rowsInLine } from "./lines.mjs";
import { BOTH, fromAll, fromStored, idOf, PARTS, partsOf, rowOf } from "./rows.mjs";

/** Levels of the ready index: ten priorities, texts before files (`Item.level`). */
const LEVELS = 20;
const INTERNAL = new Set([...PARTS, BOTH, "key", "rank", "wake", "line", "waits", "attachment_ids"]);

const read = (ctx, stores, work) => ctx.database.run(stores, "readonly", work);
const readItems = (ctx, work) => read(ctx, ["items"], (tx) => work(tx.objectStore("items")));

/** A frame of rows: their columns, and `parts`: {name: [offset, length]} of the parts asked for. */
async function rowsFrame(ctx, rows, parts = [], more = {}) {
  const opened = await Promise.all(rows.map((row) =>
    partsOf(row, parts, (part) => unseal(ctx.ring, row.kid, { id: row.id, kind: row.kind, part }, row[part]))));
  const frame = new Frame();
  const plain = rows.map((row, i) => {
    const columns = Object.fromEntries(Object.entries(row).filter(([name]) => !INTERNAL.has(name)));
    columns.parts = Object.fromEntries(Object.entries(opened[i]).map(([part, bytes]) => [part, frame.add(bytes)]));
    return columns;
  });
  return frame.finish({ rows: plain, ...more });
}

export async function get(ctx, json) {
  const { ids, parts } = JSON.parse(json);
  const rows = await readItems(ctx, (items) => Promise.all(ids.map((id) => rowOf(items, id, ctx.old))));
  return rowsFrame(ctx, rows.filter(Boolean), parts);
}

export async function ready(ctx, json) {
  const { lane, limit, parts } = JSON.parse(json);
  const rows = await readItems(ctx, (items) => items.index("ready").getAll(rangeOf(lane), limit));
  return rowsFrame(ctx, fromAll(rows), parts);
}

/** The first (last) keys of each level, as JSON [[level, sequence, id]]: keys only, no row is read. */
export async function readyKeys(ctx, json) {
  const { lane, per_level: count, newest_first: newest } = JSON.parse(json);
  const levels = await readItems(ctx, (items) => {
    const index = items.index("ready");
    return Promise.all(Array.from({ length: LEVELS }, async (_, level) => {
      const found = [];
      let cursor = await index.openKeyCursor(rangeOf(lane, level), newest ? "prev" : "next");
      while (cursor && found.length < count) {
        found.push([level, cursor.key[2], idOf(cursor.primaryKey)]);
        cursor = found.length < count ? await cursor.continue() : null;
      }
      return found;
    }));
  });
  return JSON.stringify(levels.flat());
}

export async function waiting(ctx, json) {
  const { lane, now, horizon, limit } = JSON.parse(json);
  const rows = await readItems(ctx, async (items) => {
    const due = items.index("due");
    const found = await due.getAll(IDBKeyRange.bound([lane], [lane, now]), limit);
    // Far in the future: a wish of the user (not_before) stays, a retry that far off is a clock
    // that jumped back (invariant 8).
    let cursor = await due.openCursor(IDBKeyRange.bound([lane, now + horizon], [lane, []], true));
    while (cursor && found.length < limit) {
      if ((fromStored(cursor.value).due_at ?? 0) > now + horizon) found.push(cursor.value);
      cursor = await cursor.continue();
    }
    return found;
  });
  return rowsFrame(ctx, fromAll(rows));
}

/** The smallest due time of the lane, as JSON. */
export async function nextDue(ctx, json) {
  const { lane } = JSON.parse(json);
  const cursor = await readItems(ctx, (items) => items.index("due").openKeyCursor(rangeOf(lane)));
  return JSON.stringify(cursor ? cursor.key[1] : null);
}

/** {line, keys, size} -> the rows in line for each key, one list after the other; `counts` of them. */
export async function lines(ctx, json) {
  const { line, keys, size } = JSON.parse(json);
  const found = await readItems(ctx, (items) => Promise.all(keys.map((key) => rowsInLine(items, line, key, size))));
  return rowsFrame(ctx, found.flat(), [], { counts: found.map((rows) => rows.length) });
}

/** {mark, values} -> what the column holds for each, as JSON. */
export async function marks(ctx, json) {
  const { mark: name, values } = JSON.parse(json);
  return JSON.stringify(await Promise.all(values.map((value) => mark(ctx.ring, name, value))));
}

/** Rows that were to be sent before `now` and have not been begun. */
export async function expired(ctx, json) {
  const { now, limit } = JSON.parse(json);
  const rows = await readItems(ctx, async (items) => {
    const found = [];
    for (const state of ["pending", "blocked"]) {
      const range = IDBKeyRange.bound([state], [state, now]);
      let cursor = await items.index("expiry").openCursor(range);
      while (cursor && found.length < limit) {
        const row = fromStored(cursor.value);
        if (!row.step) found.push(row);
        cursor = await cursor.continue();
      }
    }
    return found;
  });
  return rowsFrame(ctx, rows);
}

/** The first `count` [sequence, key] of one state beyond the cursor. */
async function listed(items, state, { cursor: after, newest_first: newest }, count) {
  const bounds = newest
    ? IDBKeyRange.bound([state], after === null ? [state, []] : [state, after], false, true)
    : IDBKeyRange.bound(after === null ? [state] : [state, after], [state, []], after !== null, false);
  const found = [];
  let cursor = await items.index("listing").openKeyCursor(bounds, newest ? "prev" : "next");
  while (cursor && found.length < count) {
    found.push([cursor.key[1], cursor.primaryKey]);
    cursor = await cursor.continue();
  }
  return found;
}

/** Keys of every state first, then the rows of the page only: rows are large, keys are not. */
export async function page(ctx, json) {
  const asked = JSON.parse(json);
  const { states, limit, newest_first: newest, parts } = asked;
  const { rows, next } = await readItems(ctx, async (items) => {
    const keys = (await Promise.all(states.map((s) => listed(items, s, asked, limit + 1)))).flat();
    keys.sort(([a], [b]) => (newest ? b - a : a - b));
    const shown = keys.slice(0, limit);
    return {
      rows: fromAll(await Promise.all(shown.map(([, key]) => items.get(key)))),
      next: keys.length > limit ? shown.at(-1)[0] : null,
    };
  });
  return rowsFrame(ctx, rows, parts, { next });
}

export async function find(ctx, json) {
  const { mark: name, value, limit } = JSON.parse(json);
  const hmac = await mark(ctx.ring, name, value);
  const rows = await readItems(ctx, (items) => rowsMarked(items, name, hmac, ctx.old, limit));
  return JSON.stringify(rows.map((row) => row.id));
}

/** Counters as JSON; `counts` is its name for the page. */
export async function counters(ctx) {
  return JSON.stringify(shownCounters(await read(ctx, ["meta"], readCounters)));
}

export async function heads(ctx) {
  const { heads: found } = await read(ctx, ["meta"], readCounters);
  return JSON.stringify(Object.fromEntries(Object.entries(found).map(([writer, [k, hash]]) => [writer, [k, hash]])));
}

/** {table, key?} -> JSON {key: text}: the one side record, or all of the table. */
export async function sides(ctx, json) {
  const { table, key } = JSON.parse(json);
  const range = key === undefined ? rangeOf(table) : IDBKeyRange.only([table, key]);
  const [keys, records] = await read(ctx, ["side"], (tx) => {
    const store = tx.objectStore("side");
    return Promise.all([store.getAllKeys(range), store.getAll(range)]);
  });
  return JSON.stringify(Object.fromEntries(await Promise.all(records.map(async ({ kid, data }, i) =>
    [keys[i][1], text(await unseal(ctx.ring, kid, sideWhere(table, keys[i][1]), data))]))));
}

export async function journal(ctx, json) {
  const { after, limit } = JSON.parse(json);
  const range = IDBKeyRange.lowerBound(after, true);
  return JSON.stringify(await read(ctx, ["journal"], (tx) => tx.objectStore("journal").getAll(range, limit)));
}

/**
 * The oldest captures, opened. One that does not open must not hold up the others: it stays where
 * it is, is named in `unopened`, and only if nothing else is there does the call reject.
 */
export async function captures(ctx, json) {
  const { limit } = JSON.parse(json);
  const found = await read(ctx, ["inbox"], (tx) => tx.objectStore("inbox").getAll(null, limit));
  const results = await Promise.allSettled(found.map(({ id, kid, data }) =>
    unseal(ctx.ring, kid, { id, kind: "capture", part: "body" }, data)));
  const frame = new Frame();
  const opened = [];
  const unopened = [];
  results.forEach(({ value }, i) => {
    if (value) opened.push({ id: found[i].id, at: found[i].at, data: frame.add(value) });
    else unopened.push(found[i].id);
  });
  if (unopened.length && !opened.length) throw results[0].reason;
  return frame.finish({ captures: opened, unopened });
}

// All counters lie in one record of `meta`, so that a commit reads one and writes one.

import { fromAll } from "./rows.mjs";

const STATES = ["pending", "blocked", "in_progress", "unknown", "handed_over", "conflicted",
  "completed", "failed", "cancelled", "expired", "discarded"];
const OPEN = new Set(STATES.slice(0, 6));
const CLAIMABLE = new Set(["pending", "unknown"]);
const HEADS_MAX = 16;

export const isClaimable = (state) => CLAIMABLE.has(state);

const none = () => ({
  revision: 0, sequence: 0, journal: 0, inbox: 0, open: 0, bytes: 0, removed: 0,
  // The revision at which the counters by kind (`open:<kind>`, `bytes:<kind>`) were last in step: a
  // context of a version that knew none of them raises the revision alone.
  kinds: 0,
  ...Object.fromEntries(STATES.map((s) => [`state:${s}`, 0])),
  heads: {}, // writer -> [k, hash, n] of its last record, for the latest writers
});

export const readCounters = async (tx) => ({ ...none(), ...await tx.objectStore("meta").get("counters") });
export const writeCounters = (tx, counters) => tx.objectStore("meta").put(counters, "counters");

const isByKind = (name) => name.startsWith("open:") || name.startsWith("bytes:");

const inStep = (counters) => counters.kinds === counters.revision;

export function raiseRevision(counters) {
  const were = inStep(counters);
  counters.revision += 1;
  if (were) counters.kinds = counters.revision;
}

/** As `Store.counters` returns them: those by kind only while they are in step. */
export function shownCounters(counters) {
  const { heads: _heads, kinds: _kinds, ...numbers } = counters;
  if (inStep(counters)) return numbers;
  delete numbers.bytes;
  return Object.fromEntries(Object.entries(numbers).filter(([name]) => !isByKind(name)));
}

function countOpen(counters, kind, items, bytes) {
  counters.open += items;
  counters.bytes += bytes;
  counters[`open:${kind}`] = (counters[`open:${kind}`] ?? 0) + items;
  counters[`bytes:${kind}`] = (counters[`bytes:${kind}`] ?? 0) + bytes;
}

/** Count a row from what it was (undefined: it is new) to what it is (undefined: it is removed). */
export function countMove(counters, from, to) {
  if (from && to && from.state === to.state && from.size === to.size) return;
  for (const [row, by] of [[from, -1], [to, 1]]) {
    if (!row) continue;
    counters[`state:${row.state}`] += by;
    if (OPEN.has(row.state)) countOpen(counters, row.kind, by, by * (row.size ?? 0));
  }
  if (!to) counters.removed += 1;
}

/** Rows read at a time by a recount. */
const RECOUNT_ROWS = 500;

/**
 * Count by kind anew when a version that does not know these counters wrote last: in the first
 * transaction with the rows at hand, over the open rows only, a page of them in memory at a time.
 */
export async function bringInStep(tx, counters) {
  if (inStep(counters)) return;
  for (const name of Object.keys(counters)) if (isByKind(name)) counters[name] = 0;
  const open = counters.open;
  counters.bytes = 0;
  const listing = tx.objectStore("items").index("listing");
  for (const state of OPEN) {
    let last = 0;
    let rows;
    do {
      rows = fromAll(await listing.getAll(IDBKeyRange.bound([state, last], [state, []], true), RECOUNT_ROWS));
      for (const row of rows) countOpen(counters, row.kind, 1, row.size ?? 0);
      last = rows.at(-1)?.sequence;
    } while (rows.length === RECOUNT_ROWS);
  }
  counters.open = open;
  counters.kinds = counters.revision;
}

export function setHead(counters, { writer, k, hash }, n) {
  counters.heads[writer] = [k, hash, n];
  const writers = Object.keys(counters.heads);
  if (writers.length > HEADS_MAX) {
    delete counters.heads[writers.reduce((a, b) => (counters.heads[a][2] < counters.heads[b][2] ? a : b))];
  }
}

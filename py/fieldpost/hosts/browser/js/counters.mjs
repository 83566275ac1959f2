// All counters lie in one record of `meta`, so that a commit reads one and writes one.

const STATES = ["pending", "blocked", "in_progress", "unknown", "handed_over", "conflicted",
  "completed", "failed", "cancelled", "expired", "discarded"];
const OPEN = new Set(STATES.slice(0, 6));
const CLAIMABLE = new Set(["pending", "unknown"]);
const HEADS_MAX = 16;

export const isClaimable = (state) => CLAIMABLE.has(state);

const none = () => ({
  revision: 0, sequence: 0, journal: 0, inbox: 0, open: 0,
  ...Object.fromEntries(STATES.map((s) => [`state:${s}`, 0])),
  heads: {}, // writer -> [k, hash, n] of its last record, for the latest writers
});

export const readCounters = async (tx) => ({ ...none(), ...await tx.objectStore("meta").get("counters") });
export const writeCounters = (tx, counters) => tx.objectStore("meta").put(counters, "counters");

/** Count a row out of state `from` (undefined: it is new) and into state `to`. */
export function countMove(counters, from, to) {
  if (from === to) return;
  if (from !== undefined) {
    counters[`state:${from}`] -= 1;
    if (OPEN.has(from)) counters.open -= 1;
  }
  counters[`state:${to}`] += 1;
  if (OPEN.has(to)) counters.open += 1;
}

export function setHead(counters, { writer, k, hash }, n) {
  counters.heads[writer] = [k, hash, n];
  const writers = Object.keys(counters.heads);
  if (writers.length > HEADS_MAX) {
    delete counters.heads[writers.reduce((a, b) => (counters.heads[a][2] < counters.heads[b][2] ? a : b))];
  }
}

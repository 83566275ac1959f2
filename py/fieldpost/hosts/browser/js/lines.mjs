// Which rows stand in line, and where (ports.Line, engine/ordering.py): rows of one entity, and rows
// that wait for a parent.

import { fromAll, idOf } from "./rows.mjs";

const IN_LINE = new Set(["pending", "blocked", "in_progress", "unknown", "handed_over", "conflicted", "failed"]);
const UNDER_WAY = new Set(["in_progress", "unknown", "handed_over"]);

/** The key of index `line`: those under way first, then by sequence. Undefined: not in line. */
export function lineOf({ entity, state, attempt, step, sequence }) {
  if (!entity || !IN_LINE.has(state)) return undefined;
  const begun = UNDER_WAY.has(state) || (state === "pending" && (attempt > 0 || step > 0));
  return [entity, begun ? 0 : 1, sequence];
}

/** The keys of index `waits`, one for each parent, while the row is blocked. */
export function waitsOf({ state, parents, sequence }) {
  return state === "blocked" && parents ? parents.map((id) => [id, sequence]) : undefined;
}

const INDEX = { entity: "line", parent: "waits" };
const range = (key) => IDBKeyRange.bound([key], [key, []]);

/** Ids of the first `size` rows in line. */
export const idsInLine = async (items, { line, key, size }) =>
  (await items.index(INDEX[line]).getAllKeys(range(key), size)).map(idOf);

/** Those rows themselves. */
export const rowsInLine = async (items, line, key, size) =>
  fromAll(await items.index(INDEX[line]).getAll(range(key), size));

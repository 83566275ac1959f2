// Whether a capture still fits: the limits that the engine keeps for the page, judged inside the
// transaction that says "saved" (engine/limits.py has the same rule for what programs enqueue).

import { bringInStep } from "./counters.mjs";
import { GlueError } from "./errors.mjs";

const PLACE = "limits";

/** Keep `[{name, unit, counter, most}]` for captures; written when it has changed. */
export async function keepLimits(ctx, json) {
  const kept = await ctx.database.run(["meta"], "readonly", (tx) => tx.objectStore("meta").get(PLACE));
  if (JSON.stringify(kept) === json) return;
  await ctx.database.run(["meta"], "readwrite", (tx) => tx.objectStore("meta").put(JSON.parse(json), PLACE));
}

/** Captures of the kind that wait for the engine; what does not say its kind may be of any. */
async function waitingOf(tx, kind) {
  let count = 0;
  let cursor = await tx.objectStore("inbox").openCursor();
  while (cursor) {
    count += (cursor.value.kind ?? kind) === kind;
    cursor = await cursor.continue();
  }
  return count;
}

/** Throws QUEUE_FULL when one more of `kind`, of `bytes`, exceeds a limit. */
export async function demandRoom(tx, counters, kind, bytes) {
  const limits = await tx.objectStore("meta").get(PLACE);
  const mine = (limits ?? []).filter(({ name }) => name === "all" || name === kind);
  if (!mine.length) return;
  await bringInStep(tx, counters);
  for (const { name, unit, counter, most } of mine) {
    let used = counters[counter] ?? 0;
    if (unit === "bytes") used += bytes - 1;
    // The inbox is nearly always empty: it is looked at only when all of it would not fit.
    else if (counters.inbox && used + counters.inbox >= most) used += name === "all" ? counters.inbox : await waitingOf(tx, kind);
    if (used < most) continue;
    const of = name === "all" ? "" : ` of the kind ${name}`;
    throw new GlueError("QUEUE_FULL", unit === "bytes"
      ? `The items${of} that wait to be sent leave no room for this one.`
      : `${used} items${of} wait to be sent here, of at most ${most}.`);
  }
}

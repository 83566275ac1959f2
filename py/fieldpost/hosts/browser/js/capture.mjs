// What the page saves without the engine: captures (the inbox) and drafts.

import { raiseRevision, readCounters, writeCounters } from "./counters.mjs";
import { ANSWER_MS } from "./database.mjs";
import { seal, unseal } from "./envelope.mjs";
import { text, utf8 } from "./frame.mjs";
import { remember } from "./marker.mjs";
import { demandRoom } from "./room.mjs";
import { isItem } from "./rows.mjs";

const attachmentIds = (list) => (list ?? []).map((a) => a.id ?? a);
const draftWhere = (form) => ({ id: form, kind: "draft", part: "body" });

/**
 * Seal and commit one capture; with `form`, its draft goes in the same transaction. The same id
 * again changes nothing, also when the engine has made an item of it. QUEUE_FULL when there is no
 * room: then the draft stays.
 * JSON {id, at, form?, data} -> JSON {id, revision}; `data` as an object, or as JSON text that is
 * kept to the byte.
 */
export async function capture(ctx, json) {
  const { id, at, form, data } = JSON.parse(json);
  const kid = ctx.ring.active;
  const [body, value] = typeof data === "string" ? [data, JSON.parse(data)] : [JSON.stringify(data), data];
  const sealed = await seal(ctx.ring, kid, { id, kind: "capture", part: "body" }, utf8(body));
  const kind = typeof value.kind === "string" ? value.kind : undefined;
  const record = { id, at, kid, data: sealed, attachment_ids: attachmentIds(value.attachments), ...(kind && { kind }) };
  const size = body.length + (value.attachments ?? []).reduce((sum, file) => sum + (file.size ?? 0), 0);
  const counters = await ctx.database.run(["inbox", "items", "meta", "drafts"], "readwrite", async (tx) => {
    const inbox = tx.objectStore("inbox");
    const [counters, waiting, item] = await Promise.all(
      [readCounters(tx), inbox.index("id").getKey(id), isItem(tx.objectStore("items"), id, ctx.old)]);
    if (waiting !== undefined || item) return counters;
    await demandRoom(tx, counters, kind, size);
    counters.inbox += 1;
    raiseRevision(counters);
    await Promise.all([
      inbox.add(record),
      writeCounters(tx, counters),
      form === undefined ? null : tx.objectStore("drafts").delete(form),
    ]);
    return counters;
  }, ANSWER_MS);
  await remember(ctx, counters.open - (counters["open:log"] ?? 0) + counters.inbox + counters["state:failed"]);
  return JSON.stringify({ id, revision: counters.revision });
}

/** Take a capture back while the engine has not adopted it: "true" if it was there. */
export async function undoCapture(ctx, id) {
  return ctx.database.run(["inbox", "meta"], "readwrite", async (tx) => {
    const inbox = tx.objectStore("inbox");
    const [counters, key] = await Promise.all([readCounters(tx), inbox.index("id").getKey(id)]);
    if (key === undefined) return "false";
    counters.inbox -= 1;
    raiseRevision(counters);
    await Promise.all([inbox.delete(key), writeCounters(tx, counters)]);
    return "true";
  });
}

export async function saveDraft(ctx, form, json) {
  const kid = ctx.ring.active;
  const data = await seal(ctx.ring, kid, draftWhere(form), utf8(json));
  const record = { at: Date.now(), kid, data, attachments: attachmentIds(JSON.parse(json).attachments) };
  await ctx.database.run(["drafts"], "readwrite", (tx) => tx.objectStore("drafts").put(record, form), ANSWER_MS);
}

/** The draft's JSON text, or null. */
export async function loadDraft(ctx, form) {
  const record = await ctx.database.run(["drafts"], "readonly", (tx) => tx.objectStore("drafts").get(form));
  return record ? text(await unseal(ctx.ring, record.kid, draftWhere(form), record.data)) : null;
}

export async function dropDraft(ctx, form) {
  await ctx.database.run(["drafts"], "readwrite", (tx) => tx.objectStore("drafts").delete(form), ANSWER_MS);
}

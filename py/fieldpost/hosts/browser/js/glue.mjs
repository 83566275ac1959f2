// The glue: everything Fieldpost needs of a browser that cannot be done from Python across an
// `await` (docs/interfaces.md). JSON text and byte buffers cross; never objects to walk.

import * as capturing from "./capture.mjs";
import { commit } from "./commit.mjs";
import { Database } from "./database.mjs";
import { GlueError } from "./errors.mjs";
import * as files from "./files.mjs";
import * as http from "./http.mjs";
import { hold, recall, rescueKept, warnBeforeLeaving } from "./kept.mjs";
import { openRing } from "./keys.mjs";
import { lookForLoss, lossSeen, lost, remember } from "./marker.mjs";
import * as queries from "./queries.mjs";
import { rescueIn, rescueOut } from "./rescue.mjs";
import { keepLimits } from "./room.mjs";
import { hasOldRows } from "./rows.mjs";
import { persist, uuid7 } from "./system.mjs";
import { Tabs } from "./tabs.mjs";

export { hold, rescueKept, uuid7, warnBeforeLeaving };

const METHODS = {
  capture: capturing.capture, undoCapture: capturing.undoCapture,
  saveDraft: capturing.saveDraft, loadDraft: capturing.loadDraft, dropDraft: capturing.dropDraft,
  storeFile: files.storeFile, dropFile: files.dropFile, fileUrl: files.fileUrl, fileCopy: files.fileCopy,
  putManifest: files.putManifest, putPart: files.putPart, manifest: files.manifest, part: files.part,
  orphans: files.orphans, keepLimits, recall, remember, lost, lossSeen,
  commit, get: queries.get, ready: queries.ready, readyKeys: queries.readyKeys, waiting: queries.waiting, nextDue: queries.nextDue,
  page: queries.page, lines: queries.lines, marks: queries.marks, expired: queries.expired, find: queries.find, counters: queries.counters, counts: queries.counters,
  sides: queries.sides, journal: queries.journal, heads: queries.heads, captures: queries.captures,
  send: http.send, sendPart: http.sendPart, sendFile: http.sendFile, abort: http.abort, rescueOut, rescueIn,
};

const devices = new Map();

async function openDevice(name, openMs) {
  if (!globalThis.isSecureContext || !globalThis.crypto?.subtle) {
    throw new GlueError("QUEUE_INSECURE_CONTEXT",
      "The page was not opened over a secure connection, so the browser offers no encryption.");
  }
  const database = new Database(name, { openMs, onGone: () => devices.delete(name) });
  const ctx = { name, database, ring: await openRing(database), old: await hasOldRows(database) };
  database.birth = ctx.ring.birth;
  lookForLoss(ctx);
  const tabs = new Tabs(name);
  const device = {
    name, persist,
    lead: (lane, waitMs, stealAfterMs) => tabs.lead(lane, waitMs, stealAfterMs),
    announce: (revision) => tabs.announce(revision),
    tell: (json) => tabs.tell(json),
    subscribe: (listener) => tabs.subscribe(listener),
    close: () => {
      devices.delete(name);
      tabs.close();
      return database.close();
    },
  };
  for (const [method, run] of Object.entries(METHODS)) device[method] = (...args) => run(ctx, ...args);
  return device;
}

/** Open database and keys: once per context and name. A failed opening is tried anew when asked. */
export function open(name = "fieldpost", openMs = undefined) {
  if (!devices.has(name)) {
    const opening = openDevice(name, openMs);
    devices.set(name, opening);
    opening.catch(() => devices.delete(name));
  }
  return devices.get(name);
}

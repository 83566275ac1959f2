// The database (docs/formats.md section 3): schema, connection, and the one way to run a
// transaction. Invariants 2 (durable before "saved") and 9 (upgrades only add) are kept here.

import { openDB, unwrap } from "idb";
import { GlueError, mapped } from "./errors.mjs";
import { lineOf } from "./lines.mjs";

export const VERSION = 3;
/** How long an open may hang on another context before we say so; the request itself goes on. */
const OPEN_MS = 10_000;
/** After this long without a word the storage counts as failing, for whom a person waits. */
export const ANSWER_MS = 30_000;

const TOO_NEW = ["QUEUE_SCHEMA_TOO_NEW", "The storage was written by a newer version of the app."];
const GONE = ["QUEUE_DATABASE_ERROR", "The storage of this app was deleted while it was open. Reload the page."];

const SILENT = new GlueError("QUEUE_DATABASE_ERROR", "The storage on this device does not answer.");

/** Adds what is missing, by version; never drops, renames or rewrites what a row holds. */
function upgrade(db, from, tx) {
  if (from < 1) {
    db.createObjectStore("meta");
    const items = db.createObjectStore("items", { keyPath: "id" });
    items.createIndex("ready", "rank");
    items.createIndex("due", "wake");
    items.createIndex("listing", ["state", "sequence"]);
    items.createIndex("fingerprint", ["fingerprint", "created_at"]);
    items.createIndex("natural_key", ["natural_key", "created_at"]);
    items.createIndex("entity", ["entity", "sequence"]);
    items.createIndex("attached", "attachment_ids", { multiEntry: true });
    db.createObjectStore("journal", { keyPath: "n" });
    const inbox = db.createObjectStore("inbox", { autoIncrement: true });
    inbox.createIndex("id", "id", { unique: true });
    inbox.createIndex("attached", "attachment_ids", { multiEntry: true });
    for (const name of ["blobs", "drafts", "side"]) db.createObjectStore(name);
    db.createObjectStore("keys", { keyPath: "kid" });
  }
  if (from < 2) {
    const items = tx.objectStore("items");
    items.createIndex("line", "line");
    items.createIndex("waits", "waits", { multiEntry: true });
    items.createIndex("expiry", ["state", "expires_at"]);
    if (from === 1) fillLines(unwrap(items));
  }
  // Version 3 adds no store and no index, but another form of rows (rows.mjs), which keeps contexts
  // of before from reading them.
}

/** Rows of version 1 get their place in line. Only those of an entity have one, and the index of
 *  entities holds no others. */
function fillLines(items) {
  items.index("entity").openCursor().onsuccess = ({ target: { result: cursor } }) => {
    if (!cursor) return;
    const line = lineOf(cursor.value);
    if (line) cursor.update({ ...cursor.value, line });
    cursor.continue();
  };
}

const missing = (error) =>
  new GlueError("QUEUE_STORAGE_MISSING", "This browser gives the app no storage, as some private windows do.", error);

function openingError(error) {
  // What browsers throw where storage is switched off: Firefox SecurityError or InvalidStateError,
  // WebKit UnknownError, and a DataCloneError where a private window cannot keep a CryptoKey.
  const off = ["SecurityError", "InvalidStateError", "UnknownError", "NotAllowedError", "DataCloneError"];
  return off.includes(error?.name) ? missing(error) : mapped(error);
}

function factory() {
  let found;
  try {
    found = globalThis.indexedDB; // the getter itself throws where cookies are blocked
  } catch (error) {
    throw missing(error);
  }
  if (!found) throw missing();
}

export class Database {
  #connection = null; // a promise, so that concurrent callers share one opening
  #outdated = false;
  #opened = false;
  #gone = false;
  #closed = false;
  birth = null; // the kid of a key that lies in this database and in no other of its name

  constructor(name, { openMs = OPEN_MS, onGone = () => {} } = {}) {
    Object.assign(this, { name, openMs, onGone });
  }

  connection() {
    if (this.#outdated) throw new GlueError(...TOO_NEW);
    if (this.#gone) throw new GlueError(...GONE);
    if (this.#closed) throw new GlueError("QUEUE_DATABASE_ERROR", "The store is closed.");
    this.#connection ??= this.#open().catch((error) => {
      this.#connection = null;
      throw openingError(error);
    });
    return this.#connection;
  }

  async #open() {
    factory();
    const opening = openDB(this.name, VERSION, {
      upgrade: (db, from, _to, tx) => {
        // Somebody deleted it while we had it open. Rows sealed with the keys in our memory would
        // never open again: the keys are gone too. Start over with `open`.
        if (from < 1 && this.#opened) this.#gone = true;
        upgrade(db, from, tx);
      },
      // Another context wants a newer schema (or to delete): never hold it up, never write again.
      blocking: (_from, to, event) => {
        this.#outdated = to !== null && to > VERSION;
        this.#connection = null;
        event.target.close();
      },
      terminated: () => { this.#connection = null; }, // the browser closed it: open again on use
    });
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new GlueError("QUEUE_STORAGE_BLOCKED",
        "Another tab holds an older version of the storage open.")), this.openMs);
    });
    // If the open succeeds after all, nobody waits for it any more: do not leave it blocking others.
    late.catch(() => opening.then((db) => db.close(), () => {}));
    try {
      const db = await Promise.race([opening, late]);
      // Another context may have been the first to make it anew: then our keys are not in it.
      if (this.birth && await db.getKey("keys", this.birth) === undefined) this.#gone = true;
      if (this.#gone) {
        db.close();
        this.onGone();
        throw new GlueError(...GONE);
      }
      this.#opened = true;
      return db;
    } finally {
      clearTimeout(timer);
    }
  }

  async #begin(stores, mode) {
    for (let again = false; ; again = true) {
      const db = await this.connection();
      try {
        return db.transaction(stores, mode, mode === "readwrite" ? { durability: "strict" } : {});
      } catch (error) {
        // The connection closed between two calls (terminated, or a deleted database).
        if (again || error.name !== "InvalidStateError") throw mapped(error);
        this.#connection = null;
      }
    }
  }

  /**
   * Run `work(tx)` in one transaction; resolves with its value on `complete`. Whatever `work`
   * throws aborts the transaction. `work` may await requests of `tx` and nothing else. With
   * `answerMs` a transaction that has not ended by then is given up.
   */
  async run(stores, mode, work, answerMs = 0) {
    const tx = await this.#begin(stores, mode);
    tx.done.catch(() => {}); // handled below; a request's own rejection may come first
    let failed = null; // the first request's error: later ones, and idb, only say "AbortError"
    unwrap(tx).addEventListener("error", (event) => { failed ??= event.target.error; }, true);
    try {
      if (mode === "readwrite" && (tx.durability ?? "strict") !== "strict") {
        throw new GlueError("QUEUE_DATABASE_ERROR", "The browser does not write durably.");
      }
      return await this.#within(answerMs, async () => {
        const value = await work(tx);
        await tx.done;
        return value;
      });
    } catch (error) {
      const wrong = mapped(failed ?? tx.error ?? error);
      try {
        tx.abort();
      } catch {
        // It has ended already.
      }
      if (wrong === SILENT) this.#letGo(); // the next one is tried on a connection of its own
      else await tx.done.catch(() => {});
      throw wrong;
    }
  }

  /** A browser's storage can fall silent: no request of it ends, well or badly. */
  async #within(ms, work) {
    if (!ms) return work();
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(reject, ms, SILENT); });
    try {
      return await Promise.race([work(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #letGo() {
    const closing = this.#connection;
    this.#connection = null;
    (await closing)?.close();
  }

  async close() {
    this.#closed = true;
    await this.#letGo();
  }
}

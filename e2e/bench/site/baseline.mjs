// The same work in plain JavaScript: objects, not encrypted, through IndexedDB, with the same indexes
// and the same records (item, journal line, counters), strictly durable. And Dexie's way.
import Dexie from "./dexie.mjs";

const STRICT = { durability: "strict" };
const WORDS = ("pump valve leaks under pressure near gate three while line two runs hot after restart and "
  + "the alarm panel shows code seventeen operator says noise began monday filter was changed").split(" ");

function text(seed, length) {
  const out = [];
  for (let size = 0; size < length;) {
    seed = Number((BigInt(seed) * 1103515245n + 12345n) % 2147483648n);
    const word = WORDS[seed % WORDS.length];
    out.push(word);
    size += word.length + 1;
  }
  return out.join(" ").slice(0, length);
}

/** 600 bytes as JSON (worker.py makes the same). */
function ticket(n) {
  const made = {
    summary: `Ticket ${String(n).padStart(6, "0")}`, description: "", severity: "medium", category: "hardware",
    user: { name: "Ada Example", email: "ada@example.org" },
    systemInfo: { os: "Linux x86_64", browser: "Chromium", language: "en-GB" },
  };
  made.description = text(n, 600 - JSON.stringify(made).length);
  return made;
}

const tickets = (n) => Array.from({ length: n }, (_, i) => ticket(i));
const hex = (bytes) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
let names = 0;
const fresh = () => `plain-${Date.now()}-${++names}`;

/** A row as the engine's, its parts in clear; the marks are texts of the same length. */
function record(payload, sequence) {
  const now = Date.now();
  const mark = `${crypto.randomUUID()}-12`.padEnd(43, "x");
  return {
    id: crypto.randomUUID(), kind: "ticket", operation: "create", lane: "gateway", send_id: crypto.randomUUID(),
    created_at: now, updated_at: now, state: "pending", priority: 5, sequence, revision: 1, schema: 1, size: 600,
    body_bytes: 600, fingerprint: mark, owner: mark, kid: "d1-00000000", rank: ["gateway", 5, sequence],
    head: { t: payload.summary }, body: payload,
  };
}

const done = (tx) => new Promise((resolve, reject) => {
  tx.oncomplete = resolve;
  tx.onabort = () => reject(tx.error);
});

function open(name) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => resolve(request.result);
    request.onupgradeneeded = () => {
      const db = request.result;
      const items = db.createObjectStore("items", { keyPath: "id" });
      items.createIndex("ready", "rank");
      items.createIndex("due", "wake");
      items.createIndex("listing", ["state", "sequence"]);
      items.createIndex("fingerprint", ["fingerprint", "created_at"]);
      items.createIndex("natural_key", ["natural_key", "created_at"]);
      items.createIndex("entity", ["entity", "sequence"]);
      items.createIndex("attached", "attachment_ids", { multiEntry: true });
      items.createIndex("line", "line");
      items.createIndex("waits", "waits", { multiEntry: true });
      items.createIndex("expiry", ["state", "expires_at"]);
      db.createObjectStore("journal", { keyPath: "n" });
      db.createObjectStore("meta").put({ n: 0 }, "counters");
    };
  });
}

const drop = (name) => new Promise((resolve) => {
  const request = indexedDB.deleteDatabase(name);
  request.onsuccess = request.onerror = resolve;
});

/** One transaction with these payloads: rows, one journal line, the counters. */
function add(db, payloads, only) {
  const stores = only ? ["items"] : ["items", "journal", "meta"];
  const tx = db.transaction(stores, "readwrite", STRICT);
  if (tx.durability !== "strict") throw new Error("not strict");
  const write = (n) => {
    const items = tx.objectStore("items");
    const rows = payloads.map((payload, i) => record(payload, n + i + 1));
    for (const row of rows) items.add(row);
    if (only) return;
    const changes = rows.map((row) => [row.id, null, row.state, row.revision]);
    tx.objectStore("journal").add({ n: n + 1, writer: "plain", k: n + 1, text: JSON.stringify(changes) });
    tx.objectStore("meta").put({ n: n + payloads.length }, "counters");
  };
  if (only) write(0);
  else {
    const counting = tx.objectStore("meta").get("counters");
    counting.onsuccess = () => write(counting.result.n);
  }
  return done(tx);
}

const used = async () => (await navigator.storage.estimate()).usageDetails?.indexedDB ?? 0;

async function measured(n, work, keep = false) {
  const name = fresh();
  const db = await open(name);
  const payloads = tickets(n);
  const before = await used();
  const started = performance.now();
  await work(db, payloads);
  const ms = performance.now() - started;
  const stored = await used() - before;
  db.close();
  if (!keep) await drop(name);
  return { ms, stored };
}

/** Dexie's way: `work(table, records)` in a database of its own. */
const dexie = (work) => async (n) => {
  const db = new Dexie(fresh(), { chromeTransactionDurability: "strict" });
  db.version(1).stores({
    items: "id, rank, wake, [state+sequence], [fingerprint+created_at], [natural_key+created_at], [entity+sequence], *attachment_ids, "
      + "line, *waits, [state+expires_at]",
  });
  await db.open();
  const payloads = tickets(n);
  const started = performance.now();
  await work(db.items, payloads.map((payload, i) => record(payload, i + 1)));
  const ms = performance.now() - started;
  await db.delete();
  return { ms };
};

async function dexieSingly(items, records) {
  for (const each of records) await items.add(each);
}

async function singly(db, payloads, only) {
  for (const payload of payloads) await add(db, [payload], only);
}

/** The requests a drain of n items makes, made before the clock starts, sent one after another. */
async function fetches(n, each) {
  const bodies = [];
  for (let start = 0; start < n; start += each) {
    const operations = await Promise.all(tickets(Math.min(each, n - start)).map(async (payload) => {
      const sorted = canonical(payload);
      const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(sorted));
      return `{"id":"${crypto.randomUUID()}","send_id":"${crypto.randomUUID()}","kind":"ticket","operation":"create",`
        + `"entity":null,"base_version":null,"depends_on":[],"captured_at":${Date.now()},"attachments":[],`
        + `"payload_sha256":"${hex(digest)}","payload":${sorted}}`;
    }));
    bodies.push({ operations, ack: [] });
  }
  const device = crypto.randomUUID();
  const headers = { "Content-Type": "application/json", Accept: "application/json", "Fieldpost-Device": device };
  const texts = bodies.map(({ operations }) => `{"protocol":1,"ack":[],"operations":[${operations.join(",")}]}`);
  const started = performance.now();
  for (const body of texts) {
    const response = await fetch("../api/v1/operations", { method: "POST", headers, body, cache: "no-store" });
    const { results } = await response.json();
    if (results.some(({ status }) => status !== "delivered")) throw new Error("not delivered");
  }
  return { ms: performance.now() - started };
}

const canonical = (value) => (value && typeof value === "object"
  ? `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`
  : JSON.stringify(value));

const CALLS = {
  bulk: (n, keep) => measured(n, (db, payloads) => add(db, payloads, false), keep),
  bulkItems: (n) => measured(n, (db, payloads) => add(db, payloads, true)),
  single: (n) => measured(n, (db, payloads) => singly(db, payloads, false)),
  singleItems: (n) => measured(n, (db, payloads) => singly(db, payloads, true)),
  concurrent: (n) => measured(n, (db, payloads) => Promise.all(payloads.map((payload) => add(db, [payload], false)))),
  dexieBulk: dexie((items, records) => items.bulkAdd(records)),
  dexieSingle: dexie(dexieSingly),
  dexieConcurrent: dexie((items, records) => Promise.all(records.map((each) => items.add(each)))),
  fetches,
};

self.onmessage = async ({ data: { id, call, args } }) => {
  try {
    self.postMessage({ id, ok: await CALLS[call](...args) });
  } catch (error) {
    self.postMessage({ id, error: `${error}\n${error?.stack}` });
  }
};

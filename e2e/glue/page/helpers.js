// What the tests of the glue share, in the page. Every database operation here is raw IndexedDB:
// the tests look at what is stored without the code under test.
/* global fieldpostGlue */

const wanted = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** What a call came to: {ok} or {code, message}. */
const outcome = (promise) => promise.then((ok) => ({ ok }), (error) => ({ code: error.name, message: error.message }));

/** Everything in one object store. */
async function stored(name, store) {
  const db = await wanted(indexedDB.open(name));
  try {
    return await wanted(db.transaction(store).objectStore(store).getAll());
  } finally {
    db.close();
  }
}

/** The rows of `items`, their ids as text. */
async function storedRows(name) {
  const text = (key) => [...new Uint8Array(key)].map((byte) => byte.toString(16).padStart(2, "0")).join("")
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  return (await stored(name, "items")).map((found) => ({ ...found, id: typeof found.id === "string" ? found.id : text(found.id) }));
}

/** An answer frame as {value, bytes(place)}. */
function unframed(frame) {
  const length = new DataView(frame.buffer).getUint32(0, true);
  const value = JSON.parse(new TextDecoder().decode(frame.subarray(4, 4 + length)));
  return { value, bytes: ([at, size]) => frame.subarray(4 + length + at, 4 + length + at + size) };
}

const id = (n) => `018bcfe5-6800-7000-8000-${String(n).padStart(12, "0")}`;

const row = (n, more = {}) => ({
  id: id(n), send_id: id(1e6 + n), kind: "ticket", operation: "create", lane: "inbox",
  created_at: 1000 + n, updated_at: 1000 + n, state: "pending", priority: 5, sequence: 0, revision: 0,
  schema: 1, ...more,
});

/** A commit from a short form: puts are {row, insert, head?: text, body?: text, marks?}. */
async function committed(device, { puts = [], ...more }) {
  const chunks = [];
  let size = 0;
  const encoded = puts.map(({ head, body, marks = {}, ...put }) => {
    const parts = {};
    for (const [part, text] of Object.entries({ head, body })) {
      if (text === undefined) continue;
      const bytes = new TextEncoder().encode(text);
      parts[part] = [size, bytes.length];
      chunks.push(bytes);
      size += bytes.length;
    }
    return { ...put, parts, marks };
  });
  const change = { expect: [], puts: encoded, adopt: [], drop_blobs: [], side: [], journal: null, ...more };
  const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
  return unframed(await device.commit(JSON.stringify(change), bytes)).value;
}

/** From here on, every read-write transaction's [durability, stores] is noted. */
function noteTransactions() {
  const notes = [];
  const { transaction } = IDBDatabase.prototype;
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    const tx = transaction.call(this, stores, mode, options);
    if (mode === "readwrite") notes.push([tx.durability, [...tx.objectStoreNames]]);
    return tx;
  };
  return notes;
}

// The key ring (docs/formats.md section 2): wrapped in the database, unwrapped non-extractable.

import { GlueError } from "./errors.mjs";

const AES = { name: "AES-GCM", length: 256 };
const HMAC = { name: "HMAC", hash: "SHA-256", length: 256 };

const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const kid = (letter) => `${letter}1-${hex(crypto.getRandomValues(new Uint8Array(4)))}`;

async function freshRecords() {
  const device = await crypto.subtle.generateKey({ name: "AES-KW", length: 256 }, false, ["wrapKey", "unwrapKey"]);
  const record = async (letter, purpose, algorithm, usages) => {
    // Extractable for this one moment: a non-extractable key cannot be wrapped.
    const key = await crypto.subtle.generateKey(algorithm, true, usages);
    const wrapped = new Uint8Array(await crypto.subtle.wrapKey("raw", key, device, "AES-KW"));
    return { kid: kid(letter), purpose, wrapped, created_at: Date.now(), active: true };
  };
  return [
    { kid: "device", key: device },
    await record("d", "data", AES, ["encrypt", "decrypt"]),
    await record("i", "index", HMAC, ["sign"]),
  ];
}

const isRing = (records) => records.some((r) => r.kid === "device");

async function storedRecords(database) {
  const found = await database.run(["keys"], "readonly", (tx) => tx.objectStore("keys").getAll());
  if (isRing(found)) return found;
  const fresh = await freshRecords();
  // Two contexts may come here at once: the first transaction writes, the other one reads it.
  return database.run(["keys"], "readwrite", async (tx) => {
    const store = tx.objectStore("keys");
    const there = await store.getAll();
    if (isRing(there)) return there;
    for (const record of fresh) store.put(record);
    return fresh;
  });
}

async function unwrapped(records) {
  const device = records.find((r) => r.kid === "device").key;
  const unwrap = (r, algorithm, usages) =>
    crypto.subtle.unwrapKey("raw", r.wrapped, device, "AES-KW", algorithm, false, usages);
  const newestFirst = records.filter((r) => r.purpose).sort((a, b) => b.created_at - a.created_at);
  const data = newestFirst.filter((r) => r.purpose === "data");
  const index = newestFirst.find((r) => r.purpose === "index");
  try {
    const keys = await Promise.all(data.map((r) => unwrap(r, AES, ["encrypt", "decrypt"])));
    return {
      active: data.find((r) => r.active).kid,
      data: new Map(data.map((r, i) => [r.kid, keys[i]])),
      index: await unwrap(index, HMAC, ["sign"]),
      birth: index.kid,
    };
  } catch (error) {
    throw new GlueError("QUEUE_DECRYPTION_ERROR", "The keys on this device do not open.", error);
  }
}

/** {active: kid, data: Map(kid -> CryptoKey), index: CryptoKey, key(kid), birth}; `birth`: what tells
 *  this database from every other that has had its name. */
export async function openRing(database) {
  const ring = await unwrapped(await storedRecords(database));
  ring.key = async (kid) => {
    // Another context may have added a data key since: look once more before giving up.
    if (!ring.data.has(kid)) Object.assign(ring, await unwrapped(await storedRecords(database)));
    return ring.data.get(kid);
  };
  return ring;
}

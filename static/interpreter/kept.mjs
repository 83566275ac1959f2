// Where the memory snapshot is kept: Cache Storage, under a key of exactly what is in it.

/* global FIELDPOST_RUNTIME */
const CACHE = 'fieldpost-snapshot';

/** Beside `pyodide.mjs`. (PyScript starts workers from blob URLs, so `location` says nothing.) */
export const HERE = new URL('./', import.meta.url).href;

/** Versioned: an old lock may linger in the HTTP cache and name wheels that are gone. */
export const LOCK_URL = new URL(FIELDPOST_RUNTIME.lock, HERE).href;

/** Package -> top-level modules: what a snapshot under this key holds. */
export const PACKAGES = FIELDPOST_RUNTIME.packages;

const PREFIX = `${HERE}snapshot-`;
const KEY = `${PREFIX}${FIELDPOST_RUNTIME.key}.bin`;

/** Response with the snapshot, or undefined. No Cache Storage (no secure context): undefined. */
export const find = async () =>
  globalThis.caches ? (await caches.open(CACHE)).match(KEY) : undefined;

/** Keep these bytes, and drop what an earlier version of this app left. */
export const keep = async (bytes) => {
  const cache = await caches.open(CACHE);
  await cache.put(KEY, new Response(bytes, { headers: { 'Content-Length': bytes.length } }));
  for (const request of await cache.keys()) {
    // Another Fieldpost on this origin, under another path, has snapshots of its own.
    if (request.url.startsWith(PREFIX) && request.url !== KEY) await cache.delete(request);
  }
};

export const drop = async () => (await caches.open(CACHE)).delete(KEY);

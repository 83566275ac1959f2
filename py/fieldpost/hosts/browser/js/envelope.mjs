// Envelope v1 (docs/formats.md section 1) and the marks (section 2). Invariant 7 is kept here.

import { GlueError } from "./errors.mjs";
import { base64url, utf8 } from "./frame.mjs";

const FORM_DATA_KEY = 1;
const SCHEMA = 1;
const PLAIN = 0;
const DEFLATED = 1;
const NONCE_BYTES = 12;
const HEADER_BYTES = 1 + NONCE_BYTES;
const TAG_BYTES = 16;
const COMPRESS_FROM_BYTES = 1024; // engine/limits.py

const unreadable = (id, part, cause) =>
  new GlueError("QUEUE_DECRYPTION_ERROR", `The part "${part}" of ${id} does not open with its key.`, cause);

async function through(bytes, transform) {
  const stream = new Blob([bytes]).stream().pipeThrough(transform);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Random bytes for nonces, fetched for many at a time; each is used once. */
const pool = new Uint8Array(256 * NONCE_BYTES);
let taken = pool.length;

function freshNonce() {
  if (taken === pool.length) {
    crypto.getRandomValues(pool);
    taken = 0;
  }
  return pool.slice(taken, taken += NONCE_BYTES);
}

const associated = ({ id, kind, part }, kid) => utf8(`fieldpost|1|${id}|${kind}|${part}|${kid}`);

/** The envelope of data under a key that is at hand. No `async`: a bulk seals ten thousand. */
function sealed(key, kid, where, data, encoding, iv) {
  const plain = new Uint8Array(2 + data.length);
  plain[0] = SCHEMA;
  plain[1] = encoding;
  plain.set(data, 2);
  return crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: associated(where, kid) }, key, plain).then((made) => {
    const envelope = new Uint8Array(HEADER_BYTES + made.byteLength);
    envelope[0] = FORM_DATA_KEY;
    envelope.set(iv, 1);
    envelope.set(new Uint8Array(made), HEADER_BYTES);
    return envelope;
  });
}

async function sealedSmaller(ring, kid, where, data, deflate, nonce) {
  let encoding = PLAIN;
  if (deflate) {
    const small = await through(data, new CompressionStream("deflate-raw"));
    if (small.length < data.length) [data, encoding] = [small, DEFLATED];
  }
  return sealed(await ring.key(kid), kid, where, data, encoding, nonce ?? freshNonce());
}

/**
 * Seal `data` under the ring's key `kid`. `where` = {id, kind, part}. `deflate` is false for
 * attachment parts: photos do not get smaller, and a part must cost the same always. Nor are intents
 * deflated: each lives for one attempt, and a compression stream costs more than its sealing.
 */
export function seal(ring, kid, where, data, { deflate = where.part !== "intent", nonce } = {}) {
  const smaller = deflate && data.length >= COMPRESS_FROM_BYTES;
  const key = ring.data.get(kid); // mostly known: that saves a turn
  if (smaller || !key) return sealedSmaller(ring, kid, where, data, smaller, nonce);
  return sealed(key, kid, where, data, PLAIN, nonce ?? freshNonce());
}

/** The inverse of `seal`; rejects with QUEUE_DECRYPTION_ERROR whatever is wrong. */
export async function unseal(ring, kid, where, envelope) {
  const key = ring.data.get(kid) ?? await ring.key(kid);
  if (!key || envelope[0] !== FORM_DATA_KEY || envelope.length < HEADER_BYTES + 2 + TAG_BYTES) {
    throw unreadable(where.id, where.part);
  }
  let plain;
  try {
    plain = new Uint8Array(await crypto.subtle.decrypt(
      { name: "AES-GCM", iv: envelope.subarray(1, HEADER_BYTES), additionalData: associated(where, kid) },
      key, envelope.subarray(HEADER_BYTES)));
    if (plain[0] === SCHEMA && plain[1] === PLAIN) return plain.subarray(2);
    if (plain[0] === SCHEMA && plain[1] === DEFLATED) {
      return await through(plain.subarray(2), new DecompressionStream("deflate-raw"));
    }
  } catch (error) {
    throw unreadable(where.id, where.part, error);
  }
  throw unreadable(where.id, where.part); // a schema or an encoding of a later version
}

/** An HMAC column as bytes (an ArrayBuffer): opaque, equal for equal values. */
export const markBytes = (ring, name, value) => crypto.subtle.sign("HMAC", ring.index, utf8(`${name}|${value}`));

/** The same as text. */
export const mark = async (ring, name, value) => base64url(new Uint8Array(await markBytes(ring, name, value)));

// Ids, and the wish to be kept.

const PERSIST_MS = 3_000;

/** RFC 9562 section 5.7: 48 bits of milliseconds, the rest random. */
export function uuid7() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const now = Date.now();
  for (let i = 0; i < 6; i++) bytes[i] = Math.floor(now / 2 ** (8 * (5 - i))) & 0xff;
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Ask the browser not to evict us. Firefox may wait for ever on its prompt: hence the limit. */
export async function persist() {
  if (!navigator.storage?.persist) return "unsupported";
  const unanswered = new Promise((resolve) => { setTimeout(resolve, PERSIST_MS, "unanswered"); });
  const answer = navigator.storage.persist().then((granted) => (granted ? "granted" : "denied"), () => "denied");
  return Promise.race([answer, unanswered]);
}

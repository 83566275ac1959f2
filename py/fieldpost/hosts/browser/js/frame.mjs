// Text, bytes and the one answer format: 4-byte little-endian length of the JSON, the JSON, then
// the bytes that its [offset, length] pairs point into. One crossing carries a whole answer.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const utf8 = (text) => encoder.encode(text);
export const text = (bytes) => decoder.decode(bytes);

/** Standard base64. In chunks, because `apply` has a limit on its arguments. */
export function base64(bytes) {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x8000) {
    binary += String.fromCharCode.apply(null, bytes.subarray(i, i + 0x8000));
  }
  return btoa(binary);
}

export const unbase64 = (encoded) => Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));

export const base64url = (bytes) =>
  base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

export const unbase64url = (encoded) => unbase64(encoded.replaceAll("-", "+").replaceAll("_", "/"));

export class Frame {
  #chunks = [];
  #size = 0;

  /** Append bytes; the answer refers to them by what this returns. */
  add(bytes) {
    const at = this.#size;
    this.#chunks.push(bytes);
    this.#size += bytes.length;
    return [at, bytes.length];
  }

  finish(answer) {
    const head = utf8(JSON.stringify(answer));
    const out = new Uint8Array(4 + head.length + this.#size);
    new DataView(out.buffer).setUint32(0, head.length, true);
    out.set(head, 4);
    let at = 4 + head.length;
    for (const chunk of this.#chunks) {
      out.set(chunk, at);
      at += chunk.length;
    }
    return out;
  }
}

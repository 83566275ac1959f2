// Requests of the transport. The answer is a frame {status, headers, url, redirected, body: [o, l]}
// or {no_answer: "network" | "timeout" | "aborted"}: whatever fails after the start is "unknown"
// to the engine (invariant 4), so it matters who aborted.

import { GlueError } from "./errors.mjs";
import { digest, readPart } from "./files.mjs";
import { Frame } from "./frame.mjs";

/** What the engine reads at most; a sign-in page or a runaway answer must not fill the memory. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

const underWay = new Map(); // key -> AbortController

/** Stop the request that was sent with this key; it answers {no_answer: "aborted"}. */
export function abort(_ctx, key) {
  underWay.get(key)?.abort("aborted");
}

async function bodyOf(response, controller) {
  const chunks = [];
  let size = 0;
  for (const reader = response.body?.getReader(); reader;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > ANSWER_BYTES_MAX) controller.abort("network");
    chunks.push(value);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

async function exchange({ key, method, url, headers, timeout_ms }, body) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort("timeout"), timeout_ms);
  underWay.set(key, controller);
  const frame = new Frame();
  try {
    const response = await fetch(url, {
      method, headers, body, signal: controller.signal, cache: "no-store", referrerPolicy: "no-referrer",
      // Never followed: a sign-in page elsewhere would get the payload. The browser then hides
      // status and target ("opaqueredirect"), so 302 stands for "some redirect".
      redirect: "manual",
    });
    const redirected = response.type === "opaqueredirect";
    const bytes = await bodyOf(response, controller);
    return frame.finish({
      status: redirected ? 302 : response.status, headers: Object.fromEntries(response.headers),
      url: response.url || url, redirected, body: frame.add(bytes),
    });
  } catch {
    // fetch says "TypeError" for everything; the signal says whether it was us.
    return new Frame().finish({ no_answer: controller.signal.aborted ? controller.signal.reason : "network" });
  } finally {
    clearTimeout(timer);
    underWay.delete(key);
  }
}

/** {key, method, url, headers, timeout_ms} and the body's bytes. */
export const send = (_ctx, json, bytes) => {
  const request = JSON.parse(json);
  return exchange(request, bytes?.length ? bytes : undefined);
};

async function partOf(ctx, id, n) {
  let bytes;
  try {
    bytes = await readPart(ctx, id, n);
  } catch (error) {
    if (error.name !== "QUEUE_DECRYPTION_ERROR") throw error;
  }
  if (!bytes) throw new GlueError("QUEUE_ATTACHMENT_UNREADABLE", `Part ${n} of an attachment is missing or does not open.`);
  return bytes;
}

/** As `send`, the body being all parts of `attachment_id`, between the first `before` of the bytes and the rest. */
export async function sendFile(ctx, json, bytes) {
  const request = JSON.parse(json);
  const parts = [bytes.slice(0, request.before)];
  for (let n = 1; n <= request.parts; n++) parts.push(new Blob([await partOf(ctx, request.attachment_id, n)]));
  return exchange(request, new Blob([...parts, bytes.slice(request.before)]));
}

/** As `send`, the body being part `n` of `attachment_id`; its bytes do not leave JavaScript. */
export async function sendPart(ctx, json) {
  const request = JSON.parse(json);
  const bytes = await partOf(ctx, request.attachment_id, request.n);
  const headers = { ...request.headers, "Content-Digest": `sha-256=:${await digest(bytes)}:` };
  return exchange({ ...request, headers }, bytes);
}

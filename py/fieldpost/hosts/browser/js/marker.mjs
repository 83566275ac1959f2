// A browser may delete an origin's storage whole and tell nobody (REQUIREMENTS part 4, number 24).
// So a page keeps, where eviction does not reach, which database it saw last and how much waited in
// it: in a cookie (docs/formats.md section 8). A worker has no cookies; there nothing is done.

const AGE_S = 400 * 24 * 3600; // browsers keep no cookie longer
const REWRITE_MS = 60_000;

const inPage = () => typeof document !== "undefined";
const markerOf = (ctx) => `fieldpost.${encodeURIComponent(ctx.name)}`;
const noticeOf = (ctx) => `${markerOf(ctx)}.lost`;
const read = (key) => document.cookie.split("; ").find((one) => one.startsWith(`${key}=`))?.slice(key.length + 1).split(":");

function write(key, values) {
  const path = new URL("./", document.baseURI).pathname;
  const age = values ? AGE_S : 0;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${key}=${values?.join(":") ?? ""}; Path=${path}; Max-Age=${age}; SameSite=Strict${secure}`;
}

/** At opening: what waited in a database that is no longer there is lost, and is said until somebody
 *  has seen it. */
export function lookForLoss(ctx) {
  if (!inPage()) return;
  const [birth, count, at] = read(markerOf(ctx)) ?? [];
  if (birth === undefined || birth === ctx.ring.birth) return;
  const [earlier] = read(noticeOf(ctx)) ?? [0];
  write(noticeOf(ctx), [Number(earlier) + Number(count), at]);
  write(markerOf(ctx), null);
}

/** JSON {count, at}: how many items, last seen when; "null" when nothing was lost. */
export async function lost(ctx) {
  const [count, at] = (inPage() && read(noticeOf(ctx))) || [];
  return JSON.stringify(count === undefined ? null : { count: Number(count), at: Number(at) });
}

export async function lossSeen(ctx) {
  write(noticeOf(ctx), null);
}

/** So many items have not been delivered. */
export async function remember(ctx, undelivered) {
  if (!inPage()) return;
  const [birth, count, at] = read(markerOf(ctx)) ?? [];
  // Of a database made after ours was deleted: that one's page keeps it.
  if (birth !== undefined && birth !== ctx.ring.birth) return;
  if (!undelivered) {
    if (birth !== undefined) write(markerOf(ctx), null);
  } else if (Number(count) !== undelivered || Date.now() - Number(at) > REWRITE_MS) {
    write(markerOf(ctx), [ctx.ring.birth, undelivered, Date.now()]);
  }
}

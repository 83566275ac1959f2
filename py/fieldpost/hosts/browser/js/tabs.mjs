// Other contexts of the same database: a lock for each lane, one channel (docs/interfaces.md).
// A lock saves double work only; the authority is the row's revision (invariant 5).

import { GlueError } from "./errors.mjs";

const ANNOUNCE_EVERY_MS = 100;
const WATCH_EVERY_MS = 1_000;
/** A gap between two looks counts at most this much: after the computer slept both sides wake
 *  together, and the holder must get the time to beat again. */
const GAP_MS_MAX = 5_000;

/** Count the time that a holder stood still, as far as this context was there to see it. */
function look(watch) {
  const now = performance.now();
  watch.still += Math.min(now - watch.looked, GAP_MS_MAX);
  watch.looked = now;
}

export class Tabs {
  #name;
  #id = crypto.randomUUID();
  #channel = null;
  #listeners = new Set();
  #beats = 0;
  #announced = { at: -Infinity, timer: null, revision: 0 };
  #watches = new Map(); // lane -> {timer, looked, still}, while another context holds its lock

  constructor(name) {
    this.#name = name;
  }

  #open() {
    if (this.#channel) return this.#channel;
    this.#channel = new BroadcastChannel(`fieldpost:${this.#name}`);
    this.#channel.onmessage = ({ data }) => {
      if (data.startsWith('{"type":"beat"')) this.#heard(JSON.parse(data).lane);
      else for (const listener of [...this.#listeners]) listener(data);
    };
    return this.#channel;
  }

  /** Send a message (JSON text) to the other contexts. */
  tell(json) {
    this.#open().postMessage(json);
  }

  /** "changed", at most ten a second; the last revision is always sent. */
  announce(revision) {
    const last = this.#announced;
    last.revision = revision;
    if (last.timer !== null) return;
    const send = () => {
      Object.assign(last, { at: performance.now(), timer: null });
      this.tell(JSON.stringify({ type: "changed", revision: last.revision }));
    };
    const wait = last.at + ANNOUNCE_EVERY_MS - performance.now();
    if (wait <= 0) send();
    else last.timer = setTimeout(send, wait);
  }

  /** `listener` gets each message of another context as JSON text, beats excepted; returns the way out. */
  subscribe(listener) {
    this.#open();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #heard(lane) {
    const watch = this.#watches.get(lane);
    if (watch) watch.still = 0;
  }

  #startWatching(lane) {
    this.#open();
    if (this.#watches.has(lane)) return;
    const watch = { looked: performance.now(), still: 0, timer: setInterval(() => look(watch), WATCH_EVERY_MS) };
    this.#watches.set(lane, watch);
  }

  #stopWatching(lane) {
    clearInterval(this.#watches.get(lane)?.timer);
    this.#watches.delete(lane);
  }

  #stoodStill(lane, forMs) {
    const watch = this.#watches.get(lane);
    if (!watch) return false;
    look(watch);
    return watch.still >= forMs;
  }

  /**
   * Take the lock of a lane: resolves to {stolen, lost, beat(), release()}, or null if it was not to be
   * had in `waitMs`. A holder that did not beat for `stealAfterMs` while we were looking is
   * replaced; it finds `lost` true.
   */
  async lead(lane, waitMs, stealAfterMs) {
    if (!navigator.locks) throw new GlueError("QUEUE_ERROR", "This browser has no Web Locks, so it cannot deliver safely.");
    const steal = this.#stoodStill(lane, stealAfterMs);
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), waitMs);
    try {
      const leadership = await this.#request(lane, steal ? { steal } : { signal: waiting.signal });
      this.#stopWatching(lane);
      return leadership;
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      this.#startWatching(lane);
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the lock is ours. The lock's own promise ends later: by `release`, or rejected
   *  when another context stole it. */
  #request(lane, options) {
    return new Promise((resolve, reject) => {
      const leadership = { stolen: Boolean(options.steal), lost: false };
      const held = navigator.locks.request(`fieldpost:${this.#name}:drain:${lane}`, options, () => new Promise((release) => {
        Object.assign(leadership, {
          beat: () => this.tell(JSON.stringify({ type: "beat", lane, holder: this.#id, n: ++this.#beats })),
          release: () => { leadership.lost = true; release(); },
        });
        leadership.beat();
        resolve(leadership);
      }));
      held.catch((error) => { // before it was ours: not granted in time; after: stolen
        leadership.lost = true;
        reject(error);
      });
    });
  }

  close() {
    for (const lane of [...this.#watches.keys()]) this.#stopWatching(lane);
    clearTimeout(this.#announced.timer);
    this.#channel?.close();
    this.#channel = null;
    this.#listeners.clear();
  }
}

// Other contexts of the same database: one drain lock, one channel (docs/interfaces.md).
// The lock saves double work only; the authority is the row's revision (invariant 5).

import { GlueError } from "./errors.mjs";

const ANNOUNCE_EVERY_MS = 100;
const WATCH_EVERY_MS = 1_000;
/** A gap between two looks counts at most this much: after the computer slept both sides wake
 *  together, and the holder must get the time to beat again. */
const GAP_MS_MAX = 5_000;

export class Tabs {
  #name;
  #id = crypto.randomUUID();
  #channel = null;
  #listeners = new Set();
  #beats = 0;
  #announced = { at: -Infinity, timer: null, revision: 0 };
  #watch = null; // {timer, looked, still}: set while another context holds the lock

  constructor(name) {
    this.#name = name;
  }

  #open() {
    if (this.#channel) return this.#channel;
    this.#channel = new BroadcastChannel(`fieldpost:${this.#name}`);
    this.#channel.onmessage = ({ data }) => {
      const beat = data.startsWith('{"type":"beat"');
      if (beat && this.#watch) this.#watch.still = 0;
      if (!beat) for (const listener of [...this.#listeners]) listener(data);
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

  #startWatching() {
    this.#open();
    this.#watch ??= { looked: performance.now(), still: 0, timer: setInterval(() => this.#look(), WATCH_EVERY_MS) };
  }

  #look() {
    const now = performance.now();
    this.#watch.still += Math.min(now - this.#watch.looked, GAP_MS_MAX);
    this.#watch.looked = now;
  }

  #stopWatching() {
    clearInterval(this.#watch?.timer);
    this.#watch = null;
  }

  #stoodStill(forMs) {
    if (!this.#watch) return false;
    this.#look();
    return this.#watch.still >= forMs;
  }

  /**
   * Take the drain lock: resolves to {stolen, lost, beat(), release()}, or null if it was not to be
   * had in `waitMs`. A holder that did not beat for `stealAfterMs` while we were looking is
   * replaced; it finds `lost` true.
   */
  async lead(waitMs, stealAfterMs) {
    if (!navigator.locks) throw new GlueError("QUEUE_ERROR", "This browser has no Web Locks, so it cannot deliver safely.");
    const steal = this.#stoodStill(stealAfterMs);
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), waitMs);
    try {
      const leadership = await this.#request(steal ? { steal } : { signal: waiting.signal });
      this.#stopWatching();
      return leadership;
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      this.#startWatching();
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the lock is ours. The lock's own promise ends later: by `release`, or rejected
   *  when another context stole it. */
  #request(options) {
    return new Promise((resolve, reject) => {
      const leadership = { stolen: Boolean(options.steal), lost: false };
      const held = navigator.locks.request(`fieldpost:${this.#name}:drain`, options, () => new Promise((release) => {
        Object.assign(leadership, {
          beat: () => this.tell(JSON.stringify({ type: "beat", holder: this.#id, n: ++this.#beats })),
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
    this.#stopWatching();
    clearTimeout(this.#announced.timer);
    this.#channel?.close();
    this.#channel = null;
    this.#listeners.clear();
  }
}

// For the page, when it is idle after the first boot: the next start is from a snapshot.
import { HERE, find } from './kept.mjs';

const LIMIT_MS = 120_000;

const inWorker = () =>
  new Promise((resolve) => {
    const worker = new Worker(new URL('snapshot-worker.mjs', HERE), { type: 'module' });
    const end = (said) => {
      clearTimeout(timer);
      worker.terminate();
      resolve(said);
    };
    const timer = setTimeout(() => end('failed: it took too long'), LIMIT_MS);
    worker.onmessage = ({ data }) => end(data);
    worker.onerror = (event) => {
      event.preventDefault();
      end(`failed: ${event.message || 'the worker did not start'}`);
    };
  });

const ensure = async () => {
  if (!globalThis.caches) return 'failed: no Cache Storage here';
  if (await find()) return 'present';
  return inWorker();
};

/** 'present', 'made' or 'failed: …'; never rejects. Two tabs at once make one snapshot. */
export const ensureSnapshot = async () => {
  try {
    return await navigator.locks.request(`fieldpost-snapshot ${HERE}`, ensure);
  } catch (error) {
    return `failed: ${error}`;
  }
};

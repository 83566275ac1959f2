// PyScript's `interpreter`: Pyodide from a memory snapshot where there is one, plainly otherwise.
import { loadPyodide as load, version } from './pyodide.mjs';
import { LOCK_URL, drop, find } from './kept.mjs';
import { answerForPackages } from './packages.mjs';

export { version };

// A worker that PyScript starts from a blob URL cannot know the page's folder; this file can.
globalThis.fieldpostHome ??= new URL('../../../', import.meta.url).href;

const restore = async (options, response) => {
  // A promise: the bytes are read while the WebAssembly is fetched.
  const pyodide = await load({ ...options, _loadSnapshot: response.arrayBuffer() });
  // Every restore wakes up with the same `random`: seed it from the system before anyone asks.
  pyodide.runPython('import random; random.seed(); del random');
  return answerForPackages(pyodide);
};

export const loadPyodide = async (options = {}) => {
  const all = { lockFileURL: LOCK_URL, ...options };
  const started = performance.now();
  const say = (how) =>
    console.info(`fieldpost: Pyodide ${how} in ${Math.round(performance.now() - started)} ms`);
  try {
    const response = await find();
    if (response) {
      const pyodide = await restore(all, response);
      say('from its snapshot');
      return pyodide;
    }
  } catch (error) {
    console.info(`fieldpost: the snapshot did not load, starting plainly (${error})`);
    await drop().catch(() => false);
  }
  const pyodide = await load(all);
  say('plainly');
  return pyodide;
};

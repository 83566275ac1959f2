// PyScript's `interpreter` for the page: MicroPython, with the app's compiled modules in its files.
import { loadMicroPython as load } from './micropython.mjs';
import { unpack } from './unpack.mjs';

const from = (path) => new URL(path, import.meta.url).href;

const read = async (url) => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.arrayBuffer();
};

export const loadMicroPython = async (options) => {
  const [modules, python] = await Promise.all([
    read(from('../../../py/app/modules.pack')),
    load({ ...options, url: from('./micropython.wasm') }),
  ]);
  unpack(python.FS, modules);
  return python;
};

// Boots Pyodide with the library's own files and calls functions of in_browser.py by name.
import { loadPyodide } from "/pyodide/pyodide.mjs";

async function boot() {
  const pyodide = await loadPyodide({ indexURL: "/pyodide/" });
  const archive = await (await fetch("/library.zip")).arrayBuffer();
  pyodide.unpackArchive(archive, "zip");
  return pyodide.pyimport("in_browser");
}

const booted = boot();

self.onmessage = async ({ data: { n, name, args } }) => {
  try {
    const functions = await booted;
    postMessage({ n, ok: await functions[name](...args) });
  } catch (error) {
    postMessage({ n, error: String(error) });
  }
};

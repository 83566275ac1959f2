// A throw-away module worker: boots Pyodide once more, imports all of fieldpost, keeps its memory.
import { loadPyodide } from './pyodide.mjs';
import { HERE, LOCK_URL, PACKAGES, keep } from './kept.mjs';

// Files are gone after a restore, so every module is imported now. What is not for browsers is
// left out by name; a module that needs a package the browser does not have is not for them either.
const IMPORT_ALL = `
import gc, importlib, pkgutil, random, sys

def import_all(tops):
    for top in tops:
        package = importlib.import_module(top)
        for found in pkgutil.walk_packages(package.__path__, top + "."):
            if found.name.startswith(("fieldpost.hosts.cpython", "fieldpost.stores.redis", "fieldpost.testing")):
                continue
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError as missing:
                if (missing.name or "").startswith("fieldpost"):
                    raise
import_all(tops.split())
del import_all, tops
gc.collect()
`;

const make = async () => {
  const pyodide = await loadPyodide({ indexURL: HERE, lockFileURL: LOCK_URL, _makeSnapshot: true });
  const { packages } = await (await fetch(LOCK_URL)).json();
  const site = pyodide.runPython('import sysconfig; sysconfig.get_path("purelib")');
  for (const name of Object.keys(PACKAGES)) {
    const response = await fetch(new URL(packages[name].file_name, LOCK_URL));
    if (!response.ok) throw new Error(`${response.url} answered ${response.status}`);
    // Not loadPackage: that leaves references to JavaScript objects in memory.
    pyodide.unpackArchive(await response.arrayBuffer(), 'wheel', { extractDir: site });
  }
  pyodide.globals.set('tops', Object.values(PACKAGES).flat().join(' '));
  pyodide.runPython(IMPORT_ALL);
  await keep(pyodide.makeMemorySnapshot());
  return 'made';
};

make().then(
  (done) => self.postMessage(done),
  (error) => self.postMessage(`failed: ${error}`),
);

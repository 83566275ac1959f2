// After a restore, packages are in memory but neither on the file system nor in Pyodide's list of
// loaded packages. PyScript loads micropip and installs `packages` on every start all the same: it
// is told that they are there, or it would fetch, unpack and import them once more.
import { PACKAGES } from './kept.mjs';

const present = (requirement) => {
  const [name] = String(requirement).split(/[\s<>=!~;[@]/, 1);
  return name.toLowerCase().replace(/[-_.]+/g, '-') in PACKAGES;
};

const missing = (wanted) => [wanted].flat().filter((entry) => !present(entry));

export const answerForPackages = (pyodide) => {
  const { loadPackage, pyimport } = pyodide;
  const load = (...args) => loadPackage.apply(pyodide, args);
  const importModule = (...args) => pyimport.apply(pyodide, args);

  // What PyScript does with micropip: these calls, then it lets go of it.
  const standIn = {
    set_index_urls() {},
    async install(wanted, options) {
      const rest = missing(wanted);
      if (!rest.length) return;
      await load('micropip');
      const micropip = importModule('micropip');
      try {
        await micropip.install(rest, options);
      } finally {
        micropip.destroy();
      }
    },
    freeze: () => '{}',
    destroy() {},
  };

  // The first to ask for micropip is PyScript, once, right after the start. Who asks later (an
  // application that installs packages of its own) gets the real one.
  let loadsToAnswer = 1;
  let importsToAnswer = 1;
  pyodide.loadPackage = async (wanted, options) => {
    if (wanted === 'micropip' && loadsToAnswer-- > 0) return [];
    const rest = missing(wanted);
    return rest.length ? load(rest, options) : [];
  };
  pyodide.pyimport = (module) =>
    module === 'micropip' && importsToAnswer-- > 0 ? standIn : importModule(module);
  return pyodide;
};

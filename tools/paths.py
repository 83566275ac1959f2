"""Where things are, and how the build runs other programs."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# Everything the build may throw away: stamps, downloads, half-made trees.
WORK = ROOT / "build"
MODULES = ROOT / "node_modules"
GLUE_SOURCE = ROOT / "py/fieldpost/hosts/browser/js/glue.mjs"
GLUE = ROOT / "py/fieldpost/hosts/browser/glue.js"


class BuildError(Exception):
    """The build cannot go on; the message says what to do about it."""


def say(text: str) -> None:
    """One line to the person, at once even when the output is a pipe."""
    print(f"· {text}", flush=True)


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """Run a program in the repository and return its output; a failure shows all it said."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"{shlex.join(words)} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout


def main_guard(main: Callable[[], int | None]) -> None:
    """Run `main()`; a BuildError becomes a message and exit code 1 instead of a traceback."""
    try:
        code = main()
    except BuildError as problem:
        print(f"\n{problem}", file=sys.stderr, flush=True)
        raise SystemExit(1) from problem
    raise SystemExit(code or 0)


def files_under(folder: Path) -> Iterator[Path]:
    """All files below a folder in a fixed order, without caches."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield path


def sha256(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def hash_of(paths: Iterable[Path], *extra: str) -> str:
    """One hash over names and contents: changes when, and only when, an input does."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.relative_to(ROOT)}\0{sha256(path.read_bytes())}\n".encode())
    for text in extra:
        total.update(f"{text}\n".encode())
    return total.hexdigest()


def stamped(name: str, key: str) -> bool:
    """Whether the step `name` was last finished with exactly this key."""
    stamp = WORK / f"{name}.stamp"
    return stamp.is_file() and stamp.read_text() == key


def stamp(name: str, key: str) -> None:
    """Remember that the step `name` is finished for this key."""
    WORK.mkdir(exist_ok=True)
    (WORK / f"{name}.stamp").write_text(key)

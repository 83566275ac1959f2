"""The page's Python as one file, and what the page asks for while it is still being read.

A warm start asks the service worker for every file, at 4 ms each, and PyScript for one after the
other: together that took as long as everything that Python then does.
"""

from __future__ import annotations

from pathlib import Path

from tools.paths import files_under

APP = "py/app"
MAIN = f"{APP}/main.py"
ENGINE = f"{APP}/engine.py"  # the worker's
CONFIG = f"{APP}/mpy.json"
PYSCRIPT = "static/vendor/pyscript"
MICROPYTHON = "static/vendor/micropython"
#: Imported by PyScript at every start.
CHUNKS = (
    *("core", "deprecations-manager", "donkey", "error", "py-editor", "py-game", "py-terminal"),
)

_UNPACK = """\
# Made from py/app by the build. Each module becomes a file again, so tracebacks name its lines.
import os


def unpack(folders, files):
    for folder in folders:
        os.mkdir(folder)
    for name, text in files:
        with open(name, "w") as file:
            file.write(text)


unpack(
"""


def pack_app(tree: Path) -> None:
    """Put every module of the app into main.py, in front of what that does."""
    kept = {tree / MAIN, tree / ENGINE}
    modules = [p for p in files_under(tree / APP) if p.suffix == ".py" and p not in kept]
    base = (tree / APP).parent
    folders = sorted({path.parent.relative_to(base).as_posix() for path in modules})
    lines = [_UNPACK, f"    {tuple(folders)!r},\n    (\n"]
    for path in modules:
        lines.append(f"        ({path.relative_to(base).as_posix()!r}, {path.read_text()!r}),\n")
        path.unlink()
    lines.append("    ),\n)\n")
    main = tree / MAIN
    main.write_text("".join(lines) + main.read_text())
    for folder in (base / name for name in reversed(folders)):
        if not any(folder.iterdir()):
            folder.rmdir()


def add_preloads(tree: Path) -> None:
    """Have the browser ask at once for what would else be asked for one after the other."""
    modules = [p for name in CHUNKS for p in sorted((tree / PYSCRIPT).glob(f"{name}-*.js"))]
    modules.append(tree / MICROPYTHON / "micropython.mjs")
    fetched = [tree / name for name in (CONFIG, f"{MICROPYTHON}/micropython.wasm", MAIN)]
    links = [
        *(_link(tree, path, 'rel="modulepreload"') for path in modules),
        *(
            _link(tree, path, 'rel="preload" as="fetch" crossorigin="anonymous"')
            for path in fetched
        ),
    ]
    index = tree / "index.html"
    index.write_text(index.read_text().replace("</head>", "\n".join([*links, "</head>"]), 1))


def _link(tree: Path, path: Path, how: str) -> str:
    return f'<link {how} href="./{path.relative_to(tree).as_posix()}">'

"""What is taken from the npm packages into the served folder."""

from __future__ import annotations

import re
from pathlib import Path

from tools.paths import MODULES, BuildError

PYODIDE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")
MICROPYTHON = ("micropython.mjs", "micropython.wasm")
# Chunks of PyScript that load only when a page uses an editor, a terminal or zipped files, that it
# never imports itself, and the graph that only serves to warn about packages (pyscript.toml sets
# index_urls, which skips it). The tests see every request: a chunk missed here fails them.
PYSCRIPT_UNUSED = re.compile(
    r"^(codemirror|xterm|index-|mpy-|py-(?!editor|game|terminal)|zip-|pyodide_graph"
    r"|service-worker|storage)"
)
SOURCE_MAP = re.compile(rb"\n//# sourceMappingURL=\S+\s*$")


def vendored() -> dict[str, Path]:
    """Path in the served folder -> file to copy."""
    files: dict[str, Path] = {}
    for name in PYODIDE:
        files[f"static/vendor/pyodide/{name}"] = MODULES / "pyodide" / name
    for name in MICROPYTHON:
        source = MODULES / "@micropython/micropython-webassembly-pyscript" / name
        files[f"static/vendor/micropython/{name}"] = source
    for source in sorted((MODULES / "@pyscript/core/dist").glob("*.js")):
        if not PYSCRIPT_UNUSED.match(source.name):
            files[f"static/vendor/pyscript/{source.name}"] = source
    files["static/vendor/pico.min.css"] = MODULES / "@picocss/pico/css/pico.min.css"
    return files


def copy_vendored(into: Path) -> None:
    """Copy, without the pointers to source maps, which are not served."""
    for place, source in vendored().items():
        if not source.is_file():
            raise BuildError(f"{source} is missing: delete node_modules and try again.")
        data = source.read_bytes()
        if source.suffix in {".js", ".mjs"}:
            data = SOURCE_MAP.sub(b"\n", data)
        target = into / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

"""The house rules, tested: who may import whom, sizes, and where state is set."""

from __future__ import annotations

import ast
import fnmatch
import re
from pathlib import Path

import pytest

from fieldpost import __version__

ROOT = Path(__file__).parents[2]
PY = ROOT / "py"
SOURCES = sorted((PY).rglob("*.py"))

FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 70

#: Part of the library -> what of Fieldpost it may import (prefixes).
MAY_IMPORT = {
    "engine": ("fieldpost.engine",),
    "ports": ("fieldpost.commits", "fieldpost.engine"),
    "commits": ("fieldpost.engine",),
    "security": ("fieldpost.engine", "fieldpost.ports", "fieldpost.security"),
    "stores": ("fieldpost.engine", "fieldpost.ports", "fieldpost.security", "fieldpost.stores"),
    "destinations": ("fieldpost.engine", "fieldpost.ports", "fieldpost.destinations"),
    "runtime": (
        "fieldpost.engine",
        "fieldpost.ports",
        "fieldpost.security",
        "fieldpost.destinations",
        "fieldpost.runtime",
        "fieldpost._version",
    ),
}
#: What a pure engine must not touch: hosts, clocks, chance, I/O.
IMPURE = {
    "asyncio",
    "time",
    "random",
    "secrets",
    "uuid",
    "datetime",
    "os",
    "io",
    "socket",
    "threading",
    "pathlib",
    "subprocess",
    "logging",
    "js",
    "pyodide",
    "pyscript",
    "urllib",
    "http",
}
BROWSER = {"js", "pyodide", "pyodide_js", "pyscript"}
#: Packages that only CPython has.
CPYTHON_ONLY = {
    "cryptography",
    "httpx",
    "jwcrypto",
    "sqlite3",
    "starlette",
    "uvicorn",
    "h11",
    "fcntl",
    "redis",
}


def imports(path: Path) -> set[str]:
    """Absolute names of everything a file imports, relative imports resolved."""
    package = ".".join(path.relative_to(PY).with_suffix("").parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def part_of(path: Path) -> str:
    parts = path.relative_to(PY / "fieldpost").with_suffix("").parts
    return parts[0]


LIBRARY = [p for p in SOURCES if p.is_relative_to(PY / "fieldpost")]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(PY)))
def test_parts_import_only_what_they_may(path: Path) -> None:
    allowed = MAY_IMPORT.get(part_of(path))
    for name in imports(path):
        if allowed is not None and name.startswith("fieldpost"):
            assert name.startswith(allowed), f"{path.name} imports {name}"


@pytest.mark.parametrize(
    "path", [p for p in LIBRARY if part_of(p) == "engine"], ids=lambda p: p.name
)
def test_the_engine_is_pure(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PY)))
def test_only_the_browser_host_and_the_app_touch_the_browser(path: Path) -> None:
    if path.is_relative_to(PY / "fieldpost/hosts/browser") or path.is_relative_to(PY / "app"):
        return
    assert not {name.split(".")[0] for name in imports(path)} & BROWSER


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(PY)))
def test_what_a_browser_lacks_is_imported_only_where_it_is(path: Path) -> None:
    allowed = (
        path.is_relative_to(PY / "fieldpost/hosts/cpython")
        or path.name.startswith(("sqlite", "redis"))
        or path.is_relative_to(PY / "fieldpost/testing")
    )
    assert allowed or not {name.split(".")[0] for name in imports(path)} & CPYTHON_ONLY


def test_the_app_uses_only_the_public_api() -> None:
    for path in (PY / "app").rglob("*.py"):
        for name in imports(path):
            if name.startswith("fieldpost"):
                assert name in ("fieldpost", "fieldpost.browser"), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PY)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX + 15, "split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


def test_state_is_set_in_one_place() -> None:
    """``state=`` of an item is decided by the machine (and stated for a quarantined capture)."""
    setting = re.compile(r"\.changed\([^)]*\bstate=|replace\([^)]*\bstate=")
    for path in LIBRARY:
        if path.name != "machine.py" and "testing" not in path.parts:
            assert not setting.search(path.read_text()), path


def test_there_is_one_version() -> None:
    for path in SOURCES:
        if path.name != "_version.py":
            assert f'"{__version__}"' not in path.read_text(), path


def test_no_proxy_of_javascript_at_import_time() -> None:
    """A memory snapshot cannot hold one: browser modules are looked up when they are called."""
    for path in (PY / "fieldpost/hosts/browser").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {a.name for a in node.names} | {getattr(node, "module", "") or ""}
                assert not {n.split(".")[0] for n in names} & {"js", "pyodide_js"}, path


def test_every_folder_of_tests_is_looked_into(pytestconfig: pytest.Config) -> None:
    """pytest passes over folders of some names without a word: `build`, `dist`, `venv` …"""
    passed_over = pytestconfig.getini("norecursedirs")
    tests = [p.relative_to(ROOT) for top in ("tests", "e2e") for p in (ROOT / top).rglob("test_*")]
    assert tests
    folders = {part for path in tests for part in path.parent.parts}
    assert not {name for name in folders for p in passed_over if fnmatch.fnmatch(name, p)}

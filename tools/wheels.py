"""The wheels the browser gets, and the lock through which Pyodide and micropip find them.

npm's `pyodide` has a lock of 350 packages that expects other files than the index serves; ours
names only our wheels with their true hashes, so that nothing is ever looked for elsewhere.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

from tools.paths import MODULES, ROOT, WORK, BuildError, run, sha256

PINS = ROOT / "tools/wheels.txt"
DOWNLOADS = WORK / "wheels"
# From static/vendor/pyodide/, where the lock lies, to the wheels.
WHEELS_FROM_LOCK = "../../wheels/"


@dataclass(frozen=True)
class Wheel:
    """A built or downloaded wheel, as the lock describes it."""

    path: Path
    name: str
    version: str
    depends: tuple[str, ...]
    imports: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The hash Pyodide checks on loading."""
        return sha256(self.path.read_bytes())

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Take name, dependencies and top-level packages from the wheel itself."""
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            metadata = next(n for n in names if n.endswith(".dist-info/METADATA"))
            headers = Parser().parsestr(archive.read(metadata).decode())
        required = [r for r in headers.get_all("Requires-Dist", []) if "extra ==" not in r]
        depends = [re.split(r"[\s<>=!~;\[(]", r, maxsplit=1)[0].lower() for r in required]
        tops = {n.split("/")[0] for n in names if n.endswith(".py") and "/" in n}
        return cls(
            path=path,
            name=headers["Name"].lower(),
            version=headers["Version"],
            depends=tuple(sorted(depends)),
            imports=tuple(sorted(tops)),
        )


def download_pinned() -> list[Wheel]:
    """Fetch the pinned wheels once; pip checks their hashes, a filled folder needs no network."""
    key = sha256(PINS.read_bytes())[:16]
    folder = DOWNLOADS / key
    if not folder.is_dir():
        fresh = DOWNLOADS / f"{key}.part"
        shutil.rmtree(fresh, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        wanted = ["--no-deps", "--only-binary=:all:", "--python-version", "3.14"]
        run([*pip, *wanted, "--require-hashes", "-r", PINS, "-d", fresh])
        fresh.rename(folder)
    return [Wheel.read(path) for path in sorted(folder.glob("*.whl"))]


def build_own(into: Path) -> Wheel:
    """Build the fieldpost wheel: the same sources give the same bytes (and the same name).

    The name carries a build tag made from the content, so that a wheel of an earlier build,
    still in some HTTP cache, is never mistaken for this one.
    """
    shutil.rmtree(into, ignore_errors=True)
    fixed_time = {"SOURCE_DATE_EPOCH": "1577836800"}
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", into], env=fixed_time)
    built = next(iter(into.glob("fieldpost-*.whl")), None)
    if built is None:
        raise BuildError("hatchling made no wheel of fieldpost.")
    name, version, rest = built.name.split("-", maxsplit=2)
    tag = f"0{sha256(built.read_bytes())[:8]}"
    return Wheel.read(built.rename(into / f"{name}-{version}-{tag}-{rest}"))


def lock_text(wheels: list[Wheel]) -> str:
    """Our pyodide-lock.json: Pyodide's own ABI facts, and these wheels only."""
    original = json.loads((MODULES / "pyodide/pyodide-lock.json").read_text())
    known = {wheel.name for wheel in wheels}
    packages = {}
    for wheel in sorted(wheels, key=lambda w: w.name):
        missing = set(wheel.depends) - known
        if missing:
            raise BuildError(f"{wheel.name} needs {sorted(missing)}: pin them in tools/wheels.txt.")
        packages[wheel.name] = {
            "name": wheel.name,
            "version": wheel.version,
            "file_name": WHEELS_FROM_LOCK + wheel.path.name,
            "install_dir": "site",
            "sha256": wheel.sha256,
            "package_type": "package",
            "imports": list(wheel.imports),
            "depends": list(wheel.depends),
            "unvendored_tests": False,
        }
    return json.dumps({"info": original["info"], "packages": packages}, indent=1, sort_keys=True)

"""package-lock.json: every package by integrity, no host names. `python -m tools.lock` tidies it.

Run after `npm install --package-lock-only`, which writes addresses of sponsors and, on a machine
that does not read our .npmrc, of the registry.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from tools.paths import ROOT, BuildError, main_guard

LOCK = ROOT / "package-lock.json"
EXACT = re.compile(r"^\d+\.\d+\.\d+$")


def problems(text: str) -> list[str]:
    """What is wrong with a lock; an empty list when nothing is."""
    found = []
    if "://" in text:
        found.append("it names a host (run: python -m tools.lock)")
    packages: dict[str, Any] = json.loads(text)["packages"]
    found += [
        f"{name} has no integrity"
        for name, package in packages.items()
        if name and not package.get("integrity")
    ]
    wanted = json.loads((ROOT / "package.json").read_text())
    for kind in ("dependencies", "devDependencies"):
        if packages[""].get(kind) != wanted[kind]:
            found.append(f"its {kind} are not those of package.json")
        found += [
            f"package.json does not pin {name} exactly"
            for name, version in wanted[kind].items()
            if not EXACT.match(version)
        ]
    return found


def tidy(text: str) -> str:
    """The lock without addresses."""
    lock = json.loads(text)
    for package in lock["packages"].values():
        package.pop("funding", None)
        package.pop("resolved", None)
    return json.dumps(lock, indent=2) + "\n"


def main() -> None:
    """Tidy, or with `--check` only look."""
    if "--check" not in sys.argv:
        LOCK.write_text(tidy(LOCK.read_text()))
    wrong = problems(LOCK.read_text())
    if wrong:
        raise BuildError("package-lock.json: " + "; ".join(wrong))


if __name__ == "__main__":
    main_guard(main)

"""`make check`: everything that can be said about the code without running it."""

from __future__ import annotations

import subprocess
import sys

from tools.paths import ROOT, main_guard, say

CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "--quiet", "."],
    "mypy": ["mypy"],
    "package-lock.json": ["tools.lock", "--check"],
    "generated documentation": ["tools.docs", "--check"],
}


def main() -> int:
    """Run all of them, so that one run shows everything there is to mend."""
    failed = []
    for name, words in CHECKS.items():
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=ROOT, stdin=subprocess.DEVNULL, check=False
        )
        say(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}")
        if done.returncode != 0:
            failed.append(name)
    if failed:
        print(f"\nmake check failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    main_guard(main)

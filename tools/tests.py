"""`make test`, `make test-full`, `make soak`: all their set-up, then pytest.

Arguments after the name go to pytest: `make test ARGS="-k outbox"`.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tools import browsers, build, postgres, servers
from tools.paths import ROOT, main_guard, say

MARKS = {"test": "not full and not soak", "full": "full", "soak": "soak"}
#: In processes of their own: Playwright's loop in one would be in the way of the others' own.
FOLDERS = ("tests", "e2e")
#: Browsers want a core each and gigabytes.
WORKERS_MAX = 4
NONE_FOUND = 5  # pytest's exit code for "no test collected"


def main() -> int:
    """Set up and run both folders to their ends; returns the first exit code that is bad."""
    which, *rest = sys.argv[1:]
    build.build()
    os.environ[browsers.VARIABLE] = browsers.chromium()
    if which == "full":
        browsers.others()
        os.environ[postgres.VARIABLE] = str(postgres.programs())
        os.environ[servers.VARIABLE] = servers.redis()
    workers = str(min(os.cpu_count() or 1, WORKERS_MAX))
    words = ["-m", MARKS[which], "-n", workers, "--dist", "worksteal", *rest]
    named = any(word.startswith(FOLDERS) for word in rest)
    codes = [_pytest(words)] if named else [_pytest([*words, folder]) for folder in FOLDERS]
    bad = [code for code in codes if code not in (0, NONE_FOUND)]
    return bad[0] if bad else min(codes)


def _pytest(words: list[str]) -> int:
    say(f"pytest {' '.join(words)}")
    sys.stdout.flush()
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    main_guard(main)

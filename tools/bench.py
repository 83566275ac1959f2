"""`make bench`: all its set-up, then the benchmarks in a browser."""

from __future__ import annotations

import os
import sys

from tools import browsers, build
from tools.paths import ROOT, main_guard


def main() -> None:
    """Become `python -m e2e.bench`."""
    build.build()
    os.environ[browsers.VARIABLE] = browsers.chromium()
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'py'}"
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "e2e.bench", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    main_guard(main)

"""`make run`: build what has changed, then become the gateway with the app, or the demo."""

from __future__ import annotations

import argparse
import os
import sys

from tools import build
from tools.paths import ROOT, main_guard


def main() -> None:
    """The gateway prints its address when it is ready, and stops on Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--data", default="data")
    parser.add_argument("--demo", help="anything but 0: with fakes, people and a switchboard")
    asked = parser.parse_args()
    build.build()
    gateway = ["-m", "gateway", "--site", "dist", "--data", asked.data, "--port", str(asked.port)]
    if asked.demo not in (None, "", "0"):
        gateway = ["-m", "gateway.demo", "--site", "dist"]
    os.environ["PYTHONPATH"] = str(ROOT / "py")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *gateway])  # noqa: S606 -- no shell is wanted


if __name__ == "__main__":
    main_guard(main)

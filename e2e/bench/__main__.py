"""`make bench`: one table of everything that has a bar, and the same as JSON.

Ratios are of runs side by side, interleaved, and medians over the rounds; absolute numbers depend
on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright
from tools import servers
from tools.paths import BuildError, say

from . import adapters, boot, cpython, draining, gateways, saving, shared
from .rows import Row, machine, save, table
from .saving import Sizes
from .world import said, world

FULL = Sizes(rounds=5, bulk=10_000, single=300, concurrent=2_000, captures=300, drain=10_000)
#: Only shows that everything runs: its numbers mean nothing.
QUICK = Sizes(rounds=1, bulk=200, single=10, concurrent=100, captures=10, drain=200)
PARTS = ("boot", "saving", "draining", "cpython", "adapters", "redis", "gateway")
#: Those that need a Redis server.
_ON_REDIS = frozenset({"redis", "gateway"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, one round")
    parser.add_argument("--name", help="of the JSON file in bench-results/")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="its folder")
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts")
    parser.add_argument("--rounds", type=int, help="of each measurement")
    parser.add_argument("--share", type=float, default=1.0, help="of the numbers of items")
    given = parser.parse_args()
    sizes = (QUICK if given.quick else FULL).scaled(given.share, given.rounds)
    about = {**machine(), "quick": given.quick, "rounds": sizes.rounds}
    parts = list(given.only or PARTS)
    if _ON_REDIS & set(parts):
        try:
            servers.redis()
        except BuildError as problem:
            if given.only:
                raise
            say(f"Left out: {problem}")
            parts = [part for part in parts if part not in _ON_REDIS]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="fieldpost-bench-") as folder:
        if set(parts) & set(PARTS[:3]):
            with sync_playwright() as playwright:
                rows += browser_rows(playwright, Path(folder), sizes, parts)
        if "cpython" in parts:
            rows += asyncio.run(cpython.measure(Path(folder), sizes.rounds, quick=given.quick))
        if "adapters" in parts:
            rows += asyncio.run(adapters.measure(sizes.rounds, quick=given.quick))
        if "redis" in parts:
            rows += asyncio.run(shared.measure(Path(folder), sizes.rounds, quick=given.quick))
        if "gateway" in parts:
            folder_of_its_own = Path(folder) / "gateways"
            folder_of_its_own.mkdir()
            rows += asyncio.run(
                gateways.measure(folder_of_its_own, sizes.rounds, quick=given.quick)
            )
    print(table(rows))
    print(f"\n{about['cpus']} CPUs, load {about['load']} at the start, {sizes.rounds} rounds")
    path = given.out / f"{given.name or ('quick' if given.quick else 'latest')}.json"
    save(path, rows, about)
    print(f"Written to {path}")


def browser_rows(playwright: Playwright, folder: Path, sizes: Sizes, parts: list[str]) -> list[Row]:
    rows: list[Row] = []
    with world(playwright, folder) as here:
        if "saving" in parts or "draining" in parts:
            page = here.page("bench/bench.html")
            said(page, "window.ready")
            if "saving" in parts:
                rows += saving.measure(page, sizes)
            if "draining" in parts:
                rows += draining.measure(page, sizes)
            page.close()
        if "boot" in parts:
            rows += boot.measure(here, sizes.rounds)
    return rows


if __name__ == "__main__":
    main()

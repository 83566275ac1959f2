"""``python -m fieldpost.testing.simulator --seed N``: replay a world and watch it."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

from fieldpost._version import __version__

from .scenarios import SCENARIOS, run
from .trace import Violation


def main(words: list[str] | None = None) -> int:
    """0 when every world came to its right end, 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m fieldpost.testing.simulator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", help="A..B, both included")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="chaos")
    parser.add_argument("--verbose", action="store_true", help="print every event")
    given = parser.parse_args(words)
    logging.getLogger("fieldpost").setLevel(logging.ERROR)  # its warnings are the faults themselves
    first, _, last = (given.seeds or str(given.seed)).partition("..")
    seeds = range(int(first), int(last or first) + 1)
    _say(f"fieldpost {__version__}, scenario {given.scenario}, seeds {seeds[0]} to {seeds[-1]}")
    totals: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    began = time.process_time()
    for seed in seeds:
        try:
            done = run(seed, given.scenario, watch=_say if given.verbose else None)
        except Violation as violation:
            _say(f"VIOLATION {violation}")
            return 1
        counts.update(done.counts)
        totals.update(
            worlds=1,
            steps=done.steps,
            events=done.events,
            commits=done.commits,
            checks=done.checks,
            items=done.items,
            virtual_hours=round(done.virtual_s / 3600),
        )
        if len(seeds) == 1:
            _say(f"trace {done.hash}")
    _say("")
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        _say(f"{name:<28} {count:>9}")
    _say("")
    for name, count in totals.items():
        _say(f"{name.replace('_', ' '):<28} {count:>9}")
    _say(f"{'CPU seconds':<28} {time.process_time() - began:>9.1f}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())

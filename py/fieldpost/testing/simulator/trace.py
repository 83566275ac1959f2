"""What a run did: its events in order, their hash, how often each kind came, and how it ended."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable

#: Events that a `Violation` shows.
LAST_EVENTS = 40


class Trace:
    """Counts and hashes every event, and keeps the last ones.

    ``watch`` gets each event as a line of text while it happens.
    """

    def __init__(self, watch: Callable[[str], None] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.events = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._last: deque[tuple[float, str, str, str]] = deque(maxlen=LAST_EVENTS)
        self._watch = watch

    def add(self, at: float, who: str, what: str, detail: str = "") -> None:
        """``at``: virtual seconds since the world began; ``what``: the kind that is counted."""
        self.events += 1
        self.counts[what] += 1
        self._hash.update(f"{at:.6f}|{who}|{what}|{detail}\n".encode())
        self._last.append((at, who, what, detail))
        if self._watch is not None:
            self._watch(_line((at, who, what, detail)))

    @property
    def hash(self) -> str:
        """Two runs with the same hash did the same things in the same order."""
        return self._hash.hexdigest()

    def last(self) -> list[str]:
        return [_line(event) for event in self._last]


def _line(event: tuple[float, str, str, str]) -> str:
    at, who, what, detail = event
    minutes, seconds = divmod(at, 60)
    return f"{int(minutes):4}:{seconds:06.3f}  {who:<10} {what:<22} {detail}".rstrip()


class Violation(AssertionError):
    """An invariant did not hold. ``seed`` (with the version) replays the run that shows it."""

    def __init__(
        self, invariant: str, text: str, *, seed: int, scenario: str, step: int, events: list[str]
    ) -> None:
        self.invariant = invariant
        self.text = text
        self.seed = seed
        self.scenario = scenario
        self.step = step
        self.events = events
        again = f"python -m fieldpost.testing.simulator --seed {seed} --scenario {scenario}"
        super().__init__(
            f"{invariant}: {text}\nseed {seed}, step {step}; replay: {again} --verbose\n"
            + "\n".join(events)
        )

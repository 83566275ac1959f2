"""What counts as the same item again. Pure.

Three ways, from the strictest: a unique key that the caller names; the same payload within a window
of time (SHA-256 of its canonical JSON); for records of calls and messages, which several sources
report with clocks of their own, a key that leaves a second of play (C10).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .canonical import canonical
from .moments import milliseconds
from .transitions import OPEN_STATES, State

#: ``return``: the caller gets the item that is there; ``error``: `DuplicateItem` with its id;
#: ``allow``: both are kept.
OutcomeOfDouble = Literal["return", "error", "allow"]

#: States in which an item still stands for its payload: what was cancelled, refused or given up may
#: be saved again.
STANDING = OPEN_STATES | {State.COMPLETED}


@dataclass(frozen=True, slots=True)
class Duplicates:
    """``outcome`` for an equal payload that was saved within ``window_ms``, by stored time; for
    records also for one that is the same but for a second. ``kinds``: another outcome by kind."""

    outcome: OutcomeOfDouble = "return"
    window_ms: int = 60_000
    kinds: Mapping[str, OutcomeOfDouble] = field(default_factory=lambda: {"log": "allow"})

    def __post_init__(self) -> None:
        known = get_args(OutcomeOfDouble)
        if self.window_ms < 0 or not {self.outcome, *self.kinds.values()} <= set(known):
            raise ValueError(f"duplicates need window_ms >= 0 and outcomes of {known}")

    def of(self, kind: str) -> OutcomeOfDouble:
        return self.kinds.get(kind, self.outcome)


#: Keeps every equal payload; a record that is there is still not kept twice.
NO_WINDOW = Duplicates(window_ms=0)


@dataclass(frozen=True, slots=True)
class RecordKey:
    """When two payloads of a kind tell of the same event: the fields ``same`` are equal, the times
    in ``time`` at most ``within_ms`` apart, the numbers in ``close`` at most so far apart."""

    same: tuple[str, ...]
    time: str
    close: Mapping[str, float] = field(default_factory=dict)
    within_ms: int = 1_000

    def own(self, kind: str, payload: Mapping[str, Any]) -> str | None:
        """The bucket that the record is kept under; None when it has no time."""
        at = milliseconds(value_at(payload, self.time))
        return None if at is None else self._bucket(kind, payload, at // self.within_ms)

    def probes(self, kind: str, payload: Mapping[str, Any]) -> list[str]:
        """The buckets in which the same record can be: its own and the two beside it, since times
        not further apart than a bucket is wide lie in neighbours at most."""
        at = milliseconds(value_at(payload, self.time))
        if at is None:
            return []
        number = at // self.within_ms
        return [self._bucket(kind, payload, number + step) for step in (0, -1, 1)]

    def matches(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
        """Symmetric. A bucket only says where to look; this is the judgement."""
        times = milliseconds(value_at(a, self.time)), milliseconds(value_at(b, self.time))
        if times[0] is None or times[1] is None or abs(times[0] - times[1]) > self.within_ms:
            return False
        if any(value_at(a, path) != value_at(b, path) for path in self.same):
            return False
        return all(
            _close(value_at(a, path), value_at(b, path), play) for path, play in self.close.items()
        )

    def _bucket(self, kind: str, payload: Mapping[str, Any], number: int) -> str:
        values = [value_at(payload, path) for path in self.same]
        return canonical([kind, values, number]).decode()


def _close(a: Any, b: Any, play: float) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b) <= play
    return a is None and b is None


def value_at(payload: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, None where there is none."""
    value: Any = payload
    if type(payload) is dict:  # the common cases, at a third of the time of the walk
        top, dot, rest = path.partition(".")
        value = payload.get(top)
        if not dot or value is None:
            return value
        path = rest
    for name in path.split("."):
        # dict first: isinstance with an abstract class costs ten times as much
        found = type(value) is dict or isinstance(value, Mapping)
        value = value.get(name) if found else None
    return value


def values_at(payload: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, Any]]:
    """(path, the object that holds it, value) of each place that ``path`` names; ``list[].name``
    names one in every element. Nothing where the holder is missing."""
    before, bracket, after = path.partition("[]")
    if not bracket:
        parent, _, _ = path.rpartition(".")
        holder = value_at(payload, parent) if parent else payload
        if isinstance(holder, Mapping):
            yield path, holder, value_at(payload, path)
        return
    elements = value_at(payload, before)
    for n, element in enumerate(elements if isinstance(elements, list | tuple) else ()):
        if not after:
            yield f"{before}[{n}]", elements, element
        elif isinstance(element, Mapping):
            for rest, holder, value in values_at(element, after.removeprefix(".")):
                yield f"{before}[{n}].{rest}", holder, value

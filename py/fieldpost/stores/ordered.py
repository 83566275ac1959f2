"""A sorted set of integers that rarely moves memory: the indexes of the memory store."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

#: Dead entries tolerated before the list is rebuilt, beside as many as there are live ones.
_SLACK = 64


class Ordered:
    """Sequences in ascending order.

    Most are added at the end and removed near the front. Removal only forgets the value; the list
    drops its dead entries when they outnumber the live ones, so both cost O(log n) amortised,
    where a plain list would move half of itself each time.
    """

    __slots__ = ("_first", "_live", "_values")

    def __init__(self) -> None:
        self._values: list[int] = []
        self._live: set[int] = set()
        self._first = 0  # nothing before this position is live: a claim starts here

    def __len__(self) -> int:
        return len(self._live)

    def add(self, value: int) -> None:
        """Add ``value``; one that is there already changes nothing."""
        if value in self._live:
            return
        self._live.add(value)
        values = self._values
        if not values or value > values[-1]:
            values.append(value)
            return
        at = bisect_left(values, value)
        if values[at] != value:
            values.insert(at, value)
        self._first = min(self._first, at)

    def discard(self, value: int) -> None:
        """Remove ``value``, if it is there."""
        self._live.discard(value)
        values = self._values
        if values and values[-1] == value:  # the newest are claimed first, too
            while values and values[-1] not in self._live:
                values.pop()
            self._first = min(self._first, len(values))
        if len(self._values) > 2 * len(self._live) + _SLACK:
            self._values = sorted(self._live)
            self._first = 0

    def ascending(self, after: int | None = None) -> Iterator[int]:
        """Values greater than ``after`` (all of them when None). Not to be changed meanwhile."""
        values, live = self._values, self._live
        at = self._first
        if after is None:
            while at < len(values) and values[at] not in live:
                at += 1
            self._first = at
        else:
            at = max(at, bisect_right(values, after))
        for position in range(at, len(values)):
            if values[position] in live:
                yield values[position]

    def descending(self, before: int | None = None) -> Iterator[int]:
        """Values less than ``before`` (all of them when None). Not to be changed meanwhile."""
        values, live = self._values, self._live
        end = len(values) if before is None else bisect_left(values, before)
        for position in range(end - 1, self._first - 1, -1):
            if values[position] in live:
                yield values[position]

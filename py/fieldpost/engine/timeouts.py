"""How long to wait for an answer, learnt from the lane's latest requests (U46). Pure.

The 95th percentile of recent durations with a margin, and time for the bytes to leave on a slow
line; after a timeout twice as long, and again, until an answer comes. A line that has been quick is
given up after seconds, not after the ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from .limits import REQUEST_TIMEOUT_MS

FLOOR_MS = 10_000
CEILING_MS = REQUEST_TIMEOUT_MS
#: Durations kept, and the least that say something.
SAMPLES_MAX, SAMPLES_MIN = 20, 5
_PERCENTILE, _MARGIN = 0.95, 3.0
#: 16 kB/s: a slower line gets the ceiling for whatever is large.
_BYTES_PER_MS = 16
#: Doublings that are counted: the ceiling is reached long before.
_LATE_MAX = 10


@dataclass(frozen=True, slots=True)
class Durations:
    """``samples``: ms of the latest answered requests, oldest first; ``late``: timeouts since the
    last answer."""

    samples: tuple[int, ...] = ()
    late: int = 0

    def timeout_ms(self, request_bytes: int = 0) -> int:
        """For a request with a body of this size."""
        if len(self.samples) < SAMPLES_MIN:
            return CEILING_MS
        usual = percentile(self.samples, _PERCENTILE) * _MARGIN
        needed = max(usual, FLOOR_MS) * 2**self.late + max(0, request_bytes) / _BYTES_PER_MS
        return int(max(FLOOR_MS, min(needed, CEILING_MS)))

    def answered(self, took_ms: float) -> Self:
        """``took_ms`` of a request that got its answer, whatever it said."""
        sample = int(max(0, min(took_ms, CEILING_MS)))
        return replace(self, samples=(*self.samples[1 - SAMPLES_MAX :], sample), late=0)

    def timed_out(self) -> Self:
        return replace(self, late=min(self.late + 1, _LATE_MAX))

    def dump(self) -> list[Any]:
        return [self.late, *self.samples]

    @classmethod
    def load(cls, value: list[int] | None) -> Self:
        return cls(tuple(value[1:]), value[0]) if value else cls()


def whole_file_ms(request_bytes: int) -> int:
    """For a request with a whole file in it: what the slowest line that still counts as one needs,
    and the ceiling of any other request for the answer."""
    return CEILING_MS + request_bytes // _BYTES_PER_MS


def percentile(values: tuple[int, ...], share: float) -> int:
    """The smallest value that at least ``share`` of ``values`` (not empty) do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]

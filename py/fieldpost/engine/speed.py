"""How fast a turn is and when it will be over. Pure; times are of a clock that never goes back."""

from __future__ import annotations

from collections import deque

_SPAN_MS = 10_000


class Speed:
    """A moving speed over the last 10 seconds, in items and in bytes."""

    def __init__(self, now: float = 0):
        self._began = now
        self._samples: deque[tuple[float, int, int]] = deque()

    def add(self, now: float, items: int = 0, size: int = 0) -> None:
        """So many items settled, so many bytes sent since the sample before."""
        self._samples.append((now, items, size))
        self._drop(now)

    def _drop(self, now: float) -> None:
        while self._samples and self._samples[0][0] <= now - _SPAN_MS:
            self._samples.popleft()

    def per_second(self, now: float) -> tuple[float, float]:
        """(items, bytes) a second; zeros while nothing is known."""
        self._drop(now)
        span = min(_SPAN_MS, now - self._began)
        if span <= 0:
            return 0.0, 0.0
        items = sum(n for _, n, _ in self._samples)
        size = sum(n for _, _, n in self._samples)
        return items * 1000 / span, size * 1000 / span


def ms_left(items: int, items_per_s: float, size: int | None, bytes_per_s: float) -> int | None:
    """Time for ``items`` items of ``size`` bytes together at these speeds: the longer of the two;
    None while neither is known."""
    times = []
    if items_per_s > 0:
        times.append(items / items_per_s)
    if size is not None and bytes_per_s > 0:
        times.append(size / bytes_per_s)
    return int(max(times) * 1000) if times else None

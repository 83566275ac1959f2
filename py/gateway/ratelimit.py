"""A token bucket for each device: bursts are fine, a retry storm is spread out."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

#: Devices remembered; the least recent one goes, and starts again with a full bucket.
DEVICES_MAX = 10_000


class RateLimit:
    """``burst`` requests at once, then ``per_second``."""

    def __init__(
        self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """0.0 when the request may pass, otherwise the seconds until it may."""
        now = self._clock()
        left, at = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[key] = (left if wait else left - 1, now)
        if len(self._buckets) > DEVICES_MAX:
            self._buckets.popitem(last=False)
        return wait

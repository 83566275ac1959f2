"""Retry policies: when an item, or a lane, is tried again. Pure; the jitter fraction is passed in.

Presets carry the schedules of the five source documents (REQUIREMENTS part 2, table "Where the
documents disagree", rows 1-3).
"""

from __future__ import annotations

from dataclasses import dataclass

#: 2**40 ms is 34 years: no policy means more, and the exponent never overflows (known failure 26).
_EXPONENT_MAX = 40
#: Upper bound of every delay, also of a server's Retry-After: a typo there must not strand an item.
DELAY_MS_MAX = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delay before try n+1 (n = tries used, from 1): ``base_ms * factor**(n-1)``, at most
    ``cap_ms``, plus ``jitter_ms`` times the fraction, or times 1 +- ``jitter_ratio``."""

    base_ms: int
    factor: float = 2.0
    cap_ms: int = DELAY_MS_MAX
    jitter_ms: int = 0
    jitter_ratio: float = 0.0
    max_attempts: int = 5

    def __post_init__(self) -> None:
        if self.base_ms < 1 or self.factor < 1 or self.max_attempts < 1 or self.cap_ms < 1:
            raise ValueError("a retry policy needs base_ms, factor, cap_ms and max_attempts >= 1")

    def delay_ms(self, used: int, fraction: float) -> int:
        """Milliseconds to wait after ``used`` (>= 1) tries; ``fraction`` uniform in [0, 1)."""
        exponent = min(max(used - 1, 0), _EXPONENT_MAX)
        delay = min(self.base_ms * self.factor**exponent, self.cap_ms)
        delay = delay * (1 + self.jitter_ratio * (2 * fraction - 1)) + self.jitter_ms * fraction
        return max(1, int(min(delay, DELAY_MS_MAX)))

    def decide(self, used: int, fraction: float, retry_after_ms: int | None = None) -> int | None:
        """The delay before the next try, or None when the tries are used up.

        A server's ``retry_after_ms`` wins over the schedule where it is longer than nothing.
        """
        if used >= self.max_attempts:
            return None
        if retry_after_ms is not None:
            return max(1, min(retry_after_ms, DELAY_MS_MAX))
        return self.delay_ms(used, fraction)


_MINUTE = 60_000

PRESETS: dict[str, RetryPolicy] = {
    "itsm": RetryPolicy(30_000, 2, jitter_ms=5_000, max_attempts=5),
    "api": RetryPolicy(1_000, 2, cap_ms=30_000, jitter_ratio=0.1, max_attempts=3),
    "interactive": RetryPolicy(1_000, 2, jitter_ms=500, max_attempts=5),
    "evidence": RetryPolicy(2 * _MINUTE, 2, cap_ms=60 * _MINUTE, max_attempts=10),
    "browser": RetryPolicy(10_000, 2, max_attempts=3),
}

#: How a lane waits for a server that does not answer. No tries are counted: a lane never gives up.
RECONNECT = RetryPolicy(1_000, 2, cap_ms=60_000, jitter_ratio=0.2, max_attempts=1_000_000_000)

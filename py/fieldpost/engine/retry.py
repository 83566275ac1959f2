"""Retry policies: when an item, or a lane, is tried again. Pure; the jitter fraction is passed in.

Presets carry the schedules of the five source documents (REQUIREMENTS part 2, table "Where the
documents disagree", rows 1-3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

#: Upper bound of every delay, also of a server's Retry-After: a typo there must not strand an item.
DELAY_MS_MAX = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delay before try n+1 (n = tries used, from 1): ``base_ms * factor**(n-1)``, at most
    ``cap_ms``, plus ``jitter_ms`` times the fraction, or times 1 +- ``jitter_ratio``.

    ``max_age_ms``: from this long after its first try on (since a person last revived it), the item
    is tried no more; None = only ``max_attempts`` ends it. Raises `ValueError` naming every field
    that is wrong.
    """

    base_ms: int
    factor: float = 2.0
    cap_ms: int = DELAY_MS_MAX
    jitter_ms: int = 0
    jitter_ratio: float = 0.0
    max_attempts: int = 5
    max_age_ms: int | None = None

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be a number from {low} to {high}"
            for name, (low, high) in _BOUNDS.items()
            if (name, value := getattr(self, name)) != ("max_age_ms", None)
            and not (_is_number(value, whole=name not in _FRACTIONS) and low <= value <= high)
        ]
        if wrong:
            raise ValueError("retry policy: " + "; ".join(wrong))

    def delay_ms(self, used: int, fraction: float) -> int:
        """Milliseconds to wait after ``used`` (>= 1) tries; ``fraction`` uniform in [0, 1).

        What would be more than a day is not computed: the millionth power overflows (known failure
        26).
        """
        steps, cap = max(used - 1, 0), min(self.cap_ms, DELAY_MS_MAX)
        beyond = steps * math.log(self.factor) >= math.log(DELAY_MS_MAX)
        delay = float(cap) if beyond else min(self.base_ms * self.factor**steps, float(cap))
        delay = delay * (1 + self.jitter_ratio * (2 * fraction - 1)) + self.jitter_ms * fraction
        return max(1, int(min(delay, DELAY_MS_MAX)))

    def decide(
        self, used: int, fraction: float, retry_after_ms: int | None = None, age_ms: int = 0
    ) -> int | None:
        """The delay before the next try, or None when the tries, or the time for them, are used up.

        A server's ``retry_after_ms`` wins over the schedule where it is longer than nothing.
        ``age_ms``: since the first try.
        """
        if used >= self.max_attempts:
            return None
        if self.max_age_ms is not None and age_ms >= self.max_age_ms:
            return None
        if retry_after_ms is not None:
            return max(1, min(retry_after_ms, DELAY_MS_MAX))
        return self.delay_ms(used, fraction)


#: Field -> (least, most).
_BOUNDS: dict[str, tuple[float, float]] = {
    "base_ms": (1, DELAY_MS_MAX),
    "factor": (1, 1_000_000),
    "cap_ms": (1, DELAY_MS_MAX),
    "jitter_ms": (0, DELAY_MS_MAX),
    "jitter_ratio": (0, 1),
    "max_attempts": (1, 1_000_000_000),
    "max_age_ms": (1, 10 * 365 * DELAY_MS_MAX),
}
_FRACTIONS = frozenset({"factor", "jitter_ratio"})


def _is_number(value: object, *, whole: bool) -> bool:
    """No bool, which Python takes for a number. (NaN and infinities lie within no bounds.)"""
    return not isinstance(value, bool) and isinstance(value, int if whole else (int, float))


#: As a caller may name a policy (`policy_of`).
PolicyLike = str | Mapping[str, Any] | RetryPolicy


def policy_of(value: PolicyLike) -> RetryPolicy:
    """A preset by name, a custom policy by its fields, or a policy as it is.

    Raises `ValueError` for a name or a field that does not exist and for values out of bounds.
    """
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, str):
        if value not in PRESETS:
            raise ValueError(f"there is no retry policy '{value}'; known: {', '.join(PRESETS)}")
        return PRESETS[value]
    unknown = sorted(set(value) - {f.name for f in fields(RetryPolicy)})
    if unknown:
        raise ValueError(f"retry policy: there is no {', '.join(unknown)}")
    if "base_ms" not in value:
        raise ValueError("retry policy: base_ms is required")
    return RetryPolicy(**value)


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

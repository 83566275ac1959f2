"""The retry budget of a lane: retries stay a bounded share of its traffic (U43). Pure.

A token bucket: each item sent for the first time adds a part of a token, time adds some, each retry
takes one. A retry that finds none is not refused: it is put off until its token will be there, so
the items of a batch that failed together come back one after another (known failure 22).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from .retry import DELAY_MS_MAX

#: Retries for each fresh item, retries a second without any, and how many may come at once.
RATIO, PER_SECOND, BURST = 0.2, 5.0, 20.0


@dataclass(frozen=True, slots=True)
class Budget:
    """``tokens``: below 0 for retries that are put off already; ``at``: ms, counted up to."""

    tokens: float = BURST
    at: int = 0

    def at_time(self, now: int) -> Self:
        """With what time has added. A clock that was set back adds nothing and takes nothing."""
        passed = max(0, now - self.at) if self.at else 0
        return replace(self, tokens=min(BURST, self.tokens + passed * PER_SECOND / 1000), at=now)

    def fresh(self, items: int) -> Self:
        """So many items were sent for the first time."""
        return replace(self, tokens=min(BURST, self.tokens + items * RATIO))

    @property
    def wait_ms(self) -> int:
        """What a retry scheduled now has to wait at least."""
        return int(min(max(0.0, 1 - self.tokens) * 1000 / PER_SECOND, DELAY_MS_MAX))

    def spent(self) -> Self:
        """One retry was scheduled. The debt is bounded as every wait is."""
        return replace(self, tokens=max(self.tokens - 1, -DELAY_MS_MAX * PER_SECOND / 1000))

    def dump(self) -> list[Any]:
        return [round(self.tokens, 3), self.at]

    @classmethod
    def load(cls, value: list[Any] | None) -> Self:
        return cls(float(value[0]), int(value[1])) if value else cls()

"""How a lane is, and what is done about it by itself (U51). Pure.

``healthy``: full batches. ``degraded``: failures, slowness or an outage just over, so less is asked
of the destination. ``critical``: most requests fail, so only what is urgent goes, or one item alone
to find out. ``offline``: nothing can go. Each comes from the figures of the last minutes only, so a
lane grows back by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from . import breaker as breakers

#: Failure rates at which to warn and to act (REQUIREMENTS part 3, "Monitoring thresholds").
_FAILING, _BROKEN = 0.10, 0.25
_REQUESTS_MIN = 10
_SLOW_MS = 5_000
#: Items waiting from which slowness counts twice.
_DEEP = 2_000
#: What still goes while a lane is critical.
URGENT = 8


class Health(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    CRITICAL = "critical"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one lane. ``breaker``: its word (`Breaker.word`); ``requests``, ``failing`` (share, 0 to
    1) and ``mean_ms`` of the last five minutes; ``depth``: items waiting."""

    online: bool
    breaker: str
    requests: int
    failing: float
    mean_ms: float
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Reaction:
    """``items``: the most in one request, None = as learnt; ``share`` of the learnt size;
    ``urgent_only``: only priority >= `URGENT`, or one item alone;
    ``load`` (0 to 1): how hard the destination is pressed, for `batching.Size`."""

    items: int | None = None
    share: float = 1.0
    urgent_only: bool = False
    load: float = 0.0

    def limit(self, items: int) -> int:
        """Of a batch that would hold ``items``."""
        most = max(1, int(items * self.share))
        return most if self.items is None else min(most, self.items)


_REACTIONS = {
    Health.HEALTHY: Reaction(),
    Health.DEGRADED: Reaction(share=0.5, load=0.8),
    Health.CRITICAL: Reaction(items=10, share=0.5, urgent_only=True, load=1.0),
    Health.OFFLINE: Reaction(items=1, share=0.5, urgent_only=True, load=1.0),
}


def health(figures: Figures) -> Health:
    """The worst that one of the figures says. How many wait is no illness: a deep queue before a
    quick server is only work; before a slow one it is a reason to ask for less."""
    if not figures.online:
        return Health.OFFLINE
    known = figures.requests >= _REQUESTS_MIN
    slow = known and figures.mean_ms > _SLOW_MS
    if figures.breaker in (breakers.OPEN, breakers.HELD):
        return Health.CRITICAL
    if (known and figures.failing > _BROKEN) or (slow and figures.depth >= _DEEP):
        return Health.CRITICAL
    if figures.breaker == breakers.HALF_OPEN or slow or (known and figures.failing > _FAILING):
        return Health.DEGRADED
    return Health.HEALTHY


def reaction(state: Health) -> Reaction:
    return _REACTIONS[state]


_Row = TypeVar("_Row")


def admitted(rows: Sequence[_Row], priorities: Sequence[int], to: Reaction) -> list[_Row]:
    """Of rows in their order, those that may go together now: never none, or a lane on which
    nothing urgent waits would never find out that it is well again."""
    if not to.urgent_only:
        return list(rows[: to.items])
    urgent = [row for row, priority in zip(rows, priorities, strict=True) if priority >= URGENT]
    return urgent[: to.items] or list(rows[:1])

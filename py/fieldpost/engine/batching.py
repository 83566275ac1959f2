"""Which items share a request, when it goes, and how many it may hold (REQUIREMENTS part 3,
"Batching"). Pure.

Waiting for a batch to fill is only for strategies that ask for it (`flush_at`); how many go
together is learnt for every lane (`Size`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from .limits import BATCH_ITEMS_MAX, PRIORITY_MAX

#: One of these in a batch halves what it waits for; one of the highest lets it wait for nothing.
_HIGH = 8
#: Part of the timeout that a batch of each band waits: the urgent ones less, the low ones more.
_TIMEOUT_BY_BAND = {1: 1.5, 2: 1.0, 3: 0.6, 4: 0.3}

#: What counts as slow and as fast, ms for a whole request.
SLOW_MS, FAST_MS = 5_000, 1_000
#: Load (0 to 1) at which slowness is the server's, and up to which there is room for more.
_BUSY, _IDLE = 0.8, 0.5
_POOR, _GOOD = 0.90, 0.95


def band(priority: int) -> int:
    """1 (low) to 4 (critical): ceil(priority / 3)."""
    return -(-priority // 3)


def flush_at(
    *, count: int, top_priority: int, oldest_at: int, now: int, capacity: int, timeout_ms: int
) -> int:
    """When a batch goes: ``now`` or earlier means at once. All times in ms.

    ``count`` items wait, the highest priority among them is ``top_priority``, the first has waited
    since ``oldest_at``; ``capacity``: items that make it full (`Size.limit`). Full, or half full
    where a priority of 8 or more waits, or any with 10: at once. Else at the timeout, by band. A
    clock that was set back lets nothing wait longer than the timeout: it goes at once.
    """
    if count <= 0:
        raise ValueError("an empty batch never goes")
    high = top_priority >= _HIGH
    if top_priority >= PRIORITY_MAX or count >= capacity or (high and 2 * count >= capacity):
        return now
    if oldest_at > now:
        return now
    return oldest_at + int(timeout_ms * _TIMEOUT_BY_BAND[band(top_priority)])


@dataclass(frozen=True, slots=True)
class Size:
    """How many items one request of a lane may hold.

    ``learnt``: by what answers were like. ``ramp``: fewer for now, 0 = not limited: one after an
    outage, half after an answer that might be about a single item of several; doubled by each
    answer until it meets ``learnt`` again.
    """

    learnt: int = BATCH_ITEMS_MAX
    ramp: int = 0

    @property
    def limit(self) -> int:
        return max(1, min(self.learnt, self.ramp or self.learnt))

    def answered(
        self, *, success: float, took_ms: float, load: float, most: int = BATCH_ITEMS_MAX
    ) -> Self:
        """``success``: share of its items that the request got through (0 to 1), leaving out those
        refused for what they are; ``load`` (0 to 1): how hard the destination is pressed; ``most``:
        what it takes at all."""
        learnt = self.learnt
        if success < _POOR:
            learnt = learnt * 4 // 5
        elif took_ms > SLOW_MS and load >= _BUSY:
            learnt = learnt * 9 // 10
        elif took_ms < FAST_MS and load <= _IDLE and success > _GOOD:
            learnt = max(learnt + 1, learnt * 11 // 10)
        learnt = max(1, min(learnt, most))
        ramp = self.ramp * 2
        return replace(self, learnt=learnt, ramp=ramp if ramp < learnt else 0)

    def bisected(self, count: int) -> Self:
        """``count`` items went together and got one answer for all: fewer, until it is known which
        of them it is about."""
        return replace(self, ramp=max(1, min(self.ramp or count, count // 2)))

    def restarted(self) -> Self:
        """After an outage: not everything at once (known failure 22)."""
        return replace(self, ramp=1)

    def dump(self) -> list[Any]:
        return [self.learnt, self.ramp]

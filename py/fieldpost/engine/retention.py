"""How long what is over is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model import Item
from .transitions import END_STATES, State

_DAY_MS = 24 * 3600 * 1000
KEPT_MS_MIN = 60_000
#: Time since the last look over which the clock is believed: one that jumped ahead would make
#: everything old at once. After a longer time away the first look only notes the time.
STEADY_MS = 3 * _DAY_MS


@dataclass(frozen=True, slots=True)
class Retention:
    """Milliseconds after an item's end until its row goes; None: kept for ever. ``kinds``: another
    time by kind; ``unsent``: kinds of which only what was delivered goes. What has not ended is
    never due."""

    completed_ms: int | None = 7 * _DAY_MS
    failed_ms: int | None = 30 * _DAY_MS
    unsent: tuple[str, ...] = ("evidence",)
    kinds: Mapping[str, int | None] = field(default_factory=lambda: {"log": _DAY_MS})

    def __post_init__(self) -> None:
        times = (self.completed_ms, self.failed_ms, *self.kinds.values())
        if any(ms is not None and ms < KEPT_MS_MIN for ms in times):
            raise ValueError(f"what has ended is kept for {KEPT_MS_MIN} ms at least")

    def _kept_ms(self, state: State) -> int | None:
        return self.completed_ms if state is State.COMPLETED else self.failed_ms

    def removes(self, state: State) -> bool:
        """Whether anything in this state ever goes."""
        return state in END_STATES and (
            self._kept_ms(state) is not None or any(self.kinds.values())
        )

    def believes(self, now: int, last_look: int | None) -> bool:
        """Whether the clock has gone on from the last look as clocks do (known failure 11)."""
        return last_look is not None and 0 <= now - last_look <= STEADY_MS

    def is_due(self, item: Item, now: int) -> bool:
        if item.state not in END_STATES:
            return False
        if item.kind in self.unsent and item.state is not State.COMPLETED:
            return False
        kept = self.kinds.get(item.kind, self._kept_ms(item.state))
        return kept is not None and now - item.updated_at >= kept

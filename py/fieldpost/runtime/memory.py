"""What a lane remembers from turn to turn, and what one turn amounted to: side records, as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from fieldpost.engine.scheduling import Average


@dataclass(slots=True)
class Memory:
    """What a lane remembers between turns. ``since``: it has been sending since then without a
    silence longer than the bound on waiting; ``last``: the latest answer; ``slot``: the latest
    time of the schedule that was kept. All ms."""

    since: int = 0
    last: int = 0
    slot: int = 0
    averages: dict[int, Average] = field(default_factory=dict)

    def dump(self) -> str:
        levels = {str(p): [a.success, a.response_ms, a.samples, a.at] for p, a in self._known()}
        return json.dumps(
            {"since": self.since, "last": self.last, "slot": self.slot, "levels": levels}
        )

    def _known(self) -> list[tuple[int, Average]]:
        return sorted(self.averages.items())

    @classmethod
    def load(cls, text: str | None) -> Memory:
        value = json.loads(text) if text else {}
        averages = {int(p): Average(*a[:4]) for p, a in value.get("levels", {}).items()}
        known = {name: int(value.get(name, 0)) for name in ("since", "last", "slot")}
        return cls(**known, averages=averages)


@dataclass(slots=True)
class Turn:
    """One entry of the sync history."""

    at: int
    by_hand: bool = False
    ms: int = 0
    sent: int = 0
    failed: int = 0
    bytes: int = 0
    error: str | None = None
    connection: str | None = None
    quality: str = "unknown"

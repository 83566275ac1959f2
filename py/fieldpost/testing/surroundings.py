"""A place and a network as a test wants them: `ports.Surroundings`."""

from __future__ import annotations

from dataclasses import dataclass, field

from fieldpost.engine.network import Hints
from fieldpost.engine.power import Device


@dataclass
class FakeSurroundings:
    """``offsets``: (from UTC ms, offset in ms), ascending; the clocks change at each."""

    offsets: list[tuple[int, int]] = field(default_factory=list)
    network: Hints = field(default_factory=Hints)
    state: Device = field(default_factory=Device)

    def utc_offset_ms(self, at: int) -> int:
        return next((offset for since, offset in reversed(self.offsets) if at >= since), 0)

    def hints(self) -> Hints:
        return self.network

    def device(self) -> Device:
        return self.state

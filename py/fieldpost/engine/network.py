"""How good the network is, and whether it may be used: scores, batch sizes, metered rules. Pure.

Formulas: REQUIREMENTS part 3, "Network quality". Measured are our own requests; what the browser
says (`Hints`) fills in what nothing was measured of.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from .limits import BATCH_ITEMS_MAX

Quality = Literal["excellent", "good", "fair", "poor", "none", "unknown"]
Mode = Literal["wait", "immediate", "metered_fallback", "wait_for_unmetered"]

#: Items a request at most. Nothing known limits nothing.
BATCH_ITEMS: dict[Quality, int] = {
    "excellent": 100,
    "good": 50,
    "fair": 25,
    "poor": 10,
    "none": 5,
    "unknown": BATCH_ITEMS_MAX,
}
FALLBACK_AGE_MS, FALLBACK_BYTES = 24 * 3_600_000, 1_000_000
EMERGENCY_AGE_MS, EMERGENCY_BYTES = 48 * 3_600_000, 5_000_000
#: A transfer tells of the bandwidth from here on; smaller ones tell of the latency only.
TRANSFER_BYTES = 32 * 1024

_RECENT = 8
_SAMPLES = 100


@dataclass(frozen=True, slots=True)
class Hints:
    """What the host says of the network. None: it does not say."""

    type: str | None = None  # "wifi", "cellular", "ethernet", …
    save_data: bool | None = None
    downlink_mbps: float | None = None
    rtt_ms: float | None = None

    @property
    def metered(self) -> bool:
        """Only what is known to cost: a browser that says nothing must not stop everything."""
        return bool(self.save_data) or self.type == "cellular"


def latency_score(ms: float) -> int:
    return 50 if ms < 100 else 30 if ms < 300 else 15 if ms < 1_000 else 5


def bandwidth_score(mbps: float) -> int:
    return 50 if mbps > 5 else 30 if mbps > 2 else 15 if mbps > 0.5 else 5


def quality_of(score: int) -> Quality:
    return (
        "excellent" if score >= 80 else "good" if score >= 60 else "fair" if score >= 40 else "poor"
    )


def mode(
    *, online: bool, metered: bool, quality: Quality, mbps: float, oldest_ms: int, waiting: int
) -> Mode:
    """Whether to send now. ``oldest_ms``: age of the oldest waiting item; ``waiting``: bytes."""
    if not online:
        return "wait"
    fast = quality == "excellent" and mbps > 5
    emergency = oldest_ms >= EMERGENCY_AGE_MS or waiting >= EMERGENCY_BYTES
    if not metered or fast or emergency:
        return "immediate"
    if oldest_ms >= FALLBACK_AGE_MS or waiting >= FALLBACK_BYTES:
        return "metered_fallback"
    return "wait_for_unmetered"


class Meter:
    """The latest requests of this context. Not durable: a network is another one after a while."""

    def __init__(self) -> None:
        self._small: deque[float] = deque(maxlen=_RECENT)
        self._large: deque[float] = deque(maxlen=_RECENT)
        self._mbps: deque[float] = deque(maxlen=_RECENT)
        self._qualities: deque[tuple[str | None, Quality]] = deque(maxlen=_SAMPLES)
        self._cut = False
        #: Of the latest answer, ms.
        self.response_ms = 0.0

    def answered(self, size: int, elapsed_ms: float, hints: Hints) -> None:
        """A request of ``size`` bytes, body and answer, was answered."""
        self._cut, self.response_ms = False, elapsed_ms
        if size < TRANSFER_BYTES:
            self._small.append(elapsed_ms)
        else:
            self._large.append(elapsed_ms)
            self._mbps.append(size * 8 / 1_000 / max(elapsed_ms, 1))
        self._sample(hints)

    def unanswered(self, hints: Hints) -> None:
        self._cut = True
        self._sample(hints)

    def _sample(self, hints: Hints) -> None:
        self._qualities.append((hints.type, self.quality(hints)))

    def latency_ms(self, hints: Hints) -> float | None:
        """The shortest of the latest small requests, for want of those of the large ones: the time
        a server works counts for no network."""
        return min(self._small or self._large, default=hints.rtt_ms)

    def mbps(self, hints: Hints) -> float | None:
        """The fastest of the latest transfers, for the same reason."""
        return max(self._mbps, default=hints.downlink_mbps)

    def quality(self, hints: Hints) -> Quality:
        if self._cut:
            return "none"
        latency, mbps = self.latency_ms(hints), self.mbps(hints)
        if latency is None and mbps is None:
            return "unknown"
        parts = [
            None if latency is None else latency_score(latency),
            None if mbps is None else bandwidth_score(mbps),
        ]
        # What is not known is taken to be as good as what is.
        known = [part for part in parts if part is not None]
        return quality_of(sum(known) * 2 // len(known))

    @property
    def stability(self) -> float:
        """Share of samples among the last 100 that are as the one before; 1 when there are none."""
        pairs = list(zip(self._qualities, list(self._qualities)[1:], strict=False))
        return sum(a == b for a, b in pairs) / len(pairs) if pairs else 1.0

"""When what waits is sent: at once, together, or at set times. Pure.

A person who asks is never held: by hand always goes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .windows import Offset, clock_time

#: Share of the timeout that a priority band waits for others (REQUIREMENTS part 3, "Batching").
BAND_WAIT = {4: 0.3, 3: 0.6, 2: 1.0, 1: 1.5}
#: With one of these waiting, half a batch is enough, or a single item.
HALF_FROM, AT_ONCE_FROM = 8, 10


@dataclass(frozen=True, slots=True)
class Held:
    """Why a lane that could send does not. ``reason``: maintenance, metered, scheduled, batched;
    ``until``: ms, when it is over if nothing happens, None when that is not known."""

    reason: str
    until: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Band:
    """The waiting texts of one priority band. ``since``: ms, when the oldest one was made;
    ``count`` needs to be exact up to a full batch only."""

    top: int  # highest priority among them
    count: int
    since: int


def band_of(priority: int) -> int:
    return -(-priority // 3)


def flush_at(bands: Iterable[Band], size: int, timeout_ms: int, now: int) -> int | None:
    """When the first of the bands is to be sent (ms; at most ``now`` = at once); None when nothing
    waits. A band that was made in the future (the clock was set back) does not wait."""
    return min((_band_flush_at(band, size, timeout_ms, now) for band in bands), default=None)


def _band_flush_at(band: Band, size: int, timeout_ms: int, now: int) -> int:
    enough = (size + 1) // 2 if band.top >= HALF_FROM else size
    if band.top >= AT_ONCE_FROM or band.count >= enough or band.since > now:
        return now
    return band.since + int(timeout_ms * BAND_WAIT[band_of(band.top)])


def maintenance(until: int | None, offset: Offset) -> Held:
    end = f", until {clock_time(until, offset)}" if until is not None else ""
    return Held("maintenance", until, f"Nothing is sent during maintenance{end}.")


def unmetered() -> Held:
    text = "Waits for a network that costs nothing. Sync now sends it over mobile data."
    return Held("metered", None, text)


def scheduled(until: int | None, offset: Offset) -> Held:
    at = f"To be sent at {clock_time(until, offset)}." if until is not None else "To be sent later."
    return Held("scheduled", until, at)


def batched(until: int, offset: Offset) -> Held:
    latest = f"until {clock_time(until, offset)} at the latest"
    return Held("batched", until, f"Waits for more items to send together, {latest}.")


def in_window(until: int | None, offset: Offset) -> str:
    """Of an item of a disruptive kind, outside its windows."""
    at = f", at {clock_time(until, offset)}" if until is not None else ""
    return f"It is sent in the next maintenance window{at}."

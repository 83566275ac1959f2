"""When what waits is sent: at once, together, or at set times. Pure.

A person who asks is never held: by hand always goes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import batching
from .windows import Offset, clock_time


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


def flush_at(bands: Iterable[Band], size: int, timeout_ms: int, now: int) -> int | None:
    """When the first of the bands is to be sent (ms; at most ``now`` = at once); None when nothing
    waits. A band that was made in the future (the clock was set back) does not wait."""
    times = (
        batching.flush_at(
            count=band.count,
            top_priority=band.top,
            oldest_at=band.since,
            now=now,
            capacity=size,
            timeout_ms=timeout_ms,
        )
        for band in bands
    )
    return min(times, default=None)


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

"""When what waits is sent: at once, together, or at set times. Pure.

A person who asks is never held: by hand always goes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from . import batching
from .windows import Offset, clock_time


@dataclass(frozen=True, slots=True)
class Held:
    """Why a lane that could send does not. ``reason``: maintenance, metered, scheduled, batched;
    ``until``: ms, when it is over if nothing happens, None when that is not known."""

    reason: str
    until: int | None
    text: str


class Text(NamedTuple):
    """A waiting text. ``created_at``: ms."""

    kind: str
    operation: str
    priority: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Waiting texts that make one batch. ``top``: the highest priority among them; ``since``: ms,
    when the oldest one was made."""

    top: int
    count: int
    since: int


def gathered(texts: Iterable[Text], now: int) -> list[Batch]:
    """One lane's texts as batches, each of one operation of one kind and one priority band. A text
    of the future (the clock was set back) makes its batch one of the future."""
    batches: dict[tuple[str, str, int], Batch] = {}
    for kind, operation, priority, made in texts:
        key = (kind, operation, batching.band(priority))
        before = batches.get(key, Batch(0, 0, made))
        first, last = sorted((made, before.since))
        since = last if last > now else first
        batches[key] = Batch(max(before.top, priority), before.count + 1, since)
    return list(batches.values())


def flush_at(batches: Iterable[Batch], size: int, timeout_ms: int, now: int) -> int | None:
    """When the lane goes (ms; at most ``now`` = at once): with the first batch that is due; None
    when nothing waits.

    What is not due rides along. Waiting saves waking the radio and making the connection, and both
    are up then; a request may hold several operations. Leaving the rest behind would save nothing
    and would need a claim that passes over rows of the index, which costs the more the more wait.
    """
    times = (
        batching.flush_at(
            count=batch.count,
            top_priority=batch.top,
            oldest_at=batch.since,
            now=now,
            capacity=size,
            timeout_ms=timeout_ms,
        )
        for batch in batches
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

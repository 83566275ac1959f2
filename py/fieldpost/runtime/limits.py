"""Limits in the inserting commit: several changes share one, and each needs room of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fieldpost.engine.errors import QueueFull
from fieldpost.engine.limits import Limits
from fieldpost.engine.transitions import OPEN_STATES
from fieldpost.ports import Below, Precondition, Refused, Store

if TYPE_CHECKING:
    from .committer import Change, Write


def room_for(limits: Limits, writes: Sequence[Write]) -> list[Below]:
    """The preconditions under which all of these new rows come in, or none."""
    if len(writes) == 1:
        item = writes[0].put.item
        demands = limits.demands(item.kind, 1, item.size)
        return [Below(demand.counter, demand.most - demand.adding + 1) for demand in demands]
    items, sizes = Counter[str](), Counter[str]()
    for write in writes:
        items[write.put.item.kind] += 1
        sizes[write.put.item.kind] += write.put.item.size
    needed = dict[tuple[str, int], int]()
    for kind, n in items.items():
        for demand in limits.demands(kind, n, sizes[kind]):
            place = (demand.counter, demand.most)
            needed[place] = needed.get(place, 0) + demand.adding
    return [Below(counter, most - n + 1) for (counter, most), n in needed.items()]


async def queue_full(store: Store, limits: Limits, refused: Below) -> QueueFull:
    """The error for a precondition of `room_for` that did not hold, with what would free room."""
    used = (await store.counters()).get(refused.counter, 0)
    unit = "bytes" if refused.counter.startswith("bytes") else "items"
    _, _, kind = refused.counter.partition(":")
    kept = limits.kinds.get(kind)
    most = limits.items if unit == "items" else limits.bytes or 0
    if kept is not None:
        most = (kept.items if unit == "items" else kept.bytes) or 0
    adding = most - refused.limit + 1
    return QueueFull(limit=kind or "all", used=used, most=most, unit=unit, adding=adding)


def _add(taken: dict[str, int], change: Change) -> None:
    """Count by how much the change raises each counter that limits look at."""
    for write in change.writes:
        item = write.put.item
        if item.state in OPEN_STATES and write.was not in OPEN_STATES:
            for counter, by in (
                ("open", 1),
                ("bytes", item.size),
                (f"open:{item.kind}", 1),
                (f"bytes:{item.kind}", item.size),
            ):
                taken[counter] = taken.get(counter, 0) + by


def together(changes: Sequence[Change]) -> list[Precondition]:
    """The preconditions of one commit for all: `Below` looks at the counter before the commit, so
    each change's limit is lowered by what those before it add."""
    if len(changes) == 1:
        return changes[0].demands
    expect, taken = list[Precondition](), dict[str, int]()
    for change in changes:
        for demand in change.demands:
            if isinstance(demand, Below) and (less := taken.get(demand.counter, 0)):
                expect.append(Below(demand.counter, demand.limit - less))
            else:
                expect.append(demand)
        _add(taken, change)
    return expect


def refused_alike(
    changes: Sequence[Change], at: int, refusal: Refused
) -> list[tuple[int, Refused]]:
    """Changes behind ``at`` that the same full counter refuses too, and why: to answer them all at
    once saves a commit for each."""
    full = refusal.expectation
    if not isinstance(full, Below):
        return []
    found = []
    for place, change in enumerate(changes[at + 1 :], at + 1):
        for index, demand in enumerate(change.expect):
            if not isinstance(demand, Below) or demand.counter != full.counter:
                continue
            if demand.limit <= full.limit:
                found.append((place, Refused(index, demand)))
                break
    return found

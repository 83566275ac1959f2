"""What falls due without an answer: children left over by a commit, items past their expiry, and
those that waited for a window that is no more."""

from __future__ import annotations

from collections.abc import Collection

from fieldpost.engine.machine import Lapsed, Woken, step
from fieldpost.engine.ordering import has_expired
from fieldpost.engine.record import history_with
from fieldpost.engine.transitions import CLAIMABLE_STATES, Event
from fieldpost.ports import Clock, Put, Refused, Store

from .committer import Change, Committer, Write
from .ordering import TABLE

_PAGE = 100


async def finish_left_over(store: Store, committer: Committer) -> None:
    """See to children of rows that ended in a commit too large to hold them all, where whoever made
    it was killed before the next one."""
    while left := sorted(await store.sides(TABLE)):
        await committer.commit(Change(revisit=left))


async def expire(store: Store, committer: Committer, clock: Clock) -> int:
    """End what was not sent by its own ``expires_at``; returns how many.

    By the wall clock and nothing else: where that jumps forward, what it says is over is over. Only
    what was never begun, or answered with "later", ends so: not what may have arrived.
    """
    count = 0
    while True:
        now = clock.now()
        rows = await store.expired(now, _PAGE)
        if not rows:
            return count
        opened = await store.get([row.item.id for row in rows], ("history",))
        writes = []
        for row in opened:
            if not has_expired(row.item, now):
                continue
            entry = {"n": 0, "at": now, "ended_at": now, "outcome": str(Event.EXPIRE)}
            parts: dict[str, bytes | None] = {
                "history": history_with(row.parts.get("history"), entry)
            }
            writes.append(Write(Put(step(row.item, Lapsed(), now), parts), was=row.item.state))
        try:
            await committer.commit(Change(writes))  # an empty one, if all were changed: look again
            count += len(writes)
        except Refused:
            continue  # one of them was claimed or changed meanwhile: look again


async def unpark(store: Store, committer: Committer, clock: Clock, kinds: Collection[str]) -> None:
    """Look at once at the items of ``kinds`` that wait for a time: a person changed the windows
    that they may have been put off for. (Whatever still has to wait is put off again.)"""
    counters = await store.counters()
    if not any(counters.get(f"open:{kind}") for kind in kinds):
        return
    cursor: int | None = None
    while True:
        page = await store.page(sorted(CLAIMABLE_STATES), limit=_PAGE, cursor=cursor)
        now = clock.now()
        for item in (row.item for row in page.rows):
            if item.kind not in kinds or item.due_at is None or (item.not_before or 0) > now:
                continue
            try:
                await committer.commit(Change([Write(Put(step(item, Woken(), now)), item.state)]))
            except Refused:
                continue  # it went, or was changed: whoever did that has seen to it
        if page.next is None:
            return
        cursor = page.next

"""What a drainer that is gone left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fieldpost.engine.limits import REQUEST_TIMEOUT_MS
from fieldpost.engine.machine import Orphaned, step
from fieldpost.engine.transitions import State
from fieldpost.ports import Leadership, Put

from .committer import Write
from .followups import overtaken

if TYPE_CHECKING:
    from .driver import Driver

_PAGE = 200


async def recover(driver: Driver, leadership: Leadership) -> None:
    """Rows that a drainer left ``in_progress``: it held the lock we hold now, so it is gone, or so
    frozen that the lock was taken from it. Where the intent is durable a byte may have left.

    With a ``strong`` destination even a frozen drainer's late bytes have no second effect; with
    others its lease must run out first, and the time of a request after it.
    """
    store, now = driver.host.store, driver.host.clock.now()
    declared = driver.destination.declaration
    strong = declared.guarantee == "strong"
    can_ask = declared.lookup is not None
    cursor: int | None = None
    while True:
        page = await store.page(
            [State.IN_PROGRESS], limit=_PAGE, cursor=cursor, parts=("intent", "head")
        )
        if leadership.lost:
            return  # granted while this context was frozen, and taken: these are another's now
        writes = []
        for row in page.rows:
            if row.item.lane != driver.lane:
                continue  # under another lock than ours
            # Its last request may have left at the end of the lease, and takes its time to arrive.
            late = (row.item.lease_until or 0) + REQUEST_TIMEOUT_MS > now
            alive = late and leadership.stolen and not strong
            if not alive:
                item = step(row.item, Orphaned("intent" in row.parts), now)
                writes.append(Write(Put(item), was=row.item.state))
                # Its request may leave yet, however late.
                if (
                    leadership.stealable
                    and "intent" in row.parts
                    and can_ask
                    and row.item.step == 0
                ):
                    sweep_id = driver.host.entropy.uuid7(now)
                    look = overtaken(row.item, row.parts.get("head"), declared, sweep_id, now)
                    writes += [look] if look else []
        await driver.commit_each(writes)
        if page.next is None:
            return
        cursor = page.next

"""Another way out while a lane's destination is away (REQUIREMENTS U48), by itself or by hand.

Only what is known not to be over there goes elsewhere (`machine.Redirected`): no two destinations
know each other's keys. What may have arrived waits for the one it was sent to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fieldpost.engine.errors import IllegalTransition, InvalidItem
from fieldpost.engine.machine import Redirected, step
from fieldpost.engine.model import Stored
from fieldpost.engine.record import history_with
from fieldpost.ports import Put

from .committer import Write
from .routes import Lane

if TYPE_CHECKING:
    from .driver import Driver

#: Rows of each level looked at, and moved, in one commit.
_PAGE = 100


def redirected(row: Stored, to: Lane, now: int, reason: str = "") -> Write:
    """The row on another lane, with a line in its history (to be opened: ``history``).

    Raises `InvalidItem` where that one's destination does not take it, `IllegalTransition` where it
    may have arrived already.
    """
    to.demand(row.item.kind, files=bool(row.item.attachments))
    item = step(row.item, Redirected(to.lane), now)
    if to.title:
        item = item.changed(handed_to=to.lane)
    elif item.handed_to == row.item.lane:  # it was meant for that lane's destination itself
        item = item.changed(handed_to=None)
    said = {"n": 0, "at": now, "ended_at": now, "outcome": "redirect", "text": reason or to.lane}
    history = history_with(row.parts.get("history"), said)
    return Write(Put(item, parts={"history": history}), was=row.item.state)


async def fail_over(driver: Driver, to: Lane) -> int:
    """Send what waits for this lane by another one; how many went. What stays is not looked at
    again before the next turn."""
    store, moved = driver.host.store, 0
    while True:
        keys = await store.ready_keys(driver.lane, _PAGE)
        rows = await store.get([key.id for key in keys], ("history",))
        writes = []
        for row in rows:
            try:
                writes.append(redirected(row, to, driver.host.clock.now()))
            except (InvalidItem, IllegalTransition):
                continue  # it has to wait for this one
        count = len(await driver.commit_each(writes))
        moved += count
        if not count:
            return moved

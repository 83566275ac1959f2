"""Online first: deliver at once what was saved, and say what came of it within a time (U56)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fieldpost.engine.errors import QueueError
from fieldpost.engine.model import Item
from fieldpost.engine.transitions import OPEN_STATES, State

from .driver import Host

#: Turns that went on when their caller's time was over; a task nobody holds may be collected.
_going_on: set[asyncio.Future[bool]] = set()


async def online_first(
    host: Host, turn: Callable[[], Awaitable[bool]], item: Item, timeout_ms: int
) -> Item:
    """The item after a sync turn, or after ``timeout_ms``: whatever comes first.

    The turn is never cut short: what it has begun it ends, and the row says what it came to. When
    another context is the one that sends, its changes are waited for.
    """
    if item.state not in OPEN_STATES or not host.link.online:
        return item
    told = asyncio.Event()
    unsubscribe = host.tabs.subscribe(lambda _message: told.set())
    syncing = asyncio.ensure_future(_quiet(turn))
    _going_on.add(syncing)
    syncing.add_done_callback(_going_on.discard)
    timer = asyncio.ensure_future(host.clock.sleep(timeout_ms))
    try:
        await asyncio.wait({syncing, timer}, return_when=asyncio.FIRST_COMPLETED)
        item = await _now(host, item)
        while not timer.done() and not syncing.result() and _under_way(item):
            told.clear()
            heard = asyncio.ensure_future(told.wait())
            await asyncio.wait({heard, timer}, return_when=asyncio.FIRST_COMPLETED)
            heard.cancel()
            item = await _now(host, item)
    finally:
        timer.cancel()
        unsubscribe()
    return item


def _under_way(item: Item) -> bool:
    return item.state in OPEN_STATES and item.state is not State.HANDED_OVER


async def _now(host: Host, item: Item) -> Item:
    """As it is stored; as it was last when it has been removed since."""
    found = await host.store.get([item.id])
    return found[0].item if found else item


async def _quiet(turn: Callable[[], Awaitable[bool]]) -> bool:
    """Whether this context did the sending. A storage that fails meanwhile fails the turn, not the
    caller: the item is saved, and the loop tells of the trouble."""
    try:
        return await turn()
    except QueueError:
        return True

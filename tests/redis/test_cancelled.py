"""A task that talks to Redis ends when it is cancelled, in whichever step of a command."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from fieldpost.engine.errors import QueueError
from fieldpost.hosts.cpython.redis_tabs import RedisTabs
from fieldpost.stores.redis_link import Place, RedisLink

pytestmark = pytest.mark.full

#: Turns of the loop before the cancellation: a command takes about ten, the first one, which
#: connects, some forty.
TURNS = 120


async def cancelled_after(turns: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Whether a task that does ``work`` for ever is ended by one cancellation."""

    async def for_ever() -> None:
        while True:
            with contextlib.suppress(QueueError):
                await work()

    task = asyncio.create_task(for_ever())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=0.5)
    ended = task.cancelled()
    while not task.done():  # do not leave it to the next ones
        task.cancel()
        await asyncio.wait({task}, timeout=0.01)
    return ended


async def test_no_command_swallows_a_cancellation(url: str) -> None:
    """Python 3.11's wait_for, in which redis-py writes, does: without `cancellable` some of these
    tasks go on."""
    link = RedisLink(Place.of(url))
    try:
        went_on = [
            n for n in range(TURNS) if not await cancelled_after(n, lambda: link.ask("TIME"))
        ]
    finally:
        await link.close()
    assert went_on == []


async def test_tabs_close_in_whichever_step_they_are(url: str) -> None:
    """Their listening task is cancelled and waited for: one that went on would be waited for until
    the server says something."""
    for turns in range(TURNS):
        tabs = RedisTabs(Place.of(url))
        tabs.subscribe(lambda _message: None)
        for _ in range(turns):
            await asyncio.sleep(0)
        closing = asyncio.create_task(tabs.close())
        done, _ = await asyncio.wait({closing}, timeout=5)
        closing.cancel()
        assert done, turns

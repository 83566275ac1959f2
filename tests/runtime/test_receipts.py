"""How soon a device asks what became of what the gateway took over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.runtime.worlds import World

from fieldpost.engine.limits import BEAT_EVERY_MS
from fieldpost.engine.transitions import State
from fieldpost.runtime.laneloop import LaneLoop
from fieldpost.testing.fakes import FakeClock

TICKET = {"summary": "Pump is leaking"}


class HeldClock(FakeClock):
    """Whoever sleeps waits until the test lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self._passed = asyncio.Event()

    async def sleep(self, ms: float) -> None:
        if ms == BEAT_EVERY_MS:  # of a drain under way, in which no time passes here
            await asyncio.Event().wait()
        self.asked.put_nowait(ms)
        self._passed.clear()
        await self._passed.wait()
        self.advance(ms)

    async def next(self) -> float:
        """The wait that is asked for now, which then passes; in ms."""
        ms = await self.asked.get()
        self._passed.set()
        return ms


@asynccontextmanager
async def looping(world: World) -> AsyncIterator[LaneLoop]:
    """The one lane's loop, with nothing beside it that sleeps."""
    [driver] = world.queue._drivers.values()
    loop = LaneLoop(driver, every_ms=30_000)
    loop.start()
    try:
        yield loop
    finally:
        await loop.stop()


def handing_world() -> tuple[World, HeldClock]:
    clock = HeldClock()
    world = World(clock=clock)
    world.gateway.later = True
    return world, clock


async def test_it_is_asked_for_soon_and_then_less_and_less_often() -> None:
    world, clock = handing_world()
    await world.queue.enqueue("ticket", TICKET)
    async with looping(world):
        waits = [await clock.next() for _ in range(7)]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]


async def test_each_hand_over_and_each_receipt_begins_anew() -> None:
    world, clock = handing_world()
    first = await world.queue.enqueue("ticket", TICKET)
    async with looping(world) as loop:
        assert [await clock.next() for _ in range(3)] == [1_000, 2_000, 4_000]
        await clock.asked.get()  # the next wait has begun: 8 s
        second = await world.queue.enqueue("ticket", {"summary": "another"})
        loop.nudge()
        assert [await clock.next() for _ in range(3)] == [1_000, 2_000, 4_000]
        await clock.asked.get()
        # The first one's receipt; in the same turn another is handed over, so as many stay there.
        world.gateway.deliver_later()
        third = await world.queue.enqueue("ticket", {"summary": "a third"})
        loop.nudge()
        assert await clock.next() == 1_000
        for item in (first, second):
            assert (await world.queue.get(item.id)).state is State.COMPLETED
        assert await clock.next() == 2_000
        await clock.asked.get()
        world.gateway.deliver_later()
        loop.nudge()
        assert await clock.next() == 30_000  # nothing is over there any more
        assert (await world.queue.get(third.id)).state is State.COMPLETED


async def test_nothing_is_asked_for_where_nothing_was_handed_over() -> None:
    world, clock = handing_world()
    world.gateway.later = False
    await world.queue.enqueue("ticket", TICKET)
    async with looping(world):
        assert [await clock.next() for _ in range(2)] == [30_000, 30_000]
    assert not [r for r in world.gateway.requests if "receipts" in r.url]

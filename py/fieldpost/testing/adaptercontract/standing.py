"""A sender that is suspended between the look at its lease and its request."""

from __future__ import annotations

import asyncio

from fieldpost.engine.limits import LEASE_MS, REQUEST_TIMEOUT_MS
from fieldpost.engine.model import Item
from fieldpost.engine.transitions import State
from fieldpost.ports import Request, Response

from .bench import Make
from .line import Go, Line
from .world import MINUTE, World

#: As long as another context waits before it takes a row over, and a little.
_OVER_MS = LEASE_MS + REQUEST_TIMEOUT_MS + 5_000


async def case_a_sender_suspended_before_its_request(make: Make) -> None:
    """Another context takes over and delivers; then the request of the first one leaves after all.

    Nothing on this side can stop it. At ``strong`` it has no effect; elsewhere there may be two,
    and they are seen: by the sweep where there is one, else by whoever asks for the item.
    """
    world = World(make())
    item = await world.enqueue()
    held, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_line: Line, _request: Request, go: Go) -> Response:
        held.set()
        await go_on.wait()
        return await go()

    line = Line(world.bench.transport(world.store), world.store, world.watched, world.clock)
    line.faults["create"] = [hold]
    suspended = world.open("suspended", line)
    sending = asyncio.create_task(suspended._loop.turn())
    try:
        await held.wait()
        world.clock.advance(_OVER_MS)
        world.tabs.steal = True
        await _delivered(world, item)
        assert len(world.copies(item)) == 1
    finally:
        go_on.set()
        await sending
    doubled = len(world.copies(item)) - 1
    await world.deliver()
    if world.declaration.guarantee == "strong":
        assert doubled == 0, "declared strong, and doubled"
    elif doubled:
        await _seen(world, item)
    await world.check(doubles=doubled, seen=True)


async def _delivered(world: World, item: Item) -> None:
    for _ in range(400):
        await world.queue.sync()
        await world._look()
        if await world.state(item) is State.COMPLETED:
            return
        world.clock.advance(MINUTE / 4)
    raise AssertionError(f"it is {await world.state(item)}")


async def _seen(world: World, item: Item) -> None:
    lookup = world.declaration.lookup
    if await world.sweeps():
        assert len(world.copies(item)) == 1, "the sweep left it there twice"
        assert "2" in await world.texts(), "the sweep says nothing"
    elif lookup is not None:
        adapter, row = world.bench.adapter, await world.queue.get(item.id)
        finding = adapter.read_find(row, await world.line.direct(adapter.find(row)))
        assert finding.outcome is not None
        assert "2" in finding.outcome.text, "two are there, and the lookup does not say so"

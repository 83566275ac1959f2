"""A sender that is suspended between the look at its lease and its request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fieldpost.engine.limits import LEASE_MS, REQUEST_TIMEOUT_MS
from fieldpost.engine.model import Item
from fieldpost.engine.transitions import State
from fieldpost.ports import Request, Response

from .bench import Make
from .line import Go, Line, Purpose
from .world import FILES, MINUTE, World

#: As long as another context waits before it takes a row over, and a little.
_OVER_MS = LEASE_MS + REQUEST_TIMEOUT_MS + 5_000


async def case_a_sender_suspended_before_its_request(make: Make) -> None:
    """Another context takes over and delivers; then the request of the first one leaves after all.

    Nothing on this side can stop it. At ``strong`` it has no effect; elsewhere there may be two,
    and they are found and said: closed by the sweep where there is one, else a dead letter.
    """
    world = World(make())
    item = await world.enqueue()
    async with _suspended(world, "create"):
        await _delivered(world, item)
        assert len(world.copies(item)) == 1
    doubled = len(world.copies(item)) - 1
    await world.deliver()
    if world.declaration.guarantee == "strong":
        assert doubled == 0, "declared strong, and doubled"
    elif doubled:
        await _said(world, item)
    await world.check(doubles=doubled, seen=True)


async def case_a_sender_suspended_while_it_asks_before_its_request(make: Make) -> None:
    """What it asks before a request (`Destination.enrich`) lies behind the look at its lease, so
    there is another one after it: the request never leaves."""
    world = World(make())
    await world.enqueue()
    await world.deliver()
    world.needs(bool(world.line.of("enrich")), "it asks nothing before a request")
    item = await world.enqueue()
    async with _suspended(world, "enrich"):
        await _delivered(world, item)
    await world.deliver()
    await world.check()


async def case_a_sender_suspended_before_a_file(make: Make) -> None:
    """The same of a file: it may be there twice, and then that is said. It is never missing."""
    world = World(make())
    world.needs(world.declaration.attachments, "it takes no files")
    item = await world.enqueue(FILES[:1])
    async with _suspended(world, "upload"):
        await _delivered(world, item)
    await world.deliver()
    assert await world.state(item) is State.COMPLETED
    (record,) = world.copies(item)
    wanted = FILES[0][2]
    held = [data for *_, data in record.files]
    assert held.count(wanted) == len(held) >= 1, "what is there is not the file"
    if len(held) > 1:
        assert not world.declaration.files_once, "declared to be there once, and doubled"
        failed = [row for row in await world.sweeps() if row.state is State.FAILED]
        assert failed, f"the file is there {len(held)} times, and nobody says so"


@asynccontextmanager
async def _suspended(world: World, purpose: Purpose) -> AsyncIterator[None]:
    """A context stands still just before its request of that purpose leaves; in the block its lock
    is another's, and at the end of it the request leaves."""
    held, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_line: Line, _request: Request, go: Go) -> Response:
        held.set()
        await go_on.wait()
        return await go()

    line = Line(world.bench.transport(world.store), world.store, world.watched, world.clock)
    line.faults[purpose] = [hold]
    suspended = world.open("suspended", line)
    sending = asyncio.create_task(suspended._loop.turn())
    try:
        await held.wait()
        world.clock.advance(_OVER_MS)
        world.tabs.steal = True
        yield
    finally:
        go_on.set()
        await sending


async def _delivered(world: World, item: Item) -> None:
    for _ in range(400):
        await world.queue.sync()
        await world._look()
        if await world.state(item) is State.COMPLETED:
            return
        world.clock.advance(MINUTE / 4)
    raise AssertionError(f"it is {await world.state(item)}")


async def _said(world: World, item: Item) -> None:
    looks = await world.sweeps()
    assert looks, "nobody looked for doubles"
    if len(world.copies(item)) > 1:
        assert any(row.state is State.FAILED for row in looks), "they are there, and nobody says so"
    lookup = world.declaration.lookup
    assert lookup is None or "2" in await world.texts(), "how many there are is not said"

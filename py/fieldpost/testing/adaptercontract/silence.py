"""Answers that never come, lookups, and what is there twice."""

from __future__ import annotations

from fieldpost.engine.transitions import State
from fieldpost.ports import Request, Response

from .bench import Make
from .line import Fault, Go, Line, cut_body, late, lost_after, lost_before, page, slow
from .world import FILES, MINUTE, World

_DAY = 24 * 60 * MINUTE


async def _lost(make: Make, fault: Fault, *, after_ms: int = 0, times: int = 1) -> World:
    world = World(make())
    item = await world.enqueue()
    world.line.faults["create"] = [fault] * times
    await world.turn()
    assert await world.state(item) is not State.FAILED
    assert await world.state(item) is not State.COMPLETED or world.copies(item)
    world.clock.advance(after_ms)
    await world.deliver()
    await world.check()
    return world


async def case_answer_lost_after_the_commit(make: Make) -> None:
    await _lost(make, lost_after)


async def case_answer_lost_before_the_commit(make: Make) -> None:
    await _lost(make, lost_before)


async def case_answers_lost_again_and_again(make: Make) -> None:
    for fault in (lost_after, lost_before):
        await _lost(make, fault, times=3)


async def case_answer_later_than_anybody_waits(make: Make) -> None:
    await _lost(make, slow)


async def case_answer_with_its_second_half_missing(make: Make) -> None:
    await _lost(make, cut_body)


async def case_answer_lost_and_a_long_time_without_a_network(make: Make) -> None:
    """Beyond every memory of keys: looked for, not sent again unasked."""
    for fault in (lost_after, lost_before):
        world = World(make())
        await world.enqueue()
        world.line.faults["create"] = [fault]
        await world.turn()
        world.link.set(False)
        world.clock.advance(3 * _DAY)
        await world.turn()
        world.link.set(True)
        await world.deliver()
        await world.check()


async def case_carried_out_after_nobody_waited_any_more(make: Make) -> None:
    """As late as the declaration says at worst, counted from when the sender gave up."""
    world = World(make())
    _needs_lookups(world)
    lookup = world.declaration.lookup
    assert lookup is not None
    await world.enqueue()
    world.line.faults["create"] = [late(max(0, lookup.settle_ms - 1))]
    for _ in range(200):
        await world.turn()
        world.clock.advance(1_000)
    await world.deliver()
    await world.check()


async def case_a_file_carried_out_after_nobody_waited_any_more(make: Make) -> None:
    """The same of a file: it is looked for once it must be there, and is there once."""
    world = World(make())
    declared = world.declaration
    world.needs(declared.whole_files, "it takes no whole files")
    settle_ms = declared.lookup.settle_ms if declared.lookup else 0
    await world.enqueue(FILES[1:2])
    world.line.faults["upload"] = [late(max(0, settle_ms - 1))]
    for _ in range(200):
        await world.turn()
        world.clock.advance(1_000)
    await world.deliver()
    await world.check()


async def case_a_clock_that_was_set_back(make: Make) -> None:
    """An age that is not to be trusted proves nothing."""
    world = World(make())
    await world.enqueue()
    world.line.faults["create"] = [lost_after]
    await world.turn()
    world.clock.jump(-_DAY)
    await world.deliver()
    await world.check()


async def case_a_context_that_was_killed_with_its_request(make: Make) -> None:
    """The next one finds the row as it was when the request left."""
    for fault in (lost_after, lost_before):
        world = World(make())
        await world.enqueue()
        world.line.faults["create"] = [fault]
        await world.turn()
        world.store = world.store.durable_copy()
        other = World(world.bench)
        other.store, other.items, other.files = world.store, world.items, world.files
        other.line = type(other.line)(
            world.bench.transport(other.store), other.store, other.watched, other.clock
        )
        other.queue = other.open("next")
        await other.deliver()
        await other.check()


async def case_a_lookup_that_fails_is_asked_again(make: Make) -> None:
    """No answer, a page and an error say nothing of the item: above all not that it is absent."""
    for fault in (lost_before, page()):
        world = World(make())
        _needs_lookups(world)
        await world.enqueue()
        world.line.faults = {"create": [lost_after], "find": [fault] * 3}
        await world.turn()
        world.clock.advance(_beyond(world))
        await world.deliver()
        assert len(world.line.of("create")) == 1
        assert len(world.line.of("find")) >= 4
        await world.check()


async def case_a_lookup_behind_by_as_much_as_declared(make: Make) -> None:
    """The record is there, and is shown as late as the declaration says at worst."""
    world = World(make())
    _needs_lookups(world)
    lookup = world.declaration.lookup
    assert lookup is not None
    late = max(lookup.settle_ms, *lookup.repeat_ms, 0)
    item = await world.enqueue()
    world.line.faults["create"] = [lost_after]
    with world.lagging(max(0, late - 1)):
        await world.turn()
        for _ in range(200):
            if await world.state(item) is State.COMPLETED:
                break
            await world.turn()
            world.clock.advance(1_000 + _beyond(world) // 100)
        await world.deliver()
    await world.check()
    assert len(world.copies(item)) == 1


async def case_a_lookup_behind_by_more_than_anybody_thought(make: Make) -> None:
    """Then it is there twice, and the sweep closes one of them and says so."""
    world = World(make())
    lookup = world.declaration.lookup
    world.needs(lookup is not None and lookup.sweep_ms is not None, "it needs no sweep")
    assert lookup is not None
    item = await world.enqueue()
    world.line.faults["create"] = [lost_after]
    made = len(world.bench.remote.records)
    with world.lagging(max(lookup.repeat_ms, default=0) + 10 * MINUTE):
        await world.turn()
        for _ in range(400):
            if await world.state(item) is State.COMPLETED:
                break
            world.clock.advance(MINUTE / 4)
            await world.turn()
    await world.deliver()
    assert await world.sweeps()
    assert len(world.bench.remote.records) - made == 2, "the case did not double it"
    assert len(world.copies(item)) == 1, "still there twice"
    assert "2" in await world.texts()
    await world.check()


async def case_two_are_found(make: Make) -> None:
    """Another sender doubled it: the oldest is taken, and how many there are is said."""
    world = World(make())
    _needs_lookups(world)
    world.needs(not getattr(world.bench.remote, "unique", False), "it holds none twice")
    item = await world.enqueue()
    world.line.faults["create"] = [lost_after]
    await world.turn()
    (oldest,) = world.copies(item)
    world.clock.advance(MINUTE)
    world.twin(oldest)
    world.clock.advance(_beyond(world))
    await world.deliver()
    assert len(world.line.of("create")) == 1
    await world.check(doubles=1)
    remote_id = str((await world.queue.detail(item.id))["remote_id"])
    assert oldest.id in remote_id or oldest.number in remote_id


async def case_unrelated_records_are_not_taken_for_it(make: Make) -> None:
    """A lookup that answers with what nobody asked for (a query that was not understood) shows
    neither that the item is there nor that it is not."""
    for fault in (lost_before, lost_after):
        world = World(make())
        _needs_lookups(world)
        first = await world.enqueue()
        await world.deliver()
        await world.enqueue()
        world.line.faults["create"] = [fault]
        await world.turn()
        question = world.bench.adapter.find(await world.queue.get(first.id))

        async def unrelated(
            line: Line, _request: Request, _go: Go, asked: Request = question
        ) -> Response:
            return await line.direct(asked)

        world.line.faults["find"] = [unrelated]
        world.clock.advance(_beyond(world))
        await world.deliver()
        await world.check()


def _needs_lookups(world: World) -> None:
    declared = world.declaration
    asked = declared.lookup is not None and declared.replay_window_ms is not None
    world.needs(asked, "it is never looked up: the same bytes are safe for ever")


def _beyond(world: World) -> int:
    """ms after which nothing is sent again unasked, and every lookup has settled."""
    declared, lookup = world.declaration, world.declaration.lookup
    assert lookup is not None
    return (declared.replay_window_ms or 0) + max(lookup.settle_ms, *lookup.repeat_ms, 0) + MINUTE

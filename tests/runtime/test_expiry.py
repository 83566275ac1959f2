"""Items with an expiry of their own: ended when it is over and they were not sent, no sooner."""

from __future__ import annotations

from collections.abc import Callable

from tests.runtime.test_order import says
from tests.runtime.worlds import World

from fieldpost.engine.transitions import State
from fieldpost.ports import Response
from fieldpost.testing.fakes import answers, lose_answer

HOUR = 3_600_000
TICKET = {"summary": "x"}


async def test_what_was_not_sent_in_time_ends_also_offline() -> None:
    world = World()
    world.link.set(False)
    item = await world.queue.enqueue("ticket", TICKET, expires_at=world.clock.now() + HOUR)
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.PENDING
    world.clock.advance(HOUR)
    await world.queue.sync()
    detail = await world.queue.detail(item.id)
    assert (detail["state"], detail["history"][-1]["outcome"]) == ("expired", "expire")
    world.link.set(True)
    await world.settle()
    assert world.gateway.inbox == []
    assert (await world.queue.verify())["ok"]


async def test_a_person_can_still_send_it() -> None:
    world = World()
    item = await world.queue.enqueue("ticket", TICKET, expires_at=world.clock.now() - 1)
    await world.queue.sync()
    revived = await world.queue.retry(item.id)
    assert (revived.state, revived.expires_at) == (State.PENDING, None)
    await world.settle()
    assert world.gateway.inbox == [item.id]


async def test_a_clock_that_jumps_expires_what_the_clock_says_and_nothing_more() -> None:
    """Known failure 11: expiry or order by the device's clock drops or reorders work."""
    world = World()
    world.link.set(False)
    soon, late = [
        await world.queue.enqueue("ticket", TICKET, expires_at=world.clock.now() + hours * HOUR)
        for hours in (1, 10)
    ]
    never = await world.queue.enqueue("ticket", TICKET)
    world.clock.jump(-365 * 24 * HOUR)
    early = await world.queue.enqueue("ticket", TICKET, entity="e")
    after = await world.queue.enqueue("ticket", TICKET, entity="e")
    await world.queue.sync()
    world.clock.jump(365 * 24 * HOUR + 2 * HOUR)
    await world.queue.sync()
    states = [(await world.queue.get(i.id)).state for i in (soon, late, never, early, after)]
    assert states == [*[State.EXPIRED], *[State.PENDING] * 3, State.BLOCKED]
    world.clock.jump(-2 * 365 * 24 * HOUR)
    world.link.set(True)
    await world.settle()
    order = world.gateway.inbox
    assert sorted(order) == sorted(i.id for i in (late, never, early, after))
    assert order.index(early.id) < order.index(after.id), "the sequence rules, not the clock"


async def test_what_may_have_arrived_does_not_expire() -> None:
    world = World()
    items = [
        await world.queue.enqueue("ticket", TICKET, expires_at=world.clock.now() + HOUR)
        for _ in range(2)
    ]
    world.gateway.faults = [lose_answer]
    await world.queue.sync()
    world.clock.advance(2 * HOUR)
    await world.settle()
    assert [(await world.queue.get(i.id)).state for i in items] == [State.COMPLETED] * 2


async def test_a_file_that_still_follows_its_text_does_not_expire() -> None:
    world = World()
    attached = [await world.attach(parts=2)]
    expires_at = world.clock.now() + HOUR
    item = await world.queue.enqueue("ticket", TICKET, attachments=attached, expires_at=expires_at)
    world.gateway.faults = [lambda g, r, route: route(), answers(503)]
    await world.queue.sync()
    assert (await world.queue.get(item.id)).step == 1
    world.clock.advance(2 * HOUR)
    await world.settle()
    assert (await world.queue.get(item.id)).state is State.COMPLETED


async def test_an_answer_that_says_later_does_not_keep_it_alive() -> None:
    world = World()
    item = await world.queue.enqueue("ticket", TICKET, expires_at=world.clock.now() + HOUR)
    world.gateway.faults = [says("limited", retry_after_ms=3 * HOUR)]
    await world.queue.sync()
    assert (await world.queue.get(item.id)).attempts == 1
    world.clock.advance(2 * HOUR)
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.EXPIRED


async def test_expired_frees_those_behind_and_takes_its_children_along() -> None:
    world = World()
    world.link.set(False)
    at = world.clock.now() + HOUR
    first = await world.queue.enqueue("ticket", TICKET, entity="e", expires_at=at)
    behind = await world.queue.enqueue("ticket", TICKET, entity="e")
    options = {"depends_on": [first.id]}
    gone = await world.queue.enqueue("ticket", TICKET, on_parent_failed="cancel", **options)
    waits = await world.queue.enqueue("ticket", TICKET, **options)
    blocked = await world.queue.enqueue("ticket", TICKET, entity="e", expires_at=at)
    world.clock.advance(HOUR)
    await world.queue.sync()
    items = (first, behind, gone, waits, blocked)
    states = [str((await world.queue.get(i.id)).state) for i in items]
    assert states == ["expired", "pending", "cancelled", "blocked", "expired"]


async def test_many_at_once_and_those_that_expire_during_the_drain() -> None:
    world = World()
    soon = world.clock.now() + HOUR
    for n in range(250):
        await world.queue.enqueue("ticket", TICKET, expires_at=soon, priority=1 + n % 10)

    def an_hour(_gateway: object, _request: object, route: Callable[[], Response]) -> Response:
        world.clock.advance(HOUR)
        return route()

    world.gateway.faults = [an_hour]
    await world.queue.sync()
    counts = (await world.queue.status())["counts"]
    assert (counts["completed"], counts["expired"]) == (100, 150)

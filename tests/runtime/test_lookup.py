"""Invariant 4 beyond the replay-safe window: what was not answered is looked up, not resent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.runtime.worlds import DEVICE, World

from fieldpost.destinations.base import Lookup
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.errors import IllegalTransition
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.ports import Request
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.testing.fakes import answers, cut_before, lose_answer, wrong_ids

HOUR = 3_600_000
TICKET = {"summary": "Pump 3 is leaking"}


class Windowed(World):
    """A gateway whose keys count for an hour only; ``lookup`` as the test says."""

    def __init__(self, lookup: Lookup | None = Lookup()):  # noqa: B008 - frozen
        self.lookup = lookup
        super().__init__()

    def open(self, owner: str = "tab") -> Queue:
        destination = GatewayDestination("https://post.example/", DEVICE)
        destination.declaration = replace(
            destination.declaration,
            guarantee="checked",
            replay_window_ms=HOUR,
            lookup=self.lookup,
        )
        host = Host(self.store, self.gateway, self.clock, self.entropy, self.link, self.tabs)
        return Queue(host, destination, owner=owner, policy=PRESETS["itsm"])

    @property
    def sends(self) -> list[Request]:
        return [r for r in self.gateway.requests if r.method == "POST"]

    @property
    def lookups(self) -> list[Request]:
        return [r for r in self.gateway.requests if r.method == "GET" and "operations/" in r.url]

    async def lost(self, fault, **options: object) -> str:
        """The id of an item whose first attempt had no answer."""
        self.gateway.faults = [fault]
        item = await self.queue.enqueue("ticket", TICKET, **options)
        await self.queue.sync()
        assert (await self.queue.get(item.id)).state is State.UNKNOWN
        return item.id

    async def state(self, item_id: str) -> State:
        return (await self.queue.get(item_id)).state


@pytest.mark.parametrize("fault", [lose_answer, cut_before])
async def test_inside_the_window_the_same_bytes_go_again(fault) -> None:
    world = Windowed()
    item_id = await world.lost(fault)
    world.clock.advance(HOUR // 2)
    await world.queue.sync()
    assert await world.state(item_id) is State.COMPLETED
    assert world.gateway.inbox == [item_id]
    assert len(world.sends) == 2
    assert world.lookups == []


async def test_after_it_what_arrived_is_found_and_not_sent_again() -> None:
    world = Windowed()
    item_id = await world.lost(lose_answer)
    world.clock.advance(2 * HOUR)
    world.restart()
    await world.queue.sync()
    assert await world.state(item_id) is State.COMPLETED
    assert len(world.sends) == 1
    assert len(world.lookups) == 1
    detail = await world.queue.detail(item_id)
    assert detail["remote_id"] == "FP-000001"
    assert detail["history"][-1]["outcome"] == "duplicate"


async def test_after_it_what_never_arrived_is_sent() -> None:
    world = Windowed()
    item_id = await world.lost(cut_before)
    world.clock.advance(2 * HOUR)
    await world.queue.sync()
    assert await world.state(item_id) is State.COMPLETED
    assert world.gateway.inbox == [item_id]
    assert len(world.lookups) == 1
    assert "does not have it" in (await world.queue.detail(item_id))["history"][-2]["text"]


async def test_a_killed_sender_counts_from_its_claim() -> None:
    world = Windowed()
    item_id = await world.lost(lose_answer)
    first = (await world.queue.get(item_id)).sent_at
    world.clock.advance(HOUR // 2)
    world.gateway.faults = [lose_answer]
    await world.queue.sync()
    item = await world.queue.get(item_id)
    assert item.state is State.UNKNOWN
    assert item.sent_at == first  # not from the latest try
    world.clock.advance(HOUR // 2)
    await world.queue.sync()
    assert len(world.sends) == 2
    assert await world.state(item_id) is State.COMPLETED


async def test_a_clock_set_back_makes_an_age_that_is_not_trusted() -> None:
    world = Windowed()
    item_id = await world.lost(lose_answer)
    world.clock.jump(-24 * HOUR)
    await world.queue.sync()
    assert len(world.sends) == 1
    assert len(world.lookups) == 1
    assert await world.state(item_id) is State.COMPLETED


async def test_files_follow_a_text_that_was_found() -> None:
    world = Windowed()
    item_id = await world.lost(lose_answer, attachments=[await world.attach()])
    world.clock.advance(2 * HOUR)
    await world.queue.sync()
    assert await world.state(item_id) is State.COMPLETED
    assert len(world.sends) == 1
    assert world.gateway.inbox == [item_id]


async def test_a_lagging_lookup_is_asked_when_it_has_settled() -> None:
    world = Windowed(Lookup(settle_ms=5 * HOUR))
    item_id = await world.lost(cut_before)
    world.clock.advance(2 * HOUR)
    await world.queue.sync()
    assert world.lookups == []
    assert await world.state(item_id) is State.UNKNOWN
    world.clock.advance(4 * HOUR)
    await world.queue.sync()
    assert len(world.lookups) == 1
    assert world.gateway.inbox == [item_id]


@pytest.mark.parametrize("fault", [answers(500, b"oops"), lose_answer, wrong_ids])
async def test_a_lookup_that_fails_is_tried_again(fault) -> None:
    world = Windowed()
    item_id = await world.lost(lose_answer)
    world.clock.advance(2 * HOUR)
    world.gateway.faults = [fault]
    await world.queue.sync()
    assert await world.state(item_id) is State.UNKNOWN
    assert len(world.sends) == 1
    await world.settle()
    assert await world.state(item_id) is State.COMPLETED
    assert len(world.sends) == 1
    assert world.gateway.inbox == [item_id]


@pytest.mark.parametrize("lookup", [None, Lookup(proves_absence=False)])
async def test_where_nothing_can_be_learnt_a_person_says_what_happened(lookup) -> None:
    world = Windowed(lookup)
    item_id = await world.lost(cut_before)
    world.clock.advance(2 * HOUR)
    await world.settle(hours=4)
    assert len(world.sends) == 1
    detail = await world.queue.detail(item_id)
    assert detail["state"] == "unknown"
    assert detail["error_code"] == "QUEUE_OUTCOME_UNKNOWN"
    assert detail["can"] == ["arrived", "send_again"]
    assert "Look at the destination" in detail["why"]
    assert detail["state_text"] == "May have arrived"
    for view in ("waiting", "attention"):  # it is not delivered, and nobody else will see to it
        assert [row["id"] for row in (await world.queue.list(view))["rows"]] == [item_id]
    status = await world.queue.status()
    assert (status["waiting"], status["attention"], status["unsettled"]) == (1, 1, 1)
    await world.queue.send_again(item_id, "It is not in the list")
    await world.settle()
    assert world.gateway.inbox == [item_id]
    assert await world.state(item_id) is State.COMPLETED
    assert (await world.queue.list("attention"))["rows"] == []
    assert (await world.queue.status())["attention"] == 0


async def test_a_person_may_say_that_it_arrived() -> None:
    world = Windowed(None)
    item_id = await world.lost(lose_answer)
    with pytest.raises(IllegalTransition):  # the same bytes are still safe to send
        await world.queue.arrived(item_id)
    world.clock.advance(2 * HOUR)
    await world.queue.sync()
    await world.queue.arrived(item_id)
    assert await world.state(item_id) is State.COMPLETED
    await world.settle()
    assert len(world.sends) == 1


async def test_a_destination_that_refused_it_says_so_when_asked() -> None:
    world = Windowed()
    item_id = await world.lost(lose_answer)
    (op,) = world.gateway.ledger.values()
    op["status"] = "rejected"
    world.clock.advance(2 * HOUR)
    await world.queue.sync()
    assert await world.state(item_id) is State.FAILED


async def test_files_of_an_item_that_a_person_has_seen_are_dead_letters() -> None:
    """Nobody knows what it is called over there, so they cannot follow; they do not vanish."""
    world = Windowed(lookup=None)
    file = await world.attach()
    item_id = await world.lost(lose_answer, attachments=[file])
    world.clock.advance(2 * HOUR)
    await world.queue.sync()
    await world.queue.arrived(item_id, "I looked")
    assert await world.state(item_id) is State.COMPLETED
    left = await world.queue.get(str(file["id"]))
    assert (left.state, left.error_code) == (State.FAILED, "QUEUE_NO_REMOTE_ID")
    detail = await world.queue.detail(left.id)
    assert "no file can follow" in detail["history"][-1]["text"]

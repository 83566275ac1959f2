"""What comes in: limits in the inserting commit, duplicates by stored time, what full means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.worlds import DEVICE, RING, World

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.config import QueueConfig
from fieldpost.engine.duplicates import Duplicates
from fieldpost.engine.errors import DuplicateItem, QueueFull, StorageFull
from fieldpost.engine.kinds import Kind, standard_kinds
from fieldpost.engine.limits import LIMITS, KindLimit, Limits
from fieldpost.engine.model import Capture, Item
from fieldpost.engine.transitions import OPEN_STATES, State
from fieldpost.hosts.cpython.open import open_queue
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.stores.sqlite import SqliteStore

CALL = {"line": "1", "number": "+49 170 1", "direction": "incoming", "duration": 30}
T = 1_750_000_000_000
HOUR = 3600 * 1000


def queue_of(world: World, owner: str = "tab", **changes: Any) -> Queue:
    host = Host(world.store, world.gateway, world.clock, world.entropy, world.link, world.tabs)
    destination = GatewayDestination("https://post.example/", DEVICE)
    config = QueueConfig(**changes)
    return Queue(host, destination, owner=owner, config=config)


def ticket(n: int) -> dict[str, Any]:
    return {"summary": f"Pump {n} is leaking"}


async def test_delivered_items_never_count_against_the_limit() -> None:
    """Known failure 5: full after 20 tickets ever."""
    world = World()
    queue = queue_of(world, limits=LIMITS["itsm"])
    for round_ in range(3):
        for n in range(20):
            await queue.enqueue("ticket", ticket(round_ * 20 + n))
        assert (await queue.room("ticket"))["items"] == 0
        await queue.sync()
        assert await queue.room("ticket") == {"items": 20, "bytes": None}
    assert len(world.gateway.inbox) == 60


async def test_ten_goes_before_nine() -> None:
    """Known failure 4: priority ordered as text puts critical (10) last, next to 1."""
    world = World()
    queue = queue_of(world)
    world.link.set(False)
    by_priority = {
        priority: (await queue.enqueue("ticket", ticket(priority), priority=priority)).id
        for priority in (9, 1, 10, 2, 5)
    }
    critical = await queue.enqueue("ticket", {"summary": "c", "severity": "critical"})
    assert critical.priority == 10
    world.link.set(True)
    await queue.sync()
    order = [by_priority[10], critical.id, *(by_priority[n] for n in (9, 5, 2, 1))]
    assert world.gateway.inbox == order


async def test_full_says_which_limit_and_what_frees_room() -> None:
    """A61: QUEUE_FULL is a type, a code and fields, not a piece of a message."""
    world = World()
    queue = queue_of(world, limits=LIMITS["itsm"])
    first, *_ = [await queue.enqueue("ticket", ticket(n)) for n in range(20)]
    with pytest.raises(QueueFull) as raised:
        await queue.enqueue("ticket", ticket(20))
    full = raised.value
    assert (full.limit, full.used, full.most, full.unit) == ("ticket", 20, 20, "items")
    said = full.as_dict()
    assert said["code"] == "QUEUE_FULL"
    assert said["fields"] == {
        "limit": "ticket",
        "unit": "items",
        "used": "20",
        "most": "20",
        "adding": "1",
        "free": "1",
    }
    assert said["message"] == "20 items of the kind ticket wait to be sent here, of at most 20."
    await queue.enqueue("feedback", {"rating": 5, "comment": "others come in"})
    await queue.cancel(first.id)
    await queue.enqueue("ticket", ticket(20))


async def test_a_bulk_needs_room_for_all_of_it() -> None:
    world = World()
    queue = queue_of(world, limits=Limits(items=10, kinds={"ticket": KindLimit(bytes=500)}))
    with pytest.raises(QueueFull) as raised:
        await queue.enqueue_many("ticket", map(ticket, range(11)))
    assert raised.value.fields["free"] == "1"
    assert (await queue.status())["waiting"] == 0
    big = {"summary": "x", "description": "y" * 300}
    await queue.enqueue("ticket", big)
    with pytest.raises(QueueFull) as raised:
        await queue.enqueue_many("ticket", [big])
    assert (raised.value.limit, raised.value.unit) == ("ticket", "bytes")
    await queue.enqueue_many("feedback", [{"rating": 1, "comment": "c"}] * 9)
    assert await queue.room("feedback") == {"items": 0, "bytes": None}


async def test_the_status_warns_from_four_fifths_on() -> None:
    world = World()
    queue = queue_of(world, limits=LIMITS["itsm"])
    await queue.enqueue_many("ticket", map(ticket, range(15)))
    by_name = {row["name"]: row for row in (await queue.status())["limits"]}
    assert by_name["ticket"] == {
        "name": "ticket",
        "used": 15,
        "limit": 20,
        "unit": "items",
        "warn": False,
    }
    await queue.enqueue("ticket", ticket(16))
    by_name = {row["name"]: row for row in (await queue.status())["limits"]}
    assert by_name["ticket"]["warn"]
    assert (by_name["all"]["used"], by_name["all"]["warn"]) == (16, False)
    assert by_name["log"]["unit"] == "bytes"


async def test_what_was_saved_is_adopted_whatever_the_limit_says() -> None:
    """ "Saved" was said for it: it is neither dropped nor held back, and the limit shows it."""
    world = World()
    queue = queue_of(world, limits=LIMITS["itsm"], duplicates=Duplicates())
    await queue.enqueue_many("ticket", map(ticket, range(20)))
    world.link.set(False)
    for n in range(2):
        data = b'{"kind": "ticket", "payload": {"summary": "Pump 1 is leaking"}}'
        await world.store.capture(Capture(world.entropy.uuid7(T + n), T, data))
    await queue.sync()
    status = await queue.status()
    assert (status["inbox"], status["waiting"]) == (0, 22)
    assert next(row for row in status["limits"] if row["name"] == "ticket")["used"] == 22
    with pytest.raises(QueueFull):
        await queue.enqueue("ticket", ticket(99))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from(["ticket", "feedback"]), st.integers(1, 3)),
        max_size=30,
    ),
    st.integers(1, 8),
    st.integers(1, 5),
)
def test_no_limit_is_ever_exceeded(
    asked: list[tuple[int, str, int]], items: int, tickets: int
) -> None:
    """Enqueues of two contexts at once, single and bulk, in whatever groups they share."""

    async def scenario() -> None:
        world = World()
        limits = Limits(items=items, kinds={"ticket": KindLimit(items=tickets)})
        queues = [queue_of(world, f"tab{n}", limits=limits) for n in range(2)]
        payloads = {"ticket": ticket(1), "feedback": {"rating": 1, "comment": "c"}}
        done = await asyncio.gather(
            *(queues[which].enqueue_many(kind, [payloads[kind]] * n) for which, kind, n in asked),
            return_exceptions=True,
        )
        taken = [len(rows) for rows in done if isinstance(rows, list)]
        assert all(isinstance(rows, list | QueueFull) for rows in done)
        counters = await world.store.counters()
        assert counters["open"] == sum(taken) <= items
        assert counters.get("open:ticket", 0) <= tickets
        # Nobody was turned away for whom there was room.
        for (_, kind, n), rows in zip(asked, done, strict=True):
            room = (await queues[0].room(kind))["items"]
            assert isinstance(rows, list) or (room is not None and room < n)

    asyncio.run(scenario())


# --- duplicates -----------------------------------------------------------------------------------


async def test_the_same_again_within_a_minute_is_the_first_item() -> None:
    world = World()
    queue = queue_of(world, duplicates=Duplicates())
    first = await queue.enqueue("ticket", ticket(1))
    world.clock.advance(59_000)
    world.restart()  # the window is in the rows
    queue = queue_of(world, duplicates=Duplicates())
    assert (await queue.enqueue("ticket", {"summary": "Pump 1 is leaking"})).id == first.id
    assert (await queue.enqueue("ticket", ticket(2))).id != first.id
    world.clock.advance(2_000)
    assert (await queue.enqueue("ticket", ticket(1))).id != first.id
    strict = queue_of(world, duplicates=Duplicates("error"))
    with pytest.raises(DuplicateItem) as raised:
        await strict.enqueue("ticket", ticket(2))
    assert raised.value.existing_id
    loose = queue_of(world, duplicates=Duplicates("error", kinds={"ticket": "allow"}))
    await loose.enqueue("ticket", ticket(2))


async def test_a_double_of_what_is_here_needs_no_room() -> None:
    world = World()
    queue = queue_of(world, duplicates=Duplicates(), limits=Limits(items=1))
    first = await queue.enqueue("ticket", ticket(1))
    assert (await queue.enqueue("ticket", ticket(1))).id == first.id
    with pytest.raises(QueueFull):
        await queue.enqueue("ticket", ticket(2))
    # What a rescue file brings was saved before: it comes in, equal or not, full or not.
    write = queue._intake.write({"kind": "ticket", "payload": ticket(1)})
    assert (await queue._intake.enqueue(write, saved=True)).id != first.id


async def test_two_at_once_are_one() -> None:
    world = World()
    queue = queue_of(world, duplicates=Duplicates())
    items = await asyncio.gather(*(queue.enqueue("ticket", ticket(1)) for _ in range(20)))
    assert len({item.id for item in items}) == 1
    assert (await world.store.counters())["open"] == 1
    keyed = await asyncio.gather(
        *(queue.enqueue("ticket", ticket(n + 2), unique_key="k") for n in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Item) for one in keyed) == 1
    assert sum(isinstance(one, DuplicateItem) for one in keyed) == 4


async def test_a_clock_that_jumps_drops_nothing_as_a_double() -> None:
    """Known failure 11: after a jump back, what was saved before it lies in the future."""
    world = World()
    queue = queue_of(world, duplicates=Duplicates())
    first = await queue.enqueue("ticket", ticket(1))
    world.clock.jump(-HOUR)
    second = await queue.enqueue("ticket", ticket(1))
    assert second.id != first.id
    assert (await queue.enqueue("ticket", ticket(1))).id == second.id
    world.clock.jump(24 * HOUR)
    assert (await queue.enqueue("ticket", ticket(1))).id not in (first.id, second.id)


async def test_what_was_taken_back_may_be_saved_again() -> None:
    """Known failure 10: a cancelled or refused item does not stand for the work."""
    world = World()
    queue = queue_of(world, duplicates=Duplicates())
    first = await queue.enqueue("ticket", ticket(1))
    await queue.cancel(first.id)
    second = await queue.enqueue("ticket", ticket(1))
    assert second.id != first.id
    assert (await queue.enqueue("ticket", ticket(1))).id == second.id
    await queue.sync()
    assert (await queue.enqueue("ticket", ticket(1))).id == second.id  # sent: it arrived


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"time": T + 1_000}, True),
        ({"time": T - 1_000, "duration": 31}, True),
        ({"time": "2025-06-15T15:06:40.400Z"}, True),
        ({"time": T + 1_001}, False),
        ({"time": T - 1_999}, False),
        ({"duration": 32}, False),
        ({"direction": "outgoing"}, False),
        ({"number": "+49 170 2"}, False),
    ],
)
async def test_calls_are_known_again_within_a_second(change: dict[str, Any], same: bool) -> None:
    world = World()
    first = await queue_of(world).enqueue("call", {**CALL, "time": T})
    world.clock.advance(30 * 24 * HOUR)  # not a window: the record itself
    again = await queue_of(world).enqueue("call", {**CALL, "time": T, **change})
    assert (again.id == first.id) is same
    assert await queue_of(world).enqueue("call", {**CALL, "time": T, **change}) == again
    message = await queue_of(world).enqueue("message", {**CALL, "time": T})
    assert message.id != first.id


async def test_a_list_of_calls_comes_in_once() -> None:
    world = World()
    queue = queue_of(world)
    calls = [{**CALL, "time": T + n * 700, "duration": n % 3 * 10} for n in range(12)]
    items = await queue.enqueue_many("call", calls)
    assert [a.id for a in items] == [a.id for a in await queue.enqueue_many("call", calls)]
    by_id = {item.id for item in items}
    assert len(by_id) == (await world.store.counters())["open"] == 12


# --- storage --------------------------------------------------------------------------------------


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "q.db", RING, max_bytes=400_000)
    yield store
    await store.close()


async def test_when_the_storage_is_full_delivered_items_make_room(small: SqliteStore) -> None:
    world = World(store=small)
    queue = queue_of(world)
    big = {"summary": "big", "description": "".join(map(chr, range(0x4E00, 0x4E00 + 5_000)))}
    sent = [await queue.enqueue("ticket", {**big, "category": str(n)}) for n in range(10)]
    await queue.sync()
    kept: list[Item] = []

    async def fill() -> None:
        while len(kept) < 100:
            later = {**big, "category": f"later {len(kept)}"}
            kept.append(await queue.enqueue("ticket", later))

    with pytest.raises(StorageFull):
        await fill()
    assert len(kept) > 10
    counters = await small.counters()
    assert (counters["removed"], counters["state:completed"]) == (10, 0)
    assert counters["open"] == len(kept)
    assert await small.get([item.id for item in sent]) == []
    assert len(await small.get([item.id for item in kept], ("body",))) == len(kept)
    assert (await queue.verify())["ok"]


async def test_kinds_and_configuration_are_given_at_the_opening(tmp_path: Path) -> None:
    visit = Kind("visit", title="place", required=("place",))
    config = {"preset": "itsm", "durability": "normal", "duplicates.outcome": "error"}
    queue = await open_queue("http://127.0.0.1:9/", path=tmp_path, config=config, kinds=[visit])
    try:
        await queue.enqueue("visit", {"place": "Hall 3"})
        with pytest.raises(DuplicateItem):
            await queue.enqueue("visit", {"place": "Hall 3"})
        queue.kinds.register(Kind("walk", title="way"))
        await queue.enqueue("walk", {})
        assert queue.config.warnings.keys() == {"durability"}
        assert {row["name"] for row in (await queue.status())["limits"]} >= {"all", "ticket"}
        store = queue._host.store
        assert isinstance(store, SqliteStore)
        pragma = "PRAGMA synchronous"
        assert await store._thread.write(lambda db, _meta: db.execute(pragma).fetchone()) == (1,)
    finally:
        await queue.close()
    full = await SqliteStore.open(tmp_path / "queue.db", RING)
    assert await full._thread.write(lambda db, _meta: db.execute(pragma).fetchone()) == (2,)
    await full.close()


async def test_a_memory_store_keeps_the_same_numbers() -> None:
    """Invariant 1 by kind: whatever becomes of items, the counters are those of the rows."""
    world = World()
    assert isinstance(world.store, MemoryStore)
    queue = queue_of(world, limits=Limits())
    assert "log" in standard_kinds()
    for n in range(6):
        await queue.enqueue("ticket", ticket(n))
    await queue.cancel((await queue.list())["rows"][0]["id"])
    await queue.sync()
    rows = (await world.store.page(tuple(State), limit=100)).rows
    counters = await world.store.counters()
    opened = [row.item for row in rows if row.item.state in OPEN_STATES]
    assert counters["open:ticket"] == len(opened)
    assert counters["bytes"] == sum(item.size for item in opened)

"""`batched` by operation and band, and how much waits: exact where it can be, bounded always."""

from __future__ import annotations

from typing import Any

import pytest
from tests.runtime.test_pacing import DAY, MINUTE, TUESDAY_NOON, add, turn, world

from fieldpost.engine.network import Hints
from fieldpost.engine.transitions import State
from fieldpost.runtime.backlog import backlog
from fieldpost.stores.memory import MemoryStore

WAITING = (State.PENDING, State.UNKNOWN)


class Counting:
    """A store that counts the rows and keys it hands out."""

    def __init__(self, inner: Any):
        self._inner = inner
        self.rows = self.keys = 0

    async def get(self, ids: Any, parts: Any = ()) -> Any:
        found = await self._inner.get(ids, parts)
        self.rows += len(found)
        return found

    async def ready_keys(self, *args: Any, **options: Any) -> Any:
        found = await self._inner.ready_keys(*args, **options)
        self.keys += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_another_operation_fills_no_batch_and_rides_along_with_one_that_is_due() -> None:
    made = world()
    await made.queue.configure(sync="batched", batch_items=4, batch_seconds=60)
    tickets = [await add(made) for _ in range(3)]
    feedback = [await add(made, 5, "feedback") for _ in range(3)]
    update = await add(made, 5, operation="update")
    await turn(made)
    assert made.gateway.inbox == []
    assert (await made.queue.status())["held"]["until"] == TUESDAY_NOON + MINUTE
    tickets.append(await add(made, 4))  # of the same band
    await turn(made)
    assert sorted(made.gateway.inbox) == sorted([*tickets, *feedback, update])


@pytest.mark.parametrize("kind", ["ticket", "feedback"])
async def test_an_operation_is_due_at_its_own_time(kind: str) -> None:
    made = world()
    await made.queue.configure(sync="batched", batch_items=4, batch_seconds=60)
    first = await add(made, 5, kind)
    made.clock.advance(30_000)
    rest = [await add(made, 5, other) for other in ("ticket", "feedback")]
    assert (await made.queue.status())["held"]["until"] == TUESDAY_NOON + MINUTE
    made.clock.advance(30_000)
    await turn(made)
    assert sorted(made.gateway.inbox) == sorted([first, *rest])


async def test_half_a_batch_goes_where_something_urgent_waits_in_that_batch() -> None:
    made = world()
    await made.queue.configure(sync="batched", batch_items=4, batch_seconds=60)
    ids = [await add(made, 8), await add(made, 7, "feedback")]
    await turn(made)
    assert made.gateway.inbox == []
    ids.append(await add(made, 7))
    await turn(made)
    assert sorted(made.gateway.inbox) == sorted(ids)


async def test_each_row_is_read_once_and_what_is_behind_a_crowd_never() -> None:
    made = world()
    counting = made.store = Counting(made.store)
    made.queue = made.open()
    await made.queue.configure(sync="batched", batch_items=10, batch_seconds=86_400)
    together = made.queue._driver.pacing._together
    for n in range(3):
        for kind in ("ticket", "feedback"):
            await add(made, 4 + n, kind)
            await made.queue.status()
    counting.rows = counting.keys = 0
    for _ in range(5):
        assert (await made.queue.status())["held"]["reason"] == "batched"
    assert (counting.rows, counting.keys) == (0, 5 * 6)
    await made.queue.pause()
    for _ in range(200):
        await add(made, 2)
    counting.rows = counting.keys = 0
    at = await together.due_at(10, 1_000, TUESDAY_NOON, lambda _level: True)
    assert at == TUESDAY_NOON
    assert (counting.rows, counting.keys) == (0, 6 + 40)


async def test_a_priority_that_was_changed_counts_at_once() -> None:
    made = world()
    await made.queue.configure(sync="batched", batch_items=4, batch_seconds=60)
    item = await add(made, 2)
    assert (await made.queue.status())["held"]["until"] == TUESDAY_NOON + 90_000
    await made.queue.set_priority([item], 8)
    assert (await made.queue.status())["held"]["until"] == TUESDAY_NOON + 36_000
    await made.queue.set_priority([item], 10)
    await turn(made)
    assert made.gateway.inbox == [item]


# --- how much waits ------------------------------------------------------------------------------


async def tickets(made: Any, sizes: list[int], **options: Any) -> int:
    """Saves as many, and returns their bytes."""
    payloads = [{"summary": "x", "description": "x" * n} for n in sizes]
    return sum(i.size for i in await made.queue.enqueue_many("ticket", payloads, **options))


async def test_bytes_that_wait_are_exact_in_a_long_queue_too() -> None:
    made = world()
    small = await tickets(made, [10] * 60)
    large = await tickets(made, [20_000] * 200)  # the oldest rows say nothing of these
    made.clock.advance(DAY)
    assert await backlog(made.store, WAITING, made.clock.now()) == (DAY, small + large)


async def test_what_is_open_but_does_not_wait_is_not_counted() -> None:
    made = world()
    head = await add(made, entity="pump", not_before=made.clock.now() + DAY)
    blocked = await tickets(made, [5_000] * 20, entity="pump")
    waiting = await tickets(made, [100] * 70)
    assert (await made.store.counters())["state:blocked"] == 20
    size = (await made.queue.get(head)).size + waiting
    assert (await backlog(made.store, WAITING, made.clock.now()))[1] == size
    more = await tickets(made, [5_000] * 80, entity="pump")  # too many to be read, on both sides
    told = (await backlog(made.store, WAITING, made.clock.now()))[1]
    assert told <= size + blocked + more
    assert told == pytest.approx(size, rel=0.05)  # of like items, so extrapolating is near


async def test_a_store_that_has_not_counted_yet_is_extrapolated() -> None:
    class Old(MemoryStore):
        async def counters(self) -> dict[str, int]:
            counters = await MemoryStore.counters(self)
            del counters["bytes"]
            return counters

    made = world()
    size = await tickets(made, [300] * 120)
    made.store.__class__ = Old
    assert await backlog(made.store, WAITING, made.clock.now()) == (0, size)
    assert await backlog(made.store, (State.IN_PROGRESS,), made.clock.now()) == (0, 0)


async def test_a_megabyte_behind_many_small_rows_is_seen() -> None:
    made = world()
    made.around.network = Hints(type="cellular", downlink_mbps=1, rtt_ms=400)
    await made.queue.configure(wait_for_unmetered=True)
    await tickets(made, [10] * 60)
    await turn(made)
    assert made.gateway.inbox == []
    await tickets(made, [19_000] * 60)
    await turn(made)
    assert len(made.gateway.inbox) == 120

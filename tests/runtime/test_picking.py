"""The next batch costs the same however much is queued behind it, and is never a row that is not
ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.worlds import World

from fieldpost.engine.batching import Size
from fieldpost.engine.model import Stored
from fieldpost.engine.scheduling import STRATEGIES, ReadyKey
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Put
from fieldpost.runtime.lane import LaneState
from fieldpost.testing.storecontract.support import item

MINUTE = 60_000


class Counting:
    """A store that counts the reads of a claim and what they return."""

    def __init__(self, inner: Any):
        self._inner = inner
        self.reads: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def ready(self, lane: str, limit: int, parts: Sequence[str] = ()) -> list[Stored]:
        return self._count("ready", await self._inner.ready(lane, limit, parts))

    async def get(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        return self._count("get", await self._inner.get(ids, parts))

    async def ready_keys(self, lane: str, per_level: int, **more: Any) -> list[ReadyKey]:
        return self._count("keys", await self._inner.ready_keys(lane, per_level, **more))

    def _count(self, name: str, found: Any) -> Any:
        self.reads.append((name, len(found)))
        return found


async def reads_of_a_claim(strategy: str, depth: int, *, age: int) -> list[tuple[str, int]]:
    world = World()
    now = world.clock.now()
    rows = (
        item(n, created_at=now - age, priority=1 + n % 4 * 3, lane="gateway")
        for n in range(1, depth + 1)
    )
    await world.store.commit(Commit(puts=tuple(Put(row, insert=True) for row in rows)))
    await world.queue.configure(strategy=strategy)
    counting = Counting(world.store)
    driver = world.queue._driver
    object.__setattr__(driver.host, "store", counting)
    found = await driver.picker.next_rows(LaneState(size=Size(100)))
    assert len(found) == 100
    return counting.reads


@pytest.mark.parametrize("age", [0, 16 * MINUTE], ids=["new", "old"])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_claim_reads_no_more_at_ten_times_the_depth(strategy: str, age: int) -> None:
    few = await reads_of_a_claim(strategy, 500, age=age)
    many = await reads_of_a_claim(strategy, 5_000, age=age)
    assert many == few
    assert len(many) <= (3 if strategy == "priority" and not age else 7)
    assert sum(count for _, count in many) <= 100 + 2 * 4 * 100 + 100 + 100 + 8


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "priority": st.integers(1, 10),
            "ready": st.booleans(),
            "step": st.integers(0, 1),
            "lane": st.sampled_from(["gateway", "other"]),
            "state": st.sampled_from([State.PENDING, State.UNKNOWN]),
            "age": st.integers(-5, 60),
        }
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from(STRATEGIES), st.integers(1, 12), st.integers(0, 60))
def test_only_ready_rows_of_the_lane_are_picked_and_all_of_them_in_the_end(
    rows: list[dict[str, Any]], strategy: str, batch: int, since: int
) -> None:
    async def run() -> None:
        world = World()
        now = world.clock.now()
        made = [
            item(n, **{k: v for k, v in row.items() if k != "age"}).changed(
                created_at=now - row["age"] * MINUTE
            )
            for n, row in enumerate(rows, 1)
        ]
        await world.store.commit(Commit(puts=tuple(Put(row, insert=True) for row in made)))
        await world.queue.configure(strategy=strategy)
        driver = world.queue._driver
        driver.pacing.memory.since = driver.pacing.memory.last = now - since * MINUTE
        picked: list[str] = []
        texts = [i for i in made if i.ready and i.lane == "gateway" and i.step == 0]
        while found := await driver.picker.next_rows(LaneState(size=Size(batch))):
            if len(picked) < len(texts):
                assert len(found) == min(batch, len(texts) - len(picked))
            assert all(row.item.step == found[0].item.step for row in found)
            picked += [row.item.id for row in found]
            gone = [Put(r.item.changed(ready=False, state=State.CANCELLED)) for r in found]
            await world.store.commit(Commit(puts=tuple(gone)))
        wanted = [i.id for i in made if i.ready and i.lane == "gateway"]
        assert sorted(picked) == sorted(wanted)

    asyncio.run(run())

"""A crash at every await and every store operation of each act: enqueue, claim and settle, retry,
cancel, discard, restore, replay of what is unknown, adoption, pause and resume.

`test_crashes.py` crashes the whole trip; here each act is cut alone, in five ways, and what it had
promised is asked for: told for certain means done, cut means done or not done, never half.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.runtime.dying import WAYS, Act, every_place
from tests.runtime.test_crashes import capture
from tests.runtime.worlds import World

from fieldpost.engine.transitions import OPEN_STATES, State
from fieldpost.ports import Capture
from fieldpost.runtime.queue import Queue
from fieldpost.testing.fakes import answers, cut_before, lose_answer
from fieldpost.testing.storecontract.support import check, rows

S = State
REFUSED = json.dumps({"title": "No", "code": "BAD_REQUEST", "detail": "Not like this."}).encode()
Prepared = tuple[World, Act]


async def _enqueued(world: World, n: int = 1) -> list[str]:
    items = [await world.queue.enqueue("ticket", {"summary": f"T{i}"}) for i in range(n)]
    return [item.id for item in items]


def prepared(work: Callable[[World], Any]) -> Callable[[], Prepared]:
    def prepare() -> Prepared:
        world = World()
        return world, asyncio.run(work(world))

    return prepare


# --- the acts


async def enqueue(world: World) -> Act:
    async def act(queue: Queue, known: dict[str, Any]) -> None:
        known["saved"] = {(await queue.enqueue("ticket", {"summary": "x"})).id}

    return act


async def enqueue_many(world: World) -> Act:
    async def act(queue: Queue, known: dict[str, Any]) -> None:
        items = await queue.enqueue_many("ticket", [{"summary": f"{n}"} for n in range(3)])
        known["saved"] = {item.id for item in items}

    return act


async def claim_and_settle(world: World) -> Act:
    await _enqueued(world, 3)
    attachment = await world.attach(parts=2)
    await world.queue.enqueue("ticket", {"summary": "with a file"}, attachments=[attachment])
    return _sync


async def replay(world: World) -> Act:
    """One that arrived and one that did not, both without an answer."""
    for fault in (lose_answer, cut_before):
        await _enqueued(world)
        world.gateway.faults = [fault]
        await world.queue.sync()
    counts = (await world.queue.status())["counts"]
    assert counts["unknown"] == 2, counts
    return _sync


async def adopt(world: World) -> Act:
    world.link.set(False)
    await capture(world, "first")
    await capture(world, "second", [await world.attach(parts=1)])
    now = world.clock.now()
    await world.store.capture(Capture(world.entropy.uuid7(now), now, b'{"kind": "unheard of"}'))
    return _sync


async def _sync(queue: Queue, known: dict[str, Any]) -> None:
    await queue.sync()


async def cancel(world: World) -> Act:
    return await _of_person(world, "cancel", S.CANCELLED)


async def retry(world: World) -> Act:
    await _dead_letter(world)
    return await _of_person(world, "retry", S.PENDING)


async def retry_all(world: World) -> Act:
    for _ in range(3):
        await _dead_letter(world)

    async def act(queue: Queue, known: dict[str, Any]) -> None:
        assert await queue.retry_all() == 3
        known["states"] = {S.PENDING: 3}

    return act


async def discard(world: World) -> Act:
    await _dead_letter(world)
    return await _of_person(world, "discard", S.DISCARDED)


async def restore(world: World) -> Act:
    await world.queue.cancel((await _enqueued(world))[0])
    return await _of_person(world, "restore", S.PENDING)


async def pause(world: World) -> Act:
    await _enqueued(world)

    async def act(queue: Queue, known: dict[str, Any]) -> None:
        await queue.pause("lunch")
        known["paused"] = True

    return act


async def resume(world: World) -> Act:
    await _enqueued(world)
    await world.queue.pause("lunch")

    async def act(queue: Queue, known: dict[str, Any]) -> None:
        await queue.resume()
        known["paused"] = False

    return act


async def _dead_letter(world: World) -> None:
    await _enqueued(world)
    problem = answers(400, REFUSED, content_type="application/problem+json")
    world.gateway.faults = [problem]
    await world.queue.sync()


async def _of_person(world: World, name: str, after: State) -> Act:
    found = await rows(world.store)
    item_id = found[-1].item.id if found else (await _enqueued(world))[0]

    async def act(queue: Queue, known: dict[str, Any]) -> None:
        await getattr(queue, name)(item_id)
        known["states"] = {after: 1}

    return act


# --- what must be so afterwards


async def books_balance(world: World, known: dict[str, Any], before: int) -> None:
    """Right after the cut, and when all that is open has come to its end."""
    states = [row.item.state for row in await rows(world.store)]
    for state, n in known.get("states", {}).items():
        assert states.count(state) == n
    if "paused" in known:
        assert known["paused"] == (await world.store.side("pause", "all") is not None)
    await world.queue.resume()
    world.link.set(True)
    await world.settle()

    left = await rows(world.store)
    assert len(left) >= before, "lost"
    assert known.get("saved", set()) <= {row.item.id for row in left}, "lost"
    assert not [row for row in left if row.item.state in OPEN_STATES]
    arrived = sorted(row.item.id for row in left if row.item.state is S.COMPLETED)
    assert sorted(world.gateway.inbox) == arrived, "lost or doubled"
    await check(world.store)
    verified = await world.queue.verify()
    assert verified["ok"], verified["problems"]


ACTS = (
    enqueue,
    enqueue_many,
    claim_and_settle,
    replay,
    adopt,
    cancel,
    retry,
    retry_all,
    discard,
    restore,
    pause,
    resume,
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("work", ACTS, ids=lambda f: f.__name__)
def test_cut_at_every_place(work: Callable[[World], Any], way: str) -> None:
    prepare = prepared(work)
    world, _ = prepare()
    before = asyncio.run(_size(world))
    left = every_place(WAYS[way], prepare)
    assert len(left) > 1, "nowhere to cut"
    for world, known in left:
        asyncio.run(books_balance(world, known, before))


async def _size(world: World) -> int:
    return len(await rows(world.store)) + len(await world.store.captures(100))

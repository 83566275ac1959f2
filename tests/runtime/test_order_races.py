"""Another context commits between the reading of a plan and its commit: each race by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.runtime.worlds import RING, World

from fieldpost.engine.machine import Answered, Claimed, step
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Committed, Put
from fieldpost.runtime.committer import Change, Committer, Write
from fieldpost.stores.memory import MemoryStore

DELIVERED = Answered(Outcome(Class.DELIVERED, remote_id="R-1"), PRESETS["itsm"], 0.0)


class Overtaken(MemoryStore):
    """``meanwhile`` runs once, just before the next commit."""

    def __init__(self) -> None:
        super().__init__(RING)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def commit(self, commit: Commit) -> Committed:
        work, self.meanwhile = self.meanwhile, None
        if work is not None:
            await work()
        return await super().commit(commit)


class Case:
    def __init__(self) -> None:
        self.store = Overtaken()
        self.world = World(store=self.store)
        self.queue = self.world.queue
        self.other = self.world.open("other")
        self.drainer = Committer(self.store, self.world.clock, self.world.entropy, "drainer")

    async def add(self, *, other: bool = False, **options: object) -> Item:
        queue = self.other if other else self.queue
        return await queue.enqueue("ticket", {"summary": "x"}, **options)

    async def state(self, item: Item) -> State:
        return (await self.store.get([item.id]))[0].item.state

    async def claim(self, *items: Item) -> list[Item]:
        taken = []
        for stored in await self.store.get([item.id for item in items]):
            claimed = step(stored.item, Claimed("me", 1), self.world.clock.now())
            taken += await self.drainer.commit(Change([Write(Put(claimed), State.PENDING)]))
        return taken

    async def deliver(self, *claimed: Item, by: Committer | None = None) -> None:
        done = [step(item, DELIVERED, self.world.clock.now()) for item in claimed]
        writes = [Write(Put(item), State.IN_PROGRESS) for item in done]
        await (by or self.drainer).commit(Change(writes))

    def another(self) -> Committer:
        return Committer(self.store, self.world.clock, self.world.entropy, "another")


async def test_a_follower_comes_while_the_row_before_it_ends() -> None:
    for blocked_elsewhere in (False, True):
        case = Case()
        if blocked_elsewhere:
            for _ in range(2):
                await case.add(entity="elsewhere")
        first = await case.add(entity="e")
        claimed = await case.claim(first)
        late: list[Item] = []

        async def come(case: Case = case, late: list[Item] = late) -> None:
            late.append(await case.add(other=True, entity="e"))

        case.store.meanwhile = come
        await case.deliver(*claimed)
        assert late[0].state is State.BLOCKED
        assert await case.state(late[0]) is State.PENDING


async def test_the_row_before_ends_while_a_follower_comes() -> None:
    case = Case()
    claimed = await case.claim(await case.add(entity="e"))

    async def end() -> None:
        await case.deliver(*claimed)

    case.store.meanwhile = end
    assert (await case.add(entity="e")).state is State.PENDING


async def test_a_child_comes_while_its_parent_is_delivered() -> None:
    for blocked_elsewhere in (False, True):
        case = Case()
        if blocked_elsewhere:
            for _ in range(2):
                await case.add(entity="elsewhere")
            # The context has met blocked rows, so it reads before it commits.
            await case.deliver(*await case.claim(await case.add()), by=case.drainer)
        parent = await case.add()
        claimed = await case.claim(parent)
        late: list[Item] = []

        async def come(case: Case = case, parent: Item = parent, late: list[Item] = late) -> None:
            late.append(await case.add(other=True, depends_on=[parent.id]))

        case.store.meanwhile = come
        await case.deliver(*claimed)
        assert late[0].state is State.BLOCKED
        assert await case.state(late[0]) is State.PENDING


async def test_a_parent_is_delivered_while_its_child_comes() -> None:
    case = Case()
    parent = await case.add()
    claimed = await case.claim(parent)

    async def end() -> None:
        await case.deliver(*claimed)

    case.store.meanwhile = end
    child = await case.add(depends_on=[parent.id])
    assert (child.state, child.parents) == (State.PENDING, ())


async def test_the_last_parent_and_the_row_before_end_at_once() -> None:
    """Each of the two commits sees the other's row still in the way when it reads."""
    for parent_first in (True, False):
        case = Case()
        ahead, parent = await case.add(entity="e"), await case.add()
        child = await case.add(entity="e", depends_on=[parent.id])
        assert child.state is State.BLOCKED
        one, two = await case.claim(ahead, parent)
        inner, outer = (two, one) if parent_first else (one, two)
        another = case.another()
        for committer in (case.drainer, another):
            committer._ordering._some_blocked = True

        async def end(case: Case = case, inner: Item = inner, by: Committer = another) -> None:
            await case.deliver(inner, by=by)

        case.store.meanwhile = end
        await case.deliver(outer)
        assert await case.state(child) is State.PENDING, parent_first


async def test_two_parents_end_at_once() -> None:
    case = Case()
    parents = [await case.add(), await case.add()]
    child = await case.add(depends_on=[parent.id for parent in parents])
    one, two = await case.claim(*parents)
    another = case.another()
    for committer in (case.drainer, another):
        committer._ordering._some_blocked = True

    async def end() -> None:
        await case.deliver(one, by=another)

    case.store.meanwhile = end
    await case.deliver(two)
    assert await case.state(child) is State.PENDING


async def test_the_next_is_cancelled_while_it_is_freed() -> None:
    case = Case()
    first, second, third = [await case.add(entity="e") for _ in range(3)]
    claimed = await case.claim(first)
    case.drainer._ordering._some_blocked = True

    async def cancel() -> None:
        await case.other.cancel(second.id)

    case.store.meanwhile = cancel
    await case.deliver(*claimed)
    states = [await case.state(item) for item in (first, second, third)]
    assert states == [State.COMPLETED, State.CANCELLED, State.PENDING]


async def test_an_earlier_row_is_restored_while_a_later_one_is_claimed() -> None:
    """Whichever commit comes first, one of the two waits for the other."""
    case = Case()
    first, second = [await case.add(entity="e") for _ in range(2)]
    await case.queue.cancel(first.id)

    async def claim() -> None:
        await case.claim(second)

    case.store.meanwhile = claim
    assert (await case.queue.restore(first.id)).state is State.BLOCKED
    assert await case.state(second) is State.IN_PROGRESS

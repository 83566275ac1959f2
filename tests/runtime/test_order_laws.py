"""Whatever several contexts do at once: within an entity nothing overtakes or runs beside another,
no child runs before its parents, and no row is stranded."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime.test_crashes import check_books, crashing_queue
from tests.runtime.worlds import RING, World

from fieldpost.engine.errors import IllegalTransition, QueueError
from fieldpost.engine.machine import Answered, Claimed, Orphaned, Person, step
from fieldpost.engine.model import Item
from fieldpost.engine.ordering import IN_LINE, standing, under_way
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import Event, State
from fieldpost.ports import Commit, Committed, Put, Refused
from fieldpost.runtime.committer import Change, Committer, Write
from fieldpost.runtime.overdue import finish_left_over
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.crashing import Crash, Crasher
from fieldpost.testing.fakes import FakeClock, SeededEntropy

SENDING = {State.IN_PROGRESS, State.UNKNOWN, State.HANDED_OVER}


class Watched(MemoryStore):
    """Contexts come to it in any order, and each commit is judged."""

    def __init__(self, seed: int) -> None:
        super().__init__(RING)
        self._random = random.Random(seed)

    async def turn(self) -> None:
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)

    async def commit(self, commit: Commit) -> Committed:
        await self.turn()
        before = {id_: row.item for id_, row in self._state.rows.items()}
        done = await super().commit(commit)
        rows = [row.item for row in self._state.rows.values()]
        for item in done.items:
            was = before.get(item.id)
            if item.state is State.IN_PROGRESS and was is not None and was.state is State.PENDING:
                first = standing([i for i in before.values() if i.entity == item.entity], ())
                assert item.entity is None or first[0].id == item.id, "overtaken"
                assert not item.parents, "before its parents"
        self.judge(rows)
        await self.turn()
        return done

    def judge(self, rows: list[Item]) -> None:
        by_id = {item.id: item for item in rows}
        for entity in {item.entity for item in rows} - {None}:
            line = standing([i for i in rows if i.entity == entity], ())
            sendable = [i for i in line if i.state in SENDING or i.state is State.PENDING]
            assert len(sendable) <= 1, "in parallel"
            assert not sendable or sendable[0] is line[0], "overtaken"
        for item in rows:
            waits = [p for p in item.parents if by_id[p].state is not State.COMPLETED]
            if item.state is State.PENDING:
                assert not waits, "free before its parents"
            if item.state is State.BLOCKED:
                ahead = standing([i for i in rows if i.entity == item.entity], ())
                behind = item.entity is not None and ahead[0] is not item
                noted = any((("ordering", p) in self._state.side) for p in item.parents)
                assert waits or behind or noted, "stranded"

    async def lines(self, *args: Any) -> Any:
        await self.turn()
        found = await super().lines(*args)
        await self.turn()
        return found

    async def get(self, *args: Any) -> Any:
        found = await super().get(*args)
        await self.turn()
        return found

    async def counters(self) -> Any:
        found = await super().counters()
        await self.turn()
        return found


OUTCOMES = [
    Outcome(Class.DELIVERED, remote_id="R-1"),
    Outcome(Class.TRANSIENT),
    Outcome(Class.PERMANENT, "NO"),
    Outcome(Class.UNKNOWN),
    Outcome(Class.HANDED_OVER),
    Outcome(Class.CONFLICT),
]
ACT = st.one_of(
    st.tuples(
        st.just("enqueue"),
        st.sampled_from(["a", "b", None]),
        st.integers(0, 3),
        st.sampled_from([None, "cancel"]),
    ),
    st.tuples(st.just("claim"), st.integers(1, 3)),
    st.tuples(st.just("settle"), st.sampled_from(OUTCOMES)),
    st.tuples(st.just("receive"), st.booleans()),
    st.tuples(
        st.just("person"),
        st.sampled_from([Event.CANCEL, Event.REVIVE, Event.DISCARD, Event.RESTORE]),
        st.integers(0, 11),
    ),
)


class Context:
    def __init__(self, store: Watched, name: str, seed: int):
        self.store = store
        self.clock, self.entropy = FakeClock(), SeededEntropy(seed)
        self.committer = Committer(store, self.clock, self.entropy, name)
        self.mine: list[Item] = []

    async def run(self, acts: list[Any]) -> None:
        for name, *args in acts:
            try:
                await getattr(self, name)(*args)
            except (Refused, IllegalTransition):
                continue  # another context was there first

    async def commit(self, *writes: Write) -> tuple[Item, ...]:
        return await self.committer.commit(Change(writes))

    def rows(self) -> list[Item]:
        return [row.item for row in self.store._state.rows.values()]

    async def enqueue(self, entity: str | None, parents: int, policy: str | None) -> None:
        now = self.clock.now()
        known = [i.id for i in self.rows()][-parents:] if parents else []
        item = Item(
            self.entropy.uuid7(now),
            "ticket",
            "create",
            "gateway",
            self.entropy.uuid7(now),
            now,
            now,
            parents=tuple(known),
            on_parent_failed=policy,
        )
        marks = {} if entity is None else {"entity": entity}
        await self.commit(Write(Put(item, {"head": b'{"t":"x"}'}, marks, insert=True), None))

    async def claim(self, limit: int) -> None:
        for stored in await self.store.ready("gateway", limit):
            taken = step(stored.item, Claimed("me", 1), self.clock.now())
            self.mine += await self.commit(Write(Put(taken), stored.item.state))

    async def settle(self, outcome: Outcome) -> None:
        mine, self.mine = self.mine, []
        answered = Answered(outcome, PRESETS["itsm"], 0.0)
        if mine:
            now = self.clock.now()
            await self.commit(*(Write(Put(step(i, answered, now)), i.state) for i in mine))

    async def receive(self, delivered: bool) -> None:
        answered = Answered(OUTCOMES[0 if delivered else 2], PRESETS["itsm"], 0.0)
        for item in self.rows():
            if item.state is State.HANDED_OVER:
                await self.commit(Write(Put(step(item, answered, self.clock.now())), item.state))

    async def person(self, event: Event, n: int) -> None:
        rows = self.rows()
        if n < len(rows):
            item = step(rows[n], Person(event), self.clock.now())
            await self.commit(Write(Put(item), rows[n].state))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts=st.lists(st.lists(ACT, max_size=14), min_size=2, max_size=3), seed=st.integers(0))
def test_whatever_several_contexts_do_at_once(scripts: list[list[Any]], seed: int) -> None:
    asyncio.run(_at_once(scripts, seed))


async def _at_once(scripts: list[list[Any]], seed: int) -> None:
    store = Watched(seed)
    contexts = [Context(store, f"c{n}", seed + n) for n in range(len(scripts))]
    await asyncio.gather(*(c.run(s) for c, s in zip(contexts, scripts, strict=True)))
    await _everything_can_be_sent(store, contexts[0])


async def _everything_can_be_sent(store: Watched, context: Context) -> None:
    """Once all is answered and persons have retried, nothing is left waiting for ever."""
    await finish_left_over(store, context.committer)
    context.mine = []
    for _ in range(40):
        for id_ in [item.id for item in context.rows()]:
            await _end(store, context, id_)
        await context.receive(True)
    left = [i for i in context.rows() if i.state in IN_LINE]
    given_up = [i for i in context.rows() if i.state is State.DISCARDED]
    parents = {i.id for i in given_up}
    while more := {i.id for i in left if parents & {*i.parents}} - parents:
        parents |= more
    entities = {i.entity for i in left if i.id in parents}
    assert all(i.id in parents or i.entity in entities for i in left), "stranded"
    assert not [i for i in left if under_way(i)]


async def _end(store: Watched, context: Context, id_: str) -> None:
    (stored,) = await store.get([id_])
    item, now = stored.item, context.clock.now()
    event = {
        State.FAILED: Event.REVIVE,
        State.CANCELLED: Event.RESTORE,
        State.CONFLICTED: Event.DISCARD,
    }.get(item.state)
    if event is not None:
        await context.commit(Write(Put(step(item, Person(event), now)), item.state))
    elif item.state is State.IN_PROGRESS:
        await context.commit(Write(Put(step(item, Orphaned(sent_possible=True), now)), item.state))
    elif item.state in (State.PENDING, State.UNKNOWN):
        taken = step(item, Claimed("me", 1), now)
        context.mine += await context.commit(Write(Put(taken), item.state))
        await context.settle(OUTCOMES[0])


def test_the_watch_sees_what_it_is_meant_to_see() -> None:
    """Each law of the store above fails on rows that break it."""
    store = Watched(0)
    now = 1_700_000_000_000
    a = Item("0" * 8 + "-0000-0000-0000-" + "0" * 12, "k", "o", "l", OTHER, now, now, sequence=1)
    b = a.changed(id=OTHER, sequence=2)
    blocked = {"state": State.BLOCKED, "ready": False}
    for law, rows in {
        "in parallel": [a.changed(entity="e"), b.changed(entity="e")],
        "overtaken": [a.changed(entity="e", state=State.FAILED), b.changed(entity="e")],
        "free before": [a, b.changed(parents=(a.id,))],
        "stranded": [a, b.changed(**blocked)],
    }.items():
        with pytest.raises(AssertionError, match=law):
            store.judge(rows)


OTHER = "00000000-0000-7000-8000-000000000001"


# --- killed at every await ------------------------------------------------------------------------


async def _trip(world: World, crasher: Crasher) -> set[str]:
    queue = crashing_queue(world, crasher)
    saved: set[str] = set()
    try:
        first = await queue.enqueue("ticket", {"summary": "1"}, entity="e")
        saved.add(first.id)
        second = await queue.enqueue("ticket", {"summary": "2"}, entity="e")
        saved.add(second.id)
        payload = {"summary": "3", "systemInfo": {"$ref": first.id}}
        options: dict[str, Any] = {"depends_on": [first.id, second.id], "entity": "f"}
        child = await queue.enqueue("ticket", payload, **options)
        saved.add(child.id)
        saved.add((await queue.enqueue("ticket", {"summary": "4"}, entity="f")).id)
        for _ in range(2):
            await queue.sync()
            world.clock.advance(600_000)
    except (Crash, QueueError):
        assert crasher.dead
    return saved


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_every_await_strands_and_overtakes_nothing(after: bool) -> None:
    crasher, world = Crasher(), World()
    await _trip(world, crasher)
    assert len(world.gateway.inbox) == 4
    for at in range(1, crasher.calls + 1):
        world, killer = World(), Crasher(at, after=after)
        saved = await _trip(world, killer)
        assert killer.dead
        world.restart()
        await check_books(world, saved)
        page = await world.store.page(list(State), limit=10, parts=("body",))
        order = [stored.item.id for stored in page.rows]
        assert world.gateway.inbox == order, "one entity after the other, children last"
        for op in world.gateway.ledger.values():
            if op["payload"]["summary"] == "3":
                assert op["payload"]["systemInfo"] == "FP-000001"

"""Order where it matters (invariant 6): entities, parents and children, across contexts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.runtime.worlds import World

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.machine import Answered, Claimed, step
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.ports import Capture, Commit, Put, Request, Response
from fieldpost.runtime import ordering
from fieldpost.runtime.ordering import Ordering, Write
from fieldpost.runtime.queue import Queue
from fieldpost.testing.fakes import Fault, SeededEntropy, answers, lose_answer

OTHER = "00000000-0000-7000-8000-000000000000"


def ticket(n: int | str) -> dict[str, Any]:
    return {"summary": f"number {n}"}


def says(status: str, **more: Any) -> Fault:
    """The gateway does not act and gives each operation this result."""

    def fault(_gateway: object, request: Request, _route: object) -> Response:
        operations = json.loads(request.body)["operations"]
        results = [
            {"id": op["id"], "send_id": op["send_id"], "status": status, **more}
            for op in operations
        ]
        body = {"protocol": 1, "cursor": 0, "results": results, "pause_until": None}
        return Response(200, {"content-type": "application/json"}, json.dumps(body).encode())

    return fault


rejected = says("rejected", code="NO", detail="never")


async def states(world: World, *items: Item) -> list[str]:
    return [str(stored.item.state) for stored in await world.store.get([i.id for i in items])]


async def enqueue(world: World, n: int | str, **options: Any) -> Item:
    return await world.queue.enqueue("ticket", ticket(n), **options)


# --- one entity -------------------------------------------------------------------------------


async def test_one_entity_goes_out_one_after_the_other_in_order() -> None:
    world = World()
    items = [await enqueue(world, n, entity="pump 3") for n in range(5)]
    free = await enqueue(world, "free")
    assert [i.state for i in items] == [State.PENDING, *[State.BLOCKED] * 4]
    await world.queue.sync()
    sent = [i.id for i in items]
    assert [id_ for id_ in world.gateway.inbox if id_ != free.id] == sent
    batches = [json.loads(r.body)["operations"] for r in world.gateway.requests if r.body]
    assert all(sum(op["id"] in sent for op in batch) <= 1 for batch in batches)
    assert world.gateway.inbox.index(free.id) <= 1, "another item waited for the entity"


async def test_bulk_and_captures_of_one_entity_keep_their_order() -> None:
    world = World()
    bulk = await world.queue.enqueue_many("ticket", [ticket(n) for n in range(4)], entity="a")
    captured = []
    for n in range(3):
        id_ = world.entropy.uuid7(world.clock.now())
        data = {"kind": "ticket", "payload": ticket(n), "entity": "a"}
        await world.store.capture(Capture(id_, world.clock.now(), json.dumps(data).encode()))
        captured.append(id_)
    await world.settle()
    assert world.gateway.inbox == [*(i.id for i in bulk), *captured]


async def test_two_contexts_cannot_both_be_first() -> None:
    """Both read an empty line; the commit of the second is refused and looks again."""
    world = World()
    tabs = [world.open(f"tab {n}") for n in range(4)]
    items = await asyncio.gather(
        *(tab.enqueue("ticket", ticket(n), entity="pump") for n, tab in enumerate(tabs * 5))
    )
    assert sum(i.state is State.PENDING for i in items) == 1
    await world.settle()
    order = sorted(items, key=lambda item: item.sequence)
    assert world.gateway.inbox == [i.id for i in order]


async def test_an_entity_is_not_in_clear_in_any_column() -> None:
    world = World()
    item = await enqueue(world, 1, entity="pump 3")
    assert item.entity is not None
    assert "pump" not in item.entity
    assert await world.queue.find("entity", "pump 3") == [item.id]


async def test_the_whole_queue_does_not_stall_behind_one_bad_head_item() -> None:
    """Known failure 9: a failing item parks only what must come after it."""
    world = World()
    world.gateway.faults = [rejected]
    bad = await enqueue(world, "bad", entity="pump 3")
    await world.queue.sync()
    behind = await enqueue(world, "behind", entity="pump 3")
    child = await enqueue(world, "child", depends_on=[bad.id])
    others = [await enqueue(world, n, entity=f"other {n % 3}") for n in range(9)]
    await world.settle(hours=1)
    assert sorted(world.gateway.inbox) == sorted(i.id for i in others)
    assert await states(world, bad, behind, child) == ["failed", "blocked", "blocked"]
    await world.queue.retry(bad.id)
    await world.settle()
    assert world.gateway.inbox[9:] == [bad.id, behind.id, child.id]


@pytest.mark.parametrize("fault", [lose_answer, answers(503)], ids=["unknown", "retry"])
async def test_what_is_not_answered_for_is_not_overtaken(fault: Fault) -> None:
    world = World()
    first, second = [await enqueue(world, n, entity="e") for n in range(2)]
    world.gateway.faults = [fault]
    await world.queue.sync()
    assert (await states(world, second)) == ["blocked"]
    await world.settle()
    assert world.gateway.inbox == [first.id, second.id]


async def test_handed_over_keeps_those_behind_until_the_receipt() -> None:
    world = World()
    world.gateway.later = True
    first, second = [await enqueue(world, n, entity="e") for n in range(2)]
    await world.queue.sync()
    await world.queue.sync()
    assert await states(world, first, second) == ["handed_over", "blocked"]
    world.gateway.deliver_later()
    await world.queue.sync()
    assert (await states(world, first))[0] == "completed"
    assert (await states(world, second))[0] in {"handed_over", "in_progress", "pending"}


# --- a person's acts and order ------------------------------------------------------------------


async def test_cancel_frees_the_next_and_restore_takes_the_old_place() -> None:
    world = World()
    world.link.set(False)
    first, second, third = [await enqueue(world, n, entity="e") for n in range(3)]
    await world.queue.cancel(first.id)
    assert await states(world, first, second, third) == ["cancelled", "pending", "blocked"]
    restored = await world.queue.restore(first.id)
    assert restored.state is State.PENDING
    assert await states(world, first, second, third) == ["pending", "blocked", "blocked"]
    await world.queue.cancel(second.id)
    world.link.set(True)
    await world.settle()
    assert world.gateway.inbox == [first.id, third.id]


async def test_restored_behind_one_that_is_being_sent_waits_for_it() -> None:
    """What has been begun keeps its place: the restored one comes after it, before the rest."""
    world = World()
    first, second, third = [await enqueue(world, n, entity="e") for n in range(3)]
    await world.queue.cancel(first.id)
    world.gateway.faults = [lose_answer]
    await world.queue.sync()
    assert await states(world, second) == ["unknown"]
    assert (await world.queue.restore(first.id)).state is State.BLOCKED
    await world.settle()
    assert world.gateway.inbox == [second.id, first.id, third.id]


async def test_discard_frees_the_next_and_restore_blocks_it_again() -> None:
    world = World()
    world.gateway.faults = [rejected]
    first, second = [await enqueue(world, n, entity="e") for n in range(2)]
    await world.queue.sync()
    assert await states(world, first, second) == ["failed", "blocked"]
    world.link.set(False)
    await world.queue.discard(first.id)
    assert await states(world, second) == ["pending"]
    await world.queue.restore(first.id)
    assert await states(world, first, second) == ["failed", "blocked"]
    world.link.set(True)
    await world.queue.retry(first.id)
    await world.settle()
    assert world.gateway.inbox == [first.id, second.id]


# --- parents and children -----------------------------------------------------------------------


async def test_a_child_waits_for_all_its_parents_and_knows_their_remote_ids() -> None:
    world = World()
    world.link.set(False)
    one, two = [await enqueue(world, n) for n in range(2)]
    payload = {
        "summary": "child",
        "refs": {"of": {"$ref": one.id}, "list": [{"$ref": two.id}, {"$ref": OTHER}]},
    }
    child = await world.queue.enqueue("ticket", payload, depends_on=[one.id, two.id])
    assert child.state is State.BLOCKED
    world.link.set(True)
    await world.settle()
    assert world.gateway.inbox == [one.id, two.id, child.id]
    sent = world.gateway.ledger[child.send_id]["payload"]
    assert sent["refs"] == {"of": "FP-000001", "list": ["FP-000002", {"$ref": OTHER}]}
    assert (await world.queue.detail(child.id))["payload"] == payload, "the payload is immutable"


async def test_a_temporary_id_is_replaced_durably() -> None:
    """Known failure 20: after a reload between parent and child the child still knows its parent's
    remote id, and an answer lost brings the same bytes again."""
    world = World()
    parent = await enqueue(world, "parent")
    payload = {"summary": "child", "refs": {"$ref": parent.id}}
    child = await world.queue.enqueue("ticket", payload, depends_on=[parent.id])
    world.gateway.faults = [lambda g, r, route: route(), answers(503)]
    await world.queue.sync()
    assert (await states(world, parent))[0] == "completed"
    world.restart()
    world.gateway.faults = [lose_answer]
    world.clock.advance(3_600_000)
    await world.queue.sync()
    assert await states(world, child) == ["unknown"]
    world.restart()
    await world.settle()
    assert world.gateway.inbox == [parent.id, child.id]
    assert world.gateway.ledger[child.send_id]["payload"]["refs"] == "FP-000001"


async def test_a_parent_that_is_sent_already_blocks_nobody() -> None:
    world = World()
    parent = await enqueue(world, "parent")
    await world.settle()
    payload = {"summary": "child", "refs": {"$ref": parent.id}}
    child = await world.queue.enqueue("ticket", payload, depends_on=[parent.id])
    assert child.state is State.PENDING
    await world.settle()
    assert world.gateway.ledger[child.send_id]["payload"]["refs"] == "FP-000001"


async def test_what_a_child_may_name() -> None:
    world = World()
    unknown = world.entropy.uuid7(1)
    for wrong in ("x", [1], ["no uuid"], [unknown], [world.entropy.uuid7(n) for n in range(101)]):
        with pytest.raises(InvalidItem) as error:
            await enqueue(world, 1, depends_on=wrong)
        assert list(error.value.fields) == ["depends_on"], wrong
    with pytest.raises(InvalidItem) as error:
        await enqueue(world, 1, id=unknown, depends_on=[unknown])
    assert "itself" in error.value.fields["depends_on"]
    with pytest.raises(InvalidItem) as error:
        await enqueue(world, 1, on_parent_failed="explode", entity="x" * 501)
    assert sorted(error.value.fields) == ["entity", "on_parent_failed"]
    assert (await world.store.counters())["sequence"] == 0


async def test_a_parent_may_be_a_capture_that_nobody_adopted_yet() -> None:
    world = World()
    ids = [world.entropy.uuid7(world.clock.now()) for _ in range(3)]
    for at, id_ in enumerate(ids[:2]):
        data = {"kind": "ticket", "payload": ticket(at), "depends_on": ids[:at]}
        await world.store.capture(Capture(id_, world.clock.now(), json.dumps(data).encode()))
    child = await enqueue(world, 2, id=ids[2], depends_on=ids[:2])
    assert child.state is State.BLOCKED
    await world.settle()
    assert world.gateway.inbox == ids


async def test_a_captured_child_of_nothing_is_kept_and_shown() -> None:
    world = World()
    id_ = world.entropy.uuid7(world.clock.now())
    data = {"kind": "ticket", "payload": ticket(1), "depends_on": [world.entropy.uuid7(1)]}
    await world.store.capture(Capture(id_, world.clock.now(), json.dumps(data).encode()))
    await world.queue.sync()
    detail = await world.queue.detail(id_)
    assert (detail["state"], detail["kind"]) == ("failed", "quarantine")
    assert "depends_on names what is not here" in detail["history"][0]["text"]


async def test_a_failed_parent_cancels_its_descendants_if_they_said_so() -> None:
    world = World()
    world.gateway.faults = [rejected]
    parent = await enqueue(world, "parent")
    cancel = {"on_parent_failed": "cancel"}
    child = await enqueue(world, "child", depends_on=[parent.id], entity="e", **cancel)
    grandchild = await enqueue(world, "grandchild", depends_on=[child.id], **cancel)
    waiting = await enqueue(world, "waiting", depends_on=[child.id])
    behind = await enqueue(world, "behind", entity="e")
    await world.queue.sync()
    found = await states(world, parent, child, grandchild, waiting, behind)
    assert found == ["failed", "cancelled", "cancelled", "blocked", "completed"]
    detail = await world.queue.detail(grandchild.id)
    assert detail["history"][-1]["text"] == "Cancelled with “number child”, which it depends on."
    # Taken back by a person, all goes its way.
    for item in (grandchild, child):
        assert (await world.queue.restore(item.id)).state is State.BLOCKED
    await world.queue.retry(parent.id)
    await world.settle()
    assert world.gateway.inbox[1:] in (
        [parent.id, child.id, grandchild.id, waiting.id],
        [parent.id, child.id, waiting.id, grandchild.id],
    )


async def test_more_children_than_one_commit_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded commits, and a kill between them strands none."""
    monkeypatch.setattr(ordering, "ROWS_MAX", 3)
    for fails in (False, True):
        world = World()
        world.gateway.faults = [rejected] if fails else []
        parent = await enqueue(world, "parent")
        options = {"depends_on": [parent.id], "on_parent_failed": "cancel"}
        children = [await enqueue(world, n, **options) for n in range(10)]
        await enqueue(world, "patient", depends_on=[parent.id])
        commits: list[int] = []
        inner = world.store.commit

        async def counted(commit: Any, inner: Any = inner, commits: list[int] = commits) -> Any:
            commits.append(len(commit.puts))
            return await inner(commit)

        monkeypatch.setattr(world.store, "commit", counted)
        await world.queue.sync()
        await world.settle(hours=1)
        expected = "cancelled" if fails else "completed"
        assert await states(world, *children) == [expected] * 10
        assert await world.store.sides(ordering.TABLE) == {}
        if fails:
            assert max(commits) <= 4


async def test_children_left_over_by_a_kill_are_found_at_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordering, "ROWS_MAX", 3)
    world = World()
    parent = await enqueue(world, "parent")
    children = [await enqueue(world, n, depends_on=[parent.id]) for n in range(10)]
    world.link.set(False)
    (row,) = await world.store.get([parent.id])
    claimed = row.item
    now = world.clock.now()
    taking = Commit(puts=(Put(step(claimed, Claimed("x", 1), now)),))
    (taken,) = (await world.store.commit(taking)).items
    done = step(taken, Answered(Outcome(Class.DELIVERED), PRESETS["itsm"], 0.0), now)
    maker = Ordering(world.store)
    maker._some_blocked = True
    plan = await maker.plan([Write(Put(done), was=State.IN_PROGRESS)], [], now)
    puts = tuple(write.put for write in [*plan.writes, *plan.extra])
    await world.store.commit(Commit(expect=tuple(plan.expect), puts=puts, side=plan.side))
    assert plan.left == [parent.id]
    assert (await states(world, *children)).count("blocked") == 7
    world.restart()
    world.link.set(True)
    await world.settle(hours=1)
    assert await states(world, *children) == ["completed"] * 10


# --- times and order ------------------------------------------------------------------------------


async def test_a_date_of_the_users_holds_its_entity_too() -> None:
    world = World()
    at = world.clock.now() + 3_600_000
    first = await enqueue(world, 1, entity="e", not_before=at)
    second = await enqueue(world, 2, entity="e")
    late = await enqueue(world, 3, depends_on=[second.id], not_before=at + 3_600_000)
    await world.queue.sync()
    assert world.gateway.inbox == []
    assert await states(world, first, second, late) == ["pending", "blocked", "blocked"]
    world.clock.jump(at - world.clock.now())
    await world.queue.sync()
    assert world.gateway.inbox == [first.id, second.id]
    assert await states(world, late) == ["pending"]
    await world.queue.sync()
    assert world.gateway.inbox == [first.id, second.id]
    await world.settle()
    assert world.gateway.inbox[2:] == [late.id]


async def test_a_restored_item_still_has_its_date() -> None:
    world = World()
    item = await enqueue(world, 1, not_before=world.clock.now() + 3_600_000)
    await world.queue.cancel(item.id)
    assert not (await world.queue.restore(item.id)).ready
    await world.queue.sync()
    assert world.gateway.inbox == []
    await world.settle()
    assert world.gateway.inbox == [item.id]


async def test_what_waits_says_for_what() -> None:
    world = World()
    world.link.set(False)
    first = await world.queue.enqueue("ticket", ticket(1), entity="e", title="Pump 3")
    second = await world.queue.enqueue("ticket", ticket(2), entity="e", title="Valve")
    both = await enqueue(world, 3, entity="e", depends_on=[second.id])
    rows = {row["id"]: row for row in (await world.queue.list())["rows"]}
    assert rows[second.id]["why"] == "Waits for “Pump 3”."
    assert rows[both.id]["why"] == "Waits for “Pump 3” and 1 more item."
    detail = await world.queue.detail(both.id)
    assert detail["waits_for"] == rows[both.id]["why"]
    assert [(b["id"], b["title"], b["state"]) for b in detail["blockers"]] == [
        (first.id, "Pump 3", "pending"),
        (second.id, "Valve", "blocked"),
    ]


async def test_nothing_blocked_costs_no_read() -> None:
    """A queue without entities and parents does not pay for them."""
    world = World()
    reads: list[str] = []
    for name in ("lines", "marks"):
        setattr(world.store, name, _noted(reads, name, getattr(world.store, name)))
    queue: Queue = world.queue
    await queue.enqueue_many("ticket", [ticket(n) for n in range(300)])
    await queue.sync()
    assert (len(world.gateway.inbox), reads) == (300, [])


def _noted(reads: list[str], name: str, inner: Any) -> Any:
    async def noted(*args: Any) -> Any:
        reads.append(name)
        return await inner(*args)

    return noted


class Box:
    """Rescue lines, kept as they are."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def write(self, passphrase: str, lines: list[str]) -> str:
        self.lines = lines
        return passphrase

    async def read(self, passphrase: str, url: str) -> list[str]:
        assert passphrase == url
        return self.lines


async def test_a_rescue_file_carries_order_and_what_is_known_of_parents() -> None:
    box, here, there = Box(), World(), World(entropy=SeededEntropy(7))
    for world in (here, there):
        world.queue._rescue._box = box
    sent = await enqueue(here, "sent")
    await here.settle()
    here.link.set(False)
    first = await enqueue(here, 1, entity="e")
    second = await enqueue(here, 2, entity="e")
    payload = {"summary": "child", "refs": [{"$ref": sent.id}, {"$ref": second.id}]}
    options: dict[str, Any] = {"depends_on": [sent.id, second.id]}
    child = await here.queue.enqueue("ticket", payload, **options)
    await here.queue.rescue_out("a passphrase")
    assert await there.queue.rescue_in("a passphrase", "a passphrase") == {"added": 3, "known": 0}
    await there.settle()
    assert there.gateway.inbox == [first.id, second.id, child.id]
    arrived = there.gateway.ledger[child.send_id]["payload"]["refs"]
    assert arrived == ["FP-000001", "FP-000002"]

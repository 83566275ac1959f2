"""What people do with items: dead letters, edits, acts on many, and what an outage left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.worlds import World

from fieldpost.engine.errors import (
    IllegalTransition,
    InvalidItem,
    ItemNotFound,
    MaxRetriesExceeded,
    StaleRevision,
)
from fieldpost.engine.kinds import Kind
from fieldpost.engine.machine import Edited, Person, Prioritised, step
from fieldpost.engine.model import Item
from fieldpost.engine.transitions import TRANSITIONS, Event, State
from fieldpost.ports import Capture, Commit, Request, Response
from fieldpost.runtime.bridge import Bridge
from fieldpost.testing.fakes import lose_answer

TICKET = {"summary": "Pump 3 is leaking", "severity": "high"}
GAVE_UP = MaxRetriesExceeded.code


def results(status: str, **more: Any) -> Callable[..., Response]:
    """Every operation of every request is answered with this until the fault is taken away."""

    def fault(gateway: Any, request: Request, route: Callable[[], Response]) -> Response:
        gateway.faults.append(fault)
        if not request.url.endswith("/operations"):
            return route()
        told = [
            {"id": op["id"], "send_id": op["send_id"], "status": status, **more}
            for op in json.loads(request.body)["operations"]
        ]
        answer = {"protocol": 1, "cursor": 0, "results": told, "pause_until": None}
        return Response(200, {"content-type": "application/json"}, json.dumps(answer).encode())

    return fault


REFUSED = results(
    "rejected", code="INVALID_FIELDS", detail="Not so.", fields={"summary": "is too vague"}
)


async def refused(world: World, *summaries: str) -> list[str]:
    """Dead letters with these summaries; the gateway works again afterwards."""
    world.gateway.faults = [REFUSED]
    ids = [(await world.queue.enqueue("ticket", {"summary": s})).id for s in summaries]
    await world.queue.sync()
    world.gateway.faults = []
    return ids


async def given_up(world: World, *summaries: str) -> list[str]:
    """Items whose every try met a server that was there and could not."""
    world.gateway.faults = [results("busy", code="BUSY")]
    ids = [(await world.queue.enqueue("ticket", {"summary": s})).id for s in summaries]
    for _ in range(5):
        await world.queue.sync()
    world.gateway.faults = []
    return ids


def sent(world: World) -> list[dict[str, Any]]:
    bodies = [r.body for r in world.gateway.requests if r.url.endswith("/operations")]
    return [op for body in bodies for op in json.loads(body)["operations"]]


async def test_what_needs_a_person_is_one_list_with_the_answer_and_no_longer_waits() -> None:
    world = World()
    (item_id,) = await refused(world, "Pump")
    listed = await world.queue.list("attention")
    assert listed["counts"] == {"failed": 1, "conflicted": 0, "expired": 0}
    (row,) = listed["rows"]
    assert row["id"] == item_id
    assert row["answer"]["text"] == "Not so. summary: is too vague"
    assert row["answer"]["fields"] == {"summary": "is too vague"}
    assert row["can"] == ["edit", "retry", "discard"]
    assert (await world.queue.list("waiting"))["rows"] == []
    status = await world.queue.status()
    assert (status["waiting"], status["attention"]) == (0, 1)


async def test_a_corrected_item_goes_out_once_under_another_key() -> None:
    world = World()
    (item_id,) = await refused(world, "Pump")
    before = await world.queue.get(item_id)
    edited = await world.queue.edit(item_id, {"summary": "Pump 3 leaks", "severity": "critical"})
    assert edited.send_id != before.send_id
    assert (edited.priority, edited.attempts, edited.error_code) == (10, 0, None)
    assert (
        edited.size == edited.body_bytes == len(b'{"severity":"critical","summary":"Pump 3 leaks"}')
    )
    await world.queue.sync()
    assert world.gateway.inbox == [item_id]
    assert sent(world)[-1]["payload"]["summary"] == "Pump 3 leaks"
    detail = await world.queue.detail(item_id)
    assert detail["title"] == "Pump 3 leaks"
    assert [h["outcome"] for h in detail["history"]] == ["permanent", "edit", "delivered"]
    assert (await world.queue.verify())["ok"]


async def test_an_edit_that_changes_no_byte_keeps_its_key() -> None:
    world = World()
    world.link.set(False)
    item = await world.queue.enqueue("ticket", TICKET, priority=3)
    same = await world.queue.edit(item.id, dict(reversed(TICKET.items())), title="Another line")
    assert same.send_id == item.send_id
    assert same.priority == 3  # given by hand, not by the severity
    assert (await world.queue.detail(item.id))["title"] == "Another line"


async def test_an_edit_is_checked_field_by_field_and_changes_nothing_when_wrong() -> None:
    world = World()
    (item_id,) = await refused(world, "Pump")
    before = await world.queue.get(item_id)
    with pytest.raises(InvalidItem) as error:
        await world.queue.edit(item_id, {"summary": " ", "severity": "loud"})
    assert set(error.value.fields) == {"summary", "severity"}
    with pytest.raises(InvalidItem):
        await world.queue.edit(item_id, {"summary": "x", "description": "y" * 300_000})
    with pytest.raises(InvalidItem):
        await world.queue.edit(item_id, TICKET, priority=11)
    assert await world.queue.get(item_id) == before
    with pytest.raises(ItemNotFound):
        await world.queue.edit("nothing", TICKET)


async def test_what_may_have_been_sent_is_never_edited() -> None:
    world = World()
    world.gateway.faults = [lose_answer]
    item = await world.queue.enqueue("ticket", TICKET)
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.UNKNOWN
    with pytest.raises(IllegalTransition):
        await world.queue.edit(item.id, {"summary": "Something else"})
    await world.settle()
    assert world.gateway.inbox == [item.id]
    with_file = await world.queue.enqueue("ticket", TICKET, attachments=[await world.attach()])
    stored = await world.queue.get(with_file.id)
    with pytest.raises(IllegalTransition, match="text of this item has been sent"):
        step(stored.changed(step=1), Edited(stored.send_id, 1, 5), 1)


@given(st.sampled_from(State), st.integers(0, 1), st.booleans())
def test_an_edit_follows_the_table(state: State, at_step: int, ready: bool) -> None:
    uuid = "01890000-0000-7000-8000-000000000001"
    item = Item(uuid, "ticket", "create", "gateway", uuid, 1, 1)
    item = item.changed(state=state, step=at_step, ready=ready, size=30, body_bytes=10)
    other = uuid.replace("1", "2")
    if at_step or Event.EDIT not in TRANSITIONS[state]:
        with pytest.raises(IllegalTransition):
            step(item, Edited(other, 12, 4), 5)
        return
    after = step(item, Edited(other, 12, 4), 5)
    assert after.state is TRANSITIONS[state][Event.EDIT]
    assert (after.send_id, after.size, after.body_bytes, after.priority) == (other, 32, 12, 4)
    # What a commit has not freed yet (an earlier row of its entity, a parent) an edit does not.
    assert after.ready == (True if state in (State.FAILED, State.CONFLICTED) else ready)


async def test_two_people_who_act_at_once_do_not_undo_each_other() -> None:
    world = World()
    (item_id,) = await refused(world, "Pump")
    original = world.store.commit

    async def slow(commit: Commit) -> Any:
        world.store.commit = original  # type: ignore[method-assign]
        await world.open("other").retry(item_id)
        return await original(commit)

    world.store.commit = slow  # type: ignore[method-assign]
    with pytest.raises(StaleRevision):
        await world.queue.edit(item_id, {"summary": "Mine"})
    await world.queue.sync()
    assert sent(world)[-1]["payload"] == {"summary": "Pump"}


async def test_after_an_outage_one_retry_brings_out_what_gave_up() -> None:
    """The same bytes under the same key: what had arrived has no second effect."""
    world = World()
    ids = await given_up(world, "One", "Two")
    (wrong,) = await refused(world, "Vague")
    rows = {row["id"]: row for row in (await world.queue.list("attention"))["rows"]}
    assert {rows[id_]["state_text"] for id_ in ids} == {"Not delivered"}
    assert rows[wrong]["state_text"] == "Not accepted"
    told = await world.queue.attention()
    assert told["counts"] == {"failed": 3, "conflicted": 0, "expired": 0}
    assert (told["gave_up"]["count"], told["gave_up"]["more"]) == (2, False)
    keys = {id_: (await world.queue.get(id_)).send_id for id_ in ids}
    # One of them did reach the gateway, which said "busy" all the same.
    arrived = next(op for op in sent(world) if op["id"] == ids[0])
    world.gateway._operation(arrived)
    assert world.gateway.inbox == [ids[0]]
    assert await world.queue.retry_all(code=GAVE_UP) == 2
    await world.queue.sync()
    assert sorted(world.gateway.inbox) == sorted(ids)
    assert {id_: (await world.queue.get(id_)).send_id for id_ in ids} == keys
    assert (await world.queue.get(wrong)).state is State.FAILED
    assert (await world.queue.attention())["gave_up"]["count"] == 0


async def test_retry_all_commits_pages_of_rows_not_rows() -> None:
    world = World()
    since = world.clock.now()
    summaries = [f"T{n}" for n in range(450)]
    ids = await refused(world, *summaries)
    commits = (await world.store.counters())["journal"]
    assert await world.queue.retry_all(kind="feedback") == 0
    assert await world.queue.retry_all(since=world.clock.now() + 1) == 0
    assert await world.queue.retry_all(kind="ticket", since=since) == 450
    assert (await world.store.counters())["journal"] - commits == 3
    await world.queue.sync()
    assert sorted(world.gateway.inbox) == sorted(ids)
    assert (await world.queue.verify())["ok"]


async def test_acts_on_a_selection_say_what_they_left() -> None:
    world = World()
    one, two = await refused(world, "One", "Two")
    done = await world.queue.discard_many([one, two, one, "nothing"], "of last year")
    assert done.ids == [one, two]
    assert {id_: e.code for id_, e in done.left.items()} == {"nothing": "QUEUE_ITEM_NOT_FOUND"}
    assert (await world.queue.detail(one))["history"][-1]["text"] == "of last year"
    done = await world.queue.restore_many([one, two])
    assert len(done.ids) == 2
    assert (await world.queue.get(one)).state is State.FAILED
    await world.queue.retry(one)
    done = await world.queue.cancel_many([one, two])
    assert (done.ids, list(done.left)) == ([one], [two])
    done = await world.queue.retry_many([two])
    assert done.ids == [two]
    await world.queue.sync()
    assert world.gateway.inbox == [two]


async def test_a_new_priority_is_a_new_place_in_the_queue() -> None:
    world = World()
    world.link.set(False)
    first, second = [await world.queue.enqueue("ticket", {"summary": s}) for s in "ab"]
    assert (await world.queue.set_priority([second.id], 10)).ids == [second.id]
    with pytest.raises(InvalidItem):
        await world.queue.set_priority([second.id], 0)
    world.link.set(True)
    await world.queue.sync()
    assert world.gateway.inbox == [second.id, first.id]
    done = await world.queue.set_priority([first.id], 2)
    assert done.left[first.id].code == "QUEUE_ILLEGAL_TRANSITION"
    with pytest.raises(IllegalTransition):
        step(first.changed(state=State.IN_PROGRESS), Prioritised(2), 1)


async def test_reviving_gives_no_row_away_before_its_time_nor_after_it() -> None:
    world = World()
    later = world.clock.now() + 3_600_000
    world.link.set(False)
    item = await world.queue.enqueue("ticket", TICKET, not_before=later, expires_at=later + 1)
    await world.queue.cancel(item.id)
    restored = await world.queue.restore(item.id)
    assert not restored.ready
    expired = step(restored.changed(state=State.CANCELLED), Person(Event.RESTORE), later + 2)
    assert expired.ready
    assert expired.expires_at is None


async def test_what_was_not_understood_is_read_again_and_never_sent_as_it_is() -> None:
    world = World()
    item_id = world.entropy.uuid7(world.clock.now())
    data = {"kind": "hologram", "payload": {"light": "blue"}, "title": "A hologram"}
    await world.store.capture(Capture(item_id, 7, json.dumps(data).encode()))
    await world.queue.sync()
    (row,) = (await world.queue.list("attention"))["rows"]
    assert row["can"] == ["retry", "discard"]
    assert await world.queue.retry_all() == 0
    with pytest.raises(InvalidItem, match="does not understand"):
        await world.queue.retry(item_id)
    with pytest.raises(InvalidItem):
        await world.queue.edit(item_id, {"summary": "x"})
    assert sent(world) == []
    world.queue.kinds.register(Kind("hologram", title="light"))
    item = await world.queue.retry(item_id)
    assert (item.kind, item.state, item.created_at) == ("hologram", State.PENDING, 7)
    await world.queue.sync()
    assert sent(world)[-1]["payload"] == {"light": "blue"}
    detail = await world.queue.detail(item_id)
    assert (detail["title"], detail["state"]) == ("A hologram", "completed")
    assert (await world.queue.verify())["ok"]


async def test_the_page_edits_and_acts_on_many_through_the_one_call() -> None:
    world = World()
    bridge = Bridge(world.queue, world.link.set)
    one, two = await refused(world, "One", "Two")

    async def call(method: str, **args: Any) -> Any:
        return json.loads(await bridge.call(method, json.dumps(args)))

    wrong = (await call("edit", id=one, payload={"summary": ""}))["error"]
    assert wrong["fields"] == {"summary": "is required"}
    row = (await call("edit", id=one, payload={"summary": "One more"}, priority=8))["ok"]
    assert (row["state"], row["priority"], row["title"]) == ("pending", 8, "One more")
    told = (await call("discard_many", ids=[one, two], reason="old"))["ok"]
    assert (told["count"], told["ids"], list(told["left"])) == (1, [two], [one])
    assert (await call("attention"))["ok"]["counts"]["failed"] == 0
    assert (await call("retry_all", code=GAVE_UP))["ok"] == {"count": 0}


async def test_the_outbox_acts_on_many_through_the_one_call() -> None:
    world = World()
    bridge = Bridge(world.queue, world.link.set)
    (dead,) = await refused(world, "Refused")
    ids = [(await world.queue.enqueue("ticket", {"summary": f"Ticket {n}"})).id for n in range(2)]

    async def call(method: str, **args: Any) -> Any:
        return json.loads(await bridge.call(method, json.dumps(args)))["ok"]

    told = await call("cancel_many", ids=[*ids, dead, dead], reason="by phone")
    assert (told["count"], told["ids"], list(told["left"])) == (2, ids, [dead])
    assert told["left"][dead]["code"] == "QUEUE_ILLEGAL_TRANSITION"
    assert told["left"][dead]["message"]
    assert (await call("detail", id=ids[0]))["history"][-1]["text"] == "by phone"
    told = await call("set_priority", ids=[*ids, dead], priority=10)
    assert (told["ids"], sorted(told["left"])) == ([dead], sorted(ids))
    assert (await call("restore_many", ids=ids))["ids"] == ids
    assert (await call("set_priority", ids=ids, priority=8))["count"] == 2
    waiting = (await call("list", view="waiting"))["rows"]
    assert [(row["id"], row["priority"]) for row in waiting] == [(id_, 8) for id_ in ids[::-1]]
    assert (await call("retry_many", ids=[dead, ids[0]]))["ids"] == [dead]

"""From enqueue to the gateway's inbox, once, through good days and bad ones."""

from __future__ import annotations

import json

import pytest
from tests.runtime.worlds import World

from fieldpost.engine.errors import IllegalTransition, InvalidItem
from fieldpost.engine.transitions import State
from fieldpost.ports import Capture, Request, Response
from fieldpost.testing.fakes import FakeGateway, answers, cut_before, lose_answer, wrong_ids

TICKET = {"summary": "Pump 3 is leaking", "severity": "high"}


async def test_a_ticket_arrives_once_and_shows_its_number() -> None:
    world = World()
    item = await world.queue.enqueue("ticket", TICKET)
    status = await world.queue.sync()
    assert world.gateway.inbox == [item.id]
    assert status["counts"]["completed"] == 1
    assert status["waiting"] == 0
    detail = await world.queue.detail(item.id)
    assert detail["remote_id"] == "FP-000001"
    assert detail["payload"] == TICKET
    assert [h["outcome"] for h in detail["history"]] == ["delivered"]
    assert detail["priority"] == 8


async def test_offline_nothing_is_claimed_and_the_network_brings_it_out() -> None:
    world = World()
    world.link.set(False)
    item = await world.queue.enqueue("ticket", TICKET)
    await world.queue.sync()
    assert world.gateway.requests == []
    assert (await world.queue.get(item.id)).state is State.PENDING
    rows = (await world.queue.list())["rows"]
    assert "No network" in rows[0]["why"]
    world.link.set(True)
    await world.queue.sync()
    assert world.gateway.inbox == [item.id]


@pytest.mark.parametrize("fault", [lose_answer, cut_before, wrong_ids], ids=lambda f: f.__name__)
async def test_no_classified_answer_is_unknown_and_the_same_bytes_go_again(fault) -> None:
    world = World()
    world.gateway.faults = [fault]
    item = await world.queue.enqueue("ticket", TICKET)
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.UNKNOWN
    await world.settle()
    assert world.gateway.inbox == [item.id]
    bodies = [r.body for r in world.gateway.requests if r.url.endswith("/operations")]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert (await world.queue.get(item.id)).state is State.COMPLETED


@pytest.mark.parametrize(
    ("fault", "connection"),
    [
        (answers(500, b"oops"), "unreachable"),
        (answers(502, b"<html>", content_type="text/html"), "unreachable"),
        (answers(200, b"<html>hello", content_type="text/html"), "sign_in_page"),
        (answers(302, location="https://portal.example/login"), "sign_in_page"),
        (answers(0), "sign_in_page"),
        (answers(401, b"{}", content_type="application/json"), "signed_out"),
        (answers(403, b"<html>no", content_type="text/html"), "unreachable"),
        (answers(429, b"{}", content_type="application/json", retry_after="20"), "limited"),
        (answers(426, b"{}", content_type="application/json"), "update_required"),
        (answers(200, b"{}", content_type="application/json"), "unreachable"),
    ],
)
async def test_answers_that_prove_nothing_leave_the_item_here(fault, connection) -> None:
    world = World()
    await world.queue.sync()
    world.gateway.faults = [fault]
    item = await world.queue.enqueue("ticket", TICKET)
    status = await world.queue.sync()
    assert world.gateway.inbox == []
    assert (await world.queue.get(item.id)).is_open
    assert status["connection"] == connection
    await world.settle()
    assert world.gateway.inbox == [item.id]
    assert (await world.queue.get(item.id)).attempts <= 1


async def test_a_refused_item_is_a_dead_letter_with_its_reason_and_can_be_retried() -> None:
    world = World()
    problem = {"title": "No", "code": "BAD_REQUEST", "detail": "The category is closed."}
    world.gateway.faults = [
        answers(400, json.dumps(problem).encode(), content_type="application/problem+json")
    ]
    item = await world.queue.enqueue("ticket", TICKET)
    await world.queue.sync()
    detail = await world.queue.detail(item.id)
    assert detail["state"] == "failed"
    assert detail["history"][-1]["text"] == "The category is closed."
    assert detail["can"] == ["edit", "retry", "discard"]
    await world.queue.retry(item.id)
    await world.queue.sync()
    assert world.gateway.inbox == [item.id]


async def test_one_poisonous_item_does_not_take_its_batch_with_it() -> None:
    world = World()
    items = [await world.queue.enqueue("ticket", {"summary": f"T{n}"}) for n in range(9)]
    poison = items[4].id.encode()
    problem = json.dumps({"title": "Too large", "code": "TOO_LARGE"}).encode()

    def refuse(_gateway, request, route):
        world.gateway.faults.append(refuse)
        if poison in request.body:
            return answers(413, problem, content_type="application/problem+json")(None, None, None)
        return route()

    world.gateway.faults = [refuse]
    await world.settle()
    assert sorted(world.gateway.inbox) == sorted(i.id for i in items if i.id != items[4].id)
    assert (await world.queue.get(items[4].id)).state is State.FAILED


async def test_urgent_first_then_in_order() -> None:
    world = World()
    low = await world.queue.enqueue("ticket", {"summary": "a", "severity": "low"})
    first = await world.queue.enqueue("ticket", {"summary": "b", "severity": "critical"})
    second = await world.queue.enqueue("ticket", {"summary": "c", "severity": "critical"})
    await world.queue.sync()
    assert world.gateway.inbox == [first.id, second.id, low.id]


async def test_attachments_follow_the_text_by_part_and_resume_where_they_stopped() -> None:
    world = World()
    attachment = await world.attach(parts=4)
    item = await world.queue.enqueue("ticket", TICKET, attachments=[attachment])
    paths = []

    def watch(_gateway, request, route):
        name = request.url.rpartition("/")[2]
        if name == "destinations":  # the catalogue is asked for beside the trip
            world.gateway.faults.append(watch)
            return route()
        paths.append(name)
        if paths == ["operations", "1", "2"]:
            return lose_answer(world.gateway, request, route)
        world.gateway.faults.append(watch)
        return route()

    world.gateway.faults = [watch]
    await world.queue.sync()
    world.gateway.faults = [watch]
    world.restart()
    await world.settle()
    assert paths == ["operations", "1", "2", "2", "3", "4"]
    assert world.gateway.inbox == [item.id]
    assert (await world.queue.get(item.id)).state is State.COMPLETED
    assert b"".join(world.gateway.files[attachment["id"]]) == b"".join(
        bytes([n]) * 10 for n in range(1, 5)
    )


async def test_texts_overtake_the_files_of_an_earlier_item() -> None:
    later: list[str] = []

    class Gateway(FakeGateway):
        async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
            if n == 1:
                text = {"summary": "y", "severity": "low"}
                later.append((await world.queue.enqueue("ticket", text)).id)
            return await FakeGateway.send_part(self, request, attachment_id, n)

    world = World(gateway=Gateway())
    attachment = await world.attach(parts=3)
    ticket = {"summary": "x", "severity": "critical"}
    heavy = await world.queue.enqueue("ticket", ticket, attachments=[attachment])
    await world.queue.sync()
    assert world.gateway.inbox == [*later, heavy.id]


async def test_a_missing_attachment_never_counts_as_sent() -> None:
    world = World()
    attachment = await world.attach(parts=2)
    item = await world.queue.enqueue("ticket", TICKET, attachments=[attachment])
    world.store._durable.parts.pop(attachment["id"])
    await world.settle()
    found = await world.queue.get(item.id)
    assert found.state is State.FAILED
    assert found.error_code == "QUEUE_ATTACHMENT_UNREADABLE"
    assert world.gateway.inbox == []


async def test_handed_over_is_left_only_by_a_receipt() -> None:
    world = World()
    world.gateway.later = True
    item = await world.queue.enqueue("ticket", TICKET)
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.HANDED_OVER
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.HANDED_OVER
    world.gateway.deliver_later()
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.COMPLETED
    assert (await world.queue.detail(item.id))["remote_id"] == "FP-000001"


async def test_results_are_acknowledged_once_they_are_durable_here() -> None:
    world = World()
    first = await world.queue.enqueue("ticket", TICKET)
    await world.queue.sync()
    assert world.gateway.acked == set()
    await world.queue.enqueue("ticket", {"summary": "next"})
    await world.queue.sync()
    assert world.gateway.acked == {first.send_id}


async def test_captures_become_items_once_also_when_seen_twice() -> None:
    world = World()
    item_id = world.entropy.uuid7(world.clock.now())
    data = json.dumps({"kind": "ticket", "payload": TICKET}).encode()
    await world.store.capture(Capture(item_id, world.clock.now(), data))
    await world.queue.sync()
    assert world.gateway.inbox == [item_id]
    await world.store.capture(Capture(item_id, world.clock.now(), data))
    await world.queue.sync()
    assert world.gateway.inbox == [item_id]
    assert (await world.queue.status())["inbox"] == 0


async def test_a_capture_that_is_not_understood_is_kept_and_shown() -> None:
    world = World()
    item_id = world.entropy.uuid7(world.clock.now())
    await world.store.capture(Capture(item_id, world.clock.now(), b'{"kind": "hologram"}'))
    await world.queue.sync()
    detail = await world.queue.detail(item_id)
    assert detail["state"] == "failed"
    assert detail["payload"] == {"content": '{"kind": "hologram"}'} or detail["payload"] == {
        "kind": "hologram"
    }
    assert "hologram" in detail["history"][0]["text"]


async def test_enqueue_is_idempotent_on_the_id_and_checks_the_fields() -> None:
    world = World()
    item = await world.queue.enqueue("ticket", TICKET)
    again = await world.queue.enqueue("ticket", {"summary": "other"}, id=item.id)
    assert again == item
    with pytest.raises(InvalidItem) as error:
        await world.queue.enqueue("ticket", {"summary": " ", "severity": "loud"})
    assert set(error.value.fields) == {"summary", "severity"}
    with pytest.raises(InvalidItem):
        await world.queue.enqueue("ticket", {"summary": "x", "description": "y" * 300_000})


async def test_cancel_and_restore() -> None:
    world = World()
    world.link.set(False)
    item = await world.queue.enqueue("ticket", TICKET)
    await world.queue.cancel(item.id)
    assert (await world.queue.get(item.id)).state is State.CANCELLED
    await world.queue.restore(item.id)
    world.link.set(True)
    await world.queue.sync()
    assert world.gateway.inbox == [item.id]
    with pytest.raises(IllegalTransition):
        await world.queue.cancel(item.id)


async def test_pause_stops_claims_and_survives_a_restart() -> None:
    world = World()
    await world.queue.pause("lunch")
    item = await world.queue.enqueue("ticket", TICKET)
    world.restart()
    await world.queue.start()
    await world.queue.sync()
    assert world.gateway.inbox == []
    await world.queue.resume()
    await world.queue.sync()
    assert world.gateway.inbox == [item.id]
    await world.queue.close()


async def test_a_static_host_without_a_gateway_is_said_plainly() -> None:
    class StaticHost(FakeGateway):
        async def send(self, request: Request) -> Response:
            return Response(404, {"content-type": "text/html"}, b"<html>not found")

    world = World(gateway=StaticHost())
    item = await world.queue.enqueue("ticket", TICKET)
    status = await world.queue.sync()
    assert status["connection"] == "no_gateway"
    assert "stays saved" in (await world.queue.detail(item.id))["why"]


async def test_clock_jumps_strand_nothing() -> None:
    world = World()
    world.gateway.faults = [answers(500, b"x")]
    item = await world.queue.enqueue("ticket", TICKET)
    await world.queue.sync()
    world.clock.jump(-10 * 365 * 24 * 3600 * 1000)
    await world.settle(hours=30)
    assert world.gateway.inbox == [item.id]


async def test_the_journal_verifies_and_notices_a_change() -> None:
    world = World()
    for n in range(5):
        await world.queue.enqueue("ticket", {"summary": f"T{n}"})
    await world.queue.sync()
    result = await world.queue.verify()
    assert result["ok"], result
    assert result["records"] > 5


async def test_a_rescue_line_carries_what_was_not_understood_too() -> None:
    kept: list[str] = []

    class Box:
        async def write(self, passphrase: str, lines: list[str]) -> str:
            kept.extend(lines)
            return "file:x"

        async def read(self, passphrase: str, url: str) -> list[str]:
            return kept

    lost, new = World(), World()
    for world in (lost, new):
        world.queue._rescue._box = Box()
    odd, good = (lost.entropy.uuid7(lost.clock.now()) for _ in range(2))
    await lost.store.capture(Capture(odd, 1, b"{not json"))
    await lost.queue.sync()
    lost.link.set(False)
    item = await lost.queue.enqueue("ticket", TICKET, id=good)
    assert (await lost.queue.rescue_out("phrase"))["items"] == 2
    assert await new.queue.rescue_in("phrase", "file:x") == {"added": 2, "known": 0}
    assert (await new.queue.get(good)).send_id == item.send_id
    assert (await new.queue.detail(odd))["payload"] == {"content": "{not json"}

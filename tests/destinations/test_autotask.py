"""Autotask: the zone first, three headers, a ticket by its operation id, files in base64."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.destinations.readings import retold
from tests.destinations.world import MIB, MINUTE, TICKET, World, goes_through, talk

from fieldpost.destinations.autotask import DECLARATION, DEFAULT_MAP, Autotask
from fieldpost.destinations.fieldmap import read_map
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class
from fieldpost.engine.transitions import State
from fieldpost.ports import Manifest, NoAnswer, Request, Response
from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.vendors.autotask import (
    PAGE,
    FakeAutotask,
    bench,
    to_another_zone,
)
from fieldpost.testing.vendors.base import (
    Fault,
    answer,
    cut_before,
    lose_answer,
    says,
    says_after,
)

VENDOR = "https://webservices.autotask.net"
ZONE = "https://zone3.autotask.example/ATServicesRest/"
ID = "01975b5e-1000-7000-8000-000000000001"


def item(**named: object) -> Item:
    return Item(
        id=ID,
        kind="ticket",
        operation="create",
        lane="autotask",
        send_id="01975b5e-1000-7000-8000-000000000002",
        created_at=1_750_000_000_000,
        updated_at=1_750_000_000_000,
        **named,
    )


def adapter(**named: object) -> Autotask:
    fields = {"user": "api@shop.example", "company_id": 175, "zone": ZONE, "credential": "autotask"}
    return Autotask(**{**fields, **named})


def world(**named: object) -> World:
    return World(bench, **named)


def vendor(made: World) -> FakeAutotask:
    assert isinstance(made.vendor, FakeAutotask)
    return made.vendor


# --- pure ----------------------------------------------------------------------------------------


def test_the_intent_is_the_ticket_and_the_same_bytes_each_time() -> None:
    made = adapter().intent(item(), json.dumps(TICKET).encode(), [])
    assert made == adapter().intent(item(), json.dumps(TICKET).encode(), [])
    ticket = json.loads(made)["ticket"]
    assert ticket == {
        "id": 0,
        "companyID": 175,
        "dueDateTime": "2025-06-16T15:06:40Z",
        "title": "Pump 3 is leaking",
        "description": "Since this morning.\nAt the *second* seal.\n\nCategory: hardware\n"
        "Reported by: Ada Byron ada@example.org",
        "priority": 1,
        "status": 1,
        "externalID": ID,
    }


def test_what_lacks_a_required_field_makes_no_ticket() -> None:
    with pytest.raises(InvalidItem) as refused:
        adapter().intent(item(), b'{"description":"no summary"}', [])
    assert refused.value.fields == {"summary": "is required by the destination"}


def test_a_request_names_its_credential_and_holds_no_secret() -> None:
    intent = adapter().intent(item(), json.dumps(TICKET).encode(), [])
    request = adapter().request([intent], [])
    assert (request.method, request.url) == ("POST", ZONE + "v1.0/Tickets")
    assert request.credential == "autotask"
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("response", "cls", "state"),
    [
        (answer({"errors": ["Bad logon"]}, 401), Class.AUTH, "signed_out"),
        (answer({"errors": ["No rights"]}, 403), Class.PERMISSION, "online"),
        (answer({"errors": ["No such company"]}, 404), Class.PERMANENT, "online"),
        (answer({"errors": ["Being changed"]}, 409), Class.UNKNOWN, "online"),
        (answer({"errors": ["Missing Required Field: title;"]}, 500), Class.PERMANENT, "online"),
        (answer({"errors": ["An error occurred."]}, 500), Class.UNKNOWN, "unreachable"),
        # A 503 says nothing of whether it acted, and a create is not to be repeated then.
        (answer({"errors": ["Slow down"]}, 503), Class.UNKNOWN, "limited"),
        (answer({"errors": ["Slow down"]}, 429), Class.RATE_LIMITED, "limited"),
        (answer({"errors": ["Too big"]}, 413), Class.TOO_LARGE, "online"),
        (answer({"itemId": None}), Class.UNKNOWN, None),
        (answer({"itemId": True}), Class.UNKNOWN, None),
        (answer({"itemId": 5}, 202), Class.UNKNOWN, None),
        (Response(200, {"content-type": "text/html"}, b"Welcome"), Class.UNKNOWN, "sign_in_page"),
        (Response(302, {"location": "/login"}, b""), Class.UNKNOWN, "sign_in_page"),
        (Response(404, {"content-type": "text/html"}, b"nginx"), Class.UNKNOWN, "unreachable"),
        (Response(502, {}, b""), Class.UNKNOWN, "unreachable"),
    ],
)
def test_answers_that_are_no_success(response: Response, cls: Class, state: str | None) -> None:
    reading = adapter().read([item()], response)
    assert reading.outcomes[0].cls is cls
    assert state is None or reading.contact.state == state


def test_a_refusal_names_the_fields_as_the_form_does() -> None:
    refused = answer({"errors": ["Missing Required Field: title;", "The picklist is wrong."]}, 500)
    (outcome,) = adapter().read([item()], refused).outcomes
    assert outcome.fields == {"summary": "is required by the destination"}
    assert outcome.text == "Missing Required Field: title; The picklist is wrong."


def found(*rows: dict[str, object], next_url: str | None = None) -> Response:
    return answer({"items": list(rows), "pageDetails": {"nextPageUrl": next_url}})


def test_a_lookup_believes_only_rows_with_the_same_id() -> None:
    made, other = adapter(), {"id": 4, "externalID": "another"}
    assert made.read_find(item(), found()).absent
    # The filter was not obeyed.
    assert not made.read_find(item(), found(other)).absent
    assert not made.read_find(item(), found(next_url=ZONE + "v1.0/more")).absent
    assert not made.read_find(item(), found(other, next_url=ZONE + "v1.0/more")).absent
    assert not made.read_find(item(), found({"id": 4})).absent
    assert not made.read_find(item(), answer({"errors": ["?"]}, 500)).absent
    there = made.read_find(item(), found(other, {"id": 9, "externalID": ID})).outcome
    assert there is not None
    assert (there.cls, there.remote_id) == (Class.DELIVERED, "9")


def test_of_several_the_oldest_is_taken_and_all_are_named() -> None:
    rows = [{"id": n, "externalID": ID} for n in (12, 9, 30)]
    outcome = adapter().read_find(item(), found(*rows)).outcome
    assert outcome is not None
    assert outcome.remote_id == "9"
    assert outcome.text == "3 tickets have this id: 9, 12, 30."


@pytest.mark.parametrize(
    ("lookup", "zone", "trusted"),
    [
        (VENDOR, "https://webservices5.autotask.net/ATServicesRest/", True),
        (VENDOR, "https://webservices5.autotask.net.evil.example/", False),
        (VENDOR, "http://webservices5.autotask.net/", False),
        (VENDOR, "https://evilautotask.net/", False),
        ("http://127.0.0.1:99", "http://127.0.0.1:99/rest/", True),
        ("http://127.0.0.1:99", "http://5.0.0.1:99/rest/", False),
    ],
)
def test_the_secret_goes_to_no_place_but_the_vendors(lookup: str, zone: str, trusted: bool) -> None:
    made = adapter(zone="", url=lookup)
    contact = made.read_probe(answer({"zoneName": "x", "url": zone, "webUrl": zone}), known=False)
    assert (contact.ok, made.located) == (trusted, trusted)


# --- whole deliveries ----------------------------------------------------------------------------


async def test_the_zone_is_asked_for_before_anything_else() -> None:
    made = world()
    assert not made.adapter.located
    ticket = await made.add()
    await made.queue.sync()
    asked, created = made.vendor.requests
    assert asked.url.endswith("/zoneInformation?user=api%40shop.example")
    assert "Secret" not in asked.headers
    assert created.headers["Secret"] == "s3cret"
    assert await made.state(ticket) is State.COMPLETED
    (record,) = made.vendor.records
    assert (record.op, record.fields["queueID"]) == (ticket, 8)
    row = await made.detail(ticket)
    assert row["remote_id"] == record.id
    assert row["remote_url"].endswith(f"TicketID={record.id}")


async def test_nothing_is_sent_while_the_zone_is_not_known() -> None:
    made = world()
    made.adapter.user = "nobody@shop.example"
    ticket = await made.add()
    await made.settle(3 * MINUTE)
    assert await made.state(ticket) is State.PENDING
    assert all("zoneInformation" in r.url for r in made.vendor.requests)
    made.adapter.user = "api@shop.example"
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED


async def test_a_zone_that_moved_is_asked_for_again() -> None:
    made = world()
    first = await made.add()
    await made.queue.sync()
    made.vendor.faults = [to_another_zone]
    second = await made.add()
    await made.settle()
    assert [await made.state(each) for each in (first, second)] == [State.COMPLETED] * 2
    assert made.adapter.zone.endswith("/Zone9/ATServicesRest/")
    assert [len(made.vendor.with_op(each)) for each in (first, second)] == [1, 1]


@pytest.mark.parametrize("fault", [lose_answer, cut_before, says(500), says_after(502)])
async def test_an_answer_that_is_lost_makes_neither_a_double_nor_a_loss(fault: Fault) -> None:
    made = world()
    made.vendor.faults = [fault]
    ticket = await made.add()
    await made.queue.sync()
    assert await made.state(ticket) is State.UNKNOWN
    await made.delivered(ticket)
    first, *_ = [r for r in made.vendor.requests if r.method == "POST"][1:]
    assert first.url.endswith("/Tickets/query")  # asked before anything is sent again


async def test_doubles_that_somebody_made_are_reported() -> None:
    made = world()
    made.vendor.faults = [lose_answer]
    ticket = await made.add()
    await made.queue.sync()
    again = next(r for r in made.vendor.requests if r.url.endswith("/Tickets"))
    made.vendor.answer(again)
    await made.settle()
    row = await made.detail(ticket)
    assert row["remote_id"] == made.vendor.records[0].id
    assert "2 tickets have this id" in json.dumps(row["history"])


async def test_files_follow_and_are_the_same_bytes() -> None:
    made = world()
    data = bytes(range(256)) * 4096 * 2 + b"odd"  # over the border of a part, not of three bytes
    files = [await made.file(data, "pump.jpg"), await made.file(b"x", "lühr.txt")]
    ticket = await made.add(*files)
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED
    assert [(n, d) for n, _, d in made.vendor.records[0].files] == [
        ("pump.jpg", data),
        ("lühr.txt", b"x"),
    ]


@pytest.mark.parametrize("fault", [lose_answer, cut_before])
async def test_a_file_whose_answer_is_lost_is_looked_for_first(fault: Fault) -> None:
    made = world()
    file = await made.file()
    ticket = await made.add(file)
    made.vendor.faults = [goes_through, fault]
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED
    assert [name for name, _, _ in made.vendor.records[0].files] == ["pump.jpg"]


async def test_a_file_among_more_than_one_page_of_them_is_found() -> None:
    made = world()
    ticket = await made.add(await made.file())

    def behind_others(v: FakeAutotask, r: Request, go: object) -> Response:
        v.records[0].files += [(f"{n}.jpg", "", b"") for n in range(PAGE)]
        return lose_answer(v, r, go)

    made.vendor.faults = [goes_through, behind_others]
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED
    assert [n for n, _, _ in made.vendor.records[0].files].count("pump.jpg") == 1
    assert any("page=2" in r.url for r in made.vendor.requests)


async def test_a_file_whose_size_is_not_told_is_a_persons_to_look_at() -> None:
    made = world()
    vendor(made).sizes_told = False
    ticket = await made.add(await made.file())
    made.vendor.faults = [goes_through, lose_answer]
    await made.settle(30 * MINUTE)
    assert await made.state(ticket) is State.COMPLETED
    (letter,) = (await made.queue.list("attention"))["rows"]
    assert letter["kind"] == "attachment"
    assert len(made.vendor.records[0].files) == 1


async def test_a_file_that_is_too_large_holds_up_nothing() -> None:
    made = world()
    files = [await made.file(b"v" * 6 * MIB, "video.mp4"), await made.file(name="pump.jpg")]
    ticket = await made.add(*files)
    await made.settle(30 * MINUTE)
    assert await made.state(ticket) is State.COMPLETED
    assert [n for n, _, _ in made.vendor.records[0].files] == ["pump.jpg"]
    (letter,) = (await made.queue.list("attention"))["rows"]
    assert letter["title"] == "video.mp4"


async def test_too_many_at_once_are_tried_again_later() -> None:
    made = world(requests=DECLARATION.requests_most)
    tickets = [await made.add() for _ in range(5)]
    await made.queue.sync()  # it knows its zone
    more = [await made.add() for _ in range(5)]
    vendor(made).under_way = 3
    await made.queue.sync()
    vendor(made).under_way = 0
    await made.settle()
    assert {await made.state(each) for each in tickets + more} == {State.COMPLETED}
    assert len(made.vendor.records) == 10


async def test_what_the_site_refuses_is_shown_with_its_field() -> None:
    made = world()
    vendor(made).required += ("subIssueType",)
    ticket = await made.add()
    await made.settle(10 * MINUTE)
    assert await made.state(ticket) is State.FAILED
    assert "subIssueType" in json.dumps((await made.detail(ticket))["history"])
    assert made.vendor.records == []


def test_what_the_site_asks_for_is_told_in_the_forms_own_words() -> None:
    made, fake, credentials = bench(FakeClock())
    assert isinstance(fake, FakeAutotask)
    fake.required += ("subIssueType",)
    fake.columns.append("subIssueType")
    made.zone = fake.url + fake.zone_path
    found = talk(made.discover(), fake, credentials)
    assert found.required["ticket"] == ("summary", "severity")
    assert found.choices["ticket"] == {}  # what is not among the map's choices is written as 2
    assert found.max_length["ticket"] == {"summary": 255}
    assert found.notes == (
        "priority does not offer 4, which the map would write.",
        "subIssueType must be filled, and no rule for ticket does.",
        "subIssueType must be filled, and no rule for feedback does.",
    )
    exact = [{"to": "priority", "from": "severity", "choices": {"low": 3, "critical": 4}}]
    made.fields = read_map({"ticket": exact}, DEFAULT_MAP)
    found = talk(made.discover(), fake, credentials)
    assert found.choices["ticket"] == {"severity": ("low",)}


@pytest.mark.parametrize(("queue", "said"), [(8, False), (None, True)])
def test_a_queue_that_must_be_named_and_is_not_is_said(queue: int | None, said: bool) -> None:
    made, fake, credentials = bench(FakeClock())
    assert isinstance(fake, FakeAutotask)
    assert isinstance(made, Autotask)
    fake.required += ("queueID",)
    fake.columns.append("queueID")
    made.zone, made.queue_id = fake.url + fake.zone_path, queue
    found = talk(made.discover(), fake, credentials)
    assert "queueID" not in found.required["ticket"]
    note = "queueID must be filled, and no rule for ticket does."
    assert (note in found.notes) is said
    mapped = read_map({"ticket": [{"to": "queueID", "from": "category"}]}, DEFAULT_MAP)
    found = talk(replace(made, fields=mapped).discover(), fake, credentials)
    assert "category" in found.required["ticket"]
    assert note not in found.notes


def test_an_id_that_is_no_number_proves_nothing() -> None:
    made = adapter()
    for odd in (None, "x", 0, -3, 1.5, True, [], "9" * 5_000):
        finding = made.read_find(item(), found({"id": odd, "externalID": ID}))
        assert (finding.outcome, finding.absent) == (None, False)
    there = made.read_find(item(), found({"id": "9", "externalID": ID})).outcome
    assert there is not None
    assert there.remote_id == "9"


def test_a_list_of_files_without_an_end_is_given_up() -> None:
    manifest = Manifest("01975b5e-1000-7000-8000-000000000003", "a.jpg", "", 1, ("x",))
    script = adapter().attach(item(), manifest, "9", again=True)
    further = found(next_url=f"{ZONE}v1.0/Tickets/9/Attachments?page=2")
    reading = retold(script, [], further)
    (outcome,) = reading.outcomes
    assert (outcome.cls, outcome.code) == (Class.UNKNOWN, "TOO_MANY_FILES")


def test_no_answer_leaves_it_open_and_asks_for_the_zone_next() -> None:
    made = adapter()
    assert made.probe().url.endswith("Companies/entityInformation")
    assert made.no_answer(NoAnswer("timeout")).outcomes[0].cls is Class.UNKNOWN
    assert "zoneInformation" in made.probe().url

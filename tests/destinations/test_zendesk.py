"""Zendesk: what is sent, how its answers are read, and whole deliveries to its fake."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.destinations.readings import an_item, body_of, one, said
from tests.destinations.world import HOUR, MINUTE, PHOTO, TICKET, World, goes_through, talk

from fieldpost.destinations.fieldmap import read_map
from fieldpost.destinations.zendesk import DEFAULT_MAP, Zendesk
from fieldpost.engine.errors import ConfigError, InvalidItem
from fieldpost.engine.outcome import LOOK_UP_FIRST, Class
from fieldpost.engine.transitions import State
from fieldpost.ports import Request, Response
from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.vendors.base import cut_before, lose_answer, says, says_after
from fieldpost.testing.vendors.zendesk import FakeZendesk, bench

CREDENTIALS = bench(FakeClock())[2]


@pytest.fixture
def desk() -> World:
    return World(bench)


def adapter(**options: Any) -> Zendesk:
    return Zendesk(subdomain="acme", credential="zendesk", **options)


def ticket_of(request: Request) -> dict[str, Any]:
    return json.loads(request.body)["ticket"]


def vendor(desk: World) -> FakeZendesk:
    assert isinstance(desk.vendor, FakeZendesk)
    return desk.vendor


# --- what is sent --------------------------------------------------------------------------------


def test_a_ticket_in_zendesks_words() -> None:
    item, zendesk = an_item(), adapter(ticket_form_id=9)
    payload = {**TICKET, "severity": "critical", "category": "Water & pumps"}
    request = zendesk.request([zendesk.intent(item, body_of(payload), [])], [])
    assert (request.method, request.url) == ("POST", "https://acme.zendesk.com/api/v2/tickets.json")
    assert request.headers["Idempotency-Key"] == item.send_id
    assert request.credential == "zendesk"
    ticket = ticket_of(request)
    body = ticket.pop("comment")["body"]
    assert body.startswith("Since this morning.\nAt the *second* seal.\n\nSeverity: critical\n")
    assert "\nCategory: Water & pumps\n" in body
    assert body.endswith(f"Reference: {item.id}")
    assert ticket == {
        "subject": "Pump 3 is leaking",
        "priority": "urgent",
        "type": "incident",
        "requester": {"name": "Ada Byron", "email": "ada@example.org"},
        "tags": ["cat_water_pumps"],
        "external_id": item.id,
        "ticket_form_id": 9,
    }


def test_the_bytes_stay_the_same_whatever_order_the_payload_comes_in() -> None:
    item, zendesk = an_item(files=2), adapter()
    intent = zendesk.intent(item, body_of(TICKET), [])
    assert zendesk.intent(item, body_of(dict(reversed(TICKET.items()))), []) == intent
    # Files are not part of it: a token that ran out would change the bytes under the same key.
    assert intent == zendesk.intent(an_item(), body_of(TICKET), [])


@pytest.mark.parametrize(
    ("user", "requester"),
    [
        ({"name": "Ada"}, None),
        ({"email": "ada@example.org"}, {"name": "ada@example.org", "email": "ada@example.org"}),
        (None, None),
    ],
)
def test_a_requester_has_an_address_and_a_name(user: Any, requester: Any) -> None:
    zendesk = adapter()
    intent = zendesk.intent(an_item(), body_of({**TICKET, "user": user}), [])
    assert ticket_of(zendesk.request([intent], [])).get("requester") == requester


def test_fields_of_the_accounts_own_by_the_map() -> None:
    rules = [
        {"to": "custom_fields.360", "from": "category", "choices": {"pumps": "north"}},
        {"to": "tags.app", "value": "Field Post"},
    ]
    zendesk = adapter(fields=read_map({"ticket": rules}, DEFAULT_MAP))
    intent = zendesk.intent(an_item(), body_of({**TICKET, "category": "pumps"}), [])
    ticket = ticket_of(zendesk.request([intent], []))
    assert ticket["custom_fields"] == [{"id": 360, "value": "north"}]
    assert ticket["tags"] == ["field_post", "cat_pumps"]


def test_what_makes_no_ticket_is_refused_with_its_fields() -> None:
    with pytest.raises(InvalidItem) as wrong:
        adapter().intent(an_item(), body_of({**TICKET, "summary": " "}), [])
    assert wrong.value.fields.keys() == {"summary"}
    with pytest.raises(InvalidItem) as wrong:
        adapter().intent(an_item(kind="call"), b"{}", [])
    assert wrong.value.fields.keys() == {"kind"}
    assert adapter().declaration.kinds == {"ticket", "feedback"}


def test_a_ticket_with_nothing_but_a_summary_has_a_comment_all_the_same() -> None:
    zendesk = adapter()
    intent = zendesk.intent(an_item(), body_of({"summary": "x"}), [])
    body = ticket_of(zendesk.request([intent], []))["comment"]["body"]
    assert body == f"Reference: {an_item().id}"


def test_where_it_is_has_to_be_said() -> None:
    with pytest.raises(ConfigError):
        Zendesk()
    with pytest.raises(ConfigError):
        Zendesk(subdomain="acme.zendesk.com/")
    assert Zendesk(url="http://127.0.0.1:9/").url == "http://127.0.0.1:9"


# --- how it is read ------------------------------------------------------------------------------

MINE = {"ticket": {"id": 35436, "external_id": an_item().id}}
INVALID = {
    "error": "RecordInvalid",
    "description": "Record validation errors",
    "details": {
        "subject": [{"error": "BlankValue", "description": "Subject: cannot be blank"}],
        "description": [{"error": "BlankValue", "description": "Description: cannot be blank"}],
        "tags": "odd",
    },
}


@pytest.mark.parametrize(
    ("response", "cls", "state"),
    [
        (said(201, MINE), Class.DELIVERED, "online"),
        (said(201, MINE, x_idempotency_lookup="miss"), Class.DELIVERED, "online"),
        (said(201, MINE, x_idempotency_lookup="hit"), Class.DUPLICATE, "online"),
        (said(201, {"ticket": {"id": 1, "external_id": "other"}}), Class.UNKNOWN, "online"),
        (said(201, {"ticket": {"external_id": an_item().id}}), Class.UNKNOWN, "online"),
        (said(202, {"job_status": {"id": "1"}}), Class.UNKNOWN, "online"),
        (said(200, b"<html>Sign in</html>"), Class.UNKNOWN, "sign_in_page"),
        (said(302, b""), Class.UNKNOWN, "sign_in_page"),
        (said(400, {"error": "IdempotentRequestError"}), Class.UNKNOWN, "online"),
        (said(400, b"Unparsable", content_type="text/plain"), Class.PERMANENT, "online"),
        (said(400, b"<html>proxy</html>"), Class.UNKNOWN, "unreachable"),
        (said(401, {"error": "Couldn't authenticate you"}), Class.AUTH, "signed_out"),
        (said(403, {"error": {"title": "Forbidden", "message": "No"}}), Class.PERMISSION, "online"),
        (said(404, {"error": "InvalidEndpoint"}), Class.PERMANENT, "online"),
        (said(404, b"<html>No such help desk</html>"), Class.UNKNOWN, "unreachable"),
        (said(409, {"error": "Conflict"}), Class.UNKNOWN, "online"),
        (said(408, {"error": "Timeout"}), Class.UNKNOWN, "unreachable"),
        (said(413, {"error": "TooLarge"}), Class.TOO_LARGE, "online"),
        (said(422, INVALID), Class.PERMANENT, "online"),
        (said(422, {"errors": [{"code": "Odd", "title": "Odd"}]}), Class.PERMANENT, "online"),
        (said(429, b"slow down"), Class.RATE_LIMITED, "limited"),
        (said(500, {"error": "InternalError"}), Class.UNKNOWN, "unreachable"),
        (said(502, b"bad gateway"), Class.UNKNOWN, "unreachable"),
        (said(503, {"error": "Maintenance"}, retry_after="30"), Class.UNKNOWN, "limited"),
        (said(504, b""), Class.UNKNOWN, "unreachable"),
    ],
)
def test_every_answer_to_a_ticket(response: Response, cls: Class, state: str) -> None:
    contact, outcome = one(adapter().read([an_item()], response))
    assert (outcome.cls, contact.state) == (cls, state)


def test_refusals_name_the_payloads_fields() -> None:
    _, outcome = one(adapter().read([an_item()], said(422, INVALID)))
    assert outcome.code == "RecordInvalid"
    assert outcome.fields == {
        "summary": "Subject: cannot be blank",
        "description": "Description: cannot be blank",
        "category": "",
    }


def test_text_and_number_of_a_ticket() -> None:
    _, outcome = one(adapter().read([an_item(files=1)], said(201, MINE)))
    assert outcome.cls is Class.ACCEPTED  # its file follows
    assert outcome.remote_id == "35436"
    assert outcome.remote_url == "https://acme.zendesk.com/agent/tickets/35436"
    _, outcome = one(adapter().read([an_item()], said(403, {"error": {"message": "Not you"}})))
    assert outcome.text == "Not you"


def found(*tickets: dict[str, Any]) -> Response:
    return said(200, {"tickets": list(tickets), "count": len(tickets)})


def test_a_lookup_believes_only_what_names_the_item() -> None:
    item, zendesk = an_item(), adapter()
    mine = {"id": 7, "external_id": item.id, "created_at": "2026-01-02"}
    finding = zendesk.read_find(item, found({"id": 1, "external_id": "other"}, mine))
    assert finding.outcome is not None
    assert (finding.outcome.cls, finding.outcome.remote_id) == (Class.DUPLICATE, "7")
    assert zendesk.read_find(item, found()).absent
    unheeded = zendesk.read_find(item, found({"id": 1, "external_id": "other"}))
    assert not unheeded.absent
    assert unheeded.outcome is None
    for response in (said(500, {"error": "x"}), said(200, b"<html>"), said(404, {"error": "x"})):
        finding = zendesk.read_find(item, response)
        assert not finding.absent
        assert finding.outcome is None


def test_of_several_the_oldest_is_taken_and_all_are_named() -> None:
    item = an_item()
    rows = [
        {"id": 9, "external_id": item.id, "created_at": "2026-01-02"},
        {"id": 12, "external_id": item.id, "created_at": "2026-01-01"},
    ]
    outcome = adapter().read_find(item, found(*rows)).outcome
    assert outcome is not None
    assert outcome.remote_id == "12"
    assert "2 tickets" in outcome.text
    assert "12, 9" in outcome.text


@pytest.mark.parametrize(
    ("response", "state"),
    [
        (said(200, {"user": {"id": 7}}), "online"),
        (said(200, {"user": {"id": None, "name": "Anonymous user"}}), "signed_out"),
        (said(401, {"error": "Couldn't authenticate you"}), "signed_out"),
        (said(200, {"name": "a box"}), "unreachable"),
        (said(403, {"error": {"message": "The token lacks read"}}), "unreachable"),
        (said(200, b"<html>Welcome</html>"), "sign_in_page"),
        (said(503, b""), "unreachable"),
    ],
)
def test_the_probe(response: Response, state: str) -> None:
    assert adapter().read_probe(response, known=True).state == state


# --- whole deliveries ----------------------------------------------------------------------------


async def test_a_ticket_with_its_files(desk: World) -> None:
    photo, log = await desk.file(PHOTO), await desk.file(b"seal", "a b?.txt", "text/plain")
    ticket = await desk.add(photo, log)
    record = await desk.delivered(ticket)
    assert record.files == [("pump.jpg", "image/jpeg", PHOTO), ("a b?.txt", "text/plain", b"seal")]
    first, *rest = vendor(desk).comments[record.id]
    assert not first.files
    assert [comment.public for comment in rest] == [False, False]
    detail = await desk.detail(ticket)
    assert detail["remote_id"] == record.number
    assert detail["remote_url"].endswith(f"/agent/tickets/{record.number}")


@pytest.mark.parametrize("fault", [lose_answer, cut_before])
@pytest.mark.parametrize("later", [5 * MINUTE, 3 * HOUR])
async def test_a_lost_answer_makes_one_ticket(desk: World, fault: Any, later: int) -> None:
    desk.vendor.faults = [fault]
    ticket = await desk.add(await desk.file(PHOTO))
    await desk.queue.sync()
    assert await desk.state(ticket) is State.UNKNOWN
    desk.clock.advance(later)
    desk.restart()
    record = await desk.delivered(ticket)
    assert [file[2] for file in record.files] == [PHOTO]
    creates = desk.sent("POST", "tickets.json")
    assert len({request.body for request in creates}) == 1
    # Inside the window the same bytes go again; after it Zendesk is asked.
    lookups = desk.sent("GET", "external_id=")
    assert bool(lookups) == (later > 2 * HOUR)
    arrived = fault is lose_answer
    assert len(creates) == (1 if arrived and lookups else 2)


async def test_the_key_is_forgotten_just_after_the_window_is_over(desk: World) -> None:
    """The margin between the two: until the last moment of ours, Zendesk still knows the key."""
    desk.vendor.faults = [lose_answer]
    ticket = await desk.add()
    await desk.queue.sync()
    window = desk.adapter.declaration.replay_window_ms
    assert window is not None
    first = (await desk.queue.get(ticket)).sent_at
    assert first is not None
    desk.clock.advance(first + window - MINUTE - desk.clock.now())
    await desk.queue.sync()
    assert await desk.state(ticket) is State.COMPLETED
    assert not desk.sent("GET", "external_id=")
    assert len(desk.vendor.with_op(ticket)) == 1
    assert 2 * HOUR - window >= 5 * MINUTE  # what a request may be under way


async def test_a_ticket_that_was_made_by_other_bytes_is_found(desk: World) -> None:
    """The map was changed between an attempt that seemed refused and the next one."""
    desk.vendor.faults = [says_after(429, b"", retry_after="60")]
    ticket = await desk.add()
    await desk.queue.sync()
    assert await desk.state(ticket) is State.PENDING
    rule = {"to": "type", "value": "problem"}
    desk.adapter = replace(desk.adapter, fields=read_map({"ticket": [rule]}, DEFAULT_MAP))
    desk.clock.advance(5 * MINUTE)
    desk.restart()
    await desk.queue.sync()
    item = await desk.queue.get(ticket)
    assert (item.state, item.error_code) == (State.UNKNOWN, LOOK_UP_FIRST)
    await desk.settle(HOUR)  # far inside the two hours
    assert await desk.state(ticket) is State.COMPLETED
    assert len(desk.vendor.with_op(ticket)) == 1
    assert len(desk.sent("POST", "tickets.json")) == 2


async def test_a_ticket_twice_is_reported(desk: World) -> None:
    desk.vendor.faults = [lose_answer]
    ticket = await desk.add()
    await desk.queue.sync()
    record = desk.vendor.records[0]
    desk.vendor.records.append(replace(record, id="99999", number="99999", at=record.at + HOUR))
    vendor(desk).updated["99999"] = 99
    desk.clock.advance(3 * HOUR)
    await desk.settle()
    detail = await desk.detail(ticket)
    assert detail["remote_id"] == record.number
    assert "99999" in detail["history"][-1]["text"]


async def test_a_filter_that_is_not_heeded_proves_nothing(desk: World) -> None:
    await desk.add()
    await desk.settle()
    vendor(desk).filters = False
    desk.vendor.faults = [cut_before]
    ticket = await desk.add(summary="Pump 4 is leaking")
    await desk.queue.sync()
    desk.clock.advance(3 * HOUR)
    await desk.settle(HOUR)
    assert await desk.state(ticket) is State.UNKNOWN
    vendor(desk).filters = True
    await desk.settle()
    assert await desk.state(ticket) is State.COMPLETED
    assert len(desk.vendor.with_op(ticket)) == 1


# Of the requests of one file: the upload, then the comment.
@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("fault", [lose_answer, cut_before])
async def test_a_lost_answer_makes_one_file(desk: World, lost: int, fault: Any) -> None:
    desk.vendor.faults = [goes_through] * (1 + lost) + [fault]
    ticket = await desk.add(await desk.file(PHOTO))
    await desk.queue.sync()
    assert await desk.state(ticket) is State.UNKNOWN
    desk.clock.advance(2 * HOUR)  # a token would be long gone
    desk.restart()
    record = await desk.delivered(ticket)
    assert [file[2] for file in record.files] == [PHOTO]
    assert len(vendor(desk).comments[record.id]) == 2


async def test_a_file_of_the_same_name_and_size_is_no_proof(desk: World) -> None:
    first, second = b"1" * 100, b"2" * 100
    ticket = await desk.add(await desk.file(first), await desk.file(second))

    # ticket, upload, comment, upload; the second comment's answer is lost before Zendesk has it
    desk.vendor.faults = [goes_through] * 4 + [cut_before]
    await desk.settle()
    (record,) = desk.vendor.with_op(ticket)
    assert [file[2] for file in record.files] == [first, second]


async def test_a_comment_on_its_way_is_not_made_again(desk: World) -> None:
    """The one without an answer gets there between the look at the comments and the new one."""
    slow: list[Any] = []

    def delayed(_vendor: Any, _request: Any, go: Any) -> Response:
        slow.append(go)
        return cut_before(_vendor, _request, go)

    def meanwhile(_vendor: Any, _request: Any, go: Any) -> Response:
        slow.pop()()
        return go()

    desk.vendor.faults = [goes_through, goes_through, delayed, goes_through, meanwhile]
    ticket = await desk.add(await desk.file(PHOTO))
    record = await desk.delivered(ticket)
    assert [file[2] for file in record.files] == [PHOTO]
    stamped = [ticket_of(request) for request in desk.sent("PUT")]
    assert [ticket.get("safe_update") for ticket in stamped] == [None, "true"]


async def test_a_comment_without_its_file_is_made_again(desk: World) -> None:
    vendor(desk).drops = 1
    ticket = await desk.add(await desk.file(PHOTO))
    await desk.settle()
    (record,) = desk.vendor.with_op(ticket)
    assert [file[2] for file in record.files] == [PHOTO]


async def test_a_comment_is_found_on_a_later_page(desk: World) -> None:
    vendor(desk).page = 1

    desk.vendor.faults = [goes_through, goes_through, lose_answer]
    ticket = await desk.add(await desk.file(PHOTO))
    await desk.queue.sync()
    (record,) = desk.vendor.with_op(ticket)
    comments = vendor(desk).comments[record.id]
    comments += [replace(comments[0], id=90 + n) for n in range(3)]
    await desk.settle()
    assert await desk.state(ticket) is State.COMPLETED
    assert len(record.files) == 1


@pytest.mark.parametrize(
    ("name", "most", "code"),
    [("a.exe", 10**9, "RecordInvalid"), ("a.jpg", 9, "AttachmentTooLarge")],
)
async def test_a_file_that_is_refused_is_a_dead_letter_of_its_own(
    desk: World, name: str, most: int, code: str
) -> None:
    vendor(desk).file_most = most
    ticket = await desk.add(await desk.file(b"0123456789", name), await desk.file(b"ok", "b.jpg"))
    record = await desk.delivered(ticket)
    assert [file[0] for file in record.files] == ["b.jpg"]
    (row,) = await desk.attention()
    assert (row["kind"], row["error_code"]) == ("attachment", code)


async def test_a_closed_ticket_takes_no_file(desk: World) -> None:
    desk.vendor.faults = [goes_through, cut_before]
    ticket = await desk.add(await desk.file(PHOTO))
    await desk.queue.sync()
    desk.vendor.records[0].fields["status"] = "closed"
    await desk.settle()
    assert await desk.state(ticket) is State.COMPLETED
    (row,) = await desk.attention()
    assert (row["kind"], row["error_code"]) == ("attachment", "RecordInvalid")


async def test_a_file_in_attention_goes_to_its_ticket_when_a_person_says_so(desk: World) -> None:
    vendor(desk).file_most = 9
    ticket = await desk.add(await desk.file(b"0123456789"))
    await desk.settle()
    (row,) = await desk.attention()
    vendor(desk).file_most = 10
    await desk.queue.retry(row["id"])
    await desk.settle()
    assert await desk.state(row["id"]) is State.COMPLETED
    (record,) = desk.vendor.with_op(ticket)
    assert [file[2] for file in record.files] == [b"0123456789"]


async def test_a_refused_ticket_goes_when_it_is_corrected(desk: World) -> None:
    ticket = await desk.add(user={"name": "Ada", "email": "nowhere"})
    await desk.settle(HOUR)
    assert await desk.state(ticket) is State.FAILED
    detail = await desk.detail(ticket)
    assert detail["history"][-1]["outcome"] == "permanent"
    assert not desk.vendor.records


async def test_a_limit_is_waited_for(desk: World) -> None:
    desk.vendor.faults = [says(429, b"", retry_after="600")]
    ticket = await desk.add()
    await desk.queue.sync()
    before = len(desk.vendor.requests)
    desk.clock.advance(5 * MINUTE)
    await desk.turn()
    assert len(desk.vendor.requests) == before
    await desk.settle()
    assert await desk.state(ticket) is State.COMPLETED


# --- what it says of itself ----------------------------------------------------------------------


def test_what_it_requires_and_offers() -> None:
    fake = FakeZendesk()
    known = talk(adapter().discover(), fake, CREDENTIALS)
    assert known is not None
    assert known.required == {"ticket": ("summary",), "feedback": ()}
    assert known.file_bytes == 50 * 1024 * 1024
    assert known.notes == (
        "Site (custom_fields.360) must be filled, and no rule for ticket does.",
        "Site (custom_fields.360) must be filled, and no rule for feedback does.",
    )
    rules = [{"to": "custom_fields.360", "from": "site"}]
    mapped = adapter(ticket_form_id=9, fields=read_map({"ticket": rules}, DEFAULT_MAP))
    known = talk(mapped.discover(), fake, CREDENTIALS)
    assert known is not None
    assert known.required["ticket"] == ("summary", "site")
    assert known.choices["ticket"] == {"site": ("north", "south")}


def test_a_priority_that_is_not_there_is_said() -> None:
    fake = FakeZendesk()
    options = fake.ticket_fields[2]["system_field_options"]
    fake.ticket_fields[2]["system_field_options"] = options[:3]  # no "urgent"
    known = talk(adapter().discover(), fake, CREDENTIALS)
    assert known is not None
    assert known.choices["ticket"]["severity"] == ("low", "medium", "high")
    assert "Priority (priority) has no 'urgent', which a rule for ticket gives." in known.notes

"""ServiceNow: records, lookups and files, and every answer that is none of success."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.destinations.readings import an_item
from tests.destinations.world import HOUR, PHOTO, TICKET, World, goes_through

from fieldpost.destinations.base import Contact
from fieldpost.destinations.fieldmap import read_map
from fieldpost.destinations.servicenow import ServiceNow
from fieldpost.destinations.servicenow_fields import DEFAULT_MAP
from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import Attachment
from fieldpost.engine.outcome import Class
from fieldpost.engine.transitions import State
from fieldpost.ports import NoAnswer, Request, Response
from fieldpost.testing.vendors.base import (
    Record,
    VendorTransport,
    answer,
    cut_before,
    lose_answer,
    says,
    says_after,
)
from fieldpost.testing.vendors.servicenow import FakeServiceNow, bench, user

ITEM = an_item()
OP = ITEM.id


@pytest.fixture
def site() -> World:
    return World(bench)


def fake(site: World) -> FakeServiceNow:
    assert isinstance(site.vendor, FakeServiceNow)
    return site.vendor


def error(status: int, message: str, detail: str = "", **headers: str) -> Response:
    body = {"error": {"message": message, "detail": detail}, "status": "failure"}
    return answer(body, status, **headers)


# --- what is sent --------------------------------------------------------------------------------


def test_an_intent_is_the_record_and_the_same_bytes_each_time() -> None:
    adapter = ServiceNow(instance="acme")
    intent = adapter.intent(ITEM, canonical(TICKET), [])
    assert intent == adapter.intent(ITEM, canonical(TICKET), [])
    record = json.loads(intent)["record"]
    assert record == {
        "short_description": "Pump 3 is leaking",
        "description": "Since this morning.\nAt the *second* seal.\n\nCategory: hardware\n"
        "Severity: high\nReported by: Ada Byron ada@example.org\nDevice: north-7 15.1",
        "impact": "2",
        "urgency": "1",
        "category": "hardware",
        "contact_type": "self-service",
        "correlation_id": OP,
        "correlation_display": "fieldpost",
    }
    request = adapter.request([intent], [])
    assert request.url.startswith("https://acme.service-now.com/api/now/table/incident?")
    assert request.headers["Accept"] == request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == record


@pytest.mark.parametrize(
    ("severity", "impact", "urgency"),
    [("low", "3", "3"), ("medium", "2", "2"), ("high", "2", "1"), ("critical", "1", "1")],
)
def test_severities(severity: str, impact: str, urgency: str) -> None:
    body = canonical({"summary": "x", "severity": severity})
    record = json.loads(ServiceNow(instance="a").intent(ITEM, body, []))["record"]
    assert (record["impact"], record["urgency"]) == (impact, urgency)


def test_an_administrators_map_and_what_it_misses() -> None:
    rules = {"ticket": [{"to": "caller_id", "from": "user.id", "required": True}]}
    adapter = ServiceNow(
        instance="a", fields=read_map(rules, DEFAULT_MAP), display_values=True, table="u_field"
    )
    intent = adapter.intent(ITEM, canonical(TICKET), [])
    assert json.loads(intent)["record"]["caller_id"] == "u7"
    url = adapter.request([intent], []).url
    assert "sysparm_input_display_value=true" in url
    assert "/table/u_field?" in url
    with pytest.raises(InvalidItem) as wrong:
        adapter.intent(ITEM, canonical({"summary": "x"}), [])
    assert list(wrong.value.fields) == ["user.id"]
    with pytest.raises(InvalidItem):
        adapter.intent(ITEM.changed(operation="delete"), canonical(TICKET), [])


def test_no_secret_is_in_what_the_adapter_makes() -> None:
    adapter = ServiceNow(instance="a", credential="snow")
    request = adapter.request([adapter.intent(ITEM, canonical(TICKET), [])], [])
    assert request.credential == "snow"
    assert "Authorization" not in request.headers


# --- what is read --------------------------------------------------------------------------------

HTML = Response(200, {"content-type": "text/html"}, b"<html>Instance hibernating")
ANSWERS = [
    (error(400, "Bad Request"), Class.PERMANENT, "online", False),
    (error(404, "No Record found"), Class.PERMANENT, "online", False),
    (error(415, "Unsupported"), Class.PERMANENT, "online", False),
    (error(413, "Too large"), Class.TOO_LARGE, "online", False),
    (error(401, "User Not Authenticated"), Class.AUTH, "signed_out", True),
    (error(403, "Operation Failed", "ACL Exception"), Class.PERMISSION, "online", False),
    (
        error(403, "Operation Failed", "Data Policy Exception: mandatory: caller_id"),
        Class.PERMANENT,
        "online",
        False,
    ),
    (error(403, "Operation Failed", "Unique Key violation"), Class.UNKNOWN, "online", False),
    (error(500, "Internal"), Class.UNKNOWN, "unreachable", False),
    (error(503, "Maintenance", retry_after="60"), Class.UNKNOWN, "limited", True),
    (Response(502, {"content-type": "text/html"}, b"<html>"), Class.UNKNOWN, "unreachable", True),
    (Response(403, {"content-type": "text/html"}, b"<html>"), Class.UNKNOWN, "unreachable", True),
    (Response(413, {"content-type": "text/html"}, b"<html>"), Class.TOO_LARGE, "online", False),
    (Response(302, {"location": "/login"}, b""), Class.UNKNOWN, "sign_in_page", True),
    (HTML, Class.UNKNOWN, "sign_in_page", True),
    (answer({"hello": "there"}, 201), Class.UNKNOWN, "sign_in_page", True),
    (
        answer({"result": {"sys_id": "0" * 32, "correlation_id": "another"}}, 201),
        Class.UNKNOWN,
        "online",
        False,
    ),
]


@pytest.mark.parametrize(("response", "cls", "contact", "lane"), ANSWERS)
def test_every_other_answer(response: Response, cls: Class, contact: str, lane: bool) -> None:
    reading = ServiceNow(instance="a").read([ITEM], response)
    (outcome,) = reading.outcomes
    assert (outcome.cls, reading.contact.state, outcome.lane) == (cls, contact, lane)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "90"}, 90_000),
        (
            {
                "retry_after": "Mon, 23 Nov 2026 10:05:00 GMT",
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
            },
            300_000,
        ),
        ({"x_ratelimit_reset": "1795428120", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 120_000),
        ({}, None),
    ],
)
def test_a_limit_in_each_of_its_forms(headers: dict[str, str], wait: int | None) -> None:
    response = error(429, "Rate limit exceeded", "of 10 requests per hour", **headers)
    reading = ServiceNow(instance="a").read([ITEM], response)
    assert reading.outcomes[0].cls is Class.RATE_LIMITED
    assert reading.outcomes[0].retry_after_ms == wait
    assert reading.contact == Contact("limited", reading.contact.text, wait or 30_000)
    assert "10 requests" in reading.contact.text


def row(op: str, n: int = 1, **more: str) -> dict[str, Any]:
    made = f"2026-01-0{n} 00:00:00"
    return {
        "sys_id": f"{n}" * 32,
        "number": f"INC{n:07}",
        "correlation_id": op,
        "sys_created_on": made,
        **more,
    }


def test_rows_that_do_not_carry_the_id_prove_nothing() -> None:
    adapter = ServiceNow(instance="a")
    unrelated = answer({"result": [row("x"), row("y", 2)]})
    assert adapter.read_find(ITEM, unrelated).absent is False
    assert adapter.read_find(ITEM, unrelated).outcome is None
    assert adapter.read_find(ITEM, answer({"result": []})).absent
    for strange in (HTML, answer({"result": {}}), error(404, "No Record found"), error(400, "x")):
        finding = adapter.read_find(ITEM, strange)
        assert (finding.absent, finding.outcome) == (False, None)


def test_of_several_the_oldest_is_adopted_and_all_are_named() -> None:
    found = answer({"result": [row(OP, 3), row("x", 2), row(OP, 1)]})
    outcome = ServiceNow(instance="a").read_find(ITEM, found).outcome
    assert outcome is not None
    assert (outcome.cls, outcome.remote_id) == (Class.DUPLICATE, "INC0000001")
    assert "2 times: INC0000001, INC0000003" in outcome.text
    with_file = ITEM.changed(attachments=(Attachment("f", 3, 1),))
    again = ServiceNow(instance="a").read_find(with_file, found).outcome
    assert again is not None
    assert again.cls is Class.ACCEPTED


# --- whole deliveries ----------------------------------------------------------------------------


async def test_a_ticket_and_its_files_byte_for_byte(site: World) -> None:
    files = [
        await site.file(PHOTO, "Pumpe & Dichtung №3.jpg"),
        await site.file(b"a,b\n", "log.csv", "text/csv"),
    ]
    item = await site.add(*files)
    record = await site.delivered(item)
    assert record.files == [
        ("Pumpe & Dichtung №3.jpg", "image/jpeg", PHOTO),
        ("log.csv", "text/csv", b"a,b\n"),
    ]
    detail = await site.detail(item)
    assert detail["remote_id"] == "INC0000001"
    assert detail["remote_url"].endswith(f"/incident.do?sys_id={record.id}")


async def test_feedback_is_a_record_too(site: World) -> None:
    await site.queue.enqueue("feedback", {"rating": 4, "comment": "Works in the tunnel"})
    await site.settle()
    (record,) = fake(site).records
    assert record.fields["short_description"] == "Feedback 4/5: Works in the tunnel"


@pytest.mark.parametrize("fault", [lose_answer, cut_before, says_after(502), says(502)])
async def test_without_an_answer_it_is_looked_up_and_there_once(site: World, fault: Any) -> None:
    fake(site).faults = [fault]
    item = await site.add()
    await site.turn()
    assert await site.state(item) is State.UNKNOWN
    asked = len(fake(site).requests)
    site.clock.advance(30_000)
    await site.turn()  # an instance may still be at it
    assert not [r for r in fake(site).requests[asked:] if "correlation_id%3D" in r.url]
    await site.delivered(item)


async def test_long_after_it_is_still_looked_up_first(site: World) -> None:
    fake(site).faults = [lose_answer]
    item = await site.add()
    await site.turn()
    site.clock.advance(100 * HOUR)
    await site.settle()
    assert len(fake(site).with_op(item)) == len(site.sent("POST", "/table/")) == 1
    assert (await site.last(item))["outcome"] == "duplicate"


async def test_a_strangers_file_of_that_name_and_size_is_not_ours(site: World) -> None:
    item = await site.add(await site.file(b"ours"))

    def cut_and_filled(vendor: Any, _request: Any, _go: Any) -> Response:
        vendor.records[0].files.append(("pump.jpg", "image/jpeg", b"else"))
        raise NoAnswer("network")

    fake(site).faults = [goes_through, cut_and_filled]
    await site.settle()
    assert await site.state(item) is State.COMPLETED
    assert [data for _, _, data in fake(site).records[0].files] == [b"else", b"ours"]


@pytest.mark.parametrize(
    ("name", "size", "code", "text"),
    [
        ("big.bin", 2_000, "too_large", "1000 bytes"),
        ("tool.exe", 10, "permanent", "not allowed"),
    ],
)
async def test_a_file_that_is_refused_is_a_dead_letter_and_the_ticket_goes(
    site: World, name: str, size: int, code: str, text: str
) -> None:
    fake(site).max_file = 1_000
    files = [await site.file(b"x" * size, name), await site.file(b"fine")]
    item = await site.add(*files)
    await site.settle()
    assert await site.state(item) is State.COMPLETED
    (letter,) = await site.kind("attachment")
    assert (letter["state"], letter["error_code"]) == ("failed", code)
    assert text in (await site.last(letter["id"]))["text"]
    assert [data for _, _, data in fake(site).records[0].files] == [b"fine"]
    fake(site).max_file, fake(site).refused_types = 10_000, (".none",)
    await site.queue.retry(letter["id"])
    await site.settle()
    assert len(fake(site).records[0].files) == 2


async def test_a_record_that_is_gone_takes_no_file(site: World) -> None:
    item = await site.add(await site.file(b"photo"))

    def closed(vendor: Any, _request: Any, go: Any) -> Response:
        response = go()
        vendor.records[0].open = False
        return response

    fake(site).faults = [closed]
    await site.settle()
    assert await site.state(item) is State.COMPLETED
    (letter,) = await site.kind("attachment")
    assert letter["error_code"] == "QUEUE_NO_REMOTE_ID"


async def test_what_a_data_policy_wants_is_said(site: World) -> None:
    fake(site).mandatory, fake(site).users = {"caller_id"}, []
    item = await site.add()
    await site.settle()
    assert await site.state(item) is State.FAILED
    assert "mandatory: caller_id" in (await site.last(item))["text"]


# --- the reporter --------------------------------------------------------------------------------

ADA = user("Ada Byron", "Ada@Example.org")


def callers(site: World) -> list[str]:
    return [record.fields["caller_id"] for record in fake(site).records]


async def test_the_caller_is_the_user_with_the_reporters_address(site: World) -> None:
    fake(site).users = [user("Bob", "bob@example.org"), ADA]
    fake(site).mandatory = {"caller_id"}
    record = await site.delivered(await site.add())
    assert callers(site) == [ADA["sys_id"]]
    assert "Reported by: Ada Byron ada@example.org" in record.fields["description"]


@pytest.mark.parametrize(
    "users",
    [
        None,  # the account may not read them
        [],
        [user("Bob", "bob@example.org")],
        [ADA, user("Ada too", "ada@example.org")],
        [user("Ada Byron", "ada@example.org", active=False)],
    ],
)
async def test_who_is_not_known_for_certain_stands_in_the_description_alone(
    site: World, users: list[dict[str, str]] | None
) -> None:
    fake(site).users = users
    record = await site.delivered(await site.add())
    assert callers(site) == [""]
    assert "Reported by: Ada Byron ada@example.org" in record.fields["description"]


async def test_rows_of_others_are_nobody(site: World) -> None:
    """As from an instance that ignored the condition."""
    adapter = ServiceNow(instance="a")
    intent = adapter.intent(ITEM, canonical(TICKET), [])
    script = adapter.enrich([intent])
    assert "email%3Dada%40example.org%5Eactive%3Dtrue" in next(script).url
    with pytest.raises(StopIteration) as end:
        script.send(answer({"result": [user("Bob", "bob@example.org")]}))
    assert end.value.value == [intent]


@pytest.mark.parametrize(
    "address",
    ["", "a^ORactive=true@x.org", "javascript:gs.getUserID()@x.org", "a@x.org^NQname=b", "no", 7],
)
async def test_what_is_no_plain_address_is_not_asked_for(site: World, address: Any) -> None:
    adapter = ServiceNow(instance="a")
    intent = adapter.intent(ITEM, canonical({"summary": "x", "user": {"email": address}}), [])
    with pytest.raises(StopIteration) as end:
        next(adapter.enrich([intent]))
    assert end.value.value == [intent]


async def test_a_caller_of_the_map_and_no_requester_at_all_ask_nothing(site: World) -> None:
    rules = {"ticket": [{"to": "caller_id", "from": "user.id"}]}
    mapped = ServiceNow(instance="a", fields=read_map(rules, DEFAULT_MAP))
    for adapter in (mapped, ServiceNow(instance="a", requester="")):
        intent = adapter.intent(ITEM, canonical(TICKET), [])
        with pytest.raises(StopIteration):
            next(adapter.enrich([intent]))


def asks_for_users(site: World, does: Callable[[], Response]) -> None:
    """``does`` that when `sys_user` is asked."""

    class Line(VendorTransport):
        async def send(self, request: Request) -> Response:
            if "sys_user" in request.url:
                site.vendor.requests.append(request)
                return does()
            return await super().send(request)

    site.open(Line(site.store, [site.vendor], site.credentials))


async def test_a_question_for_the_reporter_that_takes_too_long_costs_the_ticket_nothing(
    site: World,
) -> None:
    def too_long() -> Response:
        raise NoAnswer("timeout")

    asks_for_users(site, too_long)
    item = await site.add()
    await site.turn()
    assert await site.state(item) is State.COMPLETED
    assert callers(site) == [""]


@pytest.mark.parametrize("status", [None, 401, 429, 503])
async def test_while_the_instance_takes_nothing_no_ticket_goes_without_its_caller(
    site: World, status: int | None
) -> None:
    """It might be refused for that, once and for all, though the trouble passes."""
    fake(site).users, fake(site).mandatory = [ADA], {"caller_id"}

    def away() -> Response:
        if status is None:
            raise NoAnswer("network")
        return error(status, "Not now", retry_after="60")

    asks_for_users(site, away)
    item = await site.add()
    await site.turn()
    waiting = await site.queue.get(item)
    assert (waiting.state, waiting.attempts) == (State.PENDING, 0)
    assert site.sent("POST", "/table/incident") == []
    site.open()
    await site.delivered(item)
    assert callers(site) == [ADA["sys_id"]]


# --- the traps of the lookup ---------------------------------------------------------------------


async def test_unrelated_rows_are_never_taken_for_an_absence(site: World) -> None:
    fake(site).records = [Record("a" * 32, "INC1", "", {"sys_id": "a" * 32}, 0)]
    fake(site).records[0].fields["correlation_id"] = ""
    fake(site).faults = [lose_answer]
    item = await site.add()
    await site.turn()
    fake(site).columns.discard("correlation_id")  # the query's condition is ignored from now on
    for record in fake(site).records:
        record.fields["correlation_id"] = ""
    await site.settle(3 * HOUR)
    assert await site.state(item) is State.UNKNOWN
    assert len(site.sent("POST", "/table/")) == 1


@pytest.mark.parametrize("strict", [True, False])
async def test_a_table_without_the_column_gets_nothing(site: World, strict: bool) -> None:
    fake(site).strict_queries = strict
    fake(site).records = [Record("a" * 32, "INC1", "", {"sys_id": "a" * 32}, 0)]
    fake(site).columns.discard("correlation_id")
    item = await site.add()
    await site.settle(HOUR)
    assert await site.state(item) is State.PENDING
    assert site.sent("POST", "/table/") == []
    assert not site.adapter.located
    lane = (await site.queue.status())["lanes"]["servicenow"]
    assert "correlation_id" in json.dumps(lane)


async def test_a_column_that_may_not_be_written_is_said_and_makes_no_doubles(site: World) -> None:
    fake(site).unwritable = {"correlation_id"}
    item = await site.add()
    await site.settle()
    assert await site.state(item) is State.COMPLETED
    assert "grant write access" in (await site.last(item))["text"]
    assert len(fake(site).records) == 1
    await site.add(await site.file(b"photo"))  # its record is known by its number
    await site.settle()
    assert [r.files for r in fake(site).records] == [[], [("pump.jpg", "image/jpeg", b"photo")]]


async def test_doubles_are_named_in_the_timeline(site: World) -> None:
    fake(site).faults = [lose_answer]
    item = await site.add()
    await site.turn()
    first = fake(site).records[0]
    twin = Record("b" * 32, "INC0000009", item, {**first.fields, "number": "INC0000009"}, 0)
    twin.fields |= {"sys_id": "b" * 32, "sys_created_on": "2020-01-01 00:00:00"}
    fake(site).records.append(twin)
    await site.settle()
    assert (await site.detail(item))["remote_id"] == "INC0000009"
    assert "2 times" in (await site.last(item))["text"]


# --- what it says of itself ----------------------------------------------------------------------


def test_discovered(site: World) -> None:
    vendor = fake(site)
    vendor.dictionary.append(
        {"name": "task", "element": "assignment_group", "mandatory": "true", "max_length": "32"}
    )
    vendor.choices = [c for c in vendor.choices if c != vendor.choices[0]]  # no impact 1
    found = site.talk(site.adapter.discover())
    assert found.required["ticket"] == ("summary",)
    assert found.max_length["ticket"] == {"summary": 160}
    assert any("assignment_group is mandatory" in note for note in found.notes)
    assert any("impact does not offer 1" in note for note in found.notes)

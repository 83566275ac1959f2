"""Salesforce: what is sent, how its answers are read, and whole deliveries to its fake."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.destinations.readings import an_item, body_of, one, said
from tests.destinations.world import HOUR, MINUTE, PHOTO, TICKET, World, goes_through, talk

from fieldpost.destinations.fieldmap import read_map
from fieldpost.destinations.salesforce import DEFAULT_MAP, Salesforce
from fieldpost.engine.errors import ConfigError, InvalidItem
from fieldpost.engine.outcome import Class
from fieldpost.engine.transitions import State
from fieldpost.ports import Manifest, Response, Upload
from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.vendors.base import cut_before, lose_answer, says, says_after
from fieldpost.testing.vendors.salesforce import FakeSalesforce, bench, errors, loses_race

CREDENTIALS = bench(FakeClock())[2]
CASE = "500Kd0000012345IAB"
OTHER = "500Kd0000012346IAB"
KEY = "Fieldpost_Id__c"


@pytest.fixture
def desk() -> World:
    return World(bench)


def adapter(**options: Any) -> Salesforce:
    url = "https://acme.my.salesforce.com"
    return Salesforce(instance_url=url, credential="salesforce", **options)


def vendor(desk: World) -> FakeSalesforce:
    assert isinstance(desk.vendor, FakeSalesforce)
    return desk.vendor


# --- what is sent --------------------------------------------------------------------------------


def test_a_case_in_salesforces_words() -> None:
    item, salesforce = an_item(files=1), adapter()
    intent = salesforce.intent(item, body_of(TICKET), [])
    request = salesforce.request([intent], [])
    base = "https://acme.my.salesforce.com/services/data/v62.0/sobjects/"
    assert (request.method, request.url) == ("PATCH", f"{base}Case/{KEY}/{item.id}")
    assert request.credential == "salesforce"
    case = json.loads(request.body)
    assert case.pop("Description").endswith(f"Reference: {item.id}")
    assert case == {
        "Subject": "Pump 3 is leaking",
        "Priority": "High",
        "Origin": "Web",
        "SuppliedName": "Ada Byron",
        "SuppliedEmail": "ada@example.org",
    }
    assert salesforce.intent(item, body_of(dict(reversed(TICKET.items()))), []) == intent


def test_the_key_stands_in_the_address_only() -> None:
    rules = [{"to": KEY, "from": "@id"}, {"to": "Status", "value": "New"}]
    salesforce = adapter(fields=read_map({"ticket": rules}, DEFAULT_MAP))
    intent = salesforce.intent(an_item(), body_of(TICKET), [])
    case = json.loads(salesforce.request([intent], []).body)
    assert KEY not in case
    assert case["Status"] == "New"


def test_what_makes_no_case_is_refused_with_its_fields() -> None:
    with pytest.raises(InvalidItem) as wrong:
        adapter().intent(an_item(), body_of({"severity": "low"}), [])
    assert wrong.value.fields.keys() == {"summary"}
    assert adapter().declaration.kinds == {"ticket", "feedback"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"instance_url": ""},
        {"instance_url": "acme.my.salesforce.com"},
        {"object_name": "Case/../Account"},
        {"external_id_field": "a b"},
        {"api_version": "v62"},
    ],
)
def test_what_cannot_be_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        Salesforce(**{"instance_url": "https://acme.my.salesforce.com", **wrong})
    assert error.value.fields.keys() == wrong.keys()


def test_a_file_between_two_halves_of_a_form() -> None:
    name = 'böse "Datei"\r\n.jpg'
    manifest = Manifest("0190a000-0000-7000-8000-0000000000f1", name, "image/jpeg", 10, ("x",))
    script = adapter().attach(an_item(files=1), manifest, CASE, again=False)
    upload = next(script)
    assert isinstance(upload, Upload)
    head, binary = upload.before.split(b"--fieldpost-")[1:]
    assert json.loads(head.partition(b"\r\n\r\n")[2]) == {
        "Title": name,
        "PathOnClient": name,
        "Description": f"Reference: {manifest.id}",
        "FirstPublishLocationId": CASE,
    }
    assert b'filename="b_se__Datei___.jpg"\r\n' in binary
    assert (upload.attachment_id, upload.size, upload.parts) == (manifest.id, 10, 1)


def test_no_text_of_somebodys_gets_into_a_query() -> None:
    manifest = Manifest("0190a000-0000-7000-8000-0000000000f1", "a.jpg", "", 10, ("x",))
    script = adapter().attach(an_item(files=1), manifest, "500' OR Name != '", again=True)
    with pytest.raises(StopIteration) as end:
        next(script)
    assert one(end.value.value)[1].cls is Class.PERMANENT


# --- how it is read ------------------------------------------------------------------------------


def fails(status: int, code: str, text: str = "No", *fields: str, **headers: str) -> Response:
    answer = errors(status, code, text, *fields)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(answer, headers={**answer.headers, **named})


MADE = {"id": CASE, "success": True, "errors": [], "created": True}
RACE = f"duplicate value found: {KEY} duplicates value on record with id: {CASE}"
OTHER_RACE = f"duplicate value found: Serial__c duplicates value on record with id: {CASE}"


@pytest.mark.parametrize(
    ("response", "cls", "state"),
    [
        (said(201, MADE), Class.DELIVERED, "online"),
        (said(200, {**MADE, "created": False}), Class.DUPLICATE, "online"),
        (said(201, {**MADE, "success": False}), Class.UNKNOWN, "online"),
        (said(201, {"success": True}), Class.UNKNOWN, "online"),
        (said(204, b""), Class.UNKNOWN, "sign_in_page"),
        (said(200, b"<html>Welcome</html>"), Class.UNKNOWN, "sign_in_page"),
        (said(300, ["/services/data/v62.0/sobjects/Case/" + CASE]), Class.UNKNOWN, "online"),
        (said(302, b""), Class.UNKNOWN, "sign_in_page"),
        (fails(400, "REQUIRED_FIELD_MISSING"), Class.PERMANENT, "online"),
        (fails(400, "DUPLICATE_VALUE", RACE), Class.UNKNOWN, "online"),
        (fails(400, "DUPLICATE_VALUE", OTHER_RACE), Class.PERMANENT, "online"),
        (fails(400, "UNABLE_TO_LOCK_ROW"), Class.TRANSIENT, "online"),
        (fails(400, "STORAGE_LIMIT_EXCEEDED"), Class.RATE_LIMITED, "online"),
        (fails(400, "INSUFFICIENT_ACCESS_OR_READONLY"), Class.PERMISSION, "online"),
        (said(400, b"<html>proxy</html>"), Class.UNKNOWN, "unreachable"),
        (fails(401, "INVALID_SESSION_ID"), Class.AUTH, "signed_out"),
        (fails(403, "INVALID_SESSION_ID"), Class.AUTH, "signed_out"),
        (fails(403, "REQUEST_LIMIT_EXCEEDED"), Class.RATE_LIMITED, "limited"),
        (fails(403, "INSUFFICIENT_ACCESS"), Class.PERMISSION, "online"),
        (said(403, b"<html>proxy</html>"), Class.UNKNOWN, "unreachable"),
        (fails(404, "NOT_FOUND"), Class.PERMANENT, "online"),
        (said(404, b"<html>nobody</html>"), Class.UNKNOWN, "unreachable"),
        (fails(405, "METHOD_NOT_ALLOWED"), Class.PERMANENT, "online"),
        (fails(408, "TIMEOUT"), Class.UNKNOWN, "unreachable"),
        (fails(413, "REQUEST_ENTITY_TOO_LARGE"), Class.TOO_LARGE, "online"),
        (fails(415, "UNSUPPORTED_MEDIA_TYPE"), Class.PERMANENT, "online"),
        (said(429, b""), Class.RATE_LIMITED, "limited"),
        (fails(500, "UNKNOWN_EXCEPTION"), Class.UNKNOWN, "unreachable"),
        (said(502, b""), Class.UNKNOWN, "unreachable"),
        (fails(503, "SERVER_UNAVAILABLE"), Class.UNKNOWN, "limited"),
        (said(503, b"<html>Maintenance</html>"), Class.UNKNOWN, "unreachable"),
    ],
)
def test_every_answer_to_a_case(response: Response, cls: Class, state: str) -> None:
    contact, outcome = one(adapter().read([an_item()], response))
    assert (outcome.cls, contact.state) == (cls, state)


def test_refusals_name_the_payloads_fields() -> None:
    text = "Subject: data value too large"
    answer = said(
        400,
        [
            {"message": text, "errorCode": "STRING_TOO_LONG", "fields": ["Subject"]},
            {"message": "bad", "errorCode": "FIELD_INTEGRITY_EXCEPTION", "fields": ["Type"]},
        ],
    )
    _, outcome = one(adapter().read([an_item()], answer))
    assert outcome.code == "STRING_TOO_LONG"
    assert outcome.text == f"{text} bad"
    assert outcome.fields == {"summary": text, "Type": "bad"}


@pytest.mark.parametrize(("told", "wait"), [({}, 900_000), ({"retry_after": "3600"}, 3_600_000)])
def test_the_orgs_limit_is_a_quarter_of_an_hour_at_least(told: Any, wait: int) -> None:
    response = fails(403, "REQUEST_LIMIT_EXCEEDED", **told)
    contact, outcome = one(adapter().read([an_item()], response))
    assert (contact.pause_ms, outcome.retry_after_ms) == (wait, wait)
    assert outcome.lane


def test_a_lookup_believes_only_what_names_the_item() -> None:
    item, salesforce = an_item(files=1), adapter()
    finding = salesforce.read_find(item, said(200, {"Id": CASE, KEY: item.id}))
    assert finding.outcome is not None
    assert (finding.outcome.cls, finding.outcome.remote_id) == (Class.ACCEPTED, CASE)
    assert finding.outcome.remote_url == f"https://acme.my.salesforce.com/{CASE}"
    gone = fails(404, "NOT_FOUND", "The requested resource does not exist")
    assert salesforce.read_find(item, gone).absent
    no_field = f"Provided external ID field does not exist or is not accessible: {KEY}"
    for response in (
        said(200, {"Id": CASE, KEY: "other"}),
        said(200, {"Id": CASE}),
        said(200, b"<html>"),
        fails(404, "NOT_FOUND", no_field),
        said(404, b"<html>nobody</html>"),
        fails(500, "UNKNOWN_EXCEPTION"),
        said(300, {"odd": 1}),
    ):
        finding = salesforce.read_find(item, response)
        assert not finding.absent
        assert finding.outcome is None


@pytest.mark.parametrize(
    ("response", "state"),
    [
        (said(200, {"objectDescribe": {"name": "Case"}}), "online"),
        (said(200, {"objectDescribe": {"name": "Lead"}}), "unreachable"),
        (fails(404, "NOT_FOUND", "The requested resource does not exist"), "unreachable"),
        (said(200, b"<html>Welcome</html>"), "sign_in_page"),
        (fails(401, "INVALID_SESSION_ID"), "signed_out"),
        (fails(403, "REQUEST_LIMIT_EXCEEDED"), "limited"),
        (said(503, b""), "unreachable"),
    ],
)
def test_the_probe(response: Response, state: str) -> None:
    assert adapter().read_probe(response, known=True).state == state


# --- whole deliveries ----------------------------------------------------------------------------


async def test_a_case_with_its_files(desk: World) -> None:
    photo, log = await desk.file(PHOTO), await desk.file(b"seal\r\n--", "a b?.txt", "text/plain")
    ticket = await desk.add(photo, log)
    record = await desk.delivered(ticket)
    named = [(name, data) for name, _, data in record.files]
    assert named == [("pump.jpg", PHOTO), ("a b?.txt", b"seal\r\n--")]
    detail = await desk.detail(ticket)
    assert detail["remote_id"] == record.id
    assert not desk.sent("GET", "query")  # nothing was in doubt


async def test_people_see_its_number(desk: World) -> None:
    """Found after a lost answer, too; without an answer to that question it has arrived as well."""
    first = await desk.add()
    await desk.settle()
    desk.vendor.faults = [lose_answer]
    second = await desk.add()
    await desk.settle()
    vendor(desk).fields.pop("CaseNumber")  # this user may not see it
    third = await desk.add()
    await desk.settle()
    details = [await desk.detail(id_) for id_ in (first, second, third)]
    assert [detail["remote_name"] for detail in details[:2]] == ["00001001", "00001002"]
    assert details[2]["remote_name"] is None
    assert [detail["remote_id"] for detail in details] == [r.id for r in desk.vendor.records]
    assert {detail["state"] for detail in details} == {"completed"}
    assert details[0]["remote_url"].endswith("/" + desk.vendor.records[0].id)


@pytest.mark.parametrize("fault", [lose_answer, cut_before])
async def test_a_lost_answer_makes_one_case_and_undoes_nobodys_work(
    desk: World, fault: Any
) -> None:
    desk.vendor.faults = [fault]
    ticket = await desk.add(await desk.file(PHOTO))
    await desk.queue.sync()
    assert await desk.state(ticket) is State.UNKNOWN
    for record in desk.vendor.records:
        record.fields["Priority"] = "Low"  # an agent was quick
    desk.clock.advance(HOUR)
    desk.restart()
    record = await desk.delivered(ticket)
    assert [file[2] for file in record.files] == [PHOTO]
    arrived = fault is lose_answer
    assert record.fields["Priority"] == ("Low" if arrived else "High")
    assert len(desk.sent("PATCH")) == (1 if arrived else 2)
    assert len(desk.sent("GET", f"/{KEY}/{ticket}")) == 1


async def test_who_loses_a_race_adopts_the_case(desk: World) -> None:
    desk.vendor.faults = [loses_race()]
    ticket = await desk.add()
    await desk.delivered(ticket)
    assert len(desk.sent("PATCH")) == 1


async def test_several_cases_of_one_item_are_reported(desk: World) -> None:
    """The administrator forgot to make the field unique."""
    desk.vendor.faults = [lose_answer]
    ticket = await desk.add()
    await desk.queue.sync()
    first = desk.vendor.records[0]
    second = vendor(desk).add(ticket, {})
    await desk.settle()
    assert await desk.state(ticket) is State.COMPLETED
    detail = await desk.detail(ticket)
    assert detail["remote_id"] == first.id
    text = f"2 records ({first.id}, {second.id}) have this {KEY}. The first counts."
    assert detail["history"][-1]["text"] == text


def test_several_cases_are_said_to_be_doubles_and_how_many() -> None:
    several = said(300, [f"/services/data/v62.0/sobjects/Case/{id_}" for id_ in (CASE, OTHER)])
    finding = adapter().read_find(an_item(), several)
    assert finding.doubled
    assert finding.outcome is not None
    assert (finding.outcome.cls, finding.outcome.remote_id) == (Class.DUPLICATE, CASE)
    _, outcome = one(adapter().read([an_item()], several))
    assert outcome.cls is Class.UNKNOWN
    for text in (finding.outcome.text, outcome.text):
        assert text.startswith(f"2 records ({CASE}, {OTHER}) have this {KEY}")
    once = adapter().read_find(an_item(), said(300, ["/sobjects/Case/" + CASE, None]))
    assert not once.doubled


async def test_a_key_that_is_missing_there_refuses_and_says_so(desk: World) -> None:
    del vendor(desk).fields[KEY]
    ticket = await desk.add()
    await desk.settle(HOUR)
    assert await desk.state(ticket) is State.FAILED
    assert KEY in (await desk.detail(ticket))["history"][-1]["text"]


async def test_a_key_that_goes_missing_leaves_it_open_what_arrived(desk: World) -> None:
    desk.vendor.faults = [lose_answer]
    ticket = await desk.add()
    await desk.queue.sync()
    key = vendor(desk).fields.pop(KEY)
    await desk.settle(HOUR)
    assert await desk.state(ticket) is State.UNKNOWN
    vendor(desk).fields[KEY] = key
    await desk.delivered(ticket)


@pytest.mark.parametrize("fault", [lose_answer, cut_before, says_after(503), says_after(500)])
async def test_a_lost_answer_makes_one_file(desk: World, fault: Any) -> None:
    vendor(desk).page = 1
    first, second = b"1" * 100, b"2" * 100  # of the same name and size
    desk.vendor.faults = [goes_through, goes_through, fault]
    ticket = await desk.add(await desk.file(first), await desk.file(second))
    record = await desk.delivered(ticket)
    assert [file[2] for file in record.files] == [first, second]
    assert desk.sent("GET", "query?q=")


async def test_a_file_that_is_too_large_is_a_dead_letter_of_its_own(desk: World) -> None:
    vendor(desk).file_most = 9
    ticket = await desk.add(await desk.file(b"0123456789"), await desk.file(b"ok", "b.jpg"))
    record = await desk.delivered(ticket)
    assert [file[0] for file in record.files] == ["b.jpg"]
    (row,) = await desk.attention()
    assert (row["kind"], row["error_code"]) == ("attachment", "REQUEST_ENTITY_TOO_LARGE")


async def test_an_org_that_is_full_takes_the_file_later(desk: World) -> None:
    vendor(desk).full = True
    ticket = await desk.add(await desk.file(PHOTO))
    await desk.queue.sync()
    (record,) = desk.vendor.with_op(ticket)
    assert not record.files
    vendor(desk).full = False
    await desk.settle()
    assert await desk.state(ticket) is State.COMPLETED
    assert [file[2] for file in record.files] == [PHOTO]


async def test_a_case_that_was_deleted_leaves_the_file_here(desk: World) -> None:
    desk.vendor.faults = [goes_through, cut_before]
    ticket = await desk.add(await desk.file(PHOTO))
    await desk.queue.sync()
    desk.vendor.records[0].open = False
    await desk.settle()
    (row,) = await desk.attention()
    assert row["kind"] == "attachment"
    assert await desk.state(ticket) is State.COMPLETED


async def test_the_orgs_limit_is_waited_for(desk: World) -> None:
    vendor(desk).limited = True
    ticket = await desk.add()
    await desk.queue.sync()
    before = len(desk.vendor.requests)
    desk.clock.advance(14 * MINUTE)
    await desk.turn()
    assert len(desk.vendor.requests) == before
    assert await desk.state(ticket) is State.PENDING
    vendor(desk).limited = False
    await desk.settle()
    assert await desk.state(ticket) is State.COMPLETED


async def test_what_is_refused_says_which_field(desk: World) -> None:
    vendor(desk).fields["Priority"]["values"] = ("Medium", "Low")
    ticket = await desk.add()
    await desk.settle(HOUR)
    assert await desk.state(ticket) is State.FAILED
    last = (await desk.detail(ticket))["history"][-1]
    assert last["code"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert last["fields"].keys() == {"severity"}


async def test_an_object_that_this_user_may_not_see_refuses_nothing(desk: World) -> None:
    """The lane asks before it sends anything: what all would be refused for, none is."""
    vendor(desk).hidden = True
    ticket = await desk.add()
    await desk.settle(HOUR)
    assert await desk.state(ticket) is State.PENDING
    vendor(desk).hidden = False
    await desk.delivered(ticket)


async def test_a_portals_page_is_no_delivery(desk: World) -> None:
    desk.vendor.faults = [says(200, b"<html>Welcome</html>", content_type="text/html")]
    ticket = await desk.add()
    await desk.delivered(ticket)


# --- what it says of itself ----------------------------------------------------------------------


def test_what_it_requires_and_offers() -> None:
    fake = FakeSalesforce()
    fake.fields["Site__c"]["required"] = True
    known = talk(adapter().discover(), fake, CREDENTIALS)
    assert known is not None
    assert known.required == {"ticket": (), "feedback": ()}
    assert known.choices["ticket"] == {}  # every severity has its priority
    assert known.max_length["ticket"]["user.email"] == 80
    assert known.notes == (
        "Site (Site__c) must be filled, and no rule for ticket does.",
        "Site (Site__c) must be filled, and no rule for feedback does.",
    )
    rules = [{"to": "Site__c", "from": "category"}]
    mapped = adapter(fields=read_map({"ticket": rules}, DEFAULT_MAP))
    known = talk(mapped.discover(), fake, CREDENTIALS)
    assert known is not None
    assert known.required["ticket"] == ("category",)
    assert known.max_length["ticket"]["category"] == 20


def test_what_the_map_and_the_org_do_not_agree_in() -> None:
    fake = FakeSalesforce()
    fake.fields["Priority"]["values"] = ("P1", "Medium", "Low")
    del fake.fields["SuppliedName"]
    known = talk(adapter().discover(), fake, CREDENTIALS)
    assert known is not None
    assert known.choices["ticket"]["severity"] == ("low", "medium")
    assert known.notes == (
        "Case has no field SuppliedName that this user may see.",
        "Priority (Priority) has no 'High', which a rule for ticket gives.",
    )


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (None, "is missing"),
        ({"externalId": False}, "not marked as External ID"),
        ({"unique": False}, "not Unique"),
        ({"length": 20}, "too short"),
    ],
)
def test_what_the_keys_field_lacks(change: dict[str, Any] | None, note: str) -> None:
    fake = FakeSalesforce()
    if change is None:
        del fake.fields[KEY]
    else:
        fake.fields[KEY] |= change
    known = talk(adapter().discover(), fake, CREDENTIALS)
    assert known is not None
    (said_,) = known.notes
    assert note in said_
    assert known.weaker == ("checked" if note == "not Unique" else None)

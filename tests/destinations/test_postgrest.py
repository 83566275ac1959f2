"""PostgREST: many rows in one INSERT, each once, and a poisonous one alone at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.destinations.world import MINUTE, World

from fieldpost.destinations.fieldmap import Rule
from fieldpost.destinations.postgrest import (
    DEFAULT_MAP,
    EVENTS_CONFLICT,
    EVENTS_MAP,
    PostgREST,
)
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class
from fieldpost.engine.transitions import State
from fieldpost.ports import Response
from fieldpost.testing.vendors.base import Fault, answer, cut_before, lose_answer, says, says_after
from fieldpost.testing.vendors.postgrest import (
    FakePostgREST,
    bench,
    times_out_over,
    wrong,
)

ID = "01975b5e-1000-7000-8000-000000000001"
TICKET = {"summary": "Pump 3 is leaking", "severity": "high"}
LOG = {"level": "info", "message": "started", "component": "pump"}
CALL = {
    "line": "1",
    "number": "+4930123",
    "time": "2025-06-15T12:00:00Z",
    "direction": "incoming",
    "duration": 31,
}
TAKEN = {"content-range": "*/*", "preference-applied": "resolution=ignore-duplicates"}


def item(n: int = 1, kind: str = "ticket") -> Item:
    id_ = f"{ID[:-1]}{n}"
    return Item(id_, kind, "create", "postgrest", id_, 1_750_000_000_000, 1_750_000_000_000)


def adapter(**named: object) -> PostgREST:
    return PostgREST(**{"url": "https://db.example/rest/v1/", "table": "items", **named})


def made(*payloads: dict[str, object], kind: str = "ticket", by: PostgREST) -> list[bytes]:
    return [
        by.intent(item(n, kind), json.dumps(payload).encode(), [])
        for n, payload in enumerate(payloads, 1)
    ]


def world() -> World:
    return World(bench)


def vendor(made: World) -> FakePostgREST:
    assert isinstance(made.vendor, FakePostgREST)
    return made.vendor


# --- requests ------------------------------------------------------------------------------------


def test_one_request_is_one_insert_with_its_columns_and_its_key() -> None:
    by = adapter(apikey="sb_publishable_1", credential="supabase", schema="field")
    request = by.request(made(TICKET, {"summary": "Belt", "category": "x"}, by=by), [])
    parts = urlsplit(request.url)
    assert (request.method, parts.path) == ("POST", "/rest/v1/items")
    assert parse_qs(parts.query) == {
        "columns": ["captured_at,category,id,severity,summary"],
        "on_conflict": ["id"],
    }
    wanted = {"resolution=ignore-duplicates", "return=minimal", "missing=default"}
    assert set(request.headers["Prefer"].split(",")) == wanted
    assert request.headers["Content-Profile"] == "field"
    assert (request.headers["apikey"], request.credential) == ("sb_publishable_1", "supabase")
    assert "Authorization" not in request.headers
    assert json.loads(request.body) == [
        {"id": item(1).id, "captured_at": 1_750_000_000_000, **TICKET},
        {"id": item(2).id, "captured_at": 1_750_000_000_000, "summary": "Belt", "category": "x"},
    ]
    assert request == by.request(made(TICKET, {"summary": "Belt", "category": "x"}, by=by), ["any"])


def test_what_is_the_same_row_is_in_a_request_once() -> None:
    by = adapter(fields=EVENTS_MAP, conflict=EVENTS_CONFLICT)
    request = by.request(made(CALL, CALL, {**CALL, "duration": 33}, kind="call", by=by), [])
    assert [row["duration_s"] for row in json.loads(request.body)] == [31, 33]
    assert json.loads(request.body)[0] == {
        "line_id": "1",
        "ts": "2025-06-15T12:00:00Z",
        "number": "+4930123",
        "direction": 1,
        "duration_s": 31,
        "kind": "call",
    }


def test_null_is_never_the_same() -> None:
    by = adapter(fields=EVENTS_MAP, conflict=EVENTS_CONFLICT)
    bare = {name: value for name, value in CALL.items() if name != "duration"}
    assert len(json.loads(by.request(made(bare, bare, kind="call", by=by), []).body)) == 2


def test_a_column_with_any_name_is_quoted() -> None:
    by = adapter(fields={"ticket": (Rule("op,id", source="@id"),)}, conflict=("op,id",))
    assert (
        "columns=%22op%2Cid%22&on_conflict=%22op%2Cid%22" in by.request(made(TICKET, by=by), []).url
    )


def test_what_lacks_a_required_field_makes_no_row() -> None:
    with pytest.raises(InvalidItem) as refused:
        adapter().intent(item(), b"{}", [])
    assert refused.value.fields == {"summary": "is required by the destination"}


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("shown", ["content-range", "preference-applied"])
def test_success_is_a_status_and_what_only_postgrest_says(status: int, shown: str) -> None:
    response = Response(status, {shown: TAKEN[shown]}, b"")
    reading = adapter().read([item(1), item(2)], response)
    assert [o.cls for o in reading.outcomes] == [Class.DELIVERED] * 2
    assert [o.remote_id for o in reading.outcomes] == [item(1).id, item(2).id]
    assert not reading.whole


@pytest.mark.parametrize(
    "response",
    [
        Response(201, {}, b""),
        Response(200, {"content-type": "text/html"}, b"Welcome to the hotel"),
        Response(200, {**TAKEN, "content-type": "text/html"}, b"Welcome to the hotel"),
        Response(302, TAKEN, b""),
        answer({"ok": True}),
    ],
)
def test_what_anybody_could_say_is_no_success(response: Response) -> None:
    assert adapter().read([item()], response).outcomes[0].cls is Class.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "cls", "state", "lane"),
    [
        (409, "23505", Class.PERMANENT, "online", False),
        (409, "23503", Class.PERMANENT, "online", False),
        (400, "23502", Class.PERMANENT, "online", False),
        (400, "23514", Class.PERMANENT, "online", False),
        (400, "22P02", Class.PERMANENT, "online", False),
        (400, "21000", Class.PERMANENT, "online", False),
        (400, "P0001", Class.PERMANENT, "online", False),
        (500, "54000", Class.PERMANENT, "online", False),
        (500, "P0004", Class.PERMANENT, "online", False),
        (500, "42P17", Class.TRANSIENT, "no_gateway", True),
        (400, "PGRST102", Class.PERMANENT, "online", False),
        (400, "PGRST204", Class.PERMANENT, "online", False),
        (401, "42501", Class.AUTH, "signed_out", True),
        (403, "42501", Class.PERMISSION, "online", False),
        (401, "PGRST301", Class.AUTH, "signed_out", True),
        (404, "42P01", Class.TRANSIENT, "no_gateway", True),
        (404, "PGRST205", Class.TRANSIENT, "no_gateway", True),
        (400, "42P10", Class.TRANSIENT, "no_gateway", True),
        (503, "53300", Class.TRANSIENT, "online", False),
        (503, "08006", Class.UNKNOWN, "unreachable", True),
        (500, "40001", Class.TRANSIENT, "online", False),
        (500, "57014", Class.TRANSIENT, "online", False),
        (503, "PGRST002", Class.TRANSIENT, "unreachable", True),
        (504, "PGRST003", Class.TRANSIENT, "unreachable", True),
        (500, "XX000", Class.UNKNOWN, "unreachable", False),
        (405, "25006", Class.TRANSIENT, "online", False),
        (429, "over_request_rate_limit", Class.RATE_LIMITED, "limited", True),
        (413, "too_large", Class.TOO_LARGE, "online", False),
    ],
)
def test_codes_and_what_they_mean(
    status: int, code: str, cls: Class, state: str, lane: bool
) -> None:
    reading = adapter().read([item()], wrong(status, code, "It does not work"))
    (outcome,) = reading.outcomes
    assert (outcome.cls, outcome.code, outcome.lane) == (cls, code, lane)
    assert reading.contact.state == state
    assert reading.whole
    assert outcome.text == "It does not work."


@pytest.mark.parametrize(
    ("response", "cls", "state"),
    [
        (Response(502, {}, b""), Class.UNKNOWN, "unreachable"),
        (Response(413, {"content-type": "text/html"}, b"nginx"), Class.TOO_LARGE, "online"),
        (Response(404, {"content-type": "text/html"}, b"nginx"), Class.UNKNOWN, "unreachable"),
        (Response(429, {"retry-after": "7"}, b""), Class.RATE_LIMITED, "limited"),
        (answer({"message": "Invalid API key"}, 401), Class.AUTH, "signed_out"),
        (answer({"message": "slow down"}, 503, retry_after="7"), Class.RATE_LIMITED, "limited"),
    ],
)
def test_answers_of_what_stands_in_front(response: Response, cls: Class, state: str) -> None:
    reading = adapter().read([item()], response)
    assert (reading.outcomes[0].cls, reading.contact.state) == (cls, state)


def test_a_right_that_is_missing_for_all_rows_is_the_tables_and_not_the_items() -> None:
    said = "permission denied for table items"
    reading = adapter().read([item()], wrong(403, "42501", said))
    assert (reading.outcomes[0].cls, reading.outcomes[0].lane) == (Class.TRANSIENT, True)
    assert (reading.contact.state, reading.contact.text) == ("no_gateway", said + ".")


def test_refusals_name_the_fields_as_the_form_does() -> None:
    said = 'null value in column "user_name" of relation "items" violates not-null constraint'
    (outcome,) = adapter().read([item()], wrong(400, "23502", said)).outcomes
    assert outcome.fields == {"user.name": said}
    details = "Key (number, line)=(+49, 7) already exists."
    (outcome,) = adapter().read([item()], wrong(409, "23505", "duplicate", details)).outcomes
    assert set(outcome.fields) == {"number", "line"}


def test_the_items_own_row_in_the_way_is_a_duplicate() -> None:
    details = f"Key (id)=({item(1).id}) already exists."
    there = wrong(409, "23505", "duplicate key value", details)
    assert adapter().read([item(1)], there).outcomes[0].cls is Class.DUPLICATE
    assert adapter().read([item(2)], there).outcomes[0].cls is Class.PERMANENT
    # Of several nobody knows which one it is about.
    both = adapter().read([item(1), item(2)], there)
    assert both.whole
    assert both.outcomes[0].cls is Class.PERMANENT


@pytest.mark.parametrize(
    ("response", "state"),
    [
        (answer([]), "online"),
        (wrong(403, "42501", "permission denied for table items"), "online"),
        (wrong(401, "42501", "permission denied for table items"), "signed_out"),
        (wrong(401, "PGRST301", "JWT expired"), "signed_out"),
        (wrong(404, "PGRST205", "Could not find the table"), "no_gateway"),
        (wrong(503, "PGRST002", "Could not query the database"), "unreachable"),
        (Response(200, {"content-type": "text/html"}, b"[hotel]"), "sign_in_page"),
    ],
)
def test_whether_it_is_there(response: Response, state: str) -> None:
    assert adapter().read_probe(response, known=False).state == state


def test_what_the_table_asks_for_is_told_in_the_forms_own_words() -> None:
    by, fake, credentials = bench(type("Clock", (), {"now": lambda: 0}))
    script = by.discover()
    request = next(script)
    request.headers.update(credentials[request.credential])
    with pytest.raises(StopIteration) as end:
        script.send(fake.answer(request))
    found = end.value.value
    assert found.required["ticket"] == ("summary",)  # severity has a default
    assert found.max_length["ticket"] == {"category": 40}
    # A feedback in this table would be refused: it has a summary that must be filled.
    assert "summary must be filled, and no rule for feedback does." in found.notes
    assert not [note for note in found.notes if "severity" in note or "for ticket" in note]


def table(required: Any, **columns: Any) -> Response:
    told = {"required": required, "properties": columns}
    return answer({"definitions": {"items": told}})


def discovered_of(response: Response, **named: object) -> Any:
    script = adapter(**named).discover()
    next(script)
    with pytest.raises(StopIteration) as end:
        script.send(response)
    return end.value.value


def test_a_column_that_must_be_filled_and_never_is_is_said() -> None:
    site = {"type": "string", "enum": ["north", "south"]}
    told = table(["id", "site", "place"], id={}, site=site, place={"default": "here"})
    found = discovered_of(told)
    assert found.required["ticket"] == ()
    assert "site must be filled, and no rule for ticket does." in found.notes
    assert not [note for note in found.notes if "place" in note]
    rules = {"ticket": (Rule("id", "@id"), Rule("site", "category"))}
    found = discovered_of(told, fields=rules)
    assert (found.required, found.notes) == ({"ticket": ("category",)}, ())
    assert found.choices["ticket"] == {"category": ("north", "south")}


def test_what_a_rule_translates_is_offered_by_our_names() -> None:
    severity = Rule("level", "severity", choices={"low": "L", "high": "H", "critical": "X"})
    told = table([], level={"enum": ["L", "H"]})
    found = discovered_of(told, fields={"ticket": (severity,)})
    assert found.choices["ticket"] == {"severity": ("low", "high")}
    assert found.notes == ("level has no 'X', which a rule for ticket gives.",)


# --- whole deliveries ----------------------------------------------------------------------------


async def test_many_go_in_few_inserts() -> None:
    made = world()
    tickets = [await made.add() for _ in range(150)]
    await made.settle()
    assert {r.op for r in made.vendor.records} == set(tickets)
    assert vendor(made).inserts == [100, 50]
    assert (await made.detail(tickets[0]))["remote_id"] == tickets[0]


async def test_several_kinds_share_a_table_and_the_defaults_are_the_databases() -> None:
    made = world()
    await made.queue.enqueue("ticket", {"summary": "Belt"})
    await made.queue.enqueue("log", {**LOG, "timestamp": "2025-06-15T12:00:00Z"})
    await made.queue.enqueue("call", CALL)
    await made.settle()
    assert vendor(made).inserts == [3]
    by_kind = {"log": "message", "call": "duration", "ticket": "summary"}
    told = {
        k: [r.fields[n] for r in made.vendor.records if r.fields[n]] for k, n in by_kind.items()
    }
    assert told == {"log": ["started"], "call": [31], "ticket": ["Belt"]}
    assert {record.fields["severity"] for record in made.vendor.records} == {"medium"}


@pytest.mark.parametrize(
    "fault", [lose_answer, cut_before, says(502), says_after(504), says(201), says_after(201)]
)
async def test_an_answer_that_is_lost_makes_neither_a_double_nor_a_loss(fault: Fault) -> None:
    made = world()
    made.vendor.faults = [fault]
    tickets = [await made.add() for _ in range(7)]
    await made.queue.sync()
    await made.settle()
    assert {await made.state(each) for each in tickets} == {State.COMPLETED}
    assert sorted(r.op for r in made.vendor.records) == sorted(tickets)


@pytest.mark.parametrize("places", [[0], [57], [99], [3, 4, 80]])
async def test_poison_ends_as_dead_letters_of_its_own_and_the_others_go(places: list[int]) -> None:
    made = world()
    tickets = [
        await made.add(summary="Belt\x00" if n in places else f"Belt {n}") for n in range(100)
    ]
    await made.settle(60 * MINUTE)
    ends = [await made.state(each) for each in tickets]
    assert [n for n, state in enumerate(ends) if state is State.FAILED] == places
    assert ends.count(State.COMPLETED) == 100 - len(places)
    assert len(made.vendor.records) == 100 - len(places)
    (first, *_) = [each for n, each in enumerate(tickets) if n in places]
    assert "unsupported Unicode" in json.dumps((await made.detail(first))["history"])
    # By halves, not one by one; and refused alone, each once.
    assert len(vendor(made).inserts) < 40 * len(places)


async def test_a_statement_that_takes_too_long_for_its_size_goes_in_smaller_ones() -> None:
    made = world()
    made.vendor.faults = [times_out_over(30)] * 50
    tickets = [await made.add() for _ in range(100)]
    await made.settle(60 * MINUTE)
    assert {await made.state(each) for each in tickets} == {State.COMPLETED}
    assert len(made.vendor.records) == 100


async def test_a_table_that_is_not_there_dead_letters_nothing() -> None:
    made = world()
    vendor(made).table = "other"
    tickets = [await made.add() for _ in range(5)]
    await made.settle(12 * MINUTE)
    assert {await made.state(each) for each in tickets} == {State.PENDING}
    lane = (await made.queue.status())["lanes"]["postgrest"]
    assert "Could not find the table" in json.dumps(lane)
    vendor(made).table = "field_items"
    await made.settle()
    assert {await made.state(each) for each in tickets} == {State.COMPLETED}


async def test_a_column_that_is_missing_stops_its_own_kind_only() -> None:
    made = world()
    more = (*DEFAULT_MAP["feedback"], Rule("mood", value="good"))
    made.adapter.fields = {**DEFAULT_MAP, "feedback": more}
    ticket = await made.add()
    feedback = await made.queue.enqueue("feedback", {"rating": 4, "comment": "Fine"})
    await made.settle(30 * MINUTE)
    assert [await made.state(each) for each in (ticket, feedback.id)] == [
        State.COMPLETED,
        State.FAILED,
    ]


async def test_files_are_not_taken() -> None:
    made = world()
    with pytest.raises(InvalidItem) as refused:
        await made.add(await made.file())
    assert "attachments" in refused.value.fields


def test_it_says_what_it_takes() -> None:
    assert adapter().declaration == replace(adapter().declaration, guarantee="strong")
    assert adapter().declaration.kinds == frozenset(DEFAULT_MAP)

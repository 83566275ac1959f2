"""Jira, in the cloud and on a data centre: issues, lookups, files, doubles, and every answer that
is none of success."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.destinations.readings import an_item
from tests.destinations.specs import Spec
from tests.destinations.world import HOUR, PHOTO, TICKET, World, goes_through

from fieldpost.destinations.fieldmap import read_map
from fieldpost.destinations.jira import DEFAULT_MAP, Jira, label_of
from fieldpost.destinations.jira_text import document, file_name, label, one_line, plain, wiki
from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.outcome import Class
from fieldpost.engine.transitions import State
from fieldpost.ports import NoAnswer, Request, Response
from fieldpost.testing.vendors.base import (
    answer,
    cut_before,
    lose_answer,
    says,
    says_after,
)
from fieldpost.testing.vendors.jira import URL, FakeJira, bench, is_block

ITEM = an_item()
OP = ITEM.id
CLOUD = Jira(base_url="https://acme.example/", project_key="ED")
CENTRE = Jira(base_url="https://jira.acme.example", project_key="ED", flavour="datacenter")
SPEC = Spec("jira-cloud-v3.slim.json")
#: Used by the adapter, and not in the slice of the description.
NOT_DESCRIBED = ("/transitions", "/issueLink")


def site_of(flavour: str) -> World:
    return World(lambda clock: bench(clock, flavour))


@pytest.fixture(params=["cloud", "datacenter"])
def site(request: pytest.FixtureRequest) -> World:
    return site_of(request.param)


def fake(site: World) -> FakeJira:
    assert isinstance(site.vendor, FakeJira)
    return site.vendor


def error(status: int, *messages: str, **errors: str) -> Response:
    return answer({"errorMessages": list(messages), "errors": errors}, status)


# --- text ----------------------------------------------------------------------------------------


def test_documents_have_paragraphs_and_breaks_and_no_empty_text() -> None:
    assert document("one\ntwo\r\n\r\n \n\nthree\x07") == {
        "type": "doc",
        "version": 1,
        "content": [
            {
                "type": "paragraph",
                "content": [
                    {"type": "text", "text": "one"},
                    {"type": "hardBreak"},
                    {"type": "text", "text": "two"},
                ],
            },
            {"type": "paragraph", "content": [{"type": "text", "text": "three"}]},
        ],
    }
    assert document("")["content"] == []


@given(text=st.text(st.sampled_from("ab \n\r\t\x0c\u2028"), max_size=30) | st.text())
def test_any_text_is_a_document_that_is_taken(text: str) -> None:
    made = document(text)
    assert all(is_block(block) and block["content"] for block in made["content"])
    written = "".join(
        part.get("text", "") for block in made["content"] for part in block["content"]
    )
    assert "".join(written.split()) == "".join(plain(text).split())


def test_wiki_markup_is_shown_and_not_obeyed() -> None:
    assert wiki("{code} [~bob] !x.png!") == r"\{code\} \[~bob\] \!x.png\!"
    assert wiki("# one\nh1. two\na - b # c") == "\\# one\n\\h1. two\na - b # c"


def test_what_may_not_be_in_a_line_a_label_or_a_name() -> None:
    assert one_line("a\n b\t c") == "a b c"
    assert label("main pump  room") == "main-pump-room"
    assert file_name('a/b"\r\nc%.jpg') == "a_b___c_.jpg"
    assert file_name("  ") == "file"


# --- what is sent --------------------------------------------------------------------------------


def issue_of(adapter: Jira, payload: dict[str, Any], kind: str = "ticket") -> dict[str, Any]:
    intent = adapter.intent(ITEM.changed(kind=kind), canonical(payload), [])
    assert intent == adapter.intent(ITEM.changed(kind=kind), canonical(payload), [])
    return json.loads(intent)["issue"]


def test_an_issue_of_the_cloud() -> None:
    issue = issue_of(CLOUD, TICKET)
    assert issue["properties"] == [{"key": "sync.op", "value": {"op": OP}}]
    fields = issue["fields"]
    text = json.dumps(fields.pop("description"))
    assert "Since this morning." in text
    assert "Reported by: Ada Byron ada@example.org" in text
    assert fields == {
        "project": {"key": "ED"},
        "issuetype": {"name": "Bug"},
        "summary": "Pump 3 is leaking",
        "priority": {"name": "High"},
        "labels": [f"op-{OP}", "hardware"],
    }
    request = CLOUD.request([CLOUD.intent(ITEM, canonical(TICKET), [])], [])
    assert request.url == "https://acme.example/rest/api/3/issue"
    SPEC.check_request("POST", request.url, request.body)


def test_an_issue_of_a_data_centre() -> None:
    issue = issue_of(CENTRE, {**TICKET, "description": "See {this}"})
    assert issue["fields"]["description"].startswith("See \\{this\\}\n\nCategory: hardware")
    intent = CENTRE.intent(ITEM, canonical(TICKET), [])
    assert CENTRE.request([intent], []).url == "https://jira.acme.example/rest/api/2/issue"


@pytest.mark.parametrize(
    ("severity", "priority"),
    [("low", "Low"), ("medium", "Medium"), ("high", "High"), ("critical", "Highest")],
)
def test_severities(severity: str, priority: str) -> None:
    issue = issue_of(CLOUD, {"summary": "x", "severity": severity})
    assert issue["fields"]["priority"] == {"name": priority}


def test_an_administrators_map() -> None:
    rules = {
        "ticket": [
            {"to": "priority.id", "from": "severity", "choices": {"high": "10001"}},
            {"to": "priority.name"},
            {"to": "labels", "value": ["app x", "field"]},
            {"to": "reporter.id", "from": "user.id"},
            {"to": "issuetype.name", "value": "Incident"},
            {"to": "customfield_1", "from": "description", "required": True},
        ]
    }
    adapter = replace(CLOUD, fields=read_map(rules, DEFAULT_MAP), long_text=("customfield_1",))
    fields = issue_of(adapter, {**TICKET, "summary": "two\nlines"})["fields"]
    assert fields["priority"] == {"id": "10001"}
    assert fields["labels"] == [label_of(OP), "app-x", "field"]
    assert fields["reporter"] == {"id": "u7"}
    assert fields["issuetype"] == {"name": "Incident"}
    assert fields["customfield_1"]["type"] == "doc"
    assert fields["summary"] == "two lines"
    with pytest.raises(InvalidItem) as wrong:
        adapter.intent(ITEM, canonical({"summary": "x"}), [])
    assert list(wrong.value.fields) == ["description"]
    with pytest.raises(InvalidItem):
        adapter.intent(ITEM.changed(operation="update"), canonical(TICKET), [])


def test_elsewhere_by_oauth() -> None:
    adapter = replace(CLOUD, api_url="https://api.example/ex/jira/c1/")
    assert adapter.probe().url == "https://api.example/ex/jira/c1/rest/api/3/myself"
    made = answer({"id": "10000", "key": "ED-24", "self": "x"}, 201)
    (outcome,) = adapter.read([ITEM], made).outcomes
    assert (outcome.remote_id, outcome.remote_url) == ("ED-24", "https://acme.example/browse/ED-24")


# --- what is read --------------------------------------------------------------------------------

FAILED = {"x_seraph_loginreason": "AUTHENTICATED_FAILED"}
ANSWERS = [
    (error(400, "Bad"), Class.PERMANENT, "online", False),
    (error(404, "No project"), Class.PERMANENT, "online", False),
    (error(422, "Bad"), Class.PERMANENT, "online", False),
    (error(413, "Too large"), Class.TOO_LARGE, "online", False),
    (error(403, "No permission"), Class.PERMISSION, "online", False),
    (error(409, "Conflict"), Class.UNKNOWN, "online", False),
    (error(401, "Who?"), Class.AUTH, "signed_out", True),
    (answer({"errorMessages": ["x"]}, 400, **FAILED), Class.AUTH, "signed_out", True),
    (answer({"message": "Out", "status-code": 404}, 404), Class.PERMANENT, "online", False),
    (answer({"message": "Out", "status-code": 500}, 404), Class.UNKNOWN, "unreachable", True),
    (Response(403, {}, b"XSRF check failed"), Class.PERMISSION, "online", False),
    (error(500, "Oops"), Class.UNKNOWN, "unreachable", False),
    (Response(503, {"retry-after": "5"}, b""), Class.UNKNOWN, "unreachable", True),
    (Response(502, {"content-type": "text/html"}, b"<html>"), Class.UNKNOWN, "unreachable", True),
    (Response(404, {"content-type": "text/html"}, b"<html>"), Class.UNKNOWN, "unreachable", True),
    (Response(413, {"content-type": "text/html"}, b"<html>"), Class.TOO_LARGE, "online", False),
    (Response(302, {"location": "/login"}, b""), Class.UNKNOWN, "sign_in_page", True),
    (Response(200, {"content-type": "text/html"}, b"<html>"), Class.UNKNOWN, "sign_in_page", True),
    (answer({"id": "1", "key": "nothing"}, 201), Class.UNKNOWN, "sign_in_page", True),
    (answer({"id": "1", "key": "ED-1"}, 200), Class.UNKNOWN, "sign_in_page", True),
]


@pytest.mark.parametrize(("response", "cls", "contact", "lane"), ANSWERS)
def test_every_other_answer(response: Response, cls: Class, contact: str, lane: bool) -> None:
    reading = CLOUD.read([ITEM], response)
    (outcome,) = reading.outcomes
    assert (outcome.cls, reading.contact.state, outcome.lane) == (cls, contact, lane)


def test_field_errors_have_the_payloads_names() -> None:
    response = error(400, priority="is invalid", summary="is required", customfield_9="is odd")
    (outcome,) = CLOUD.read([ITEM], response).outcomes
    assert outcome.fields == {
        "severity": "is invalid",
        "summary": "is required",
        "customfield_9": "is odd",
    }


def test_a_limit_that_names_a_moment() -> None:
    date = "Mon, 23 Nov 2026 10:00:00 GMT"
    limited = error(429)
    limited.headers.update({"x-ratelimit-reset": "2026-11-23T10:03Z", "date": date})
    assert CLOUD.read([ITEM], limited).outcomes[0].retry_after_ms == 180_000


def row(key: str, op: str = OP, **more: Any) -> dict[str, Any]:
    number = key.partition("-")[2]
    return {"id": f"100{number:>03}", "key": key, "fields": {"labels": [label_of(op)]}, **more}


@pytest.mark.parametrize(
    "strange",
    [
        answer({"issues": [row("ED-1", "other")]}),
        answer({"issues": [{"id": "1", "key": "ED-1"}]}),
        answer({"issues": [row("ED-1", properties={"sync.op": {"op": "other"}})]}),
        answer({"issues": [], "nextPageToken": "x"}),
        answer({"issues": []}, 200, **FAILED),
        answer({"issues": []}, 200, x_ausername="anonymous"),
        answer({"issues": "none"}),
        answer({}),
        error(400, "The JQL is wrong"),
        Response(200, {"content-type": "text/html"}, b"<html>"),
    ],
)
def test_what_proves_no_absence(strange: Response) -> None:
    finding = CLOUD.read_find(ITEM, strange)
    assert (finding.absent, finding.outcome) == (False, None)


def test_an_empty_search_is_an_absence_for_now() -> None:
    assert CLOUD.read_find(ITEM, answer({"issues": [], "isLast": True})).absent


def test_of_several_the_oldest_is_adopted_and_all_are_named() -> None:
    found = answer({"issues": [row("ED-12"), row("ED-9", properties={"sync.op": {"op": OP}})]})
    outcome = CLOUD.read_find(ITEM, found).outcome
    assert outcome is not None
    assert (outcome.cls, outcome.remote_id) == (Class.DUPLICATE, "ED-9")
    assert "2 times: ED-9, ED-12" in outcome.text


# --- whole deliveries ----------------------------------------------------------------------------


async def test_an_issue_and_its_files_byte_for_byte(site: World) -> None:
    files = [
        await site.file(PHOTO, "Pumpe & Dichtung №3.jpg"),
        await site.file(b"a,b\n", 'lo"g.csv', "text/csv\r\nX: y"),
    ]
    item = await site.add(*files)
    record = await site.delivered(item)
    assert record.files == [
        ("Pumpe & Dichtung №3.jpg", "image/jpeg", PHOTO),
        ("lo_g.csv", "application/octet-stream", b"a,b\n"),
    ]
    detail = await site.detail(item)
    assert (detail["remote_id"], detail["remote_url"]) == ("ED-1", f"{URL}/browse/ED-1")


async def test_feedback_is_an_issue_too(site: World) -> None:
    await site.queue.enqueue("feedback", {"rating": 4, "comment": "Works in\nthe tunnel"})
    await site.settle()
    assert fake(site).records[0].fields["summary"] == "Feedback 4/5: Works in the tunnel"


async def test_all_that_goes_over_the_wire_is_as_described() -> None:
    site = site_of("cloud")
    vendor = fake(site)
    vendor.transitions = []
    vendor.faults = [lambda _v, _r, go: (go(), go())[1], goes_through, lose_answer]
    exchanged: list[tuple[Request, Response]] = []
    answered = vendor.answer

    def listening(request: Request) -> Response:
        response = answered(request)
        exchanged.append((request, response))
        return response

    vendor.answer = listening  # type: ignore[method-assign]
    item = await site.add(await site.file(b"a"), await site.file(b"bc"))
    await site.settle()
    assert await site.state(item) is State.COMPLETED
    site.talk(site.adapter.sweep(ITEM, item, "ED-1"))
    site.talk(site.adapter.discover())
    kinds = set()
    for request, response in exchanged:
        if any(part in request.url for part in NOT_DESCRIBED):
            continue
        SPEC.check_request(request.method, request.url, request.body)
        SPEC.check_answer(request.method, request.url, response.status, response.body)
        kinds.add((request.method, SPEC.operation(request.method, request.url)[0]))
    assert len(kinds) >= 9


def test_the_description_finds_mistakes() -> None:
    with pytest.raises(jsonschema.ValidationError):
        SPEC.check_request("POST", f"{URL}/rest/api/3/issue", b'{"fields": "none"}')
    with pytest.raises(AssertionError):
        SPEC.check_request("GET", f"{URL}/rest/api/3/search/jql?jqll=x", b"")
    with pytest.raises(jsonschema.ValidationError):
        SPEC.check_answer("POST", f"{URL}/rest/api/3/issue", 201, b'{"id": 1}')


@pytest.mark.parametrize("fault", [lose_answer, says_after(502), says_after(503)])
async def test_what_arrived_is_found_and_not_sent_again(site: World, fault: Any) -> None:
    fake(site).faults = [fault]
    item = await site.add()
    await site.settle()
    assert await site.state(item) is State.COMPLETED
    assert len(fake(site).records) == len(site.sent("POST", "/issue")) == 1
    assert (await site.last(item))["outcome"] == "duplicate"


async def test_a_search_that_lags_is_asked_until_it_shows_it(site: World) -> None:
    fake(site).lag_ms = 200_000
    fake(site).faults = [lose_answer]
    item, asked = await site.add(), []
    while await site.state(item) is not State.COMPLETED:
        before = len(site.sent("GET", "/search"))
        await site.turn()
        asked += [site.clock.now()] * (len(site.sent("GET", "/search")) - before)
        site.clock.advance(5_000)
    (record,) = fake(site).records
    first, *_, last = [at - record.at for at in asked]
    assert first >= 10_000
    assert 200_000 < last < 330_000
    assert len(asked) >= 3


@pytest.mark.parametrize("fault", [cut_before, says(500)])
async def test_what_never_arrived_goes_again_after_all_the_asking(site: World, fault: Any) -> None:
    fake(site).faults = [fault]
    item = await site.add()
    began = site.clock.now()
    while not fake(site).records:
        await site.turn()
        site.clock.advance(5_000)
    assert site.clock.now() - began >= 300_000
    await site.delivered(item)
    (sweep,) = await site.kind("sweep")
    assert sweep["state"] == "completed"
    assert (await site.last(sweep["id"]))["text"] == "It is there once."


async def doubled(site: World, *files: dict[str, Any]) -> str:
    """An item that is there twice: its first copy stayed hidden for longer than was asked."""
    fake(site).lag_ms = 400_000
    fake(site).faults = [lose_answer]
    item = await site.add(*files)
    while len(fake(site).records) < 2:
        await site.turn()
        site.clock.advance(10_000)
    return item


async def test_a_double_is_swept_closed_linked_and_told(site: World) -> None:
    item = await doubled(site)
    await site.settle()
    first, second = fake(site).records
    assert (first.open, second.open) == (True, False)
    assert fake(site).links == [("ED-2", "ED-1")]
    assert "duplicate" in second.fields["labels"]
    assert fake(site).comments == []
    assert len(fake(site).with_op(item)) == 1
    (sweep,) = await site.kind("sweep")
    text = (await site.last(sweep["id"]))["text"]
    assert text == "It was there 2 times; ED-1 is kept. ED-2 is a duplicate of it: closed."


async def test_what_was_made_last_is_seen_before_the_search_shows_it(site: World) -> None:
    await doubled(site)
    fake(site).lag_ms = 500_000  # of the second: past the sweep
    await site.settle()
    assert [r.open for r in fake(site).records] == [True, False]


async def test_a_double_that_cannot_be_closed_is_labelled_and_commented(site: World) -> None:
    fake(site).transitions = fake(site).transitions[:1]
    fake(site).link_types = set()
    await doubled(site, await site.file(b"photo"))
    await site.settle()
    second = fake(site).records[1]
    assert second.open
    assert "duplicate" in second.fields["labels"]
    ((key, comment),) = fake(site).comments
    assert key == "ED-2"
    assert "duplicate of ED-1" in json.dumps(comment)
    (sweep,) = await site.kind("sweep")
    text = (await site.last(sweep["id"]))["text"]
    assert "left open" in text
    assert "not linked" in text
    assert "It has files." in text


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("fault", [lose_answer, cut_before, says_after(502)])
async def test_a_sweep_that_is_cut_off_is_done_again(at: int, fault: Any) -> None:
    site = site_of("cloud")
    await doubled(site)
    fake(site).faults = [*[goes_through] * at, fault]
    await site.settle()
    assert len([r for r in fake(site).records if r.open]) == 1
    assert fake(site).links == [("ED-2", "ED-1")]
    assert fake(site).records[1].fields["labels"].count("duplicate") == 1
    (sweep,) = await site.kind("sweep")
    assert sweep["state"] == "completed"


async def test_a_double_that_is_closed_already_is_not_called_open() -> None:
    site = site_of("cloud")
    await doubled(site)

    def cut_when_closed(vendor: Any, _request: Any, _go: Any) -> Response:
        vendor.transitions = []  # as of what is closed
        raise NoAnswer("network")

    fake(site).faults = [goes_through, goes_through, cut_when_closed]
    await site.settle()
    assert fake(site).comments == []
    (sweep,) = await site.kind("sweep")
    assert (await site.last(sweep["id"]))["text"].endswith("ED-2 is a duplicate of it: closed.")


async def test_the_resolution_that_a_transition_offers_or_demands(site: World) -> None:
    fields = {"resolution": {"required": True, "allowedValues": [{"name": "Won't do"}]}}
    fake(site).transitions.append(
        {"id": "41", "name": "Mark as duplicate", "to": fake(site).transitions[1]["to"]}
    )
    fake(site).transitions[2]["fields"] = fields
    await doubled(site)
    await site.settle()
    assert fake(site).records[1].fields["resolution"] == {"name": "Won't do"}


async def test_a_transition_that_is_refused_is_not_the_last_word(site: World) -> None:
    broken = {"id": "9", "name": "Duplicate", "to": fake(site).transitions[1]["to"]}
    broken["fields"] = {"comment": {"required": True}}
    fake(site).transitions.insert(0, broken)
    await doubled(site)
    await site.settle()
    assert not fake(site).records[1].open


async def test_long_after_it_is_still_searched_for_first(site: World) -> None:
    fake(site).faults = [lose_answer]
    item = await site.add()
    await site.turn()
    site.clock.advance(100 * HOUR)
    await site.delivered(item)
    assert await site.kind("sweep") == []


async def test_a_file_that_is_refused_is_a_dead_letter_and_the_issue_goes(site: World) -> None:
    fake(site).max_file = 1_000
    files = [await site.file(b"x" * 2_000, "big.bin"), await site.file(b"fine")]
    item = await site.add(*files)
    await site.settle()
    assert await site.state(item) is State.COMPLETED
    (letter,) = await site.kind("attachment")
    assert (letter["state"], letter["error_code"]) == ("failed", "too_large")
    fake(site).max_file = 10_000
    await site.queue.retry(letter["id"])
    await site.settle()
    assert [len(data) for _, _, data in fake(site).records[0].files] == [4, 2_000]


@pytest.mark.parametrize("as_anybody", [False, True])
async def test_a_token_that_is_not_taken_waits_and_proves_nothing(
    site: World, as_anybody: bool
) -> None:
    fake(site).as_anybody = as_anybody
    fake(site).faults = [lose_answer]
    sure = await site.add()
    await site.turn()
    good = site.credentials.pop("jira")
    later = await site.add(summary="Another")
    await site.settle(HOUR)
    assert await site.state(sure) is State.UNKNOWN  # an empty search by nobody is no absence
    assert await site.state(later) is State.PENDING
    assert (await site.queue.get(later)).attempts == 0
    site.credentials["jira"] = good
    await site.settle()
    assert [r.op for r in fake(site).records] == [sure, later]


async def test_what_the_site_does_not_have_is_said_by_our_names(site: World) -> None:
    fake(site).priorities = ["Medium"]
    item = await site.add()
    await site.settle()
    assert await site.state(item) is State.FAILED
    assert (await site.last(item))["fields"] == {"severity": "The priority selected is invalid."}


# --- what it says of itself ----------------------------------------------------------------------


def test_discovered(site: World) -> None:
    fake(site).priorities = ["High", "Low"]
    fake(site).screen |= {"customfield_7"}
    fake(site).screen -= {"labels"}
    fake(site).required = {"customfield_7", "description"}
    found = site.talk(site.adapter.discover())
    assert found.choices["ticket"]["severity"] == ("low", "high")
    assert found.required["ticket"] == ("summary",)
    assert found.max_length["ticket"] == {"summary": 255}
    assert found.file_bytes == 10 * 1024 * 1024
    notes = " ".join(found.notes)
    for words in ("does not offer Highest, Medium", "Customfield_7 is required", "label field"):
        assert words in notes


def test_discovering_what_is_not_there(site: World) -> None:
    site.adapter.issue_type = "Incident"  # type: ignore[attr-defined]
    assert "no issue type Incident" in site.talk(site.adapter.discover()).notes[0]
    site.credentials["jira"] = {}
    assert site.talk(site.adapter.discover()) is None


def test_without_an_answer_it_is_open_what_happened() -> None:
    assert CLOUD.no_answer(NoAnswer("timeout")).outcomes[0].cls is Class.UNKNOWN
    assert CLOUD.no_answer(NoAnswer("network", sent=False)).outcomes[0].cls is Class.TRANSIENT

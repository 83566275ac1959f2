"""No answer, whatever it holds, makes a vendor's adapter raise: what it asks of its fake is written
down, and then told again with each place of each answer taken by each kind of something else."""

from __future__ import annotations

import base64
import copy
import hashlib
import importlib
import itertools
import json
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from tests.destinations.readings import an_item, retold, said
from tests.destinations.world import TICKET

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.base import Contact, Destination, Discovered, Finding, Reading, Script
from fieldpost.destinations.entry import entry
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.destinations.zendesk import Zendesk
from fieldpost.engine.canonical import canonical
from fieldpost.engine.outcome import Outcome
from fieldpost.ports import Manifest, Request, Response, Upload
from fieldpost.testing import vendors
from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.vendors import jira, zendesk
from fieldpost.testing.vendors.base import Vendor, answer

DATA = b"0123456789"
HASH = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
ITEM = an_item(files=1)
FILE = Manifest(ITEM.attachments[0].id, "a.jpg", "image/jpeg", len(DATA), (HASH,))
#: More digits than Python reads as a number, half a character, no address, and what else JSON has.
ODD = (
    *(None, True, 0, -1.5, float("inf"), "", "x", "9" * 5_000, "\ud83d", "https://[x"),
    *([], [None], ["x"], [[]], {}, {"x": None}, {"id": []}),
)
RAW = (b"", b"\xff\xfe", b"\xed\xa0\x80", b"{", b"[" * 100_000, b'"\xed\xa0\x80"')
HEADERS = (
    *("", "x", "-1", "1.5", "\u00b2", "9" * 18, "9" * 5_000, "Mon, 01 Jan 0001 00:00:00 -0000"),
    *("Fri, 31 Dec 9999 23:59:59 -1200", "0001-01-01", "9999-12-31T23:59:59-12:00"),
    "Fri, 31 Dec 9999 23:59:59 GMT",
)
STATUSES = (200, 201, 300, 400, 403, 409, 429, 503)

_ZONE = "https://webservices.autotask.example/ATServicesRest/"
#: What a fake does not say by itself: refusals in the vendors' words, and further pages.
WORDS: dict[str, list[Any]] = {
    "autotask": [
        {"errors": ["Missing Required Field: title;"]},
        {"items": [], "pageDetails": {"nextPageUrl": f"{_ZONE}v1.0/Tickets/1/Attachments?page=2"}},
    ],
    "file": [{"code": "FULL", "detail": "The disk is full."}],
    "jira": [
        {"errorMessages": ["No"], "errors": {"priority": "No such one"}},
        {"message": "No", "status-code": 401},
        {"issues": [], "nextPageToken": "x"},
    ],
    "postgrest": [
        {
            "code": "23505",
            "details": f"Key (id, kind)=({ITEM.id}, x) already exists.",
            "hint": None,
            "message": 'value of column "severity" is wrong',
        },
        {"code": "42501", "message": "permission denied for table items"},
    ],
    "salesforce": [
        [{"errorCode": "X", "message": "No", "fields": ["Subject"]}],
        ["/sobjects/Case/500Kd0000012345IAB", "/sobjects/Case/500Kd0000012346IAB"],
        {"records": [{}], "nextRecordsUrl": "/services/data/v62.0/query/1", "done": False},
    ],
    "servicenow": [{"error": {"message": "No", "detail": "mandatory"}, "status": "failure"}],
    "webhook": [{"detail": "No", "code": "X", "fields": {"summary": "No"}}],
    "zendesk": [
        {"error": "RecordInvalid", "details": {"subject": [{"description": "Blank"}]}},
        {"error": {"title": "Forbidden", "message": "No"}, "errors": [{"detail": "No"}]},
        {"comments": [], "links": {"next": "https://a/api/v2/more"}, "meta": {"has_more": True}},
        {"ticket_fields": [], "next_page": "https://a/api/v2/more"},
    ],
}


def _benches() -> dict[str, Callable[[Any], Any]]:
    found: dict[str, Callable[[Any], Any]] = {}
    for module in pkgutil.iter_modules(vendors.__path__):
        made = importlib.import_module(f"{vendors.__name__}.{module.name}")
        if hasattr(made, "bench"):
            found[module.name] = made.bench
    return found | {"jira-datacenter": partial(jira.bench, flavour="datacenter")}


BENCHES = _benches()
of_all = pytest.mark.parametrize("name", BENCHES)


# --- answers -------------------------------------------------------------------------------------


def varied(value: Any) -> Iterator[Any]:
    """``value``, and it with each of its places, itself included, taken by each odd thing, or left
    out."""
    yield value
    for path in list(_paths(value)):
        for odd in ODD:
            changed = copy.deepcopy({"all": value})
            _place(changed, path)[("all", *path)[-1]] = odd
            yield changed["all"]
        if path:
            changed = copy.deepcopy({"all": value})
            del _place(changed, path)[path[-1]]
            yield changed["all"]


def _place(changed: Any, path: Sequence[Any]) -> Any:
    for step in ("all", *path)[:-1]:
        changed = changed[step]
    return changed


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    steps = value.items() if isinstance(value, dict) else []
    steps = enumerate(value) if isinstance(value, list) else steps
    for step, inner in steps:
        for path in _paths(inner):
            yield (step, *path)


def odd_ones(response: Response) -> Iterator[Response]:
    """The answer, and it with other content."""
    yield response
    try:
        value = json.loads(response.body)
    except ValueError:
        return
    yield from (replace(response, body=json.dumps(odd).encode()) for odd in varied(value))


# --- conversations -------------------------------------------------------------------------------


@dataclass
class Conversations:
    """What an adapter asks of its fake. ``told``: of each script what was answered."""

    adapter: Adapter
    vendor: Vendor
    credentials: dict[str, dict[str, str]]
    told: list[tuple[Callable[[Adapter], Script[Any]], list[Response]]] = field(
        default_factory=list
    )

    def talk(self, script: Callable[[Adapter], Script[Any]]) -> Any:
        """Spoken with the fake and written down; what it comes to."""
        answers: list[Response] = []
        before, speaker = copy.copy(self.adapter), script(self.adapter)
        try:
            asked = next(speaker)
            while True:
                answers.append(self._answer(asked))
                asked = speaker.send(answers[-1])
        except StopIteration as end:
            self.told.append((lambda _: script(copy.copy(before)), answers))
            return end.value

    def _answer(self, asked: Request | Upload) -> Response:
        request = asked if isinstance(asked, Request) else _whole(asked)
        headers = {**request.headers, **self.credentials.get(request.credential, {})}
        return self.vendor.answer(replace(request, headers=headers))


def _whole(upload: Upload) -> Request:
    data = base64.b64encode(DATA) if upload.base64 else DATA
    headers = {**upload.request.headers, "Content-Length": str(upload.length)}
    return replace(upload.request, headers=headers, body=upload.before + data + upload.after)


def _probing(adapter: Adapter) -> Script[Contact]:
    return adapter.read_probe((yield adapter.probe() or Request("GET", "")), known=False)


def _finding(adapter: Adapter) -> Script[Finding]:
    return adapter.read_find(ITEM, (yield adapter.find(ITEM)))


def _making(adapter: Adapter) -> Script[Reading]:
    intents = [adapter.intent(ITEM, canonical(TICKET), [FILE])]
    said = yield from adapter.enrich(intents)
    if isinstance(said, Reading):
        return said
    intents = list(said)
    assert len(intents) == 1
    return adapter.read([ITEM], (yield adapter.request(intents, [])))


def conversations(name: str) -> Conversations:
    """All that can be asked of the fake, with an item that is not there, there, there twice."""
    made = Conversations(*BENCHES[name](FakeClock()))
    adapter, vendor, declared = made.adapter, made.vendor, made.adapter.declaration
    if adapter.probe() is not None:
        made.talk(_probing)
        made.talk(_probing)  # what was learnt by the first
    finds = declared.lookup is not None
    if finds:
        made.talk(_finding)
    reading = made.talk(_making)
    assert reading.outcomes[0].cls in ("accepted", "delivered"), reading
    remote_id = reading.outcomes[0].remote_id
    vendor.now = lambda: 10**15  # an index that lags has it
    if finds:
        made.talk(_finding)
        made.talk(lambda by: by.called(ITEM, remote_id))
    if declared.whole_files:
        _files(made, remote_id)
    if finds and name != "file":
        vendor.records.append(_twin(vendor))
        made.talk(_finding)
    if declared.lookup is not None and declared.lookup.sweep_ms is not None:
        made.talk(lambda by: by.sweep(an_item(), ITEM.id, remote_id))
    made.talk(lambda by: by.discover())
    if isinstance(adapter, Zendesk):
        adapter.ticket_form_id = 9
        made.talk(lambda by: by.discover())
    return made


def _files(made: Conversations, remote_id: str) -> None:
    def attaching(by: Adapter, *, again: bool) -> Script[Reading]:
        return by.attach(ITEM, FILE, remote_id, again=again)

    for again in (True, False, True):  # not there, there, there twice
        reading = made.talk(partial(attaching, again=again))
        assert reading.outcomes[0].cls in ("accepted", "duplicate"), reading


def _twin(vendor: Vendor) -> Any:
    first = vendor.records[0]
    twin = replace(first, fields=copy.deepcopy(first.fields), files=list(first.files))
    if first.id.isdecimal():  # a number, which has to be another's
        twin.id = str(int(first.id) + 1)
    if "-" in twin.number:
        twin.number = twin.number + "0"
    if isinstance(vendor, zendesk.FakeZendesk):
        vendor.updated[twin.id] = 1
    return twin


# --- what comes of it ----------------------------------------------------------------------------


def demand_sound(found: Any, adapter: Destination) -> None:
    """As its type says, and so that it can be stored."""
    outcomes: list[Outcome] = []
    if isinstance(found, Discovered):
        _demand_sound_discovery(found, adapter)
    elif isinstance(found, Reading):
        (outcome,) = found.outcomes
        outcomes = [outcome]
    elif isinstance(found, Finding):
        outcomes = [found.outcome] if found.outcome else []
        assert not (found.outcome and found.absent)
        assert found.outcome or not found.doubled
    elif found is not None:
        assert isinstance(found, Contact | str)
    contact = found if isinstance(found, Contact) else getattr(found, "contact", None)
    texts = [] if contact is None else [contact.text]
    for one in outcomes:
        assert one.remote_id != ""
        texts += [one.text, *one.fields, *one.fields.values()]
        numbers = [one.retry_after_ms or 0, *one.acked.values()]
        assert all(type(number) is int for number in numbers)
        optional = (one.code, one.remote_id, one.remote_url, one.remote_name)
        texts += [text for text in optional if text is not None]
    texts += [found] if isinstance(found, str) else []
    assert all(isinstance(text, str) and text.encode() is not None for text in texts)


def _demand_sound_discovery(found: Discovered, adapter: Destination) -> None:
    names = [name for each in found.required.values() for name in each]
    assert all(isinstance(text, str) and text for text in [*names, *found.notes])
    for kind in found.choices.values():
        assert all(isinstance(one, str | int) for values in kind.values() for one in values)
    for kind in found.max_length.values():
        assert all(type(most) is int and most > 0 for most in kind.values())
    assert found.file_bytes is None or (type(found.file_bytes) is int and found.file_bytes > 0)
    shown = entry("desk", "Desk", adapter, found, "online")
    assert json.dumps(shown, ensure_ascii=False, allow_nan=False).encode()
    for fields in shown["fields"].values():
        assert all(fields["choices"].values()), "a list that refuses everything"


@of_all
def test_what_was_asked_told_with_other_content(name: str) -> None:
    made, ways = conversations(name), 0
    for script, answers in made.told:
        for n, response in enumerate(answers):
            for odd in odd_ones(response):
                given = [*answers[:n], odd, *answers[n + 1 :]]
                demand_sound(retold(script(made.adapter), given, odd), made.adapter)
                ways += 1
    assert ways > 30


@of_all
def test_refusals_and_whole_answers_that_are_odd(name: str) -> None:
    """In place of any answer and of all that follow, with any status."""
    made = conversations(name)
    words = WORDS[name.partition("-")[0]]
    odd_words = [odd for word in words for odd in varied(word)]
    odds = [said(*each) for each in itertools.product(STATUSES, [*ODD, *words])]
    odds += [said(*each) for each in itertools.product((200, 400), odd_words)]
    for script, answers in made.told:
        for n, odd in itertools.product(range(len(answers)), odds):
            demand_sound(retold(script(made.adapter), answers[:n], odd), made.adapter)


@of_all
def test_bytes_that_are_no_json(name: str) -> None:
    made = conversations(name)
    json_type = {"content-type": "application/json"}
    for script, answers in made.told:
        for n in range(len(answers)):
            for status, raw in itertools.product(STATUSES, RAW):
                odd = Response(status, json_type, raw)
                demand_sound(retold(script(made.adapter), answers[:n], odd), made.adapter)


@of_all
def test_headers_that_are_odd(name: str) -> None:
    made = conversations(name)
    dates = [{"retry-after": "Mon, 23 Nov 2026 10:02:00 GMT", "date": odd} for odd in HEADERS]
    named = [{header: odd} for header in ("retry-after", "content-type") for odd in HEADERS]
    named += [{"x-ratelimit-reset": odd, "date": HEADERS[-1]} for odd in HEADERS] + dates
    body = {"detail": "No", "pause_until": 1}
    odds = [said(status, body) for status in (200, 429, 503)]
    odds = [replace(odd, headers={**odd.headers, **more}) for odd in odds for more in named]
    for script, answers in made.told:
        for n, odd in itertools.product(range(len(answers)), odds):
            demand_sound(retold(script(made.adapter), answers[:n], odd), made.adapter)


KEYS = {"id": ITEM.id, "send_id": ITEM.send_id}
TOLD = {
    **KEYS,
    "status": "delivered",
    "remote_id": "7",
    "remote_url": "inbox/7",
    "remote_name": "Seven",
    "code": None,
    "detail": "x",
    "fields": {"a": "b"},
    "retry_after_ms": 5,
    "acked": {FILE.id: 1},
    "refused": {FILE.id: {"code": "X", "detail": "No"}},
}


@pytest.mark.parametrize(
    "body",
    [
        {"protocol": 1, "results": [TOLD], "pause_until": 3},
        {"protocol": 1, "cursor": 2, "receipts": [{**TOLD, "cursor": 1}]},
        {"protocol": 1, **TOLD},
        {"protocol": 1, **TOLD, "attachment_id": FILE.id, "acked": 1},
        {"protocol": 1, "destinations": [{"name": "inbox"}]},
        {"protocol": 1, "service": "fieldpost", "status": "ok"},
        {"code": "X", "detail": "No", "fields": {"a": "b"}},
    ],
)
def test_the_gateways_answers(body: Any) -> None:
    gateway = GatewayDestination("https://post.example/", ITEM.id)
    for status, odd in itertools.product((200, 404, 409, 422, 503), varied(body)):
        response = said(status, odd)
        demand_sound(gateway.read([ITEM], response), gateway)
        demand_sound(gateway.read_find(ITEM, response), gateway)
        demand_sound(gateway.read_part(ITEM, ITEM.attachments[0], 1, response), gateway)
        demand_sound(gateway.read_probe(response, known=True), gateway)
        contact, receipts, cursor = gateway.read_receipts(response)
        assert type(cursor) is int
        outcomes = [receipt.outcome for receipt in receipts]
        for outcome in outcomes:
            demand_sound(Reading(contact, [outcome]), gateway)
        assert isinstance(gateway.read_catalogue(response), str | None)


def test_there_is_something_to_vary() -> None:
    assert len(list(varied({"a": [1]}))) == 1 + 3 * len(ODD) + 2
    assert len(list(odd_ones(answer({"a": 1})))) == 2 + 2 * len(ODD) + 1

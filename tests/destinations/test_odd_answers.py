"""No answer, whatever it holds, makes an adapter raise: each place of each known answer is taken by
each kind of something else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.destinations.readings import an_item, said

from fieldpost.destinations.base import Reading, Script
from fieldpost.destinations.salesforce import Salesforce
from fieldpost.destinations.zendesk import Zendesk
from fieldpost.ports import Manifest, Response

ITEM = an_item(files=1)
FILE = Manifest(ITEM.attachments[0].id, "a.jpg", "image/jpeg", 10, ("x",))
CASE = "500Kd0000012345IAB"
ODD = (None, True, 0, -1.5, "", "x", [], [None], ["x"], [[]], {}, {"x": None}, {"id": []})

INVALID = {"error": "RecordInvalid", "details": {"subject": [{"description": "Blank"}]}}
FORBIDDEN = {"error": {"title": "Forbidden", "message": "No"}, "errors": [{"detail": "No"}]}
TICKET = {"ticket": {"id": 7, "external_id": ITEM.id, "updated_at": "2026"}}
COMMENT = {"id": 1, "body": f"Reference: {FILE.id}", "attachments": [{"size": 10}]}
COMMENTED = {"ticket": {"id": 7}, "audit": {"events": [{**COMMENT, "type": "Comment"}]}}
COMMENTS = {"comments": [{**COMMENT, "body": ""}], "links": {"next": "u"}, "meta": {"has_more": 0}}
UPLOADED = {"upload": {"token": "t", "attachment": {"size": 10}}}
OPTIONS = [{"value": "low"}]
FIELDS = {
    "ticket_fields": [
        {"id": 3, "type": "priority", "title": "Priority", "system_field_options": OPTIONS},
        {"id": 4, "type": "tagger", "required_in_portal": True, "custom_field_options": OPTIONS},
    ],
    "next_page": None,
}

ERRORS = [{"errorCode": "X", "message": "No", "fields": ["Subject"]}]
MADE = {"id": CASE, "success": True, "errors": [], "created": True}
ROW = {"ContentDocument": {"LatestPublishedVersion": {"Description": "x"}}}
FILES = {"records": [ROW], "nextRecordsUrl": "/query/1", "done": False}
DESCRIBED = {
    "fields": [
        {"name": "Fieldpost_Id__c", "externalId": True, "unique": True, "length": 36},
        {
            "name": "Priority",
            "label": "Priority",
            "type": "picklist",
            "createable": True,
            "nillable": False,
            "length": 255,
            "picklistValues": [{"value": "High", "active": True}],
        },
    ]
}


def varied(value: Any) -> Iterator[Any]:
    """``value``, and it with each of its places, itself included, taken by each odd thing."""
    yield value
    for path in list(_paths(value)):
        for odd in ODD:
            changed = copy.deepcopy({"all": value})
            place: Any = changed
            for step in ("all", *path)[:-1]:
                place = place[step]
            place[("all", *path)[-1]] = odd
            yield changed["all"]


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    steps = value.items() if isinstance(value, dict) else []
    steps = enumerate(value) if isinstance(value, list) else steps
    for step, inner in steps:
        for path in _paths(inner):
            yield (step, *path)


def answered(script: Script[Any], answers: list[Response]) -> Any:
    """What the script comes to with these answers, None where it wants more of them."""
    try:
        next(script)
        for response in answers:
            script.send(response)
    except StopIteration as end:
        return end.value
    return None


def spoken(script: Any, answers: list[tuple[int, Any]]) -> int:
    """Speaks the script with each of its answers varied in turn; how many ways there were."""
    ways = 0
    for n, (status, body) in enumerate(answers):
        for odd in varied(body):
            given = [said(status_, body_) for status_, body_ in answers]
            given[n] = said(status, odd)
            found = answered(script(), given)
            assert not isinstance(found, Reading) or len(found.outcomes) == 1
            ways += 1
    return ways


@pytest.mark.parametrize(
    ("status", "body"),
    [(201, TICKET), (200, {"tickets": [TICKET["ticket"]]}), (422, INVALID), (403, FORBIDDEN)],
)
def test_zendesks_answers(status: int, body: Any) -> None:
    zendesk = Zendesk(subdomain="acme")
    for odd in varied(body):
        response = said(status, odd)
        assert len(zendesk.read([ITEM], response).outcomes) == 1
        zendesk.read_find(ITEM, response)
        zendesk.read_probe(response, known=False)


def test_zendesks_conversations() -> None:
    zendesk = Zendesk(subdomain="acme", ticket_form_id=9)

    def attach(*, again: bool) -> Script[Reading]:
        return zendesk.attach(ITEM, FILE, "7", again=again)

    assert spoken(lambda: attach(again=False), [(201, UPLOADED), (200, COMMENTED)]) > 100
    answers = [(200, TICKET), (200, COMMENTS), (201, UPLOADED), (200, COMMENTED)]
    assert spoken(lambda: attach(again=True), answers) > 200
    form = {"ticket_form": {"ticket_field_ids": [3, 4]}}
    assert spoken(zendesk.discover, [(200, form), (200, FIELDS)]) > 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, MADE),
        (200, {"Id": CASE, "Fieldpost_Id__c": ITEM.id}),
        (300, ["/sobjects/Case/" + CASE]),
        (400, ERRORS),
        (200, {"objectDescribe": {"name": "Case"}}),
    ],
)
def test_salesforces_answers(status: int, body: Any) -> None:
    salesforce = Salesforce(instance_url="https://acme.my.salesforce.com")
    for odd in varied(body):
        response = said(status, odd)
        assert len(salesforce.read([ITEM], response).outcomes) == 1
        salesforce.read_find(ITEM, response)
        salesforce.read_probe(response, known=False)


def test_salesforces_conversations() -> None:
    salesforce = Salesforce(instance_url="https://acme.my.salesforce.com")

    def attach(*, again: bool) -> Script[Reading]:
        return salesforce.attach(ITEM, FILE, CASE, again=again)

    assert spoken(lambda: attach(again=False), [(201, MADE)]) > 50
    answers = [(200, FILES), (200, {**FILES, "nextRecordsUrl": None}), (201, MADE)]
    assert spoken(lambda: attach(again=True), answers) > 150
    assert spoken(salesforce.discover, [(200, DESCRIBED)]) > 150


def test_bytes_that_are_no_json() -> None:
    for adapter in (Zendesk(subdomain="acme"), Salesforce(instance_url="https://a.example")):
        for raw in (b"", b"\xff\xfe", b"{", b"[" * 100_000, json.dumps("x").encode()):
            for status in (200, 201, 300, 400, 404):
                response = Response(status, {"content-type": "application/json"}, raw)
                assert len(adapter.read([ITEM], response).outcomes) == 1
                assert adapter.read_find(ITEM, response).outcome is None

"""One item taken elsewhere: as text for people, as JSON for both."""

import json

from app import readable
from app.element import find, text_of
from app.views import export

ONE = {
    "id": "01938b2e-5c1f-7a3b-9d2e-0123456789ab",
    "kind": "ticket",
    "title": 'Pump "4" · tröpfelt',
    "state": "failed",
    "state_text": "Not accepted",
    "why": "The server did not accept it.",
    "priority": 8,
    "created_at": 1700000000000,
    "updated_at": 1700000001000,
    "remote_id": None,
    "remote_url": None,
    "payload": {
        "zeta": [1, {"b": 1, "a": None}],
        "description": "one\ntwo",
        "summary": 'Pump "4" · tröpfelt',
        "empty": {},
        "user": {"email": "a@b.example", "name": "Ana"},
        "severity": "high",
    },
    "answer": {"at": 1700000000500, "code": "X", "status": 200, "text": "No.", "fields": None},
    "attachments": [
        {"id": "f1", "name": "p.jpg", "type": "image/jpeg", "size": 1200, "parts": 1, "acked": 0},
        {"id": "f2", "name": "", "type": "", "size": 0, "parts": 0, "acked": 0},
    ],
    "history": [
        {"n": 1, "at": 1700000000500, "ended_at": 1700000000600, "outcome": "permanent"},
        {"n": 0, "at": 5, "ended_at": 5, "outcome": "edit", "fields": {"summary": "x"}},
    ],
}


def iso(at):
    return None if at is None else f"T{at}"


def check_the_file_is_json_that_holds_everything_in_the_order_of_reading():
    text = readable.document(ONE, 7, iso)
    told = json.loads(text)
    assert told["format"] == "fieldpost.item"
    assert told["version"] == 1
    assert told["exported_at"] == "T7"
    assert told["payload"] == ONE["payload"]
    assert told["created_at"] == "T1700000000000"
    assert told["answer"] == {"at": "T1700000000500", "status": 200, "code": "X", "text": "No."}
    assert [part["name"] for part in told["attachments"]] == ["p.jpg", None]
    assert told["history"][0] == {
        "at": "T1700000000500",
        "ended_at": "T1700000000600",
        "n": 1,
        "outcome": "permanent",
    }
    assert told["history"][1]["fields"] == {"summary": "x"}
    names = ["format", "title", "summary", "description", "severity", "user", "zeta", "history"]
    places = [text.index(json.dumps(name) + ": ") for name in names]
    assert places == sorted(places)
    assert '\n    "summary": ' in text
    assert '"empty": {}' in text
    assert text.endswith("}\n")


def check_the_name_of_the_file_tells_nothing():
    assert readable.name(ONE) == "ticket-456789ab.json"


def check_the_text_can_be_written_into_another_form():
    lines = readable.text(ONE, iso).split("\n")
    assert lines[0] == 'Ticket: Pump "4" · tröpfelt'
    assert 'Summary: Pump "4" · tröpfelt' in lines
    assert "Severity: High" in lines
    assert "Requester name: Ana" in lines
    assert "Attachments: p.jpg, Attachment" in lines
    assert "The server said: No." in lines
    assert lines[-2] == "Saved T1700000000000, id " + ONE["id"]
    bare = {"id": ONE["id"], "kind": "hologram", "state": "failed", "payload": None}
    assert readable.text(bare, iso).startswith("hologram: hologram\n")
    assert json.loads(readable.document(bare, 7, iso))["payload"] is None


def check_the_dialog_says_what_to_mind():
    asked = {"one": ONE, "files": {}, "told": "", "said": None}
    said = text_of(export.dialog(asked))
    assert "not encrypted" in said
    assert "discard it here" in said
    assert find(export.dialog(asked), "button", {"aria-label": "Save p.jpg"})
    asked["files"] = {"f1": "gone", "f2": "saved"}
    shown = export.dialog(asked)
    assert "no longer on this device" in text_of(shown)
    assert find(shown, "button", {"aria-label": "Save p.jpg", "aria-disabled": "true"})
    sent = dict(ONE)
    sent.update({"state": "completed", "attachments": []})
    asked["one"] = sent
    assert "discard" not in text_of(export.dialog(asked))
    waits = dict(ONE)
    waits["state"] = "pending"
    asked["one"] = waits
    assert "arrives twice" in text_of(export.dialog(asked))

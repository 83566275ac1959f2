"""Several destinations behind the gateway: what each asks of the forms, and what its rows say."""

from states import NOW, app_state

from app import catalogue, edit, model, readable, words
from app.element import find, text_of
from app.views import attention, capture, detail, outbox, settings

DESK = {
    "name": "desk",
    "title": "The desk",
    "kinds": ["ticket"],
    "guarantee": "checked",
    "state": "online",
    "limits": {"attachment_bytes": 1000, "attachments": 2},
    "fields": {
        "ticket": {
            "required": ["summary", "category", "impact", "priority", "place.room"],
            "choices": {"category": ["door", "lift"], "impact": [1, 2, 3]},
            "max_length": {"summary": 300, "description": 30, "place.room": 2000},
            "labels": {"place.room": "Which room"},
        }
    },
}
BOARD = {
    "name": "board",
    "title": "Notice board",
    "kinds": ["ticket"],
    "guarantee": "repaired",
    "state": "unreachable",
    "limits": {"attachment_bytes": 0, "attachments": 0},
    "fields": {"ticket": {"required": ["summary", "systemInfo.site"], "max_length": {}}},
}
INBOX = {
    "name": "inbox",
    "title": "Fieldpost inbox",
    "kinds": ["ticket", "feedback"],
    "guarantee": "strong",
    "fields": {"ticket": {"required": ["summary"]}},
}
GIVEN = {"destinations": [INBOX, DESK, BOARD]}


def further(name, facts=None):
    return catalogue.further(GIVEN, "ticket", name, model.fields("ticket"), facts)


def check_where_it_goes_is_chosen_once():
    assert catalogue.meant(GIVEN, "ticket", "") == ""
    assert catalogue.check(GIVEN, "ticket", {"summary": "x"}) == {
        "destination": "Choose where it belongs."
    }
    assert catalogue.meant(GIVEN, "ticket", "", "desk") == "desk"
    assert catalogue.meant(GIVEN, "ticket", "board", "desk") == "board"
    # What is not there any more is nobody's choice.
    assert catalogue.meant(GIVEN, "ticket", "gone", "gone too") == ""
    # One alone is not asked about, and needs no name where it is the gateway's own.
    assert catalogue.meant(GIVEN, "feedback", "") == "inbox"
    assert catalogue.meant(None, "ticket", "") == "inbox"
    assert catalogue.meant({"destinations": [DESK]}, "ticket", "") == "desk"


def check_each_asks_for_its_own():
    values = {"summary": "x", "destination": "desk", "description": "d" * 31, "category": "window"}
    wrong = catalogue.check(GIVEN, "ticket", values)
    assert sorted(wrong) == ["category", "description", "impact", "payload.priority", "place.room"]
    assert wrong["description"] == "At most 30 characters: 1 too many."
    assert "choice" in wrong["category"]
    values["destination"] = "inbox"
    assert catalogue.check(GIVEN, "ticket", values) == {}
    # What the kind itself allows is never widened: the engine would refuse it.
    assert catalogue.rules(GIVEN, "ticket", "desk")["max_length"]["summary"] == 200
    assert catalogue.choices(GIVEN, "ticket", "category", "desk") == ["door", "lift"]
    assert "software" in catalogue.choices(GIVEN, "ticket", "category", "board")


def check_what_the_page_has_no_field_for_is_asked_for():
    found = further("desk")
    assert [one["name"] for one in found] == ["impact", "payload.priority", "place.room"]
    assert [one["type"] for one in found] == ["choice", "line", "text"]
    assert [one["label"] for one in found] == ["Impact", "Priority", "Which room"]
    assert found[0]["options"] == [("1", "1"), ("2", "2"), ("3", "3")]
    assert further("inbox") == []
    # What the device says of itself need not be typed; what it does not know has to be.
    assert [one["name"] for one in further("board", {"osVersion": "X"})] == ["systemInfo.site"]
    assert further("board", {"site": "North"}) == []
    facts = {"site": "North"}
    values = {"summary": "x", "destination": "board"}
    assert list(catalogue.check(GIVEN, "ticket", values)) == ["systemInfo.site"]
    assert catalogue.check(GIVEN, "ticket", values, facts) == {}


def check_further_fields_are_inputs_with_their_errors():
    shown = capture.further("ticket", further("desk"), {"impact": "This is needed here."})
    [choice] = find(shown, "select")
    assert choice[1]["name"] == "impact"
    assert choice[1]["aria-invalid"] == "true"
    assert [text_of(one) for one in find(choice, "option")] == ["Not set", "1", "2", "3"]
    assert text_of(find(shown, "p", {"id": "ticket-impact-error"})[0]) == "This is needed here."
    [room] = find(shown, "textarea")
    assert room[1]["name"] == "place.room"
    assert [text_of(one) for one in find(shown, "label")] == ["Impact", "Priority", "Which room"]


def check_they_land_in_the_payload_where_they_belong():
    values = {
        "summary": "x",
        "impact": "2",
        "payload.priority": "P1",
        "priority": "high",
        "place.room": " 12 ",
        "systemInfo.site": "North",
        "destination": "desk",
    }
    data = model.capture("ticket", "i", 1, values, [], {"osVersion": "X"}, GIVEN)["data"]
    assert data["payload"] == {
        "summary": "x",
        "impact": 2,
        "priority": "P1",
        "place": {"room": "12"},
        "systemInfo": {"osVersion": "X", "site": "North"},
    }
    assert data["priority"] == 8
    assert data["destination"] == "desk"
    values["destination"] = "inbox"
    assert "destination" not in model.capture("ticket", "i", 1, values, [], {}, GIVEN)["data"]
    # A required field beside one inside of it loses neither the form nor the deeper one.
    odd = {"place": "x", "place.room": "12"}
    assert model.payload("ticket", odd, {})["place"] == {"room": "12"}


def check_files_follow_the_destination():
    desk, board = [catalogue.limits(GIVEN, "ticket", name) for name in ("desk", "board")]
    assert model.refusal(1000, False, 1, desk) is None
    assert "at most 1 kB" in model.refusal(1001, False, 0, desk)
    assert model.refusal(5000, True, 0, desk) is None  # a photo gets smaller first
    assert model.refusal(1, False, 2, desk) == "At most 2 files can be attached."
    assert model.refusal(1, False, 0, board) == "Notice board takes no files."
    one = {"id": "a", "state": "stored", "name": "n", "size": 1, "over": "Too large."}
    assert "cannot be sent along" in model.why_not_save([one])
    [shown] = capture.attachments({"files": [one], "limits": board})
    assert shown[1]["class"] == "file bad"
    assert "Too large." in text_of(shown)
    assert text_of(capture.attachments({"files": [], "limits": board})).endswith("takes no files.")


def row(changes):
    made = {
        "id": "0190-1",
        "kind": "ticket",
        "title": "Pump",
        "state": "handed_over",
        "state_text": "At the gateway",
        "why": "The gateway has it and passes it on.",
        "created_at": NOW,
        "updated_at": NOW,
        "destination": "desk",
        "can": [],
    }
    made.update(changes)
    return catalogue.tell(GIVEN, made)


DONE = {
    "state": "completed",
    "state_text": "Sent",
    "why": "",
    "remote_id": "D-1",
    "remote_url": "https://desk.example/show/D-1",
}


def with_url(url):
    changes = dict(DONE)
    changes["remote_url"] = url
    return changes


def check_a_row_says_where_it_is():
    text = text_of(outbox.row(row({}), NOW))
    assert "At the gateway, on its way to The desk" in text
    assert "passes it on" not in text
    done = outbox.row(row(DONE), NOW)
    assert "In The desk as D-1" in text_of(done).replace("  ", " ")
    assert text_of(done).count("D-1") == 1
    [link] = find(done, "a")
    assert link[1]["href"] == "https://desk.example/show/D-1"
    assert (link[1]["rel"], link[1]["target"]) == ("noopener", "_blank")
    assert "for The desk" in text_of(outbox.row(row({"state": "pending"}), NOW))
    changes = dict(DONE)
    changes["remote_name"] = "00001026"
    called = outbox.row(row(changes), NOW)
    assert "In The desk as 00001026" in text_of(called).replace("  ", " ")
    assert "D-1" not in text_of(called)
    assert find(called, "a")[0][1]["href"] == "https://desk.example/show/D-1"
    # Of the gateway's own inbox, as ever.
    own = row(
        {"destination": None, "state": "completed", "state_text": "Sent", "remote_id": "FP-1"}
    )
    assert "Sent" in text_of(outbox.row(own, NOW))
    assert "In Fieldpost inbox" not in text_of(outbox.row(own, NOW))


def check_only_web_addresses_of_a_destination_are_links():
    for url in ("javascript:alert(1)", "data:text/html,x", "inbox/FP-1", "//x", "https:x", ""):
        assert find(outbox.row(row(with_url(url)), NOW), "a") == []
    for url in ("http://desk.example/1", "HTTPS://desk.example/1"):
        assert len(find(outbox.row(row(with_url(url)), NOW), "a")) == 1


def check_a_refused_file_names_its_ticket():
    refused = row(
        {
            "kind": "attachment",
            "title": "l.jpg",
            "of": "Pump",
            "state": "failed",
            "state_text": "Not accepted",
            "why": "It is larger than the server takes.",
            "remote_id": "D-1",
            "can": ["edit", "retry", "discard"],
            "payload": {"attachment_of": "0190-1", "name": "l.jpg", "title": "Pump"},
        }
    )
    shown = attention.row(refused, NOW, False)
    assert "A file that was refused: l.jpg" in text_of(shown)
    assert "Belongs to “ Pump ”" in text_of(shown)
    acts = [one[1]["data-act"] for one in find(shown, "button") if "row-" in one[1]["data-act"]]
    assert sorted(acts) == ["row-discard", "row-export", "row-retry"]
    refused["attachments"] = []
    said = text_of(detail.detail(refused, NOW)).split("What it says")[1]
    assert "Belongs to Pump" in said
    assert "0190-1" not in said
    assert readable.said(refused) == [("File", "l.jpg"), ("Belongs to", "Pump")]
    sweep = row({"kind": "sweep", "state": "pending", "can": ["edit", "cancel"]})
    assert words.title(sweep) == "Looks for doubles of “Pump”"
    assert "Edit" not in text_of(outbox.acts(sweep, "t", ["edit", "cancel"]))


def check_the_outbox_shows_one_destination_only():
    state = app_state({"catalogue": GIVEN})
    [control] = find(outbox.head(state), "select")
    assert [text_of(one) for one in find(control, "option")] == [
        "All destinations",
        "Fieldpost inbox",
        "The desk",
        "Notice board",
    ]
    assert find(outbox.head(app_state({"catalogue": {"destinations": [INBOX]}})), "select") == []
    state["outbox"].update({"only": "desk", "next": 7})
    assert "Nothing for The desk among the newest Look further" in text_of(outbox.listing(state))


def check_the_settings_tell_of_each():
    state = app_state({"catalogue": GIVEN, "settings": {"values": {}, "errors": {}, "said": ""}})
    [card] = find(settings.settings(state), "section", {"key": "destinations"})
    inbox, desk, board = [text_of(one) for one in find(card, "li")]
    assert "exactly once" in inbox
    assert "tickets and feedback" in inbox
    assert "Works" in desk
    assert "Looked up" in desk
    assert "Not answering the gateway" in board
    assert "No files." in board
    assert find(card, "button") == []
    state["catalogue"] = {"destinations": [INBOX]}
    assert find(settings.settings(state), "section", {"key": "destinations"}) == []


def check_a_correction_asks_for_what_the_destination_wants():
    one = row({"payload": {"summary": "x", "impact": 9, "systemInfo": {}}, "priority": 5})
    fields = edit.fields(one, GIVEN)
    paths = [field["path"] for field in fields]
    assert paths[-3:] == ["impact", "payload.priority", "place.room"]
    impact = fields[-3]
    assert (impact["value"], impact["options"][-1]) == ("9", ("9", "9"))
    assert fields[2]["options"] == [("door", "Door"), ("lift", "Lift")]
    values = {"summary": "x", "impact": "3", "payload.priority": "P1", "priority": "8"}
    asked = edit.asked(one, values, GIVEN)
    assert asked["payload"]["impact"] == 3
    assert asked["payload"]["priority"] == "P1"
    assert asked["priority"] == 8

"""What needs a person, corrections, limits and settings: found by what a reader meets."""

from states import NOW, app_state

from app import edit, model, preferences
from app.element import find, text_of
from app.views import ask, attention, capture, outbox, settings, status

ROW = {
    "id": "01938b2e-5c1f-7a3b-9d2e-0123456789ab",
    "kind": "ticket",
    "title": "<b>Pump</b> 4",
    "state": "failed",
    "state_text": "Not accepted",
    "why": "The server did not accept it.",
    "priority": 5,
    "created_at": NOW - 120000,
    "updated_at": NOW - 60000,
    "size": 2000,
    "attachments": 0,
    "can": ["edit", "retry", "discard"],
    "error_code": "INVALID_FIELDS",
    "answer": {
        "at": NOW,
        "status": 200,
        "code": "INVALID_FIELDS",
        "text": "Not so. user.email: is unknown",
        "fields": {"user.email": "is unknown"},
    },
}
TICKET = {"summary": "Pump", "user": {"name": "Ana"}, "systemInfo": {"osVersion": "X"}}


def state(changes=None, box=None):
    made = app_state(changes)
    made["attention"].update(box or {})
    return made


def shown(trees):
    return [one for one in trees if one]


def check_a_row_says_what_the_server_said_and_what_can_be_done():
    one = attention.row(ROW, NOW, False)
    said = text_of(one)
    for words in ("<b>Pump</b> 4", "Not accepted", "1 min ago", "Not so.", "INVALID_FIELDS"):
        assert words in said
    assert "Requester email:  is unknown" in said or "Requester email: is unknown" in said
    assert "user.email" not in said
    assert "200" not in said
    names = [text_of(b) for b in find(one, "button", {"data-id": ROW["id"]})]
    assert names == ["<b>Pump</b> 4", "Edit", "Retry", "Export", "Discard"]
    assert find(one, "input", {"aria-label": "Select <b>Pump</b> 4", "checked": False})


def check_what_may_have_arrived_waits_for_a_word_and_had_no_answer():
    lost = dict(ROW)
    lost.update({"state": "unknown", "state_text": "May have arrived", "why": "Look there."})
    lost.update({"can": ["arrived", "send_again"], "answer": {"code": "QUEUE_OUTCOME_UNKNOWN"}})
    one = attention.row(lost, NOW, False)
    assert "May have arrived" in text_of(one)
    assert "gave no reason" not in text_of(one)
    names = [text_of(b) for b in find(one, "button", {"data-id": ROW["id"]})]
    assert names == ["<b>Pump</b> 4", "It is there", "Send it again", "Export"]
    assert not find(one, "input")  # with several at once nothing could be done


def check_after_an_outage_one_retry_is_offered_while_the_server_answers():
    told = {"counts": {"failed": 3}, "gave_up": {"count": 2, "more": False}}
    away = state({"status": {"connection": "unreachable"}}, {"told": told, "rows": [ROW]})
    said = text_of(shown(attention.head(away)))
    assert "2 items could not be delivered while the server was away." in said
    assert not find(shown(attention.head(away)), "button", {"data-act": "retry-lost"})
    back = shown(attention.head(state(None, {"told": told, "rows": [ROW]})))
    assert [text_of(b) for b in find(back, "button")] == ["Retry all", "Retry all (3)"]
    told = {"counts": {"failed": 2}, "gave_up": {"count": 2, "more": True}}
    back = shown(attention.head(state(None, {"told": told, "rows": [ROW]})))
    assert [text_of(b) for b in find(back, "button")] == ["Retry all"]
    assert "2 items or more" in text_of(back)


def check_a_selection_offers_what_all_of_it_can():
    other = dict(ROW)
    other.update({"id": "other", "can": ["retry"]})
    box = {"rows": [ROW, other], "chosen": [ROW["id"]]}
    acts = [text_of(b) for b in find(shown(attention.head(state(None, box))), "button")]
    assert acts == ["Retry", "Discard", "Clear"]
    box["chosen"] = [ROW["id"], "other"]
    bar = shown(attention.head(state(None, box)))
    assert "2 selected" in text_of(bar)
    assert [text_of(b) for b in find(bar, "button")] == ["Retry", "Clear"]


def check_nothing_needs_you_is_said_only_when_it_is_so():
    assert "Nothing needs you" in text_of(attention.listing(state()))
    out = state({"status": {"connection": "signed_out", "attention": 0}})
    assert attention.listing(out) == []
    assert "does not know this device" in text_of(shown(attention.head(out)))
    assert find(shown(attention.head(out)), "a", {"href": "#about"})
    assert model.attention(out) == 1
    assert model.attention(state({"status": {"attention": 4}})) == 4
    asked = state(None, {"rows": None})
    assert "Nothing" not in text_of(attention.listing(asked))


def check_storage_is_warned_of_at_80_percent():
    assert model.matters(state({"storage": {"used": 79, "quota": 100}})) == []
    found = model.matters(state({"storage": {"used": 80, "quota": 100}}))
    assert "80 % full" in found[0][2]
    kept = {"kept": "denied"}
    assert model.matters(state({"storage": kept})) == []
    found = model.matters(state({"storage": kept, "status": {"waiting": 1}}))
    assert "does not promise" in found[0][2]
    trouble = {"message": "The storage did not take it.", "todo": "Free some."}
    found = model.matters(state({"status": {"trouble": trouble}}))
    assert found[0][2] == trouble["message"]


def check_the_outbox_tells_where_they_have_gone():
    told = state({"status": {"connection": "online", "attention": 2}})
    links = find(shown(outbox.head(told)), "a", {"href": "#attention"})
    assert text_of(links) == "2 items need your attention"
    assert model.route("#attention") == ("attention", "")
    assert model.route("#settings") == ("settings", "")


def check_a_correction_keeps_what_it_does_not_show():
    one = {"id": "i", "kind": "ticket", "payload": TICKET, "priority": 5}
    fields = {field["path"]: field for field in edit.fields(one, None)}
    assert fields["user.name"]["value"] == "Ana"
    assert fields["severity"]["options"][0] == ("low", "Low")
    values = {path: fields[path]["value"] for path in fields}
    assert edit.changed(one, values) == TICKET
    values.update({"summary": " Pump 4 ", "user.email": "a@b.example", "user.name": ""})
    values.update({"severity": "high", "priority": "10"})
    asked = edit.asked(one, values)
    assert asked["payload"] == {
        "summary": "Pump 4",
        "severity": "high",
        "user": {"email": "a@b.example"},
        "systemInfo": {"osVersion": "X"},
    }
    assert (asked["priority"], asked["title"]) == (10, "Pump 4")
    values["priority"] = "5"
    assert "priority" not in edit.asked(one, values)
    assert TICKET["user"] == {"name": "Ana"}


def check_numbers_stay_numbers_and_other_kinds_can_be_corrected():
    one = {"id": "i", "kind": "feedback", "payload": {"rating": 2, "comment": "ok"}, "priority": 5}
    assert edit.changed(one, {"rating": "4", "comment": "ok"})["rating"] == 4
    payload = {
        "light": "blue",
        "count": 3,
        "on": True,
        "parts": [1],
        "deep": {"a": "x\ny"},
        "p.q": 1,
    }
    one = {"id": "i", "kind": "hologram", "payload": payload, "priority": 7}
    kinds = {field["path"]: field["type"] for field in edit.fields(one, None)}
    assert kinds == {"light": "line", "count": "line", "deep.a": "text"}
    made = edit.changed(one, {"light": "red", "count": "4", "deep.a": "x\ny"})
    assert made == {
        "light": "red",
        "count": 4,
        "on": True,
        "parts": [1],
        "deep": {"a": "x\ny"},
        "p.q": 1,
    }
    assert edit.priority_options(7)[-1] == ("7", "7")


def check_what_the_server_said_of_a_field_stands_at_it():
    paths = ["summary", "user.name", "user.email"]
    told = {"user.email": "is unknown", "name": "Too short.", "elsewhere": "x"}
    found = edit.by_path(told, paths)
    assert found == {"user.email": "Is unknown.", "user.name": "Too short."}
    assert edit.first(paths, found) == "user.name"
    assert edit.first(paths, {}) == "summary"
    assert edit.errors({"summary": "is required"}) == {"summary": "This is required."}
    one = {"id": "i", "kind": "ticket", "payload": TICKET, "priority": 5}
    asked = {
        "one": one,
        "answer": ROW["answer"],
        "fields": edit.fields(one, None),
        "errors": {"user.email": "Is unknown."},
        "said": None,
    }
    form = shown(ask.edit(asked))
    assert find(form, "input", {"name": "user.email", "aria-invalid": "true"})
    assert "The server said:  Not so." in text_of(form) or "The server said: Not so." in text_of(
        form
    )
    assert len(find(form, "button", {"type": "submit"})) == 1


def check_discarding_says_how_many():
    asked = {"ids": ["a", "b"], "title": "A", "said": None}
    assert "Discard 2 items?" in text_of(shown(ask.discard(asked)))
    asked["ids"] = ["a"]
    assert "A  will not be sent" in text_of(shown(ask.discard(asked))).replace("A will", "A  will")


def check_limits_are_warned_of_and_a_ring_never():
    nearly = {"name": "ticket", "used": 16, "limit": 20, "unit": "items", "warn": True}
    full = {"name": "feedback", "used": 100, "limit": 100, "unit": "items", "warn": True}
    ring = {"name": "log", "used": 5000000, "limit": 5000000, "unit": "bytes", "warn": False}
    told = state({"status": {"connection": "online", "limits": [nearly, full, ring]}})
    said = [text_of(one) for one in status.banners(told)]
    assert said[0] == "Almost full: 16 of 20 tickets."
    assert said[1].startswith("Full: 100 of 100 feedback.")
    assert len(said) == 2
    assert model.full(told, "ticket") is None
    assert model.full(told, "feedback") == full
    every = {"name": "all", "used": 5, "limit": 5, "unit": "items", "warn": True}
    assert model.full(state({"status": {"limits": [every]}}), "ticket") == every
    assert model.limit_text(ring) == "5.0 MB of 5.0 MB of logs"
    assert "16 of 20 tickets" in model.full_text(nearly)


def check_a_save_that_waits_for_room_says_so_and_can_be_stopped():
    form = {"files": [], "phase": "held", "message": "It is full.", "errors": {}}
    note = capture.save_note(form)
    assert text_of(note[0]) == "Not saved. It is full. It saves itself when there is room."
    assert text_of(note[1]) == "Keep as a draft"
    held = {"id": "i", "at": 1, "code": "QUEUE_FULL", "text": "It is full."}
    assert model.draft({"summary": "x"}, [], held)["held"] == held
    assert "held" not in model.draft({"summary": "x"}, [])
    found = model.matters(state({"held": {"ticket": True, "feedback": False}}))
    assert [one[0] for one in found] == ["held-ticket"]
    assert found[0][4][0] == "#capture/ticket"


SETTINGS = {
    "strategy": "priority",
    "max_wait_minutes": 60,
    "sync": "immediate",
    "batch_items": 50,
    "batch_seconds": 60,
    "at_times": [],
    "every_minutes": 0,
    "wait_for_unmetered": False,
}


def screen(values, changes=None):
    made = state(changes)
    made["settings"] = {"values": values, "errors": {}, "said": ""}
    return shown(settings.settings(made))


def check_settings_offer_what_the_engine_reports():
    bare = screen(None)
    assert not find(bare, "input")
    assert "Pause sending" in text_of(bare)
    paused = screen(None, {"status": {"connection": "online", "paused": "lunch"}})
    assert "Resume sending" in text_of(paused)
    whole = screen(SETTINGS)
    assert find(whole, "input", {"value": "priority", "checked": True})
    assert len(find(whole, "input", {"name": "strategy"})) == 5
    assert not find(whole, "input", {"name": "batch_items"})
    later = dict(SETTINGS)
    later.update({"sync": "scheduled", "at_times": ["07:30", "18:00"]})
    assert find(screen(later), "input", {"name": "at_times", "value": "07:30, 18:00"})
    some = screen({"strategy": "fifo"})
    assert not find(some, "input", {"name": "sync"})


def check_only_what_was_changed_is_configured():
    same = {"strategy": "priority", "sync": "immediate", "max_wait_minutes": "60"}
    assert preferences.changes(SETTINGS, same) == ({}, {})
    same.update({"strategy": "fifo", "wait_for_unmetered": "on", "max_wait_minutes": "5"})
    made, wrong = preferences.changes(SETTINGS, same)
    assert made == {"strategy": "fifo", "wait_for_unmetered": True, "max_wait_minutes": 5}
    assert wrong == {}
    _, wrong = preferences.changes(SETTINGS, {"max_wait_minutes": "soon"})
    assert "1 to 10080" in wrong["max_wait_minutes"]
    made, wrong = preferences.changes(SETTINGS, {"at_times": "7:30; 18"})
    assert made == {"at_times": ["07:30", "18:00"]}
    _, wrong = preferences.changes(SETTINGS, {"at_times": "25:00"})
    assert wrong["at_times"].startswith("25:00 is not a time")
    made, _ = preferences.changes(SETTINGS, {"sync": "scheduled"})
    assert made == {"sync": "scheduled", "at_times": ["18:00"]}
    assert preferences.changes({"strategy": "fifo"}, {"sync": "batched"}) == ({}, {})

"""What the forms refuse, what they make of the values, and what the status line says."""

from app import catalogue, facts, model


def check_summary_is_the_only_required_field():
    assert list(catalogue.check(None, "ticket", {"summary": "  "})) == ["summary"]
    assert catalogue.check(None, "ticket", {"summary": "x"}) == {}


def check_feedback_needs_rating_and_comment():
    assert sorted(catalogue.check(None, "feedback", {})) == ["comment", "rating"]
    assert catalogue.check(None, "feedback", {"rating": "4", "comment": "fine"}) == {}


def check_the_catalogue_of_the_gateway_counts():
    given = {
        "destinations": [
            {
                "name": "desk",
                "kinds": ["ticket"],
                "limits": {"attachment_bytes": 10},
                "fields": {
                    "ticket": {
                        "required": ["summary", "category"],
                        "choices": {"category": ["door"]},
                        "max_length": {"summary": 5},
                    }
                },
            }
        ]
    }
    wrong = catalogue.check(given, "ticket", {"summary": "abcdefgh", "category": "window"})
    assert wrong["summary"] == "At most 5 characters: 3 too many."
    assert "choice" in wrong["category"]
    assert catalogue.choices(given, "ticket", "category") == ["door"]
    limits = {"attachment_bytes": 10, "attachments": 20, "title": "desk"}
    assert catalogue.limits(given, "ticket") == limits
    # It does not name feedback: what is built in stays in force.
    assert sorted(catalogue.check(given, "feedback", {})) == ["comment", "rating"]


def check_rating_choices_are_numbers_in_the_catalogue():
    fields = {"feedback": {"required": ["rating"], "choices": {"rating": [1, 2, 3, 4, 5]}}}
    given = {"destinations": [{"name": "x", "kinds": ["feedback"], "fields": fields}]}
    assert catalogue.check(given, "feedback", {"rating": "3", "comment": "c"}) == {}
    assert "rating" in catalogue.check(given, "feedback", {"rating": "9", "comment": "c"})


def check_addresses():
    good = ("a@b", "first.last@example.org", "ö@exämple.de")
    assert all(catalogue.looks_like_email(text) for text in good)
    bad = ("a", "a@", "@b", "a b@c", "a@b@c")
    assert not any(catalogue.looks_like_email(text) for text in bad)


def check_a_ticket_becomes_a_capture():
    values = {
        "summary": " Pump 4 leaks ",
        "description": "",
        "severity": "high",
        "user.name": "Ana",
        "user.email": "ana@example.org",
        "priority": "critical",
        "destination": "",
    }
    files = [{"id": "f1", "size": 5, "parts": 1, "name": "secret.jpg", "state": "stored"}]
    made = model.capture("ticket", "id1", 1700000000000, values, files, {"osVersion": "X"})
    assert made["id"] == "id1"
    assert made["at"] == 1700000000000
    data = made["data"]
    assert data["payload"] == {
        "summary": "Pump 4 leaks",
        "severity": "high",
        "user": {"name": "Ana", "email": "ana@example.org"},
        "systemInfo": {"osVersion": "X"},
    }
    assert data["priority"] == 10
    assert data["title"] == "Pump 4 leaks"
    assert data["attachments"] == [{"id": "f1", "size": 5, "parts": 1}]
    assert "destination" not in data


def check_feedback_counts_in_numbers():
    made = model.capture("feedback", "i", 1, {"rating": "4", "comment": "ok"}, [], {})
    assert made["data"]["payload"]["rating"] == 4
    assert "priority" not in made["data"]


def check_titles_stay_short():
    assert model.title("ticket", {"summary": "a\n  b"}) == "a b"
    assert len(model.title("ticket", {"summary": "ü" * 300})) == 60
    assert model.title("feedback", {}) == "Feedback"


def check_drafts_keep_only_what_is_stored():
    files = [
        {"id": "a", "state": "stored", "name": "n", "type": "t", "size": 1, "parts": 1},
        {"id": "b", "state": "storing", "name": "m", "type": "t", "size": 1},
    ]
    assert model.draft({"summary": "x"}, files)["attachments"] == ["a"]
    assert "m is still" in model.why_not_save(files)
    assert model.why_not_save(files[:1]) is None
    files[1]["state"] = "refused"
    assert model.why_not_save(files) == "m cannot be sent along. Remove it, then save."
    assert model.blank({"summary": " ", "user.name": "Ana", "priority": "low"})
    assert not model.blank({"rating": "1"})


def check_photos():
    assert model.target(4000, 3000, 1600) == (1600, 1200)
    assert model.target(800, 600, 1600) == (800, 600)
    assert model.target(100, 20000, 1600) == (8, 1600)
    assert model.can_reduce("image/jpeg")
    assert not model.can_reduce("image/gif")
    assert not model.can_reduce("text/csv")


def check_routes():
    assert model.route("") == ("capture", "ticket")
    assert model.route("#capture/feedback") == ("capture", "feedback")
    assert model.route("#outbox/sent") == ("outbox", "sent")
    assert model.route("#outbox/nothing") == ("outbox", "waiting")
    assert model.route("#view") == ("capture", "ticket")


def state(changes):
    made = {"online": True, "engine": "up", "status": {"connection": "online"}}
    made.update(changes)
    return made


def check_the_line_names_what_is_nearest_first():
    assert model.connection(state({}))[0] == "Online"
    assert model.connection(state({"online": False}))[0] == "No network"
    assert (
        model.connection(state({"online": False, "storage_error": {"code": "X"}}))[0]
        == "Storage problem"
    )
    assert model.connection(state({"engine": "restarting"}))[0] == "Restarting the engine"
    assert model.connection(state({"status": None}))[0] == "Starting"
    names = ("unreachable", "sign_in_page", "signed_out", "update_required", "no_gateway")
    words = [model.connection(state({"status": {"connection": name}}))[0] for name in names]
    assert len(set(words)) == 5
    told = {"connection": "unreachable", "connection_text": "No answer for 3 min"}
    assert model.connection(state({"status": told}))[0] == "No answer for 3 min"


def check_waiting_is_known_before_the_engine():
    assert model.waiting({"status": None, "counts": {"open": 2, "inbox": 3}}) == 5
    assert model.waiting({"status": {"waiting": 7}, "counts": {"open": 2}}) == 7


def check_device_facts():
    agent = (
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/120.0.0.0 Mobile Safari/537.36"
    )
    seen = facts.system_info({"userAgent": agent, "language": "de", "timezone": "Europe/Berlin"})
    assert seen["osVersion"] == "Android 14"
    assert seen["deviceName"] == "Pixel 8"
    assert seen["browser"] == "Chrome 120"
    assert seen["timezone"] == "Europe/Berlin"
    hints = {
        "platform": "Windows",
        "platformVersion": "15.0.0",
        "architecture": "x86",
        "bitness": "64",
    }
    seen = facts.system_info({"userAgent": "Chrome/1.0", "hints": hints})
    assert seen["osVersion"] == "Windows 11"
    assert seen["architecture"] == "x86_64"
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    seen = facts.system_info({"userAgent": firefox})
    assert seen["architecture"] == "x86_64"
    assert seen["deviceName"] == "Firefox 128"

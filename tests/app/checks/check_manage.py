"""The gateway's page: its words, what a reader sees, the destinations, the dry run, the devices."""

from states import NOW, app_state

from app.element import find, text_of
from app.views import attention, detail, dry_run, manage, outbox, settings

DESK = {
    "name": "desk",
    "title": "The desk",
    "type": "servicenow",
    "state": "online",
    "guarantee": "checked",
    "credential": True,
    "notes": ["The field u_x is read-only."],
    "kinds": ["ticket", "feedback"],
    "limits": {"attachments": 20, "attachment_bytes": 5000000},
    "of_kind": {
        "ticket": {
            "fields": {
                "required": ["summary", "building", "user"],
                "choices": {"severity": ["low", "high"], "building": [1, 2]},
                "max_length": {},
            },
            "sample": {
                "summary": "Pump 3 is leaking",
                "severity": "high",
                "user": {"name": "Ann Example", "email": "ann@example.org"},
            },
            "map": [
                {
                    "to": "short_description",
                    "from": "summary",
                    "text": "",
                    "choices": {},
                    "required": True,
                    "sample": "Pump 3 is leaking",
                },
                {
                    "to": "urgency",
                    "from": "severity",
                    "text": "",
                    "choices": {"high": 1},
                    "required": False,
                    "sample": 1,
                },
                {
                    "to": "u_none",
                    "from": "",
                    "text": "{nothing}",
                    "choices": {},
                    "required": False,
                    "sample": None,
                },
            ],
        },
        "feedback": {
            "fields": {"required": ["rating", "comment"], "choices": {}, "max_length": {}},
            "sample": {"rating": 4, "comment": "Works well."},
            "map": None,
        },
    },
}
MAY = {"name": "Kim", "may_act": True, "relays": True}
LOOKS = {"name": "Office", "may_act": False, "relays": True}


def page(**changes):
    made = app_state(
        {
            "gateway": MAY,
            "destinations": [DESK],
            "tests": {},
            "devices": None,
            "kept": [],
            "engine": "up",
        }
    )
    made.update(changes)
    return made


def said(trees, state):
    shown = [manage.at_gateway(tree, state) for tree in trees if tree is not None]
    return " ".join([text_of(tree) for tree in shown if tree is not None])


def row(**changes):
    made = {
        "id": "0" * 36,
        "kind": "ticket",
        "title": "Pump",
        "state": "unknown",
        "state_text": "Checking whether it arrived",
        "why": "The server does not know this device. Enter its token under About.",
        "priority": 5,
        "created_at": NOW,
        "updated_at": NOW,
        "can": ["arrived", "send_again"],
        "export": False,
        "size": 10,
    }
    made.update(changes)
    return made


def check_no_screen_speaks_of_this_device():
    values = {"strategy": "fifo", "max_wait_minutes": 5, "sync": "immediate", "paused": {}}
    known = {"values": values, "errors": {}, "said": ""}
    state = page(settings=known)
    state["outbox"]["rows"] = [row()]
    state["attention"]["rows"] = [row(state="failed", can=["retry", "discard"])]
    state["attention"]["told"] = {"counts": {"failed": 1}, "gave_up": {"count": 0}}
    for trees in (
        outbox.listing(state),
        outbox.head(state),
        attention.listing(state),
        attention.head(state),
        settings.settings(state),
        detail.detail(row(history=[], payload={"summary": "x"}, attachments=[]), NOW),
    ):
        text = said(trees, state).lower()
        for words in ("this device", "you save", "token under about"):
            assert words not in text, (words, text)
    state["outbox"]["rows"] = []
    assert "you save" not in said(outbox.listing(state), state).lower()
    paused = page(settings=known, status={"connection": "online", "paused": "by hand"})
    assert "wait" in said(settings.settings(paused), paused)
    assert "this device" not in said(settings.settings(paused), paused)


def check_a_row_offers_what_only_a_person_can_settle_and_no_export():
    state = page()
    state["outbox"]["rows"] = [row()]
    shown = [manage.at_gateway(tree, state) for tree in outbox.listing(state)]
    assert [text_of(one) for one in find(shown, "button")][1:] == ["It is there", "Send it again"]
    opened = detail.detail(row(history=[], attachments=[], **{"from": "Van 3"}), NOW)
    names = [text_of(one) for one in find(opened, "button")]
    assert "Export" not in names
    assert "Van 3" in text_of(opened)
    assert "Export" in [text_of(b) for b in find(detail.detail(row(export=True), NOW), "button")]


def check_who_looks_is_offered_nothing_to_do():
    state = page(gateway=LOOKS)
    state["outbox"]["rows"] = [row()]
    state["attention"]["rows"] = [row(can=[])]
    told = {"devices": [device()], "others": 0}
    trees = outbox.listing(state) + outbox.head(state) + attention.listing(state)
    trees += manage.destinations(state) + manage.devices(page(devices=told))
    shown = [manage.at_gateway(tree, state) for tree in trees if tree is not None]
    acts = {one[1]["data-act"] for one in find([s for s in shown if s], "button")}
    assert acts == {"open", "dry-run"}, acts
    assert not find([s for s in shown if s], "input")
    assert "who may look, not act" in text_of(manage.where(state))
    assert "You are Kim." in text_of(manage.where(page()))


def check_the_line_says_how_the_gateway_is():
    status = {"waiting": 3, "attention": 1, "paused": "by hand"}
    text = text_of(manage.line(page(status=status)))
    for part in ("Gateway answers", "3 waiting", "1 needs attention", "Paused"):
        assert part in text
    gone = manage.line(page(engine="gone", engine_error="The gateway does not answer"))
    assert "does not answer" in text_of(gone)
    none = page(gateway={"name": "", "may_act": True, "relays": False}, destinations=None)
    assert "Nothing is behind this gateway" in text_of(manage.banners(none))
    assert manage.destinations(none) == []
    assert manage.banners(page()) == []


def check_the_address_leads_to_a_screen():
    assert manage.route("") == ("outbox", "waiting")
    assert manage.route("#capture/ticket") == ("outbox", "waiting")
    assert manage.route("#outbox/sent") == ("outbox", "sent")
    assert manage.route("#devices") == ("devices", "")


def check_a_destination_says_all_there_is_to_know():
    text = text_of(manage.destinations(page()))
    for part in (
        "The desk",
        "servicenow",
        "Works",
        "Looked up before it is sent again",
        "tickets, feedback; files up to",
        "with a credential",
        "read-only",
        "Mapping preview: tickets",
        "short_description",
        "Pump 3 is leaking",
        "from summary, required",
        "from severity, translated",
        "left out",
        "Sent as they are",
        "Needed: Summary",
    ):
        assert part in text, part


def check_testing_is_told_in_words():
    def tested(test):
        return text_of(find(manage.destinations(page(tests={"desk": test})), "div", TESTED))

    assert "lets the gateway in" in tested({"state": "online", "text": ""})
    assert "credential is refused" in tested({"state": "signed_out", "text": "401"})
    assert "Asking" in tested("busy")
    assert "from the future" in tested({"state": "from the future", "text": ""})
    busy = find(manage.destinations(page(tests={"desk": "busy"})), "button")[0]
    assert busy[1]["aria-busy"] == "true"


TESTED = {"class": "tested"}


def check_the_dry_run_asks_for_what_the_destination_asks_for():
    fields = dry_run.fields(DESK, "ticket")
    paths = [field["path"] for field in fields]
    assert paths == ["summary", "severity", "user.name", "user.email", "building"]
    assert fields[1]["options"] == ["low", "high"]
    values = {"summary": " Door ", "user.name": "Bo", "building": "2", "severity": ""}
    assert dry_run.payload(DESK, "ticket", values) == {
        "summary": "Door",
        "user": {"name": "Bo"},
        "building": 2,
    }
    assert dry_run.payload(DESK, "feedback", {"rating": "5"}) == {"rating": 5}
    assert dry_run.payload(DESK, "feedback", {"rating": "five"}) == {"rating": "five"}


def check_the_dry_run_shows_the_request():
    asked = {
        "one": DESK,
        "kind": "ticket",
        "fields": dry_run.fields(DESK, "ticket"),
        "errors": {"summary": "is required"},
        "shown": None,
        "said": None,
    }
    text = text_of(dry_run.dialog(asked))
    assert "Nothing is sent" in text
    assert "This is required." in text
    asked["errors"] = {}
    asked["shown"] = {
        "method": "POST",
        "url": "https://desk.example/tickets",
        "headers": {"Content-Type": "application/json", "Authorization": "•••"},
        "body": {"b": [1, {"c": None}], "a": 'Ü "quoted"\nline', "empty": {}},
        "asks": "GET https://desk.example/users?ann",
    }
    assert "Asked before it" in text_of(dry_run.dialog(asked))
    text = text_of(find(dry_run.dialog(asked), "pre"))
    assert text == (
        "POST https://desk.example/tickets\n"
        "Authorization: •••\nContent-Type: application/json\n\n"
        '{\n  "a": "Ü \\"quoted\\"\\nline",\n'
        '  "b": [\n    1,\n    {\n      "c": null\n    }\n  ],\n'
        '  "empty": {}\n}'
    )
    asked["shown"]["body"] = "a=1"
    assert text_of(find(dry_run.dialog(asked), "pre")).endswith("\n\na=1")


def device(**changes):
    made = {
        "id": "d1",
        "name": "Van 3",
        "role": "device",
        "workspace": "default",
        "paired_at": NOW - 86400000,
        "seen_at": NOW - 60000,
        "waiting": 2,
        "mine": False,
    }
    made.update(changes)
    return made


def check_devices_say_when_they_were_heard_and_what_waits():
    told = {"devices": [device(), device(id="d2", name="Kim", role="operator", mine=True)]}
    told["others"] = 1
    shown = manage.devices(page(devices=told))
    text = text_of(shown)
    for part in ("Van 3", "Delivers", "2 operations", "looks and acts", "signed in with this"):
        assert part in text, part
    assert "1 operation waits here of devices" in text
    assert [one[1]["aria-label"] for one in find(shown, "button")] == ["Revoke Van 3"]
    assert "not yet" in text_of(
        manage.devices(page(devices={"devices": [device(seen_at=None)], "others": 0}))
    )
    none = manage.devices(page(devices={"devices": [], "others": 0}))
    assert "No device is paired" in text_of(none)


def check_revoking_says_what_it_means():
    text = text_of(manage.revoke({"one": device(), "said": None}))
    assert "stops working at once" in text
    assert "is sent on" in text
    assert "2 operations wait here now." in text
    person = manage.revoke({"one": device(role="reader", waiting=0), "said": None})
    assert "cannot open these pages" in text_of(person)

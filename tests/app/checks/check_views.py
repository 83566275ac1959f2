"""What the views say: found by what a reader meets, not by how it is drawn."""

from states import NOW, app_state

from app.element import find, h, text_of
from app.views import capture, detail, outbox, status

ROW = {
    "id": "01938b2e-5c1f-7a3b-9d2e-0123456789ab",
    "kind": "ticket",
    "title": "<b>Pump</b> 4",
    "state": "pending",
    "state_text": "Retrying",
    "why": "The server answered 503.",
    "priority": 5,
    "created_at": NOW - 120000,
    "updated_at": NOW,
    "size": 2000000,
    "attachments": 2,
    "parts_acked": 1,
    "parts": 3,
    "remote_id": None,
    "remote_url": None,
    "can": ["cancel", "retry"],
    "revision": 4,
}


def form(changes):
    made = {
        "files": [],
        "phase": "idle",
        "message": "",
        "errors": {},
        "undo": False,
        "draft_kept": False,
    }
    made.update(changes)
    return made


def check_the_status_line():
    assert text_of(status.line(app_state())) == "Online"
    told = {"connection": "online", "waiting": 3, "attention": 1}
    said = text_of(status.line(app_state({"status": told, "offline_ready": True})))
    assert said == "Online 3 waiting 1 needs attention Ready for offline use"


def check_ready_for_offline_use_is_never_said_early():
    for engine in ("starting", "up", "restarting", "failed"):
        assert "Ready" not in text_of(status.line(app_state({"engine": engine})))


def check_banners():
    assert status.banners(app_state()) == []
    problem = {"code": "QUEUE_STORAGE_FULL", "message": "So it was not saved."}
    shown = status.banners(app_state({"storage_error": problem}))
    assert "The storage of this device is full." in text_of(shown[0])
    assert shown[0][1]["role"] == "alert"
    shown = status.banners(app_state({"engine": "failed", "engine_error": "no wasm"}))
    assert "no wasm" in text_of(shown)


def check_notes_offer_one_thing_to_do():
    note = {"key": "n1", "text": "Cancelled", "tone": "info", "act": "Undo"}
    shown = status.notes([note])
    assert [text_of(one) for one in find(shown, "button")] == ["Undo", ""]
    assert find(shown, "button", {"aria-label": "Dismiss"})


def check_a_row_says_what_stands_where_and_why():
    said = text_of(outbox.row(ROW, NOW))
    for words in ("<b>Pump</b> 4", "Retrying", "2 min ago", "2.0 MB", "1 of 3 parts", "503"):
        assert words in said
    names = [text_of(one) for one in find(outbox.row(ROW, NOW), "button", {"data-id": ROW["id"]})]
    assert names == ["<b>Pump</b> 4", "Retry", "Cancel"]


def check_remote_ids_link_only_where_it_is_safe():
    for url in ("https://desk.example/1", "http://a/b", "./inbox", "/inbox#1", "a/b:c"):
        assert find(outbox.remote({"remote_id": "T1", "remote_url": url}), "a")
    for url in ("javascript:alert(1)", "data:text/html,x", "JavaScript:x"):
        shown = outbox.remote({"remote_id": "T1", "remote_url": url})
        assert not find(shown, "a")
        assert text_of(shown) == "T1"


def check_empty_and_starting_lists():
    assert "Nothing is waiting" in text_of(outbox.listing(app_state()))
    box = {"view": "waiting", "rows": None, "next": None, "loading": False, "error": None}
    starting = app_state(
        {"engine": "starting", "status": None, "counts": {"inbox": 2}, "outbox": box}
    )
    said = text_of(outbox.listing(starting))
    assert "Engine is starting" in said
    assert "2 items are saved on this device" in said


def check_more_and_keys():
    box = {"view": "sent", "rows": [ROW], "next": "c", "loading": False, "error": None}
    shown = outbox.listing(app_state({"outbox": box}))
    assert "Load more" in text_of(shown)
    assert find(shown, "li")[0][1]["key"] == ROW["id"]


def check_progress_in_items_and_bytes():
    told = {
        "connection": "online",
        "waiting": 4,
        "syncing": True,
        "progress": {"done": 1, "total": 4, "bytes_done": 500000, "bytes_total": 1000000},
    }
    shown = outbox.head(app_state({"status": told}))
    assert "Sending 2 of 4 · 500 kB of 1.0 MB" in text_of(shown)
    assert find(shown, "progress")[0][1]["value"] == "50"


def check_pause_and_resume_take_turns():
    assert "Pause" in text_of(outbox.head(app_state()))
    told = {"connection": "online", "paused": "by hand"}
    said = text_of([x for x in outbox.head(app_state({"status": told})) if x])
    assert "Resume" in said
    assert "Pause " not in said


def check_saving_is_not_saved():
    assert text_of(capture.save_note(form({"phase": "saving"}))) == "Saving…"
    done = [one for one in capture.save_note(form({"phase": "saved", "undo": True})) if one]
    assert text_of(done) == "Saved on this device Undo"
    failed = text_of(capture.save_note(form({"phase": "failed", "message": "It is full."})))
    assert failed == "Not saved. It is full."


def check_attachments_show_how_far_they_are():
    files = [
        {
            "id": "a",
            "name": "p.jpg",
            "type": "image/jpeg",
            "state": "storing",
            "done": 50,
            "size": 200,
        },
        {
            "id": "b",
            "name": "q.jpg",
            "type": "image/jpeg",
            "state": "stored",
            "size": 400000,
            "before": 3400000,
            "reduced": True,
            "note": "place removed",
        },
        {
            "id": "c",
            "name": "r.bin",
            "type": "",
            "state": "refused",
            "error": "Too large.",
            "size": 1,
        },
    ]
    shown = capture.attachments(form({"files": files}))
    assert find(shown, "progress")[0][1]["value"] == "25"
    assert "400 kB, was 3.4 MB · place removed" in text_of(shown[1])
    assert "Use original" in text_of(shown[1])
    assert "Use original" not in text_of(shown[0])
    assert "Too large." in text_of(shown[2])
    assert len(find(shown, "button", {"aria-label": "Remove r.bin"})) == 1


def check_the_detail_tells_the_whole_story():
    one = dict(ROW)
    one.update(
        {
            "payload": {"summary": "Pump 4", "user": {"name": "Ana"}, "zeta": 1, "alpha": [1, 2]},
            "attachments": [
                {
                    "id": "f",
                    "name": "p.jpg",
                    "type": "image/jpeg",
                    "size": 3,
                    "parts": 3,
                    "acked": 1,
                    "error": None,
                }
            ],
            "history": [
                {
                    "n": 1,
                    "at": NOW - 9000,
                    "ended_at": NOW - 8000,
                    "outcome": "transient",
                    "code": None,
                    "status": 503,
                    "text": "Service Unavailable",
                },
                {"n": 2, "at": NOW, "ended_at": None, "outcome": None},
            ],
            "waits_for": None,
        }
    )
    said = text_of(detail.detail(one, NOW))
    for words in (
        "Requester name Ana",
        "Zeta 1",
        "Alpha 1, 2",
        "1 of 3 parts sent",
        "answer 503",
        "Service Unavailable",
        "Under way",
        "took 1.0 s",
        "Copy",
    ):
        assert words in said
    assert said.index("Summary") < said.index("Requester name") < said.index("Alpha")


def check_text_stays_text():
    assert h("p", {}, None, ["a", [False, "b"]], 3) == ("p", {}, ["a", "b", "3"])

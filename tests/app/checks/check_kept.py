"""What a reader meets while the storage fails, and after the browser has deleted it."""

from app import model
from app.element import find, text_of
from app.views import capture, kept, status

NOW = 1700000000000


def item(files=(), why="It does not answer."):
    return {
        "id": "01938b2e-5c1f-7a3b-9d2e-0123456789ab",
        "at": NOW - 120000,
        "kind": "ticket",
        "title": "<b>Pump</b> 4",
        "files": list(files),
        "why": why,
    }


def state(changes):
    made = {"now": NOW, "engine": "up", "storage_error": None, "status": None}
    made.update(changes)
    return made


def check_the_alarm_takes_the_place_of_the_storage_banner():
    problem = {"code": "QUEUE_DATABASE_ERROR", "message": "It did not take the change."}
    file = {"size": 2000000, "held": object()}
    shown = status.banners(state({"storage_error": problem, "kept": [item([file]), item()]}))
    assert len(shown) == 1
    assert shown[0][1]["role"] == "alert"
    said = text_of(shown[0])
    for words in (
        "Not saved, kept in this tab only: 2 items with 1 attachment, 2.0 MB.",
        "It did not take the change.",
        "saves by itself as soon as the storage works.",
    ):
        assert words in said
    acts = [text_of(one) for one in find(shown, "button")]
    assert acts == ["Make a rescue file", "Try to save now"]


def check_what_to_do_fits_what_is_the_matter():
    for code, words in (
        ("QUEUE_STORAGE_BLOCKED", "Close the other tabs"),
        ("QUEUE_STORAGE_MISSING", "in a normal window"),
        ("QUEUE_SCHEMA_TOO_NEW", "Make a rescue file, reload the page"),
        ("QUEUE_INSECURE_CONTEXT", "copy the text"),
    ):
        said = text_of(kept.alarm([item()], {"code": code, "message": "M."}))
        assert words in said
        assert "1 item." in said
    assert "It does not answer." in text_of(kept.alarm([item()], None))


def check_the_status_line_counts_them():
    told = {"online": True, "counts": None, "storage_error": None, "status": None}
    said = text_of(status.line(state(dict(told, kept=[item()]))))
    assert "1 not saved" in said
    assert "not saved" not in text_of(status.line(state(dict(told, kept=[]))))


def check_rows_on_top_of_the_outbox():
    assert kept.rows([], NOW) == []
    said = text_of(kept.rows([item([{"size": 5}])], NOW))
    for words in ("<b>Pump</b> 4", "Not saved", "2 min ago", "1 attachment", "in this tab only"):
        assert words in said


def check_the_note_beside_save_says_the_same():
    said = text_of(capture.save_note({"phase": "kept", "files": [], "errors": {}}))
    assert said == kept.TITLE


def check_a_rescue_file_says_what_is_not_in_it():
    whole = kept.rescued([item([{"size": 5, "held": object()}])], "f.txt")
    assert whole == "1 item in f.txt. Keep the passphrase apart from the file."
    said = kept.rescued([item([{"size": 5, "held": None}])], "f.txt")
    assert said.endswith("1 attachment is not in it: only the storage that fails has the bytes.")


def check_a_file_of_this_tab_does_not_keep_save_waiting():
    assert model.why_not_save([{"name": "a", "state": "kept"}]) is None
    assert "cannot be sent along" in model.why_not_save([{"name": "a", "state": "failed"}])
    assert model.storage_fails("QUEUE_DATABASE_ERROR")
    for code in ("QUEUE_FULL", "QUEUE_STORAGE_FULL", "QUEUE_ATTACHMENT_UNREADABLE"):
        assert not model.storage_fails(code)


def check_what_the_browser_deleted():
    shown = status.banners(state({"lost": {"count": 2, "at": NOW - 7200000}}))
    said = text_of(shown)
    assert "2 items that had not been sent." in said
    assert "Last seen 2 h ago." in said
    assert find(shown, "button", {"data-act": "loss-seen"})
    assert "1 item that had not been sent." in text_of(
        status.banners(state({"lost": {"count": 1, "at": NOW}}))
    )

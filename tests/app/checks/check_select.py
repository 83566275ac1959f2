"""Select mode of the outbox, and what its acts left as it was."""

from states import NOW, app_state

from app import model
from app.element import find, text_of
from app.views import attention, outbox, select


def row(identity, state="pending", can=("cancel",), **more):
    made = {
        "id": identity,
        "kind": "ticket",
        "title": "Ticket " + identity,
        "state": state,
        "why": "",
        "priority": 5,
        "created_at": NOW - 60000,
        "updated_at": NOW,
        "size": 10,
        "attachments": 0,
        "can": list(can),
    }
    made.update(more)
    return made


def boxed(rows, chosen=None, **more):
    box = model.new_box("waiting")
    box.update({"rows": rows, "chosen": chosen})
    box.update(more)
    return app_state({"outbox": box})


def head(state):
    return [one for one in outbox.head(state) if one]


def labels(trees):
    return [text_of(one) for one in find(trees, "button")]


def check_select_is_offered_where_something_can_be_done():
    assert "Select" in labels(head(boxed([row("a")])))
    assert "Select" not in labels(head(boxed([])))
    sent = boxed([row("a", "completed", ())])
    sent["outbox"]["view"] = "sent"
    assert "Select" not in labels(head(sent))
    assert "Done" in labels(head(boxed([row("a")], [])))


def check_the_bar_comes_first_counts_and_never_changes_its_buttons():
    rows = [row("a"), row("b"), row("c", "handed_over", ())]
    nothing = select.listing(boxed(rows, []))
    assert nothing[0][1]["key"] == "bar"
    assert "0 of 3 selected" in text_of(nothing[0])
    assert labels(nothing[0]) == ["Select all", "Cancel", "Priority", "Send now"]
    off = find(nothing[0], "button", {"aria-disabled": "true"})
    assert [text_of(one) for one in off] == ["Cancel", "Priority", "Send now"]
    some = select.listing(boxed(rows, ["a", "c"]))
    assert "2 of 3 selected" in text_of(some[0])
    assert not find(some[0], "button", {"aria-disabled": "true"})
    every = select.listing(boxed(rows, ["a", "b", "c"]))
    assert labels(every[0]) == ["Select none", "Cancel", "Priority", "Send now"]
    only = select.listing(boxed(rows, ["c"]))
    off = find(only[0], "button", {"aria-disabled": "true"})
    assert [text_of(one) for one in off] == ["Cancel"]


def check_a_row_is_one_target_named_by_its_title():
    shown = select.listing(boxed([row("a"), row("b")], ["b"], next="more"))
    assert [text_of(one) for one in find(shown, "button")][-1] == "Load more"
    assert not find(shown, "button", {"data-act": "open"})
    assert find(shown, "input", {"aria-label": "Select Ticket a", "checked": False})
    assert find(shown, "input", {"aria-label": "Select Ticket b", "checked": True})


def check_what_asking_now_cannot_move():
    assert select.wont_go(row("a")) is None
    assert select.wont_go(row("a", "unknown", ())) is None
    seen = row("a", "unknown", ("arrived", "send_again"), why="Look there.")
    assert select.wont_go(seen) == "Look there."
    assert select.wont_go(row("a", "blocked", ("cancel",), why="Waits for B.")) == "Waits for B."
    assert "gateway" in select.wont_go(row("a", "handed_over", ()))


def check_the_questions_say_how_many():
    asked = {"ids": ["a"], "title": "Pump", "said": None, "now": 8}
    one = text_of(select.cancel(asked))
    assert "Cancel this item?" in one
    assert "Pump" in one
    assert "Cancel it" in one
    assert find(select.priority(asked), "input", {"value": "high", "checked": True})
    asked.update({"ids": ["a", "b"], "now": None, "said": "Choose one of the four."})
    assert "Cancel 2 items?" in text_of(select.cancel(asked))
    shown = select.priority(asked)
    assert not find(shown, "input", {"checked": True})
    assert len(find(shown, "input")) == 4
    assert text_of(find(shown, "p", {"role": "alert"})) == "Choose one of the four."


def check_what_was_left_is_said_item_by_item():
    left = [("Pump", "It is being sent."), ("Fan", "It has been sent.")]
    for shown in (
        head(boxed([row("a")], left=left)),
        [one for one in attention.head(app_state({"attention": in_attention(left)})) if one],
    ):
        said = text_of(shown)
        assert "2 items  left as before" in said or "2 items left as before" in said
        assert "Pump It is being sent." in said.replace("   ", " ").replace("  ", " ")
        assert find(shown, "button", {"data-act": "left-read"})
    assert not find(head(boxed([row("a")])), "button", {"data-act": "left-read"})


def in_attention(left):
    box = model.new_box("attention")
    box.update({"rows": [], "told": None, "chosen": [], "left": left})
    return box


def check_why_nothing_goes_at_all():
    def why(changes, **status):
        told = {"connection": "online"}
        told.update(status)
        made = app_state({"status": told})
        made.update(changes)
        return outbox.nothing_goes(made)

    assert why({}) is None
    assert why({}, connection="unreachable") is None
    assert why({}, held={"reason": "batched", "text": "x"}) is None
    assert why({"online": False}) == "There is no network."
    assert why({}, paused="lunch") == "Sending is paused."
    assert "stopped by hand" in why({}, connection="held")
    assert why({}, held={"reason": "maintenance", "text": "Until 6."}) == "Until 6."


def check_a_priority_is_told_while_it_matters():
    assert "High priority" in text_of(outbox.row(row("a", priority=8), NOW)).replace("  ", " ")
    assert "priority" not in text_of(outbox.row(row("a"), NOW))
    assert "priority" not in text_of(outbox.row(row("a", "completed", (), priority=8), NOW))
    assert "7 priority" in text_of(outbox.row(row("a", priority=7), NOW)).replace("  ", " ")


def check_a_server_stopped_by_hand_leads_to_where_it_is_allowed_again():
    held = boxed([row("a")])
    held["status"] = {"connection": "held", "connection_text": "Stopped.", "next_try_at": NOW}
    shown = head(held)
    assert find(shown, "a", {"href": "#settings"})
    assert "Next try" not in text_of(shown)

"""The server in the settings: how it is doing, and what a person can have done about it."""

from states import NOW, app_state

from app.element import find, text_of
from app.views import server

LANE = {
    "breaker": "closed",
    "failures": 0,
    "opens_at": 5,
    "closes_at": 3,
    "next_probe_at": None,
    "requests": 4,
    "success_rate": 0.5,
}


def card(**changes):
    lane = dict(LANE)
    lane.update(changes)
    return server.server(app_state({"status": {"connection": "online", "lane": lane}}))


def acts(shown):
    return [(text_of(one), one[1]["data-act"]) for one in find(shown, "button")]


def check_a_server_that_works_counts_its_failures():
    shown = card(failures=4.5)
    assert "takes what is sent" in text_of(shown)
    assert "4 of 5" in text_of(shown)
    assert "4 requests, 50 % went well" in text_of(shown)
    assert acts(shown) == [
        ("Stop sending to it", "server-stop"),
        ("Start afresh", "server-afresh"),
    ]
    assert "Nothing was sent" in text_of(card(requests=0))
    assert "Next try" in text_of(card(next_probe_at=NOW + 5000))


def check_a_server_left_in_peace_is_tried_again_by_itself_or_by_hand():
    shown = card(breaker="open", next_probe_at=NOW + 20000)
    assert "left in peace" in text_of(shown)
    assert "in 20 s" in text_of(shown)
    assert "of 5" not in text_of(shown)
    assert "after 3 good answers" in text_of(shown)
    assert ("Try now", "sync") in acts(shown)
    assert ("Send without waiting", "server-send") in acts(shown)
    assert "tried with a little" in text_of(card(breaker="half_open"))


def check_a_stop_by_hand_is_told_also_when_nothing_was_sent_lately():
    shown = card(breaker="held", requests=0)
    assert "stopped by hand" in text_of(shown)
    assert acts(shown) == [("Send again", "server-resume"), ("Start afresh", "server-afresh")]


def check_a_guard_of_a_later_version_is_left_alone():
    assert card(breaker="from the future") is None
    assert server.server(app_state({"status": None})) is None


def check_each_of_a_persons_acts_is_asked():
    state = app_state({"status": {"connection": "online", "waiting": 2}})
    for name in server.ACTS:
        if name == "try":
            continue
        asked = {"act": name, "state": state, "said": None}
        shown = server.question(asked)
        assert "2 items wait now." in text_of(shown)
        assert text_of(find(shown, "button", {"type": "submit"})) == server.ACTS[name][4]

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
        if server.ACTS[name][2] is None:
            continue  # it takes nothing away
        asked = {"act": name, "lane": None, "state": state, "said": None}
        shown = server.question(asked)
        assert "2 items wait now." in text_of(shown)
        assert text_of(find(shown, "button", {"type": "submit"})) == server.ACTS[name][4]


def lane(**changes):
    made = {"connection": "online", "connection_text": "", "waiting": 0, "paused": None}
    made["lane"] = dict(LANE)
    made["lane"].update(changes.pop("guard", {}))
    made.update(changes)
    return made


def several(paused=None, **lanes):
    """The text and the acts of each card, by its server."""
    status = {"connection": "online", "lane": dict(LANE), "lanes": lanes}
    settings = {"values": {"paused": paused or {}}, "errors": {}, "said": ""}
    shown = server.server(app_state({"status": status, "settings": settings}))
    return [(text_of(one), acts(one), one) for one in shown]


def check_one_lane_looks_as_if_there_were_none():
    status = {"connection": "online", "lane": dict(LANE), "lanes": {"gateway": lane(waiting=3)}}
    assert server.server(app_state({"status": status})) == card()


def check_each_of_several_servers_has_a_card_of_its_own():
    first, second = several(
        gateway=lane(waiting=2),
        archive=lane(
            connection="unreachable",
            connection_text="No answer came.",
            guard={"breaker": "open", "next_probe_at": NOW + 20000},
        ),
    )
    assert "Server: archive" in first[0]
    assert "No answer came." in first[0]
    assert "left in peace" in first[0]
    assert "Waiting 0 items" in first[0]
    assert [act for _, act in first[1]] == ["server-pause", "sync", "server-stop", "server-send"]
    assert "Server: gateway" in second[0]
    assert "takes what is sent" in second[0]
    assert "Waiting 2 items" in second[0]
    assert [one[1]["data-lane"] for one in find(second[2], "button")] == ["gateway"] * 3
    assert first[2][1]["key"] != second[2][1]["key"]


def check_a_paused_server_is_resumed_where_it_was_paused():
    mine, other = several({"archive": "by hand"}, archive=lane(paused="by hand"), gateway=lane())
    assert "this server is paused" in mine[0]
    assert mine[1][0] == ("Resume", "server-go")
    assert other[1][0] == ("Pause", "server-pause")
    # All are: that is taken back where it was done, under "Sending".
    for one in several({"all": "by hand"}, a=lane(paused="by hand"), b=lane(paused="by hand")):
        assert "this server is paused" in one[0]
        assert [act for _, act in one[1]] == ["server-stop", "server-afresh"]


def check_a_paused_server_is_not_tried():
    (one, _) = several(
        {"a": "by hand"}, a=lane(paused="by hand", guard={"breaker": "open"}), b=lane()
    )
    assert "sync" not in [act for _, act in one[1]]


def check_what_a_server_says_of_itself_stands_in_its_card():
    signed_out, unknown, held = several(
        a=lane(connection="signed_out"),
        b=lane(connection="from the future", connection_text="It sleeps."),
        c=lane(connection="held", connection_text="Stopped.", guard={"breaker": "held"}),
    )
    assert "Signed out" in signed_out[0]
    assert "It sleeps." in unknown[0]
    assert "Stopped." not in held[0]
    assert held[1] == [("Send again", "server-resume"), ("Start afresh", "server-afresh")]


def check_a_question_about_one_of_several_names_it():
    lanes = {"archive": lane(waiting=1), "gateway": lane(waiting=4)}
    state = app_state({"status": {"connection": "online", "waiting": 5, "lanes": lanes}})
    asked = {"act": "stop", "lane": "archive", "state": state, "said": None}
    assert "archive: Nothing is sent to it" in " ".join(text_of(server.question(asked)).split())
    assert "1 item waits now." in text_of(server.question(asked))

"""Destinations that this device delivers to by itself: who is signed in, and what is in the way."""

from states import app_state

from app import catalogue, model
from app.element import find, text_of
from app.views import server, settings

GUARD = {"breaker": "closed", "failures": 0, "opens_at": 5, "closes_at": 3, "requests": 0}
ENTRY = {
    "name": "cases",
    "title": "Salesforce",
    "kinds": ["ticket"],
    "guarantee": "strong",
    "limits": {},
    "direct": True,
}


def lane(title, waiting, connection="online"):
    return {"title": title, "waiting": waiting, "connection": connection, "lane": dict(GUARD)}


def state(account=None, waiting=0, home="online", word="online"):
    one = {"name": "cases", "title": "Salesforce", "signed_in": False, "as": "", "why": ""}
    one.update(account or {})
    lanes = {"gateway": lane(None, 0, home), "cases": lane("Salesforce", waiting, word)}
    return app_state(
        {
            "status": {"connection": home, "waiting": waiting, "attention": 0, "lanes": lanes},
            "accounts": {"cases": one},
            "catalogue": {"home": "told", "destinations": [ENTRY]},
        }
    )


def acts(shown):
    return [one[1]["data-act"] for one in find(shown, "button")]


def check_one_is_asked_to_sign_in_and_told_how_many_wait():
    shown = server.server(state(waiting=2))[0]
    assert "You are not signed in." in text_of(shown)
    assert "2 items wait on this device until you sign in." in text_of(shown)
    assert "Arrives exactly once." in text_of(shown)
    assert acts(shown) == ["account-in"]


def check_what_a_set_up_lacks_is_said():
    told = state()
    told["catalogue"]["destinations"] = [dict(ENTRY, guarantee="checked", notes=["Not Unique."])]
    shown = server.server(told)[0]
    assert "Not Unique." in text_of(shown)
    assert "Looked up before it is sent again" in text_of(shown)


def check_who_is_signed_in_can_sign_out():
    shown = server.server(state({"signed_in": True, "as": "Anna"}))[0]
    assert "Signed in as" in text_of(shown)
    assert acts(shown)[0] == "account-out"
    assert "server-pause" in acts(shown)


def check_what_ended_a_sign_in_is_said():
    shown = server.server(state({"as": "Anna", "why": "expired token."}, waiting=1))[0]
    assert "last signed in as Anna" in text_of(shown)
    assert "Salesforce ended the sign-in (expired token). 1 item waits" in text_of(shown)


def check_a_gateway_that_is_not_there_has_no_card():
    assert len(server.server(state(home="no_gateway"))) == 1
    assert len(server.server(state())) == 2
    waits = state(home="no_gateway")
    waits["status"]["lanes"]["gateway"]["waiting"] = 1
    assert len(server.server(waits)) == 2


def check_where_there_is_no_gateway_the_others_are_the_connection():
    signed = {"signed_in": True, "as": "Anna"}
    assert model.connection(state(home="no_gateway")) == ("Not signed in to Salesforce", "warn")
    assert model.connection(state(signed, home="no_gateway")) == ("Online", "good")
    away = state(signed, home="no_gateway", word="unreachable")
    assert model.connection(away) == ("Salesforce: Server not answering", "warn")
    assert model.connection(state(home="unreachable"))[0] == "Server not answering"


def check_a_sign_in_is_a_matter_while_something_waits():
    found = [one for one in model.matters(state(waiting=1)) if one[0] == "account-cases"]
    assert found[0][2:4] == ("You are not signed in to Salesforce.", "1 item waits for it.")
    assert not model.matters(state())


def check_what_the_gateway_may_have_is_offered_beside_it_until_it_was_heard():
    unheard = {"home": "unknown", "destinations": [ENTRY]}
    assert catalogue.meant(unheard, "ticket", "") == ""
    assert [one["name"] for one in catalogue.destinations(unheard, "ticket")] == ["inbox", "cases"]
    alone = {"home": "none", "destinations": [ENTRY]}
    assert catalogue.meant(alone, "ticket", "") == "cases"


def check_it_is_not_listed_among_what_is_behind_the_gateway():
    shown = state()
    shown["settings"] = {"values": {}, "errors": {}, "said": ""}
    assert "Set up at the gateway" not in text_of(settings.settings(shown))

"""Destinations that this device delivers to by itself: what stands in the way of them. Pure."""

from app import model, words


def signs_in(state):
    """Whether there are any."""
    lanes = (state.get("status") or {}).get("lanes") or {}
    return any(lanes[name].get("title") for name in lanes)


def connection(state):
    """As `model.connection`, where there is no gateway: how these are."""
    lanes, accounts = state["status"].get("lanes") or {}, state["accounts"]
    nobody = not any(accounts[name]["signed_in"] for name in accounts)
    for name in sorted(accounts):
        one, lane = accounts[name], lanes.get(name) or {}
        word = lane.get("connection") or "online"
        if not one["signed_in"]:
            if nobody or lane.get("waiting"):
                return ("Not signed in to " + one["title"], "warn")
        elif word not in ("online", "signed_out"):
            known = model.CONNECTIONS.get(word)
            return (one["title"] + ": " + (known[0] if known else word), "warn")
    return model.CONNECTIONS["online"]


def matters(state):
    """As `model.matters`: where somebody has to sign in for what waits."""
    found = []
    lanes = (state.get("status") or {}).get("lanes") or {}
    accounts = state["accounts"]
    for name in sorted(accounts):
        one, waiting = accounts[name], (lanes.get(name) or {}).get("waiting")
        if waiting and not one["signed_in"]:
            text = "You are not signed in to {}.".format(one["title"])
            todo = "{} for it.".format(words.count(waiting, "item waits", "items wait"))
            found.append(("account-" + name, "warn", text, todo, ("#settings", "Sign in")))
    return found

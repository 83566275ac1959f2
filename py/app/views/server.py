"""The server in the settings: how it is doing, and a person's say in it. Pure."""

from app import model, words
from app.element import button, h, when
from app.views import accounts, ask

#: What is done at a server that fails: (tone, words, the acts offered).
SERVER = {
    "closed": ("good", "The server takes what is sent.", ("stop", "afresh")),
    "half_open": (
        "warn",
        "The server failed. It is being tried with a little.",
        ("try", "stop", "send"),
    ),
    "open": (
        "warn",
        "The server failed again and again, so it is left in peace.",
        ("try", "stop", "send"),
    ),
    "held": ("warn", "Sending to this server was stopped by hand.", ("resume", "afresh")),
}
#: act -> (words of the button, drawing, title of the question, what will happen, words of its yes).
#: "try" is not asked, as it changes nothing but the time of the next try; nor are "pause" and "go",
#: which take each other back. Those two are of a lane among several: "Sending" pauses all of them.
ACTS = {
    "try": ("Try now", "refresh", None, None, None),
    "pause": ("Pause", "pause", None, None, None),
    "go": ("Resume", "play", None, None, None),
    "stop": (
        "Stop sending to it",
        "pause",
        "Stop sending to this server?",
        (
            "Nothing is sent to it until it is allowed again, in no tab and not even by Sync now. "
            "What you save waits on this device."
        ),
        "Stop sending",
    ),
    "send": (
        "Send without waiting",
        "send",
        "Send without waiting?",
        (
            "All that waits is sent to it at once, as if it had not failed. If it goes on failing, "
            "it is left in peace again."
        ),
        "Send",
    ),
    "resume": (
        "Send again",
        "play",
        "Send to this server again?",
        "What waits is sent to it from now on.",
        "Send again",
    ),
    "afresh": (
        "Start afresh",
        "undo",
        "Start afresh with this server?",
        (
            "What was learnt about it is forgotten: its failures, and how much it takes at once. "
            "What waits is sent to it from now on."
        ),
        "Start afresh",
    ),
}


#: guarantee -> in plain words.
SURE = {
    "strong": "Arrives exactly once.",
    "checked": "Looked up before it is sent again, so it arrives once.",
    "repaired": "Could arrive twice after a fault; doubles are looked for and reported.",
}


def takes(one):
    """What a destination of the catalogue takes, and how sure it arrives."""
    kinds = [words.PLURALS[kind] for kind in model.FORMS if kind in (one.get("kinds") or [])]
    taken = "Takes {}.".format(" and ".join(kinds)) if kinds else None
    none = (one.get("limits") or {}).get("attachments") == 0
    sure = SURE.get(one.get("guarantee"))
    return " ".join([part for part in (taken, none and "No files.", sure) if part])


def server(state):
    """How the server is doing, from the engine's guard of it, and a person's say in it; where the
    queue has several, a card for each."""
    status = state.get("status") or {}
    lanes = status.get("lanes") or {}
    if len(lanes) < 2:
        return _server(state, status.get("lane") or {})
    # The page's interpreter keeps no order in what it reads from JSON.
    # What somebody may have to sign in to comes first; a gateway that is not there comes not at all
    # where there are others and nothing waits for it.
    direct = [name for name in sorted(lanes) if lanes[name].get("title")]
    rest = [name for name in sorted(lanes) if name not in direct]
    if direct:
        rest = [name for name in rest if lanes[name].get("waiting") or not _absent(lanes[name])]
    return [_server(state, lanes[name]["lane"], name, lanes[name]) for name in direct + rest]


def _absent(one):
    return one.get("connection") == "no_gateway"


def _server(state, guard, lane=None, one=None):
    """``one``: what `status` says of the ``lane``, where there are several."""
    if guard.get("breaker") not in SERVER:
        return None
    tone, text, offered = SERVER[guard["breaker"]]
    acts = list(offered)
    if guard["breaker"] == "closed" and not guard.get("requests"):
        text, tone = "Nothing was sent to the server lately.", "off"
    facts, more = _counted(guard, state["now"]), None
    if one is not None:
        facts.insert(0, ("Waiting", words.count(one.get("waiting") or 0, "item")))
        more = _in_the_way(one)
        act = _switch(state, lane, one)
        if act:
            acts.insert(0, act)
        if one.get("paused"):
            text, tone = "Sending to this server is paused.", "warn"
            acts = [name for name in acts if name != "try"]  # a pause holds by hand, too
    if one is not None and one.get("title"):
        return _direct(state, lane, one, (text, tone), more, facts, acts)
    return card(
        "server-" + lane if lane else "server",
        "Server: " + lane if lane else "Server",
        h("p", {"class": "state " + tone}, text),
        h("p", {"class": "meta"}, more) if more else None,
        h("dl", {"class": "facts"}, [_fact(name, said) for name, said in facts]) if facts else None,
        h("div", {"class": "acts"}, [_act(name, lane) for name in acts]),
    )


def _direct(state, lane, one, stands, more, facts, acts):
    """The card of a destination that this device delivers to by itself, with who is signed in."""
    given = (state.get("catalogue") or {}).get("destinations") or []
    entry = [each for each in given if each.get("name") == lane]
    said = "Straight from this browser. " + takes(entry[0]) if entry else None
    notes = entry[0].get("notes") or [] if entry else []
    known, who = accounts.told(state, lane), []
    if known:
        who = accounts.account(known, one.get("waiting") or 0)
        if not known["signed_in"]:  # of a server that nobody is signed in at there is no more
            stands, more, facts, acts = None, None, [], []
        elif one.get("connection") == "signed_out":  # it was, and is being asked again now
            more = None
    sign = who[2:]
    return card(
        "server-" + lane,
        one["title"],
        h("p", {"key": "takes", "class": "meta"}, said) if said else None,
        [h("p", {"key": note, "class": "answer"}, note) for note in notes],
        who[:2],
        h("p", {"key": "stands", "class": "state " + stands[1]}, stands[0]) if stands else None,
        h("p", {"key": "way", "class": "meta"}, more) if more else None,
        h("dl", {"class": "facts"}, [_fact(name, told) for name, told in facts]) if facts else None,
        h("div", {"class": "acts"}, sign, [_act(name, lane) for name in acts]),
    )


def _act(name, lane):
    text, drawing = ACTS[name][:2]
    quiet = "small" if name in ("try", "resume", "go") else "small quiet"
    props = {"key": name, "class": quiet, "data-lane": lane}
    return button(text, "sync" if name == "try" else "server-" + name, props, drawing)


def _switch(state, lane, one):
    """The act that pauses the lane or ends its pause; None where neither changes anything."""
    if not one.get("paused"):
        return "pause" if one["lane"]["breaker"] != "held" else None
    values = (state.get("settings") or {}).get("values") or {}
    paused = values.get("paused") or {}
    return "go" if lane in paused and "all" not in paused else None


def _in_the_way(one):
    """What the server, or somebody before it, said last that keeps things from it; the line at the
    top of the page speaks of the first server only."""
    word = one.get("connection")
    if word in ("online", "offline", "held"):
        return None
    known = model.CONNECTIONS.get(word)
    return one.get("connection_text") or (known[0] if known else None)


def _counted(lane, now):
    """``[(name, what is said of it)]``."""
    found = []
    opens_at, closes_at = lane.get("opens_at"), lane.get("closes_at")
    if lane["breaker"] == "closed" and opens_at:
        # Half a failure is taken off for what arrived: never said to be full before it is.
        failures = int(lane.get("failures") or 0)
        found.append(("Failures", f"{failures} of {opens_at}, then it is left in peace"))
    if lane["breaker"] in ("open", "half_open") and closes_at:
        found.append(("Trusted again", "after {}".format(words.count(closes_at, "good answer"))))
    at = lane.get("next_probe_at")
    if at:
        found.append(("Next try", when(at, words.until(at, now))))
    if lane.get("requests"):
        said = words.count(lane["requests"], "request")
        if lane.get("success_rate") is not None:
            said += ", {} % went well".format(int(100 * lane["success_rate"]))
        found.append(("Last 5 minutes", said))
    return found


def _fact(name, said):
    return h("div", {"key": name}, h("dt", {}, name), h("dd", {}, said))


def question(asked):
    """Whether that is really wanted (see `app.settings`)."""
    _, _, title, text, go = ACTS[asked["act"]]
    lane, state = asked["lane"], asked["state"]
    waiting = model.waiting(state)
    if lane:
        waiting = (state["status"]["lanes"].get(lane) or {}).get("waiting")
    number = "{} now.".format(words.count(waiting, "item waits", "items wait")) if waiting else None
    named = h("strong", {}, lane + ": ") if lane else None
    content = [h("p", {}, named, text), h("p", {"class": "meta"}, number) if number else None]
    return ask.frame(title, "server-form", content, asked["said"], go, "Leave it")


def card(key, title, *content):
    """One section of the settings."""
    heading = h("h2", {"id": key + "-title"}, title)
    props = {"key": key, "class": "card", "aria-labelledby": key + "-title"}
    return h("section", props, heading, *content)

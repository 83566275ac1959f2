"""The server in the settings: how it is doing, and a person's say in it. Pure."""

from app import model, words
from app.element import button, h, when
from app.views import ask

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
#: "try" is not asked: it changes nothing but the time of the next try.
ACTS = {
    "try": ("Try now", "refresh", None, None, None),
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


def server(state):
    """How the server is doing, from the engine's guard of it, and a person's say in it."""
    lane = (state.get("status") or {}).get("lane") or {}
    if lane.get("breaker") not in SERVER:
        return None
    tone, text, acts = SERVER[lane["breaker"]]
    requests = lane.get("requests")
    if lane["breaker"] == "closed" and not requests:
        text, tone = "Nothing was sent to the server lately.", "off"
    shown = [
        button(
            ACTS[name][0],
            "sync" if name == "try" else "server-" + name,
            {"key": name, "class": "small" if name in ("try", "resume") else "small quiet"},
            ACTS[name][1],
        )
        for name in acts
    ]
    facts = [_fact(name, said) for name, said in _counted(lane, state["now"])]
    return card(
        "server",
        "Server",
        h("p", {"class": "state " + tone}, text),
        h("dl", {"class": "facts"}, facts) if facts else None,
        h("div", {"class": "acts"}, shown),
    )


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
    waiting = model.waiting(asked["state"])
    number = "{} now.".format(words.count(waiting, "item waits", "items wait")) if waiting else None
    content = [h("p", {}, text), h("p", {"class": "meta"}, number) if number else None]
    return ask.frame(title, "server-form", content, asked["said"], go, "Leave it")


def card(key, title, *content):
    """One section of the settings."""
    heading = h("h2", {"id": key + "-title"}, title)
    props = {"key": key, "class": "card", "aria-labelledby": key + "-title"}
    return h("section", props, heading, *content)

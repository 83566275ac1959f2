"""What the gateway's page says besides the app's own screens: who one is, the destinations behind
the gateway, the devices before it. Pure."""

from app import words
from app.element import button, h, icon, when
from app.views import ask, server
from app.views.server import SURE

#: What the screens of a device say, and what is so at a gateway. Each stands word for word in
#: views or in the engine's own words, which a check holds.
REWORDED = {
    "Saved on this device": "Taken in by the gateway",
    "Engine is starting…": "Asking the gateway…",
    "What you save is sent by itself.": "What devices hand over is sent on by itself.",
    "Sending is paused. What you save stays on this device.": (
        "Sending is paused. What devices hand over waits here."
    ),
    "What you save appears here until it has arrived.": (
        "What devices hand over for a destination appears here until it has arrived there."
    ),
    (
        "Nothing is sent to it until it is allowed again, in no tab and not even by Sync now. "
        "What you save waits on this device."
    ): (
        "Nothing is sent to it until it is allowed again, not even by Sync now. "
        "What devices hand over waits here."
    ),
    "The server does not know this device. Enter its token under About.": (
        "The destination does not let the gateway in: see to its credential."
    ),
    "The server does not allow this device to send it.": (
        "The destination does not allow the gateway to send it."
    ),
    "One of its files can no longer be read on this device.": (
        "One of its files can no longer be read at the gateway."
    ),
    "In the order it was saved, whatever its priority.": (
        "In the order it came in, whatever its priority."
    ),
    "What is equally important, in the order it was saved.": (
        "What is equally important, in the order it came in."
    ),
    "What was just saved goes first; older work follows.": (
        "What just came in goes first; older work follows."
    ),
}
#: Acts that change something, by the first word of their names.
_CHANGES = ("row", "many", "server", "retry", "pause", "resume", "sync", "select", "test", "device")

#: state of a destination -> (words, tone), as the gateway itself sees it.
REACHED = {
    "online": ("Works", "good"),
    "unproven": ("Nothing was sent to it yet", "off"),
    "unreachable": ("Does not answer", "warn"),
    "signed_out": ("Does not let the gateway in: see to its credential", "bad"),
    "sign_in_page": ("A sign-in page is in the way", "warn"),
    "limited": ("Asks to wait a little", "warn"),
    "held": ("Stopped by hand", "warn"),
    "paused": ("Paused", "warn"),
    "offline": ("No network", "warn"),
}
#: What testing a connection found -> (words, tone).
TESTED = {
    "online": ("It answers, and lets the gateway in.", "good"),
    "unproven": ("It can only be tried with an item.", "off"),
    "unreachable": ("It does not answer.", "bad"),
    "signed_out": (
        "It answers, and does not let the gateway in: its credential is refused.",
        "bad",
    ),
    "sign_in_page": ("A sign-in page answers in its place.", "bad"),
    "limited": ("It answers, and asks to wait a little.", "warn"),
    "no_gateway": ("What answers there is something else.", "bad"),
    "": ("It could not be tested.", "bad"),
}
ROLES = {
    "device": "Delivers",
    "reader": "A person who looks",
    "operator": "A person who looks and acts",
}


def route(text):
    """(screen, view) of a location hash; unknown ones lead to what waits."""
    screen, _, chosen = text.lstrip("#").partition("/")
    if screen in ("attention", "settings", "destinations", "devices"):
        return (screen, "")
    return ("outbox", "sent" if (screen, chosen) == ("outbox", "sent") else "waiting")


def at_gateway(node, state):
    """A tree of a device's screen as it is at a gateway: in other words here and there, and without
    the acts that whoever only looks may not do."""
    if isinstance(node, str):
        return REWORDED.get(node, node)
    tag, props, children = node
    if not (state["gateway"] or {}).get("may_act", True):
        name = props.get("data-act") or ""
        if name.split("-")[0] in _CHANGES or "data-pick" in props:
            return None
    shown = [at_gateway(child, state) for child in children]
    return (tag, props, [child for child in shown if child is not None])


def line(state):
    """Whether the gateway answers, how many wait, and how many need somebody."""
    status = state["status"] or {}
    text, tone = {"up": ("Gateway answers", "good"), "starting": ("Asking the gateway", "off")}.get(
        state["engine"], (state["engine_error"], "bad")
    )
    parts = [h("span", {"key": "link", "class": "link " + tone}, h("i", {"class": "dot"}), text)]
    if status.get("waiting"):
        parts.append(h("span", {"key": "waiting"}, "{} waiting".format(status["waiting"])))
    number = status.get("attention") or 0
    if number:
        needs = "needs attention" if number == 1 else "need attention"
        parts.append(h("span", {"key": "attention", "class": "bad"}, f"{number} {needs}"))
    if status.get("paused"):
        parts.append(h("span", {"key": "paused"}, "Paused"))
    return parts


def where(state):
    """What one is looking at, and as whom."""
    told = state["gateway"]
    said = "The queue of this gateway."
    if told and told["name"]:
        rest = "." if told["may_act"] else ", who may look, not act."
        said += " You are {}{}".format(told["name"], rest)
    return [said]


def banners(state):
    told = state["gateway"]
    if told is None or told["relays"]:
        return []
    text = "Nothing is behind this gateway: what arrives stays in its inbox."
    todo = " To send it on, name destinations in a file and start the gateway with --destinations."
    words_of = h("p", {}, h("strong", {}, text), todo)
    return [h("div", {"key": "none", "class": "banner"}, icon("info"), words_of)]


# --- destinations --------------------------------------------------------------------------------


def destinations(state):
    found = state["destinations"]
    if found is None:
        return _not_yet(state)
    return [_destination(one, state["tests"].get(one["name"])) for one in found]


def _not_yet(state):
    told = state["gateway"]
    if told is not None and not told["relays"]:
        return []
    return [h("p", {"key": "starting", "class": "meta"}, "Asking the gateway…")]


def _destination(one, test):
    text, tone = REACHED.get(one["state"], (one["state"], "off"))
    named = {"data-name": one["name"], "class": "small"}
    busy = dict(named)
    busy["aria-busy"] = "true" if test == "busy" else None
    facts = [("Name", h("code", {}, one["name"])), ("Type", one["type"]), ("Takes", _takes(one))]
    facts.append(("Signs in", "with a credential" if one["credential"] else "not at all"))
    return server.card(
        "destination-" + one["name"],
        one["title"],
        h("p", {"class": "state " + tone}, text),
        h("p", {"class": "meta"}, SURE.get(one["guarantee"])),
        h("dl", {"class": "facts"}, [_fact(name, said) for name, said in facts]),
        [h("p", {"key": note, "class": "answer"}, note) for note in one["notes"]],
        h(
            "div",
            {"class": "acts"},
            button("Test connection", "test-connection", busy, "refresh"),
            button("Dry run", "dry-run", named, "play"),
        ),
        h("div", {"class": "tested", "role": "status"}, _tested(test)),
        [_map(one, kind) for kind in one["kinds"]],
    )


def _takes(one):
    kinds = ", ".join([words.PLURALS.get(kind, kind) for kind in one["kinds"]])
    most = one["limits"]["attachment_bytes"]
    files = "files up to " + words.size(most) if one["limits"]["attachments"] else "no files"
    return f"{kinds}; {files}"


def _fact(name, said):
    return h("div", {"key": name}, h("dt", {}, name), h("dd", {}, said))


def _tested(test):
    if test is None:
        return None
    if test == "busy":
        return h("p", {"key": "busy", "class": "meta"}, "Asking it…")
    text, tone = TESTED.get(test["state"], (test["state"], "off"))
    more = h("span", {"class": "meta"}, " " + test["text"]) if test["text"] else None
    return h("p", {"key": "told", "class": "state " + tone}, text, more)


def _map(one, kind):
    """What goes where, with an example."""
    known = one["of_kind"][kind]
    called = words.PLURALS.get(kind, kind)
    rules = known["map"]
    if rules is None:
        content = h("p", {"class": "meta"}, "Sent as they are, field by field.")
    else:
        content = h("dl", {"class": "facts map"}, [_rule(rule) for rule in rules])
    needed = ", ".join([words.label(name) for name in known["fields"]["required"]])
    return h(
        "details",
        {"key": "map-" + kind, "class": "facts-box"},
        h("summary", {}, "Mapping preview: " + called),
        content,
        h("p", {"class": "meta"}, "Needed: " + needed) if needed else None,
    )


def _rule(rule):
    """One field over there: its name, what it is made of, and what becomes of the example."""
    if rule["from"]:
        of = "from " + rule["from"]
    elif rule["text"]:
        of = "composed of several fields"
    else:
        of = "always the same"
    if rule["choices"]:
        of += ", translated"
    if rule["required"]:
        of += ", required"
    sample = "left out" if rule["sample"] is None else str(rule["sample"])
    said = h("dd", {}, h("p", {"class": "sample"}, sample), h("p", {"class": "meta"}, of))
    return h("div", {"key": rule["to"]}, h("dt", {}, h("code", {}, rule["to"])), said)


# --- devices -------------------------------------------------------------------------------------


def devices(state):
    told = state["devices"]
    if told is None:
        return [h("p", {"key": "starting", "class": "meta"}, "Asking the gateway…")]
    shown = [_device(one, state["now"]) for one in told["devices"]]
    if not shown:
        text = "No device is paired: on this computer no token is needed."
        more = "To let others in, pair them: python -m gateway pair --name …"
        shown.append(
            h(
                "div",
                {"key": "none", "class": "empty"},
                icon("device"),
                h("p", {}, h("strong", {}, text)),
                h("p", {"class": "meta"}, more),
            )
        )
    if told["others"]:
        number = words.count(told["others"], "operation waits", "operations wait")
        text = f"{number} here of devices that are not paired, or not any more."
        shown.append(h("p", {"key": "others", "class": "meta"}, text))
    return shown


def _device(one, now):
    at = one["seen_at"]
    seen = when(at, words.ago(at, now)) if at else "not yet"
    rows = [("Role", ROLES.get(one["role"], one["role"])), ("Last seen", seen)]
    if one["role"] == "device":
        rows.append(("Waiting", words.count(one["waiting"], "operation")))
    if one["workspace"] != "default":
        rows.append(("Workspace", one["workspace"]))
    rows.append(("Paired", when(one["paired_at"], words.ago(one["paired_at"], now))))
    props = {"class": "small", "data-id": one["id"], "aria-label": "Revoke " + one["name"]}
    act = button("Revoke", "device-revoke", props, "x")
    if one["mine"]:
        act = h("p", {"class": "meta"}, "You are signed in with this token.")
    return server.card(
        "device-" + one["id"],
        one["name"],
        h("dl", {"class": "facts"}, [_fact(name, said) for name, said in rows]),
        h("div", {"class": "acts"}, act),
    )


def revoke(asked):
    """Whether, and what it means."""
    one = asked["one"]
    if one["role"] == "device":
        more = (
            "What it has handed over stays here and is sent on. What still waits on the device "
            "stays there, until it is paired again with another token."
        )
    else:
        more = "Whoever uses it cannot open these pages any more."
    content = [
        h("p", {}, h("strong", {}, one["name"]), ": its token stops working at once."),
        h("p", {}, more),
    ]
    if one["waiting"]:
        number = words.count(one["waiting"], "operation waits", "operations wait")
        content.append(h("p", {"class": "meta"}, f"{number} here now."))
    title = "Revoke this token?"
    return ask.frame(title, "revoke-form", content, asked["said"], "Revoke", "Keep it")

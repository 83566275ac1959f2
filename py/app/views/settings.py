"""Settings of sending: what is going on, the choices, the limits in use."""

from app import model, preferences, words
from app.element import button, h
from app.views import capture, server


def settings(state):
    """All that this engine lets one choose."""
    known = state.get("settings")
    if known is None:
        return [h("p", {"key": "starting", "class": "meta"}, "Engine is starting…")]
    values = known["values"]
    return [
        _sending(state),
        server.server(state),
        _destinations(state),
        _strategy(values, known["errors"]) if preferences.offered(values, "strategy") else None,
        _sync(values, known["errors"]) if preferences.offered(values, "sync") else None,
        _metered(values) if preferences.offered(values, "wait_for_unmetered") else None,
        _power(state, values) if preferences.offered(values, "save_power") else None,
        _limits(state),
        h("p", {"key": "said", "class": "said", "role": "status"}, known["said"]),
    ]


def _sending(state):
    """Whether anything is sent now, and the switch."""
    status = state.get("status") or {}
    paused = status.get("paused")
    if paused:
        said = "Sending is paused. What you save stays on this device."
        act = button("Resume sending", "resume", {"class": "primary"}, "play")
    else:
        said = "What you save is sent by itself."
        act = button("Pause sending", "pause", {}, "pause")
    return server.card(
        "sending",
        "Sending",
        h("p", {}, said),
        h("div", {"class": "acts"}, act),
    )


def _choices(name, legend, options, chosen):
    return h(
        "fieldset",
        {"class": "choices"},
        h("legend", {}, legend),
        [_choice(name, value, text, more, value == chosen) for value, text, more in options],
    )


def _choice(name, value, text, more, chosen):
    identity = f"{name}-{value}"
    props = {
        "type": "radio",
        "id": identity,
        "name": name,
        "value": value,
        "checked": chosen,
        "aria-describedby": identity + "-more",
    }
    return h(
        "div",
        {"class": "choice", "key": value},
        h("input", props),
        h("label", {"for": identity}, text),
        h("p", {"id": identity + "-more", "class": "meta"}, more),
    )


def _strategy(values, errors):
    return server.card(
        "strategy",
        "Order",
        _choices("strategy", "What goes first", preferences.STRATEGIES, values["strategy"]),
        _number(values, "max_wait_minutes", errors),
    )


def _sync(values, errors):
    return server.card(
        "sync",
        "Time",
        _choices("sync", "When it is sent", preferences.SYNCS, values["sync"]),
        _number(values, "batch_items", errors),
        _number(values, "batch_seconds", errors),
        _times(values, errors),
        _number(values, "every_minutes", errors),
    )


def _number(values, name, errors):
    if not preferences.offered(values, name):
        return None
    label, low, high, _ = preferences.NUMBERS[name]
    props = {
        "type": "number",
        "inputmode": "numeric",
        "min": str(low),
        "max": str(high),
        "value": str(values[name]),
    }
    return _field(name, label, props, errors.get(name))


def _times(values, errors):
    if not preferences.offered(values, "at_times"):
        return None
    props = {"type": "text", "value": ", ".join(values["at_times"])}
    label = "Times of day, as 07:30, 18:00"
    return _field("at_times", label, props, errors.get("at_times"))


def _field(name, label, props, wrong):
    identity = "set-" + name.replace("_", "-")
    attributes = {
        "id": identity,
        "name": name,
        "autocomplete": "off",
        "aria-describedby": identity + "-error",
        "aria-invalid": "true" if wrong else None,
    }
    attributes.update(props)
    return h(
        "div",
        {"class": "field", "key": name},
        h("label", {"for": identity}, label),
        h("input", attributes),
        h("p", {"id": identity + "-error", "class": "error"}, capture.error(wrong)),
    )


def _switch(name, identity, on, label, more):
    props = {
        "type": "checkbox",
        "role": "switch",
        "id": identity,
        "name": name,
        "checked": bool(on),
        "aria-describedby": identity + "-more",
    }
    return h(
        "div",
        {"class": "choice"},
        h("input", props),
        h("label", {"for": identity}, label),
        h("p", {"id": identity + "-more", "class": "meta"}, more),
    )


def _metered(values):
    more = (
        "On mobile data items then wait up to 24 hours, or until 1 MB has come together. "
        "Sync now sends at any time."
    )
    on = values["wait_for_unmetered"]
    switch = _switch("wait_for_unmetered", "set-unmetered", on, "Wait for Wi-Fi", more)
    return server.card("metered", "Mobile data", switch)


def _power(state, values):
    """Its effect now is told beside it."""
    more = (
        "Below 15 % and not charging, files wait up to 24 hours; text, and what is critical, goes. "
        "In the background less is sent at a time. Sync now sends everything."
    )
    network = (state.get("status") or {}).get("network") or {}
    now = (network.get("thrift") or {}).get("text")
    switch = _switch("save_power", "set-power", values["save_power"], "Spare the battery", more)
    return server.card("power", "Battery", switch, h("p", {"class": "meta"}, now) if now else None)


#: state -> (words, tone) of a destination as the gateway last said.
REACHED = {
    "online": ("Works", "good"),
    "unproven": ("Nothing was sent to it yet", "off"),
    "unreachable": ("Not answering the gateway", "warn"),
    "signed_out": ("Does not know the gateway: its administrator has to sign in", "warn"),
    "sign_in_page": ("A sign-in page is in the way of the gateway", "warn"),
    "limited": ("Asks the gateway to wait a little", "warn"),
    "held": ("Stopped at the gateway", "warn"),
    "paused": ("Paused at the gateway", "warn"),
}


def _destinations(state):
    """What is behind the gateway, to read only: it is set up there."""
    given = (state.get("catalogue") or {}).get("destinations") or []
    given = [one for one in given if not one.get("direct")]  # they have cards of their own
    if len(given) < 2:
        return None
    return server.card(
        "destinations",
        "Destinations",
        h("p", {"class": "meta"}, "Set up at the gateway, as it last told."),
        h("ul", {"class": "destinations"}, [_destination(one) for one in given]),
    )


def _destination(one):
    text, tone = REACHED.get(one.get("state") or "online", (one.get("state"), "off"))
    name = h("span", {"class": "meta"}, one["name"]) if one.get("title") != one["name"] else None
    return h(
        "li",
        {"key": one["name"]},
        h("p", {}, h("strong", {}, one.get("title") or one["name"]), " ", name),
        h("p", {"class": "state " + tone}, text),
        h("p", {"class": "meta"}, server.takes(one)),
    )


def _limits(state):
    found = model.limits(state)
    if not found:
        return None
    return server.card(
        "limits",
        "Limits",
        h("p", {"class": "meta"}, "Only what has not been delivered yet is counted."),
        h("ul", {"class": "limits"}, [_limit(one) for one in found]),
    )


def _limit(one):
    share = words.percent(one["used"], one["limit"])
    text = model.limit_text(one)
    bar = {"max": "100", "value": str(share), "aria-label": text}
    return h(
        "li",
        {"key": one["name"], "class": "warn" if one.get("warn") else ""},
        h("p", {}, text),
        h("progress", bar),
    )

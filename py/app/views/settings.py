"""Settings of sending: what is going on, the choices, the limits in use."""

from app import model, preferences, words
from app.element import button, h, when
from app.views import capture


def settings(state):
    """All that this engine lets one choose."""
    known = state.get("settings")
    if known is None:
        return [h("p", {"key": "starting", "class": "meta"}, "Engine is starting…")]
    values = known["values"]
    return [
        _sending(state),
        _strategy(values, known["errors"]) if preferences.offered(values, "strategy") else None,
        _sync(values, known["errors"]) if preferences.offered(values, "sync") else None,
        _metered(values) if preferences.offered(values, "wait_for_unmetered") else None,
        _power(state, values) if preferences.offered(values, "save_power") else None,
        _limits(state),
        h("p", {"key": "said", "class": "said", "role": "status"}, known["said"]),
    ]


def _card(key, title, *content):
    heading = h("h2", {"id": key + "-title"}, title)
    props = {"key": key, "class": "card", "aria-labelledby": key + "-title"}
    return h("section", props, heading, *content)


def _sending(state):
    """Whether anything is sent now, and the switch; the server's state where it is told."""
    status = state.get("status") or {}
    paused = status.get("paused")
    if paused:
        said = "Sending is paused. What you save stays on this device."
        act = button("Resume sending", "resume", {"class": "primary"}, "play")
    else:
        said = "What you save is sent by itself."
        act = button("Pause sending", "pause", {}, "pause")
    return _card(
        "sending",
        "Sending",
        h("p", {}, said),
        h("div", {"class": "acts"}, act),
        _lane(state, status),
    )


#: The guard that stops knocking at a server that fails: (tone, words, what leads out of it).
GUARD = {
    "closed": ("good", "The server takes what is sent.", None),
    "half_open": ("warn", "The server failed. It is being tried with a little.", "Try all now"),
    "open": ("warn", "The server failed again and again, so it is left in peace.", "Try now"),
    "held": ("warn", "Sending to this server was stopped by hand.", "Send again"),
}


def _lane(state, status):
    lane = status.get("lane") or {}
    if lane.get("breaker") not in GUARD or not lane.get("requests", 1):
        return None
    tone, text, out = GUARD[lane["breaker"]]
    at = lane.get("next_probe_at")
    after = [" Next try ", when(at, words.until(at, state["now"])), "."] if at and out else None
    act = button(out, "try-now", {"class": "small"}, "refresh") if out else None
    return h("div", {"class": "guard"}, h("p", {"class": "state " + tone}, text, after), act)


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
    return _card(
        "strategy",
        "Order",
        _choices("strategy", "What goes first", preferences.STRATEGIES, values["strategy"]),
        _number(values, "max_wait_minutes", errors),
    )


def _sync(values, errors):
    return _card(
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
    return _card("metered", "Mobile data", switch)


def _power(state, values):
    """Its effect now is told beside it."""
    more = (
        "Below 15 % and not charging, files wait up to 24 hours; text, and what is critical, goes. "
        "In the background less is sent at a time. Sync now sends everything."
    )
    network = (state.get("status") or {}).get("network") or {}
    now = (network.get("thrift") or {}).get("text")
    switch = _switch("save_power", "set-power", values["save_power"], "Spare the battery", more)
    return _card("power", "Battery", switch, h("p", {"class": "meta"}, now) if now else None)


def _limits(state):
    found = model.limits(state)
    if not found:
        return None
    return _card(
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

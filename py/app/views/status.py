"""The one status line, the banners and notes beside the screens, and what About tells."""

from app import model, words
from app.element import button, h, icon

KEEP_OPEN = "What you typed stays here as long as this page is open."

#: code -> (what is the matter with the device, what to do), where the error speaks of one save.
STORAGE = {
    "QUEUE_STORAGE_FULL": ("The storage of this device is full.", "Free some space. " + KEEP_OPEN),
    "QUEUE_STORAGE_MISSING": (
        "This browser gives the app no storage, as some private windows do.",
        "Open the app in a normal window.",
    ),
    "QUEUE_STORAGE_BLOCKED": (
        "Another tab holds an older version of the storage open.",
        "Close the other tabs of this app; this one goes on by itself.",
    ),
    "QUEUE_SCHEMA_TOO_NEW": (
        "The storage was written by a newer version of the app.",
        "Reload the page to update; nothing is lost.",
    ),
}


def line(state):
    """Connection, how many wait, what needs attention, and whether it is safe to leave."""
    text, tone = model.connection(state)
    number = model.waiting(state)
    attention = (state.get("status") or {}).get("attention") or 0
    parts = [h("span", {"key": "link", "class": "link " + tone}, h("i", {"class": "dot"}), text)]
    if number:
        parts.append(h("span", {"key": "waiting"}, f"{number} waiting"))
    if attention:
        needs = "needs attention" if attention == 1 else "need attention"
        parts.append(h("span", {"key": "attention", "class": "bad"}, f"{attention} {needs}"))
    kept = state.get("kept")
    if kept:
        parts.append(h("span", {"key": "kept", "class": "bad"}, f"{len(kept)} not saved"))
    paused = (state.get("status") or {}).get("paused")
    if paused:
        parts.append(h("span", {"key": "paused"}, "Paused"))
    if state.get("offline_ready"):
        ready = {"key": "ready", "class": "ready"}
        parts.append(h("span", ready, icon("check"), "Ready for offline use"))
    return parts


def banners(state):
    """What has to be known before going on; all else is a note, which moves nothing."""
    shown = []
    problem = state.get("storage_error")
    if state.get("kept"):
        from app.views import kept  # noqa: PLC0415 - read only where the storage fails

        shown.append(kept.alarm(state["kept"], problem))
    elif problem:
        text, todo = STORAGE.get(problem["code"]) or (problem["message"], KEEP_OPEN)
        shown.append(_banner("storage", "bad", "alert", text, todo))
    if state.get("lost"):
        shown.append(_lost(state["lost"], state["now"]))
    if state["engine"] == "failed":
        text = f"The part that sends does not start on this browser: {state['engine_error']}"
        todo = "You can go on capturing; everything stays on this device."
        shown.append(_banner("engine", "bad", "alert", text, todo))
    for one in model.limits(state):
        if model.is_full(one):
            todo = "Send or cancel some before you save more."
            shown.append(_limit(one, "Full", todo))
        elif one.get("warn"):
            shown.append(_limit(one, "Almost full", None))
    return shown


def _lost(lost, now):
    """The browser deleted what waited: nothing else would ever say so."""
    number = words.count(lost["count"], "item that had", "items that had")
    text = f"The browser has deleted what this app kept on this device: {number} not been sent."
    todo = (
        " Last seen {}. If you have a rescue file of it, import it under About; else capture it "
        "again."
    ).format(words.ago(lost["at"], now))
    said = h("p", {}, h("strong", {}, text), todo)
    seen = button("I have read this", "loss-seen", {"class": "small"})
    return h(
        "div", {"key": "lost", "class": "banner bad", "role": "alert"}, icon("alert"), said, seen
    )


def _limit(one, text, todo):
    return _banner(
        "limit-" + one["name"], "warn", "alert", f"{text}: {model.limit_text(one)}.", todo
    )


def _banner(key, tone, drawing, text, todo):
    props = {"key": key, "class": "banner " + tone}
    if tone == "bad":
        props["role"] = "alert"
    words_of = h("p", {}, h("strong", {}, text), " " + todo if todo else None)
    return h("div", props, icon(drawing), words_of)


def notes(items):
    """Short messages with at most one action; they announce themselves (aria-live around them)."""
    return [_note(one) for one in items]


def _note(one):
    drawing = {"good": "check", "bad": "alert", "busy": "refresh"}.get(one["tone"], "info")
    act = one.get("act")
    props = {"data-note": one["key"], "class": "small"}
    return h(
        "div",
        {"key": one["key"], "class": "note " + one["tone"]},
        icon(drawing),
        h("p", {}, one["text"]),
        button(act, "note-act", props) if act else None,
        button(
            "",
            "note-close",
            {
                "data-note": one["key"],
                "class": "icon-only",
                "aria-label": "Dismiss",
            },
            "x",
        ),
    )


def about(state):
    """What runs here and where things are kept."""
    storage = state.get("storage") or {}
    kept = {
        "granted": "The browser promised to keep it.",
        "denied": "The browser may clear it when space runs out.",
        "unanswered": "The browser did not say whether it keeps it.",
        "unsupported": "This browser does not promise to keep it.",
    }.get(storage.get("kept"), "")
    rows = [("Version", state.get("version") or "starting")]
    if storage.get("used") is not None:
        used = words.size(storage["used"])
        if storage.get("quota"):
            used += " of " + words.size(storage["quota"])
        rows.append(("Storage in use", used))
    if kept:
        rows.append(("Kept by the browser", kept))
    gateway = (state.get("status") or {}).get("gateway")
    rows.append(("Server", gateway or "none"))
    last = (state.get("status") or {}).get("last_sync_at")
    if last:
        rows.append(("Last delivery", words.ago(last, state["now"])))
    return [h("div", {}, h("dt", {}, name), h("dd", {}, text)) for name, text in rows]

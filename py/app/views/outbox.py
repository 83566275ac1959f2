"""The outbox: what waits and what was sent, and for each row why it is not moving."""

from app import model, words
from app.element import button, h, icon, when
from app.views import only

#: Acts a row offers, in the order of the buttons: (name in ``can``, words, drawing).
ACTS = (
    # Of an item that may have arrived at a server which cannot be asked: a person looked there.
    ("arrived", "It is there", "check"),
    ("send_again", "Send it again", "send"),
    ("edit", "Edit", "edit"),
    ("retry", "Retry", "refresh"),
    ("restore", "Restore", "undo"),
    ("export", "Export", "download"),  # of any item, where there is room for the button
    ("cancel", "Cancel", "x"),
    ("discard", "Discard", "trash"),
)

EMPTY = {
    "waiting": ("Nothing is waiting", "What you save appears here until it has arrived."),
    "sent": ("Nothing was sent yet", "What has arrived stays here for a week."),
}


def head(state):
    """The buttons over the list and, while sending, how far it is."""
    status = state.get("status") or {}
    up = state["engine"] == "up"
    paused = status.get("paused")
    syncing = bool(status.get("syncing"))
    acts = [
        button(
            "Sync now",
            "sync",
            {
                "class": "primary",
                "key": "sync",
                "aria-disabled": None if up else "true",
                "aria-busy": "true" if syncing else None,
            },
            "refresh",
        )
    ]
    if up and paused:
        acts.append(button("Resume", "resume", {"key": "resume"}, "play"))
    elif up:
        acts.append(button("Pause", "pause", {"key": "pause"}, "pause"))
    acts.append(_select(state["outbox"]))
    return [
        h("div", {"class": "acts"}, acts),
        _progress(status),
        _said(state, status),
        _attention(status),
        left(state["outbox"]),
        only.choice(state),
    ]


def _select(box):
    """Into Select mode and out of it; of what was sent nothing can be done with many."""
    if box.get("chosen") is not None:
        return button("Done", "select", {"key": "select"})
    if box["view"] != "waiting" or not box["rows"]:
        return None
    return button("Select", "select", {"key": "select"})


def left(box):
    """What an act on many left as it is, item by item; it stays until it has been read."""
    pairs = box.get("left")
    if not pairs:
        return None
    rows = [
        h("li", {"key": str(index)}, h("strong", {}, pairs[index][0]), " ", pairs[index][1])
        for index in range(len(pairs))
    ]
    return h(
        "section",
        {"key": "left", "class": "left", "aria-labelledby": "left-title", "aria-live": "polite"},
        h("h2", {"id": "left-title"}, words.count(len(pairs), "item"), " left as before"),
        h("ul", {}, rows),
        button("Close", "left-read", {"class": "small quiet"}, "x"),
    )


def nothing_goes(state):
    """Why nothing at all can be sent now, also by hand; None when something can."""
    status = state.get("status") or {}
    connection, held = status.get("connection"), status.get("held") or {}
    if not state["online"] or connection == "offline":
        return "There is no network."
    if status.get("paused"):
        return "Sending is paused."
    if connection == "held":
        return status.get("connection_text") or "Sending to this server was stopped by hand."
    if connection == "no_gateway":
        return model.CONNECTIONS[connection][0] + "."
    if held.get("reason") == "maintenance":
        return held.get("text") or "It is the time of maintenance."
    return None


def _attention(status):
    """Where those have gone that wait for a person instead of a network."""
    number = status.get("attention") or 0
    if not number:
        return None
    text = words.count(number, "item needs", "items need") + " your attention"
    link = h("a", {"href": "#attention", "class": "go"}, text)
    return h("p", {"key": "attention", "class": "bad"}, icon("alert"), link)


def _progress(status):
    progress = status.get("progress")
    if not progress or not status.get("syncing"):
        return None
    done, of = progress.get("done") or 0, progress.get("total") or 0
    sent, bytes_of = progress.get("bytes_done") or 0, progress.get("bytes_total") or 0
    share = words.percent(sent, bytes_of) if bytes_of else words.percent(done, of)
    text = f"Sending {min(done + 1, of) if of else 0} of {of}"
    if bytes_of:
        text += f" · {words.size(sent)} of {words.size(bytes_of)}"
    if progress.get("ms_left"):
        text += f" · about {words.span(progress['ms_left'])} left"
    bar = {"max": "100", "value": str(share), "aria-label": "Sending"}
    return h("div", {"class": "sending"}, h("progress", bar), h("p", {"class": "meta"}, text))


def _said(state, status):
    """When it tries next or tried last, in one quiet line."""
    if status.get("syncing"):
        return None
    if status.get("paused"):
        return h("p", {"class": "meta"}, "Paused. Nothing is sent until you choose Resume.")
    if status.get("connection") == "held":
        text = status.get("connection_text") or "Sending to this server was stopped by hand."
        link = h("a", {"href": "#settings"}, "Settings")
        said = h("span", {}, text, " ", link)
        return h("p", {"key": "stopped", "class": "warn"}, icon("pause"), said)
    held = status.get("held")
    if held and held.get("text"):
        return h("p", {"class": "meta"}, held["text"])
    at = status.get("next_try_at")
    if at and model.waiting(state):
        return h("p", {"class": "meta"}, "Next try ", when(at, words.until(at, state["now"])))
    at = status.get("last_sync_at")
    if at:
        return h("p", {"class": "meta"}, "Last sent ", when(at, words.ago(at, state["now"])))
    return None


def listing(state):
    """The rows, or what there is to say without them."""
    box = state["outbox"]
    if box["rows"] is None:
        return starting(state, box, model.waiting(state))
    if not box["rows"] and box.get("only"):
        return [only.nothing(state, box)]
    if not box["rows"]:
        text, more = EMPTY[box["view"]]
        if box["view"] == "waiting" and model.waiting(state):
            return starting(state, box, model.waiting(state))
        drawing = icon("check" if box["view"] == "waiting" else "send")
        return [
            h(
                "div",
                {"key": "empty", "class": "empty"},
                drawing,
                h("p", {}, h("strong", {}, text)),
                h("p", {"class": "meta"}, more),
            )
        ]
    rows = [row(one, state["now"]) for one in box["rows"]]
    shown = [h("ul", {"key": "rows", "class": "rows", "aria-label": _list_name(box)}, rows)]
    if box["next"]:
        busy = "true" if box["loading"] else None
        shown.append(button("Load more", "more", {"key": "more", "aria-busy": busy}))
    return shown


def _list_name(box):
    return "Waiting items" if box["view"] == "waiting" else "Sent items"


def starting(state, box, number):
    """Before the rows of a list are known; ``number`` of them are to come."""
    said = []
    if box.get("error"):
        said.append(h("p", {"class": "bad"}, icon("alert"), box["error"]))
    elif state["engine"] != "up":
        text = "Engine is starting…"
        if number:
            text += " {} saved on this device.".format(words.count(number, "item is", "items are"))
        said.append(h("p", {"class": "meta"}, text))
    bones = [h("li", {"class": "row bone"}, h("i"), h("i")) for _ in range(min(max(number, 1), 4))]
    return [
        h("div", {"key": "starting", "class": "starting"}, said),
        h("ul", {"key": "bones", "class": "rows", "aria-hidden": "true"}, bones),
    ]


def row(one, now):
    """One line of the list: what it is, where it stands, why it is not moving."""
    tone = words.state(one)[1]
    title_id = "t-" + one["id"]
    act = {"class": "title", "id": title_id, "data-id": one["id"]}
    drawing = words.KINDS.get(one["kind"], ("", "file"))[1]
    title = button(words.title(one), "open", act)
    return h(
        "li",
        {"key": one["id"], "class": "row", "data-state": one["state"], "data-kind": one["kind"]},
        h("span", {"class": "kind " + tone}, icon(drawing)),
        body(one, now, title),
        acts(one, title_id),
    )


def body(one, now, title):
    """The lines of a row."""
    why = words.why(one)
    facts = [
        standing(one),
        bound(one),
        priority(one),
        when(one["created_at"], words.ago(one["created_at"], now)),
        h("span", {}, words.size(one.get("size") or 0)),
        attachments(one),
        None if _named(one) else remote(one),
    ]
    why = h("p", {"class": "why"}, why) if why else None
    return h("div", {"class": "body"}, title, h("p", {"class": "meta"}, facts), belongs(one), why)


def standing(one):
    """Where it stands; at its destination, with the number there as a link."""
    text, tone = words.state(one)
    if not _named(one):
        return h("span", {"class": "state " + tone}, text)
    said = text[: len(text) - len(words.number(one))]
    return h("span", {"class": "state " + tone}, said, remote(one))


def _named(one):
    """The words of its state end with its number at the destination."""
    number = words.number(one)
    return bool(number) and words.state(one)[0].endswith(" as " + number)


def bound(one):
    """Where it goes, while its state does not say so."""
    if not one.get("to") or one["state"] in ("handed_over", "completed"):
        return None
    return h("span", {}, "for " + one["to"])


def belongs(one):
    """The item that this one comes of."""
    if not one.get("of"):
        return None
    return h("p", {"class": "of"}, "Belongs to “", one["of"], "”")


def priority(one):
    """Worth a word while it waits, unless it is the usual one."""
    number = one.get("priority")
    if number in (None, 5) or one["state"] in ("completed", "cancelled", "discarded"):
        return None
    return h("span", {}, icon("flag"), words.priority(number), " priority")


def attachments(one):
    """How many, and how far they are."""
    number, parts = one.get("attachments") or 0, one.get("parts") or 0
    if not number or one["kind"] == "attachment":  # it is the file
        return None
    text = words.count(number, "attachment")
    acked = one.get("parts_acked") or 0
    if 0 < acked < parts:
        text += f", {acked} of {parts} parts sent"
    return h("span", {}, icon("clip"), text)


def remote(one):
    """What it is called there, as a link where it leads somewhere safe to follow."""
    name, url = words.number(one), one.get("remote_url")
    if not name:
        return None
    if url and (web(url) if one.get("to") else safe(url)):
        return h("a", {"href": url, "target": "_blank", "rel": "noopener"}, name, icon("external"))
    return h("span", {"class": "remote"}, name)


def web(url):
    """An address of http(s), whole."""
    return url.partition(":")[0].lower() in ("http", "https") and "://" in url


def safe(url):
    """A server's answer may name any address: only http(s) and relative ones become links."""
    scheme, colon, _ = url.partition(":")
    return not colon or scheme.lower() in ("http", "https") or "/" in scheme


def acts(one, title_id, names=None):
    """The buttons of a row, of those in ``names`` (None: all but Edit, which is in the detail);
    each is described by the row's title."""
    can = one.get("can") or []
    if one["kind"] in ("attachment", "sweep"):  # nobody wrote them
        can = [name for name in can if name != "edit"]
    can = [name for name in can if (name != "edit" if names is None else name in names)]
    if names and "export" in names and one.get("export", True):  # False: it is not on this device
        can.append("export")
    shown = [
        button(
            text,
            "row-" + name,
            {
                "key": name,
                "class": "small quiet",
                "data-id": one["id"],
                "aria-describedby": title_id,
            },
            drawing,
        )
        for name, text, drawing in ACTS
        if name in can
    ]
    return h("div", {"class": "acts"}, shown) if shown else None

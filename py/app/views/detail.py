"""One item, opened: its fields, attachments with the parts acknowledged, and every attempt."""

from app import readable, words
from app.element import button, h, icon, when
from app.views import outbox


def detail(one, now):
    """The content of the dialog."""
    tone = words.state(one)[1]
    kind = words.KINDS.get(one["kind"], (one["kind"], "file"))
    top = h(
        "header",
        {},
        h("span", {"class": "kind " + tone}, icon(kind[1])),
        h("h2", {"id": "detail-title"}, words.title(one)),
        button("", "detail-close", {"class": "icon-only quiet", "aria-label": "Close"}, "x"),
    )
    state = h(
        "p",
        {"class": "standing"},
        outbox.standing(one),
        h("span", {"class": "why"}, words.why(one) or ""),
    )
    return [
        top,
        h(
            "div",
            {"class": "scroll"},
            state,
            outbox.acts(one, "detail-title", [name for name, _, _ in outbox.ACTS]),
            _facts(one, now),
            _fields(one),
            _files(one),
            _timeline(one, now),
        ),
    ]


def _facts(one, now):
    identity = h(
        "span",
        {"class": "id"},
        h("code", {"title": one["id"]}, words.short_id(one["id"])),
        button(
            "Copy",
            "copy",
            {"class": "small quiet", "data-copy": one["id"], "aria-label": "Copy the id"},
            "copy",
        ),
    )
    rows = [("Saved", when(one["created_at"], words.ago(one["created_at"], now), True))]
    if one.get("updated_at"):
        rows.append(
            ("Last change", when(one["updated_at"], words.ago(one["updated_at"], now), True))
        )
    if one.get("priority") is not None:
        rows.append(("Priority", words.priority(one["priority"])))
    rows.append(("Size", words.size(one.get("size") or 0)))
    if one.get("from"):
        rows.append(("From", one["from"]))
    link = outbox.remote(one)
    if link:
        rows.append(("At the server", link))
    waits = one.get("waits_for")
    if waits:
        rows.append(("Waits for", waits if isinstance(waits, str) else ", ".join(waits)))
    rows.append(("Id", identity))
    return h("dl", {"class": "facts"}, [_pair(name, value) for name, value in rows])


def _pair(name, value):
    return h("div", {}, h("dt", {}, name), h("dd", {}, value))


def _fields(one):
    rows = readable.said(one)
    if not rows:
        return None
    return h(
        "section",
        {},
        h("h3", {}, "What it says"),
        h("dl", {"class": "facts"}, [_pair(name, text) for name, text in rows]),
    )


def _files(one):
    files = one.get("attachments")
    if not files or not isinstance(files, list):
        return None
    return h(
        "section",
        {},
        h("h3", {}, "Attachments"),
        h("ul", {"class": "files"}, [_file(part) for part in files]),
    )


def _file(one):
    acked, parts = one.get("acked") or 0, one.get("parts") or 0
    name = one.get("name") or "Attachment"
    if one.get("error"):
        told = h("p", {"class": "bad"}, icon("alert"), "Refused: {}".format(one["error"]))
    elif acked >= parts:
        told = h("p", {"class": "meta"}, words.size(one["size"]), " · has arrived")
    else:
        said = "{} · {} of {} sent".format(
            words.size(one["size"]), acked, words.count(parts, "part")
        )
        bar = {"max": str(parts), "value": str(acked), "aria-label": f"Parts of {name} sent"}
        told = h("div", {}, h("p", {"class": "meta"}, said), h("progress", bar))
    is_image = (one.get("type") or "").startswith("image/")
    return h(
        "li",
        {"key": one["id"], "class": "file"},
        h("span", {"class": "thumb"}, icon("image" if is_image else "file")),
        h("div", {"class": "body"}, h("p", {"class": "name"}, name), told),
    )


def _timeline(one, now):
    entries = [
        h(
            "li",
            {"key": "saved", "class": "good"},
            h("p", {}, h("strong", {}, "Saved on this device")),
            h("p", {"class": "meta"}, when(one["created_at"], words.ago(one["created_at"], now))),
        )
    ]
    history = one.get("history") or []
    entries.extend([_attempt(index, history[index], now) for index in range(len(history))])
    return h("section", {}, h("h3", {}, "Timeline"), h("ol", {"class": "timeline"}, entries))


def _attempt(index, attempt, now):
    outcome = attempt.get("outcome")
    name = words.OUTCOMES.get(outcome, outcome) if outcome else "Under way"
    tone = {
        None: "busy",
        "delivered": "good",
        "duplicate": "good",
        "handed_over": "good",
        "accepted": "good",
        "permanent": "bad",
        "permission": "bad",
        "conflict": "bad",
        "too_large": "bad",
    }.get(outcome, "warn" if attempt["n"] > 0 else "off")
    tried = attempt["n"] > 0  # else it is what a person did
    said = [
        "Try {} · ".format(attempt["n"]) if tried else None,
        when(attempt["at"], words.ago(attempt["at"], now), True),
    ]
    if tried and attempt.get("ended_at"):
        said.append(" · took " + words.span(max(0, attempt["ended_at"] - attempt["at"])))
    if attempt.get("status"):
        said.append(" · answer {}".format(attempt["status"]))
    if attempt.get("code"):
        said.append(" · {}".format(attempt["code"]))
    text = h("p", {"class": "answer"}, attempt["text"]) if attempt.get("text") else None
    return h(
        "li",
        {"key": f"h{index}", "class": tone},
        h("p", {}, h("strong", {}, name)),
        h("p", {"class": "meta"}, said),
        text,
    )

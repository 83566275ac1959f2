"""What the dialog asks: an item to correct, or the reason for which some are discarded."""

from app import edit as editing
from app import model, words
from app.element import button, h, icon
from app.views import capture


def head(title):
    """The dialog's name and its way out."""
    return h(
        "header",
        {},
        h("h2", {"id": "ask-title"}, title),
        button("", "ask-close", {"class": "icon-only quiet", "aria-label": "Close"}, "x"),
    )


def frame(title, name, content, said, go, keep):
    """A question: the form ``name`` with ``content``, and the buttons ``go`` and ``keep``; for
    ``said`` see `app.asking`."""
    busy = said == "busy"
    problem = None if busy or not said else h("p", {"class": "bad", "role": "alert"}, said)
    foot = h(
        "footer",
        {},
        h("button", {"type": "submit", "class": "primary", "aria-busy": busy and "true"}, go),
        button(keep, "ask-close", {"class": "quiet"}),
        problem,
    )
    props = {"id": name, "method": "dialog", "novalidate": True, "autocomplete": "off"}
    return [head(title), h("form", props, h("div", {"class": "scroll"}, content), foot)]


def edit(asked):
    """An item with its fields (see `app.attention`)."""
    one = asked["one"]
    errors = asked["errors"]
    shown = [_answer(asked.get("answer"))]
    shown.extend([_field(field, errors.get(field["path"])) for field in asked["fields"]])
    options = editing.priority_options(one.get("priority"))
    shown.append(
        _field(
            {
                "path": "priority",
                "label": "Priority",
                "type": "choice",
                "value": str(one.get("priority")),
                "options": options,
                "needed": True,
            },
            errors.get("priority"),
        )
    )
    return frame("Correct and send", "edit-form", shown, asked["said"], "Save and send", "Cancel")


def _answer(told):
    text = model.answer(told)[0]  # what it said of fields stands at them
    if not text:
        return None
    return h("p", {"class": "answer"}, h("strong", {}, "The server said: "), text)


def _field(field, wrong):
    path = field["path"]
    name = "edit-" + path.replace(".", "-")
    props = {
        "id": name,
        "name": path,
        "autocomplete": "off",
        "aria-describedby": name + "-error",
        "aria-invalid": "true" if wrong else None,
    }
    if field["type"] == "text":
        props["rows"] = "5"
        typed = h("textarea", props, field["value"])
    elif field["type"] == "choice":
        pairs = [] if field.get("needed") else [("", "Not set")]
        pairs.extend(field["options"])
        typed = h(
            "select",
            props,
            [
                h("option", {"key": v, "value": v, "selected": v == field["value"]}, text)
                for v, text in pairs
            ],
        )
    else:
        props["type"] = "email" if field["type"] == "email" else "text"
        props["value"] = field["value"]
        typed = h("input", props)
    return h(
        "div",
        {"class": "field", "key": path},
        h("label", {"for": name}, field["label"]),
        typed,
        h("p", {"id": name + "-error", "class": "error"}, capture.error(wrong)),
    )


def discard(asked):
    """Whether, and why."""
    ids = asked["ids"]
    if len(ids) == 1:
        title = "Discard this item?"
        told = h("p", {}, h("strong", {}, asked["title"]), " will not be sent.")
    else:
        title = "Discard {}?".format(words.count(len(ids), "item"))
        told = h("p", {}, "They will not be sent.")
    content = [
        told,
        h("p", {"class": "meta"}, icon("undo"), "Undo brings it back, for as long as it is shown."),
        reason("discard-reason"),
    ]
    return frame(title, "discard-form", content, asked["said"], "Discard", "Keep it")


def reason(name):
    """Why it is done, for whoever looks at the timeline later."""
    return h(
        "div",
        {"class": "field"},
        h("label", {"for": name}, "Why? (optional)"),
        h("textarea", {"id": name, "name": "reason", "rows": "2"}),
    )

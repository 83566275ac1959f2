"""The moving parts of the capture forms: errors, attachments, the save bar, choices, device facts.

The fields themselves stand in index.html, so that they are there at once; the views fill the slots
beside them and never touch what is being typed.
"""

from app import model, words
from app.element import button, h, icon


def error(text):
    """What is wrong with one field (the slot is its ``aria-describedby``)."""
    return [h("span", {}, icon("alert"), text)] if text else []


def attachments(form):
    """Chosen files, each with how far it is on its way into this device's storage."""
    limits = form.get("limits")
    if limits and not limits["attachments"] and not form["files"]:
        return [h("li", {"key": "none", "class": "meta"}, limits["title"], " takes no files.")]
    return [_attachment(one) for one in form["files"]]


def further(kind, fields, errors):
    """Inputs for what the destination requires and the page has no field of (see
    `catalogue.further`)."""
    return [_further(kind, one, errors.get(one["name"])) for one in fields]


def _further(kind, one, wrong):
    identity = "{}-{}".format(kind, one["name"].replace(".", "-"))
    props = {
        "id": identity,
        "name": one["name"],
        "required": True,
        "autocomplete": "off",
        "aria-describedby": identity + "-error",
        "aria-invalid": "true" if wrong else None,
    }
    if one["type"] == "choice":
        pairs = one["options"]
        control = h("select", props, options(pairs, None, "Not set"))
    elif one["type"] == "text":
        props["rows"] = "3"
        control = h("textarea", props)
    else:
        props["type"] = "text"
        control = h("input", props)
    return h(
        "div",
        {"class": "field", "key": one["name"] + one["type"]},
        h("label", {"for": identity}, one["label"]),
        control,
        h("p", {"id": identity + "-error", "class": "error"}, error(wrong)),
    )


def _attachment(one):
    state = one["state"]
    thumb = one.get("thumb")
    picture = (
        h("img", {"class": "thumb", "src": thumb, "alt": ""})
        if thumb
        else h("span", {"class": "thumb"}, icon("image" if _is_image(one) else "file"))
    )
    facts = h("p", {"class": "meta"}, _facts(one))
    progress = None
    if state in ("waiting", "reducing", "storing"):
        props = {"max": "100", "aria-label": "Saving " + one["name"]}
        if state == "storing":
            props["value"] = str(words.percent(one["done"], one["size"]))
        progress = h("progress", props)
    original = None
    if state == "stored" and one.get("reduced"):
        act = {"class": "small quiet", "data-file": one["id"]}
        original = button("Use original", "file-original", act)
    label = {
        "class": "icon-only quiet",
        "data-file": one["id"],
        "aria-label": "Remove " + one["name"],
    }
    body = h("div", {"class": "body"}, h("p", {"class": "name"}, one["name"]), facts, progress)
    kind = "file bad" if state in ("failed", "refused") or one.get("over") else "file"
    return h(
        "li",
        {"key": one["id"], "class": kind},
        picture,
        body,
        original,
        button("", "file-remove", label, "x"),
    )


def _is_image(one):
    return (one.get("type") or "").startswith("image/")


def _facts(one):
    state = one["state"]
    if state in ("failed", "refused"):
        return [icon("alert"), one["error"]]
    if one.get("over"):
        return [icon("alert"), one["over"]]
    if state == "waiting":
        return "Waiting its turn"
    if state == "reducing":
        return "Reducing the photo"
    if state == "storing":
        return "{} of {}".format(words.size(one["done"]), words.size(one["size"]))
    text = words.size(one["size"])
    if state == "kept":
        text += ", only in this tab"
    if one.get("before") and one["before"] != one["size"]:
        text = "{}, was {}".format(text, words.size(one["before"]))
    return text + (" · " + one["note"] if one.get("note") else "")


def save_note(form):
    """Beside Save: what it does or why it cannot yet."""
    phase = form["phase"]
    if phase == "saving":
        return [h("span", {"class": "busy"}, "Saving…")]
    if phase == "saved":
        undo = None
        if form.get("undo"):
            undo = button("Undo", "undo", {"class": "small quiet"}, "undo")
        return [h("span", {"class": "good"}, icon("check"), "Saved on this device"), undo]
    if phase == "kept":
        return [h("span", {"class": "bad"}, icon("alert"), "Not saved, kept in this tab only")]
    if phase == "held":
        text = "Not saved. {} It saves itself when there is room.".format(form["message"])
        said = h("span", {"class": "bad", "role": "alert"}, icon("alert"), text)
        return [said, button("Keep as a draft", "keep-as-draft", {"class": "small quiet"})]
    if phase == "failed":
        return [
            h(
                "span",
                {"class": "bad", "role": "alert"},
                icon("alert"),
                "Not saved. " + form["message"],
            )
        ]
    wait = model.why_not_save(form["files"])
    if wait:
        return [h("span", {"class": "busy"}, wait)]
    if form["errors"]:
        number = words.count(len(form["errors"]), "field needs", "fields need")
        return [h("span", {"class": "bad"}, number + " a look.")]
    if form.get("draft_kept"):
        # Said aloud, so the words stay while a change is on its way into the draft.
        old = "" if form.get("draft_old") else None
        return [h("span", {"class": "meta", "data-old": old}, "Draft kept on this device")]
    return []


def options(pairs, chosen, empty):
    """The options of a select; ``empty`` is what it says when nothing is chosen (None: something
    always is)."""
    shown = []
    if empty is not None:
        shown.append(h("option", {"key": "", "value": "", "selected": not chosen}, empty))
    for value, text in pairs:
        shown.append(h("option", {"key": value, "value": value, "selected": value == chosen}, text))
    return shown


def facts(info):
    """What the device says about itself and what goes with the ticket."""
    names = ("deviceName", "osVersion", "architecture", "browser", "language", "screen", "timezone")
    return [
        h("div", {"key": name}, h("dt", {}, words.label(name)), h("dd", {}, info[name]))
        for name in names
        if info.get(name)
    ]

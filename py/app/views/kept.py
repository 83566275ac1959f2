"""What only this tab holds: the alarm, its rows on top of the outbox, the dialog of its rescue
file."""

from app import words
from app.element import button, h, icon, when
from app.views import capture

TITLE = "Not saved, kept in this tab only"
#: Ids in the dialog of its rescue file.
FORM, FIELD = "kept-form", "kept-phrase"
TOO_SHORT = (
    f"Use at least {words.PASSPHRASE_MIN} characters: without it nobody can open the file, with "
    "it everybody."
)


#: code -> what to do, where leaving the tab open is not enough.
TODO = {
    "QUEUE_STORAGE_BLOCKED": "Close the other tabs of this app; this one then saves by itself.",
    "QUEUE_STORAGE_MISSING": "Leave this tab open, make a rescue file, and import it where there "
    "is one: in a normal window.",
    "QUEUE_SCHEMA_TOO_NEW": "Make a rescue file, reload the page to update, and import the file "
    "under About.",
    "QUEUE_INSECURE_CONTEXT": "Leave this tab open and copy the text: without a secure connection "
    "no rescue file can be made.",
}
WAIT = "Leave this tab open: it saves by itself as soon as the storage works."


def alarm(items, problem):
    """The banner: how many, why, what happens by itself, what can be done. ``problem``: what is the
    matter with the storage, as far as it is known ({code, message})."""
    number = words.count(len(items), "item") + _files(items)
    reason = problem["message"] if problem else items[0]["why"]
    todo = TODO.get(problem["code"] if problem else None, WAIT)
    text = h("p", {}, h("strong", {}, f"{TITLE}: {number}."), f" {reason} {todo}")
    acts = h(
        "div",
        {"class": "acts"},
        button(
            "Make a rescue file", "kept-rescue", {"key": "rescue", "class": "small"}, "download"
        ),
        button("Try to save now", "kept-try", {"key": "try", "class": "small quiet"}, "refresh"),
    )
    return h(
        "div", {"key": "kept", "class": "banner bad", "role": "alert"}, icon("alert"), text, acts
    )


def _files(items):
    files = [one for item in items for one in item["files"]]
    if not files:
        return ""
    size = words.size(sum([one["size"] for one in files]))
    return " with {}, {}".format(words.count(len(files), "attachment"), size)


def rows(items, now):
    """The rows on top of the outbox."""
    if not items:
        return []
    shown = [_row(item, now) for item in items]
    props = {"key": "kept-rows", "class": "rows kept", "aria-label": "Not saved items"}
    return [h("ul", props, shown)]


def _row(item, now):
    name, drawing = words.KINDS.get(item["kind"], (item["kind"], "file"))
    facts = [
        h("span", {"class": "state bad"}, "Not saved"),
        when(item["at"], words.ago(item["at"], now)),
    ]
    if item["files"]:
        count = words.count(len(item["files"]), "attachment")
        facts.append(h("span", {}, icon("clip"), count))
    body = h(
        "div",
        {"class": "body"},
        h("p", {"class": "title"}, item["title"] or name),
        h("p", {"class": "meta"}, facts),
        h("p", {"class": "why"}, "Kept in this tab only. " + item["why"]),
    )
    return h(
        "li",
        {"key": "kept-" + item["id"], "class": "row"},
        h("span", {"class": "kind bad"}, icon(drawing)),
        body,
    )


def written(items):
    """What is said when they are saved after all."""
    if len(items) == 1:
        return "Saved on this device after all: " + items[0]["title"]
    return f"Saved on this device after all: {len(items)} items"


def _missing(items):
    """How many attachments are not in memory, and so not in a rescue file."""
    return len([one for item in items for one in item["files"] if one.get("held") is None])


def rescued(items, name):
    """What is said beside the dialog's button once the file is made."""
    said = "{} in {}. Keep the passphrase apart from the file.".format(
        words.count(len(items), "item"), name
    )
    missing = _missing(items)
    if missing:
        text = words.count(missing, "attachment is", "attachments are")
        said += f" {text} not in it: only the storage that fails has the bytes."
    return said


def dialog(asked, items):
    """The passphrase for the rescue file."""
    head = h(
        "header",
        {},
        h("h2", {"id": "ask-title"}, "Rescue file of what is not saved"),
        button("", "ask-close", {"class": "icon-only quiet", "aria-label": "Close"}, "x"),
    )
    busy = asked["said"] == "busy"
    wrong = asked["said"] if asked["said"] and not busy else None
    told = (
        "{}, encrypted, as one file. Import it under About, here or on another device; nothing "
        "arrives twice."
    )
    field = h(
        "div",
        {"class": "field"},
        h("label", {"for": FIELD}, "Passphrase for the new file"),
        h(
            "input",
            {
                "id": FIELD,
                "name": "passphrase",
                "type": "password",
                "autocomplete": "new-password",
                "aria-describedby": "kept-said",
                "aria-invalid": "true" if wrong else None,
            },
        ),
        h("p", {"id": "kept-said", "class": "error"}, capture.error(wrong)),
    )
    content = [h("p", {}, told.format(words.count(len(items), "item") + _files(items))), field]
    if asked["done"]:
        content.append(h("p", {"role": "status"}, icon("check"), " " + asked["done"]))
    foot = h(
        "footer",
        {},
        h(
            "button",
            {"type": "submit", "class": "primary", "aria-busy": "true" if busy else None},
            "Make rescue file",
        ),
        button("Close" if asked["done"] else "Cancel", "ask-close", {"class": "quiet"}),
    )
    props = {"id": FORM, "method": "dialog", "novalidate": True, "autocomplete": "off"}
    return [head, h("form", props, h("div", {"class": "scroll"}, content), foot)]

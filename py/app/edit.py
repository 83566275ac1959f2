"""Correcting an item: from its payload to the fields of a form and back. Pure.

The fields that a kind is known by come in reading order; of any other kind, whatever is text or a
number can be changed. What is not shown stays in the payload as it is.
"""

import json

from app import catalogue as rules
from app import model, words

#: kind -> (path in the payload, label, how it is typed).
FIELDS = {
    "ticket": (
        ("summary", "Summary", "line"),
        ("description", "Description", "text"),
        ("category", "Category", "choice"),
        ("severity", "Severity", "choice"),
        ("user.name", "Requester name", "line"),
        ("user.email", "Requester email", "email"),
    ),
    "feedback": (
        ("rating", "Rating", "choice"),
        ("comment", "Comment", "text"),
        ("userName", "Your name", "line"),
    ),
}
#: A text longer than this is written on several lines.
LINE_CHARACTERS = 80


def fields(one, catalogue):
    """What the form shows: ``[{path, label, type, value, options}]``; ``one`` is the detail."""
    payload = one.get("payload") or {}
    shown = []
    for path, label, kind in FIELDS.get(one["kind"]) or _found(payload):
        text = _text(payload, path)
        options = _options(one, path, text, catalogue) if kind == "choice" else None
        shown.append(
            {"path": path, "label": label, "type": kind, "value": text, "options": options}
        )
    if one["kind"] in FIELDS:
        shown.extend(_further(one, payload, [field["path"] for field in shown], catalogue))
    return shown


def _further(one, payload, known, catalogue):
    """What its destination requires beside the fields that every item of the kind has."""
    facts = payload.get(rules.FACTS[one["kind"]])
    found = rules.further(catalogue, one["kind"], one.get("destination"), known, facts)
    shown = []
    for field in found:
        text, options = _text(payload, field["path"]), field["options"]
        if options and text and text not in [value for value, _ in options]:
            options.append((text, text))
        made = {"path": field["name"], "label": field["label"], "type": field["type"]}
        made.update({"value": text, "options": options})
        shown.append(made)
    return shown


def _text(payload, path):
    value = at(payload, path)
    return "" if value is None else str(value)


def priority_options(priority):
    """(value, words) of the priorities, an unnamed one included where the item has it."""
    pairs = [(str(number), words.PRIORITIES[number]) for number in (2, 5, 8, 10)]
    if priority not in words.PRIORITIES:
        pairs.append((str(priority), str(priority)))
    return pairs


def _options(one, path, chosen, catalogue):
    pairs = model.choices(one["kind"], path, catalogue, one.get("destination"))
    if path == "rating":
        pairs = [(str(number), str(number)) for number in range(1, 6)]
    pairs = [(str(value), text) for value, text in pairs]
    if chosen and chosen not in [value for value, _ in pairs]:
        pairs.append((chosen, chosen))  # not offered any more: a person changes it, not the form
    return pairs


def _found(payload, before=""):
    found = []
    known = [name for name in words.READING_ORDER if name in payload]
    for name in known + sorted([name for name in payload if name not in known]):
        value = payload[name]
        if "." in name:
            continue  # it would be read as a path
        if isinstance(value, dict):
            found.extend(_found(value, before + name + "."))
        elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
            long = isinstance(value, str) and (len(value) > LINE_CHARACTERS or "\n" in value)
            found.append((before + name, words.label(name), "text" if long else "line"))
    return found


def at(payload, path):
    """The value at a dotted path; None where there is none."""
    for name in path.split("."):
        payload = payload.get(name) if isinstance(payload, dict) else None
    return payload


def changed(one, values, catalogue=None):
    """The payload with what stands in the form. An emptied field is left out, as in a new item."""
    payload = json.loads(json.dumps(one.get("payload") or {}))
    for name in values:
        path = rules.path_of(name)
        if path is None:
            continue
        was, text = at(payload, path), values[name]
        if text == ("" if was is None else str(was)):
            continue  # not touched: it keeps its type and its blanks
        value = _typed(was, path, text.strip())
        if isinstance(value, str):
            value = rules.typed(catalogue, one["kind"], one.get("destination"), path, value)
        _put(payload, path.split("."), value)
    return payload


def _typed(was, path, text):
    if path == "rating" or (isinstance(was, int) and not isinstance(was, bool)):
        return int(text) if text.lstrip("-").isdigit() else text
    if isinstance(was, float):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _put(payload, names, value):
    for name in names[:-1]:
        inner = payload.get(name)
        if not isinstance(inner, dict):
            inner = payload[name] = {}
        payload = inner
    if value == "":
        payload.pop(names[-1], None)
    else:
        payload[names[-1]] = value


def asked(one, values, catalogue=None):
    """The arguments of the engine's ``edit``."""
    payload = changed(one, values, catalogue)
    made = {"id": one["id"], "payload": payload}
    if one["kind"] in FIELDS:
        made["title"] = model.title(one["kind"], payload)
    if values.get("priority") and values["priority"] != str(one.get("priority")):
        made["priority"] = int(values["priority"])
    return made


def errors(told):
    """What the engine found wrong, by field, as sentences."""
    return {name: f"This {told[name]}." for name in told}


def by_path(told, paths):
    """What a server said of its fields, at the field of the form that is meant: by its whole path,
    or by its last name where that is the only one."""
    found = {}
    for name in told:
        ends = [path for path in paths if path == name or path.split(".")[-1] == name]
        if len(ends) == 1:
            text = told[name].strip()
            found[ends[0]] = text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
    return found


def first(paths, wrong):
    """The field to begin with: the first that is wrong, else the first."""
    for path in paths:
        if path in wrong:
            return path
    return paths[0] if paths else "priority"

"""One item in a form that people and programs elsewhere can read: as text, and as JSON. Pure.

MicroPython keeps no order in a dict and does not indent JSON, so both are done here: what has an
order is a tuple of pairs.
"""

import json

from app import words

FORMAT = "fieldpost.item"
VERSION = 1


def name(one):
    """Of the file; without a word of what the item says: names of downloads are kept in clear."""
    return "{}-{}.json".format(one["kind"], words.short_id(one["id"]))


def document(one, at, iso):
    """The JSON text of a detail (docs/formats.md, "One item, readable"); ``at``: now, in ms;
    ``iso`` writes a time, None for none."""
    answer = one.get("answer")
    made = (
        ("format", FORMAT),
        ("version", VERSION),
        ("exported_at", iso(at)),
        ("id", one["id"]),
        ("kind", one["kind"]),
        ("title", one.get("title")),
        ("state", one["state"]),
        ("state_text", words.state(one)[0]),
        ("why", one.get("why") or None),
        ("priority", one.get("priority")),
        ("created_at", iso(one.get("created_at"))),
        ("updated_at", iso(one.get("updated_at"))),
        ("remote_id", one.get("remote_id")),
        ("remote_url", one.get("remote_url")),
        ("remote_name", one.get("remote_name")),
        ("payload", ordered(one.get("payload"))),
        ("answer", _event(answer, iso) if answer else None),
        ("attachments", [_file(part) for part in files(one)]),
        ("history", [_event(event, iso) for event in one.get("history") or []]),
    )
    return dumps(made) + "\n"


def files(one):
    listed = one.get("attachments")
    return listed if isinstance(listed, list) else []


def _file(part):
    return (
        ("id", part["id"]),
        ("name", part.get("name") or None),
        ("type", part.get("type") or None),
        ("size", part.get("size")),
    )


def _event(event, iso):
    pairs = [("at", iso(event.get("at")))]
    if event.get("ended_at"):
        pairs.append(("ended_at", iso(event["ended_at"])))
    keys = ("n", "outcome", "status", "code", "text")
    pairs.extend([(key, event[key]) for key in keys if event.get(key) is not None])
    if event.get("fields"):
        pairs.append(("fields", ordered(event["fields"])))
    return tuple(pairs)


def ordered(value):
    """A payload in the order in which it is read."""
    if isinstance(value, dict):
        known = [key for key in words.READING_ORDER if key in value]
        keys = known + sorted([key for key in value if key not in known])
        return tuple([(key, ordered(value[key])) for key in keys])
    if isinstance(value, list):
        return [ordered(inner) for inner in value]
    return value


def dumps(value, before=""):
    """JSON, two blanks a level; a tuple of pairs is an object in that order."""
    inner = before + "  "
    if isinstance(value, tuple):
        lines = [inner + json.dumps(key) + ": " + dumps(one, inner) for key, one in value]
        return _block("{", lines, "}", before)
    if isinstance(value, list):
        return _block("[", [inner + dumps(one, inner) for one in value], "]", before)
    return json.dumps(value)


def _block(begin, lines, end, before):
    if not lines:
        return begin + end
    return begin + "\n" + ",\n".join(lines) + "\n" + before + end


def text(one, iso):
    """What a person would write into another form or a message."""
    kind = words.KINDS.get(one["kind"], (one["kind"],))[0]
    lines = [f"{kind}: {words.title(one)}", ""]
    lines.extend([f"{label}: {what}" for label, what in said(one)])
    names = [part.get("name") or "Attachment" for part in files(one)]
    if names:
        lines.extend(["", "Attachments: " + ", ".join(names)])
    answered = (one.get("answer") or {}).get("text")
    if answered:
        lines.extend(["", "The server said: " + answered])
    saved = "Saved " + (iso(one.get("created_at")) or "")
    lines.extend(["", "{}, id {}".format(saved.strip(), one["id"])])
    return "\n".join(lines) + "\n"


def said(one):
    """``[(label, text)]`` of what an item says; of one that comes of another, which that is."""
    payload = one.get("payload") or {}
    if one["kind"] == "attachment":
        pairs = [("File", payload.get("name")), ("Belongs to", payload.get("title"))]
        return [(label, text) for label, text in pairs if text]
    if one["kind"] == "sweep":
        return []
    return rows(payload)


def rows(payload):
    """``[(label, text)]`` of what a payload says, in reading order, nothing that is empty."""
    found = []
    for key, value in ordered(payload):
        if isinstance(payload[key], dict):
            found.extend(rows(payload[key]))
        elif isinstance(value, list):
            found.append((words.label(key), ", ".join([_plain(part) for part in payload[key]])))
        elif value not in (None, ""):
            told = str(value)
            if key in ("category", "severity"):
                told = told[:1].upper() + told[1:]
            found.append((words.label(key), told))
    return found


def _plain(value):
    return value if isinstance(value, str) else json.dumps(value)

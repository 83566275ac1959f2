"""What the destination takes, checked at the field and offline: required, choices, lengths. Pure.

`BUILT_IN` stands in until the engine has told what the gateway last said. Field names are those of
the payload (docs/formats.md); the form's fields carry them too (``user.name`` for nested ones).
"""

from app import words

ATTACHMENT_BYTES_MAX = 100_000_000
ATTACHMENTS_MAX = 20

BUILT_IN = {
    "destinations": [
        {
            "name": "inbox",
            "title": "Gateway",
            "kinds": ["ticket", "feedback"],
            "limits": {
                "attachment_bytes": ATTACHMENT_BYTES_MAX,
                "attachments": ATTACHMENTS_MAX,
            },
            "fields": {
                "ticket": {
                    "required": ["summary"],
                    "choices": {},
                    "max_length": {
                        "summary": 200,
                        "description": 20000,
                        "category": 100,
                        "user.name": 200,
                        "user.email": 254,
                    },
                },
                "feedback": {
                    "required": ["rating", "comment"],
                    "choices": {},
                    "max_length": {"comment": 5000, "userName": 200},
                },
            },
        }
    ]
}

SEVERITIES = ("low", "medium", "high", "critical")
CATEGORIES = ("hardware", "software", "network", "access", "building", "other")

#: A field that takes more than this is written on several lines.
LINE_CHARACTERS_MAX = 500

#: Words at the field, by payload name.
NEEDED = {
    "summary": "Say in a few words what it is about.",
    "rating": "Choose 1 to 5.",
    "comment": "Say what you think in a few words.",
    "destination": "Choose where it belongs.",
}


#: The gateway's own, which is meant where a capture names none.
INBOX = "inbox"
#: What a form calls the item's own settings: a payload's field of that name is asked for under
#: another one.
_TAKEN = ("priority", "destination")
_PAYLOAD = "payload."
#: What the device says of itself goes with every item, under this name.
FACTS = {"ticket": "systemInfo", "feedback": "context"}


def destinations(catalogue, kind):
    """Those that take this kind; the built-in one where the catalogue names none."""
    given = (catalogue or {}).get("destinations") or []
    if (catalogue or {}).get("home") == "unknown":  # the gateway may have more than these
        given = BUILT_IN["destinations"] + given
    fit = [one for one in given if kind in (one.get("kinds") or [])]
    return fit or BUILT_IN["destinations"]


def destination(catalogue, kind, name=None):
    fit = destinations(catalogue, kind)
    for one in fit:
        if one.get("name") == (name or INBOX):
            return one
    # One that is not there any more: what the kind itself asks for.
    return fit[0] if name in (None, "", INBOX) else BUILT_IN["destinations"][0]


def offered(catalogue, kind, name):
    """Whether this one takes the kind."""
    return name in [one.get("name") for one in destinations(catalogue, kind)]


def meant(catalogue, kind, name, remembered=None):
    """Where an item goes: what was chosen, else what was chosen last; "" where somebody has to
    choose."""
    for known in (name, remembered):
        if known and offered(catalogue, kind, known):
            return known
    fit = destinations(catalogue, kind)
    return fit[0]["name"] if len(fit) == 1 else ""


def title(catalogue, name):
    """What people call the destination behind the gateway; None of the gateway's own inbox."""
    if name in (None, INBOX):
        return None
    for one in (catalogue or {}).get("destinations") or []:
        if one.get("name") == name:
            return one.get("title") or name
    return name


def goes_to(row):
    """The name of the destination of a row of the queue."""
    return row.get("destination") or INBOX


def tell(catalogue, row):
    """Write into a row of the queue, as ``to``, what its destination is called."""
    row["to"] = title(catalogue, row.get("destination"))
    return row


def names(catalogue):
    """(name, title) of all that something can be sent to."""
    given = (catalogue or {}).get("destinations") or []
    return [(one["name"], one.get("title") or one["name"]) for one in given]


def rules(catalogue, kind, name=None):
    """``{"required", "choices", "max_length", "labels"}`` for one kind, each present; what the kind
    itself asks for is never less."""
    given = (destination(catalogue, kind, name).get("fields") or {}).get(kind) or {}
    known = BUILT_IN["destinations"][0]["fields"].get(kind) or {}
    required = list(known.get("required") or [])
    required.extend([path for path in given.get("required") or [] if path not in required])
    lengths = dict(known.get("max_length") or {})
    most = given.get("max_length") or {}
    for path in most:
        lengths[path] = min(most[path], lengths.get(path, most[path]))
    return {
        "required": required,
        "choices": given.get("choices") or {},
        "max_length": lengths,
        "labels": given.get("labels") or {},
    }


def limits(catalogue, kind, name=None):
    """``{"attachment_bytes", "attachments", "title"}``; 0 attachments: it takes no files."""
    one = destination(catalogue, kind, name)
    given = one.get("limits") or {}
    most, number = given.get("attachment_bytes"), given.get("attachments")
    return {
        "attachment_bytes": ATTACHMENT_BYTES_MAX if most is None else most,
        "attachments": ATTACHMENTS_MAX if number is None else number,
        "title": one.get("title") or one["name"],
    }


def choices(catalogue, kind, field, name=None):
    """The values to choose from, in order."""
    given = rules(catalogue, kind, name)["choices"].get(field)
    if given:
        return list(given)
    return list({"severity": SEVERITIES, "category": CATEGORIES}.get(field, ()))


def input_name(path):
    """What the input for this field of a payload is called in a form."""
    return _PAYLOAD + path if path in _TAKEN else path


def path_of(name):
    """The inverse; None for what is no field of the payload."""
    if name in _TAKEN:
        return None
    return name[len(_PAYLOAD) :] if name.startswith(_PAYLOAD) else name


def further(catalogue, kind, name, known, facts=None):
    """Fields that the destination requires and that a form with the inputs ``known`` has not, and
    the device does not fill in: ``[{path, name, label, type, options, most}]``; ``type`` is choice,
    text or line."""
    rule, found = rules(catalogue, kind, name), []
    for path in rule["required"]:
        mine = input_name(path)
        if mine in known or path == FACTS.get(kind) or _in_facts(kind, path, facts):
            continue
        values = rule["choices"].get(path)
        most = rule["max_length"].get(path)
        long = most is not None and most > LINE_CHARACTERS_MAX
        options = [(str(value), _said(value)) for value in values] if values else None
        found.append(
            {
                "path": path,
                "name": mine,
                "label": rule["labels"].get(path) or words.label(path.split(".")[-1]),
                "type": "choice" if values else "text" if long else "line",
                "options": options,
                "most": most,
            }
        )
    return found


def _said(value):
    text = str(value)
    return text[:1].upper() + text[1:]


def _in_facts(kind, path, facts):
    first, _, rest = path.partition(".")
    value = facts if first == FACTS.get(kind) and rest else None
    for part in rest.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value not in (None, "")


def typed(catalogue, kind, name, path, text):
    """What was chosen as the catalogue has it: a number stays one."""
    for value in rules(catalogue, kind, name)["choices"].get(path) or []:
        if str(value) == text:
            return value
    return text


def check(catalogue, kind, values, facts=None):
    """``{input: words}`` for all that the destination would refuse; empty when nothing. ``facts``:
    what the device says of itself."""
    wrong, name = {}, values.get("destination")
    if not name and not meant(catalogue, kind, name):
        wrong["destination"] = NEEDED["destination"]
    rule = rules(catalogue, kind, name)
    for path in rule["required"]:
        if path == FACTS.get(kind) or _in_facts(kind, path, facts):
            continue
        if not (values.get(input_name(path)) or "").strip():
            wrong[input_name(path)] = NEEDED.get(path) or "This is needed here."
    for path in rule["max_length"]:
        most = rule["max_length"][path]
        over = len(values.get(input_name(path)) or "") - most
        if over > 0:
            wrong[input_name(path)] = f"At most {most} characters: {over} too many."
    for path in rule["choices"]:
        value = values.get(input_name(path)) or ""
        if value and value not in [str(choice) for choice in rule["choices"][path]]:
            wrong[input_name(path)] = "This choice is not offered here. Choose another."
    email = (values.get("user.email") or "").strip()
    if email and not looks_like_email(email):
        wrong["user.email"] = "This does not look like an address: name@example.org."
    return wrong


def looks_like_email(text):
    """Something, one @, something: more would refuse addresses that exist."""
    name, at, host = text.partition("@")
    return bool(name and at and host) and " " not in text and "@" not in host

"""What the destination takes, checked at the field and offline: required, choices, lengths. Pure.

`BUILT_IN` stands in until the engine has told what the gateway last said. Field names are those of
the payload (docs/formats.md); the form's fields carry them too (``user.name`` for nested ones).
"""

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

#: Words at the field, by payload name.
NEEDED = {
    "summary": "Say in a few words what it is about.",
    "rating": "Choose 1 to 5.",
    "comment": "Say what you think in a few words.",
}


def destinations(catalogue, kind):
    """Those that take this kind; the built-in one where the catalogue names none."""
    given = (catalogue or {}).get("destinations") or []
    fit = [one for one in given if kind in (one.get("kinds") or [])]
    return fit or BUILT_IN["destinations"]


def destination(catalogue, kind, name=None):
    fit = destinations(catalogue, kind)
    for one in fit:
        if one.get("name") == name:
            return one
    return fit[0]


def rules(catalogue, kind, name=None):
    """``{"required", "choices", "max_length"}`` for one kind, each present."""
    given = (destination(catalogue, kind, name).get("fields") or {}).get(kind) or {}
    known = BUILT_IN["destinations"][0]["fields"].get(kind) or {}
    return {
        "required": given.get("required") or known.get("required") or [],
        "choices": given.get("choices") or {},
        "max_length": given.get("max_length") or known.get("max_length") or {},
    }


def limits(catalogue, kind, name=None):
    given = destination(catalogue, kind, name).get("limits") or {}
    return {
        "attachment_bytes": given.get("attachment_bytes") or ATTACHMENT_BYTES_MAX,
        "attachments": given.get("attachments") or ATTACHMENTS_MAX,
    }


def choices(catalogue, kind, field):
    """The values to choose from, in order."""
    given = rules(catalogue, kind)["choices"].get(field)
    if given:
        return list(given)
    return list({"severity": SEVERITIES, "category": CATEGORIES}.get(field, ()))


def check(catalogue, kind, values):
    """``{field: words}`` for all that the destination would refuse; empty when nothing."""
    wrong = {}
    rule = rules(catalogue, kind, values.get("destination"))
    for field in rule["required"]:
        if not (values.get(field) or "").strip():
            wrong[field] = NEEDED.get(field) or "This is needed here."
    for field in rule["max_length"]:
        over = len(values.get(field) or "") - rule["max_length"][field]
        if over > 0:
            wrong[field] = "At most {} characters: {} too many.".format(
                rule["max_length"][field], over
            )
    for field in rule["choices"]:
        value = values.get(field) or ""
        if value and value not in [str(choice) for choice in rule["choices"][field]]:
            wrong[field] = "This choice is not offered any more. Choose another."
    email = (values.get("user.email") or "").strip()
    if email and not looks_like_email(email):
        wrong["user.email"] = "This does not look like an address: name@example.org."
    return wrong


def looks_like_email(text):
    """Something, one @, something: more would refuse addresses that exist."""
    name, at, host = text.partition("@")
    return bool(name and at and host) and " " not in text and "@" not in host

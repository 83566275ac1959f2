"""ServiceNow's fields: the map that makes a record, and what an instance says of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .base import Discovered
from .fieldmap import FieldMap, Rule, needs, offers
from .records import choices_left, unplaced

_WHO = "Reported by: {user.name} {user.email}"
_WHERE = "Device: {systemInfo.deviceName} {systemInfo.osVersion} {systemInfo.architecture}"
#: Impact and urgency from the severity; the instance computes the priority of them.
DEFAULT_MAP: FieldMap = {
    "ticket": (
        Rule("short_description", "summary", most=160, required=True),
        Rule(
            "description",
            text="{description}\n\nCategory: {category}\nSeverity: {severity}\n"
            f"{_WHO}\n{_WHERE}\nSkills: {{skillResults}}",
        ),
        Rule(
            "impact",
            "severity",
            choices={"low": "3", "medium": "2", "high": "2", "critical": "1"},
        ),
        Rule(
            "urgency",
            "severity",
            choices={"low": "3", "medium": "2", "high": "1", "critical": "1"},
        ),
        Rule(
            "category",
            "category",
            choices={c: c for c in ("inquiry", "software", "hardware", "network", "database")},
        ),
        Rule("contact_type", value="self-service"),
    ),
    "feedback": (
        Rule("short_description", text="Feedback {rating}/5: {comment}", most=160, required=True),
        Rule("description", text="{comment}\n\nRating: {rating}\nFrom: {userName}\nOn: {skillId}"),
        Rule("impact", value="3"),
        Rule("urgency", value="3"),
        Rule("contact_type", value="self-service"),
    ),
}

#: Of an e-mail address, the characters that mean nothing in a query (a ``^`` would).
_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?`{|}~-]+@[\w.-]+", re.ASCII)


def reporter(payload: Mapping[str, Any]) -> dict[str, str]:
    """{"requester": e-mail address} of who reports; {} where there is none to ask for."""
    user = payload.get("user")
    email = user.get("email") if isinstance(user, dict) else None
    if isinstance(email, str) and _ADDRESS.fullmatch(email.strip()):
        return {"requester": email.strip()}
    return {}


def the_user(rows: Sequence[Mapping[str, Any]], email: str) -> str | None:
    """The ``sys_id`` of the one active user with this address among rows of ``sys_user``. An
    instance that did not understand the question gives others, and two are nobody."""
    if len(rows) != 1:
        return None
    (row,) = rows
    known = str(row.get("email") or "").casefold() == email.casefold()
    key = row.get("sys_id")
    if known and row.get("active") == "true" and isinstance(key, str) and key:
        return key
    return None


def discovered(
    maps: FieldMap,
    table: str,
    columns: Sequence[Mapping[str, Any]],
    values: Sequence[Mapping[str, Any]],
    requester: str,
) -> Discovered:
    """``columns``: rows of ``sys_dictionary``; ``values``: of ``sys_choice``; ``requester``: the
    field for whoever has the reporter's address. What is of another table than ``table`` and the
    one that all tasks are in is passed over."""
    tables = (table, "task")
    mine = [c for c in columns if c.get("name") in tables and c.get("element")]
    must = {str(c["element"]) for c in mine if str(c.get("mandatory")) == "true"}
    longest = {str(c["element"]): int(c["max_length"]) for c in mine if _digits(c)}
    offered: dict[str, set[str]] = {}
    for choice in values:
        if choice.get("name") in tables:
            offered.setdefault(str(choice.get("element")), set()).add(str(choice.get("value")))
    required, choices, lengths = {}, {}, {}
    notes: list[str] = []
    for kind, rules in maps.items():
        asked = (r.source for r in rules if r.source and r.to in must)
        required[kind] = tuple(dict.fromkeys([*needs(rules), *asked]))
        choices[kind] = {**offers(rules), **choices_left(rules, offered)}
        simple = [r for r in rules if r.source and not r.choices]
        lengths[kind] = {r.source: longest[r.to] for r in simple if r.to in longest}
        notes += unplaced(rules, offered)
        for name in sorted(must - {r.to for r in rules}):
            if name == requester:
                notes.append(
                    f"{name} is mandatory in {table}: of a reporter whose e-mail address no active "
                    "user has, nothing is taken."
                )
            elif name != "number" and not name.startswith("sys_"):
                notes.append(
                    f"{name} is mandatory in {table}, and nothing is mapped to it for {kind}."
                )
    return Discovered(required, choices, lengths, notes=tuple(dict.fromkeys(notes)))


def _digits(column: Mapping[str, Any]) -> bool:
    text = str(column.get("max_length") or "")
    return text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0

"""What the gateway's own inbox takes: the library's own table, so nothing is refused here that the
form let through while it was offline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.kinds import FEEDBACK, STANDARD, TICKET, Kinds

# Without the finer rules: whoever sends it has kept to them, or captured it before they were there.
_KINDS = Kinds(*(replace(kind, fields={}) for kind in STANDARD))
NAMES = tuple(kind.name for kind in STANDARD)

#: Offered, not enforced: a ticket captured a week ago may carry a category that is gone by now, and
#: people sort that out better than a refusal does.
_OFFERED = {
    "ticket": {"category": ("hardware", "software", "network", "access", "building", "other")},
    "feedback": {},
}


def describe() -> dict[str, Any]:
    """Kind -> its rules, as the catalogue's ``fields`` (docs/formats.md section 6)."""
    return {
        kind.name: {
            "required": list(kind.required),
            "choices": {
                path: list(values)
                for path, values in (*kind.choices.items(), *_OFFERED[kind.name].items())
            },
            "max_length": dict(kind.max_length),
        }
        for kind in (TICKET, FEEDBACK)
    }


def title(name: str, payload: dict[str, Any]) -> str:
    """What names it in a list."""
    return _KINDS.title(name, payload)


def wrong_fields(name: str, payload: dict[str, Any]) -> dict[str, str]:
    """Field -> what is wrong with it; empty when the payload is taken."""
    try:
        _KINDS.check(name, payload)
    except InvalidItem as invalid:
        return invalid.fields
    return {}

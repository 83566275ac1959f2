"""Kinds of work and what their payload must look like. Pure; a registry that hosts can extend.

The required fields are the least that every destination needs; a gateway's catalogue may ask for
more (docs/formats.md section 6), and the form checks that too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidItem
from .model import PRIORITIES


@dataclass(frozen=True, slots=True)
class Kind:
    """``required``: dotted payload fields that must be non-empty; ``choices``: allowed values;
    ``max_length``: characters; ``title``: the field that names an item in a list; ``priority_by``:
    (field, value -> priority); ``droppable``: may be given up unsent under load (never assumed)."""

    name: str
    title: str
    required: tuple[str, ...] = ()
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    max_length: Mapping[str, int] = field(default_factory=dict)
    priority_by: tuple[str, Mapping[Any, int]] | None = None
    droppable: bool = False


SEVERITIES = ("low", "medium", "high", "critical")

TICKET = Kind(
    "ticket",
    title="summary",
    required=("summary",),
    choices={"severity": SEVERITIES},
    max_length={
        "summary": 200,
        "description": 20_000,
        "category": 100,
        "user.name": 200,
        "user.email": 254,
    },
    priority_by=("severity", dict(zip(SEVERITIES, PRIORITIES.values(), strict=True))),
)
FEEDBACK = Kind(
    "feedback",
    title="comment",
    required=("rating", "comment"),
    choices={"rating": (1, 2, 3, 4, 5)},
    max_length={"comment": 5_000, "userName": 200},
)


def lookup(payload: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, None where there is none."""
    value: Any = payload
    if "." not in path and type(payload) is dict:
        return payload.get(path)
    for name in path.split("."):
        # dict first: isinstance with an abstract class costs ten times as much
        found = type(value) is dict or isinstance(value, Mapping)
        value = value.get(name) if found else None
    return value


class Kinds:
    """The kinds a queue knows. An unknown kind is allowed by name only after `register`."""

    def __init__(self, *kinds: Kind):
        self._kinds = {kind.name: kind for kind in kinds}

    def register(self, kind: Kind) -> None:
        self._kinds[kind.name] = kind

    def __contains__(self, name: str) -> bool:
        return name in self._kinds

    def droppable(self, name: str) -> bool:
        kind = self._kinds.get(name)
        return kind is not None and kind.droppable

    def check(self, name: str, payload: Any) -> Kind:
        """The kind, or `InvalidItem` with one sentence for each wrong field."""
        kind = self._kinds.get(name)
        if kind is None:
            raise InvalidItem(fields={"kind": f"is not known here: {name}"})
        if not isinstance(payload, Mapping):
            raise InvalidItem(fields={"payload": "must be an object"})
        wrong: dict[str, str] = {}
        for path in kind.required:
            value = lookup(payload, path)
            if value is None or (isinstance(value, str) and not value.strip()):
                wrong[path] = "is required"
        for path, allowed in kind.choices.items():
            value = lookup(payload, path)
            # bool is an int in Python, and 1.0 == 1: neither is a rating a person gave
            known = any(value == a and type(value) is type(a) for a in allowed)
            if value is not None and path not in wrong and not known:
                wrong[path] = "must be one of " + ", ".join(map(str, allowed))
        for path, most in kind.max_length.items():
            value = lookup(payload, path)
            if value is None or path in wrong:
                continue
            if not isinstance(value, str):
                wrong[path] = "must be text"
            elif len(value) > most:
                wrong[path] = f"has {len(value)} characters; at most {most} are allowed"
        if wrong:
            raise InvalidItem(fields=wrong)
        return kind

    def title(self, name: str, payload: Mapping[str, Any]) -> str:
        kind = self._kinds.get(name)
        value = lookup(payload, kind.title) if kind else None
        return " ".join(str(value or name).split())

    def priority(self, name: str, payload: Mapping[str, Any]) -> int:
        kind = self._kinds.get(name)
        if kind is None or kind.priority_by is None:
            return PRIORITIES["normal"]
        path, table = kind.priority_by
        return table.get(lookup(payload, path), PRIORITIES["normal"])


def standard_kinds() -> Kinds:
    return Kinds(TICKET, FEEDBACK)

"""What the payload of a kind must look like, and the registry that hosts can extend. Pure.

What a kind requires is the least that every destination needs; a gateway's catalogue may ask for
more (docs/formats.md section 6), and the form checks that too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .duplicates import RecordKey, value_at, values_at
from .errors import InvalidItem
from .model import PRIORITIES
from .moments import milliseconds

lookup = value_at

#: Type of a field -> (Python types, what it must be in words). A bool is no number.
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "text": ((str,), "must be text"),
    "integer": ((int,), "must be a whole number"),
    "number": ((int, float), "must be a number"),
    "boolean": ((bool,), "must be yes or no"),
    "object": ((dict,), "must be an object"),
    "list": ((list, tuple), "must be a list"),
    "time": ((int, str), "must be a point in time (RFC 3339 text, or milliseconds)"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One place of a payload. ``type``: a key of `_TYPES`; ``required``: wherever the object that
    holds it is there; ``least``, ``most``: of a number, of a text's characters, of a list's
    elements; ``pattern``: a regular expression that the whole text matches."""

    type: str = "text"
    required: bool = False
    least: float | None = None
    most: float | None = None
    pattern: str | None = None
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.type not in _TYPES:
            raise ValueError(f"a field's type is one of {', '.join(_TYPES)}")
        if self.pattern is not None:
            re.compile(self.pattern)

    def wrong(self, value: Any) -> str | None:
        """What is wrong with the value, as words behind the field's name."""
        if value is None or (self.required and isinstance(value, str) and not value.strip()):
            return "is required" if self.required else None
        types, sentence = _TYPES[self.type]
        if not isinstance(value, types) or (isinstance(value, bool) and self.type != "boolean"):
            return sentence
        if self.type == "time":
            return None if milliseconds(value) is not None else sentence
        if self.choices and value not in self.choices:
            return "must be one of " + ", ".join(map(str, self.choices))
        if isinstance(value, str | list | tuple):
            return self._wrong_length(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.least is not None and value < self.least:
                return f"must be at least {self.least:g}"
            if self.most is not None and value > self.most:
                return f"must be at most {self.most:g}"
        return None

    def _wrong_length(self, value: Any) -> str | None:
        what = "characters" if isinstance(value, str) else "entries"
        if self.most is not None and len(value) > self.most:
            return f"has {len(value)} {what}; at most {self.most:g} are allowed"
        if self.least is not None and len(value) < self.least:
            return f"has {len(value)} {what}; at least {self.least:g} are needed"
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            return "does not have the form it must have"
        return None


def _top(path: str) -> str:
    """The name of the payload's own member that the path leads through."""
    return path.partition(".")[0].partition("[")[0]


class _Place:
    """One member of a payload with all that ``fields`` says of it and of what is in it."""

    __slots__ = ("_below", "_deep", "_own", "_top")

    def __init__(self, top: str, fields: Mapping[str, Field]):
        inside = [(path, rule) for path, rule in fields.items() if _top(path) == top]
        self._top = top
        self._own = fields.get(top)
        #: (path, name in the member, rule): the common case, without a walk along the path.
        self._below = [
            (path, path[len(top) + 1 :], rule)
            for path, rule in inside
            if path.count(".") == 1 and "[" not in path
        ]
        near = {top, *(path for path, _, _ in self._below)}
        self._deep = [(path, rule) for path, rule in inside if path not in near]

    def look(self, payload: Mapping[str, Any], wrong: dict[str, str]) -> None:
        """Add to ``wrong`` what is wrong here, unless something else is wrong with it already."""
        value = payload.get(self._top)
        if self._own is not None and (found := self._own.wrong(value)) is not None:
            wrong.setdefault(self._top, found)
        if value is None:
            return  # nothing is in it
        if self._below and (type(value) is dict or isinstance(value, Mapping)):
            for path, name, rule in self._below:
                inner = value.get(name)
                if (found := rule.wrong(inner)) is not None:
                    wrong.setdefault(path, found)
        for path, rule in self._deep:
            for where, _, each in values_at(payload, path):
                if (found := rule.wrong(each)) is not None:
                    wrong.setdefault(where, found)


@dataclass(frozen=True, slots=True)
class Kind:
    """``required``: dotted payload fields that must be non-empty; ``choices``: allowed values;
    ``max_length``: characters; ``fields``: more about a place (``user.id``, ``steps[].name`` of
    each element); ``title``: the field that names an item in a list; ``priority_by``: (field, value
    -> priority); ``record``: when two payloads tell of the same event; ``droppable``: may be given
    up unsent under load (never assumed)."""

    name: str
    title: str
    required: tuple[str, ...] = ()
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    max_length: Mapping[str, int] = field(default_factory=dict)
    priority_by: tuple[str, Mapping[Any, int]] | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    record: RecordKey | None = None
    droppable: bool = False
    #: ``fields`` by the first name of their paths, taken apart once: each item passes here.
    _places: tuple[_Place, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tops = dict.fromkeys(_top(path) for path in self.fields)
        places = tuple(_Place(top, self.fields) for top in tops)
        object.__setattr__(self, "_places", places)  # frozen: this is the one way

    def wrong(self, payload: Mapping[str, Any], *, loosely: bool = False) -> dict[str, str]:
        """Field -> what is wrong with it; ``loosely``: without ``fields``."""
        wrong: dict[str, str] = {}
        for path in self.required:
            value = lookup(payload, path)
            if value is None or (isinstance(value, str) and not value.strip()):
                wrong[path] = "is required"
        for path, allowed in self.choices.items():
            value = lookup(payload, path)
            # bool is an int in Python, and 1.0 == 1: neither is a rating a person gave
            if value is None or path in wrong:
                continue
            if not any(value == a and type(value) is type(a) for a in allowed):
                wrong[path] = "must be one of " + ", ".join(map(str, allowed))
        for path, most in self.max_length.items():
            value = lookup(payload, path)
            if value is None or path in wrong:
                continue
            if not isinstance(value, str):
                wrong[path] = "must be text"
            elif len(value) > most:
                wrong[path] = f"has {len(value)} characters; at most {most} are allowed"
        for place in () if loosely else self._places:
            place.look(payload, wrong)
        return wrong


class Kinds:
    """The kinds a queue knows. An unknown kind is allowed by name only after `register`."""

    def __init__(self, *kinds: Kind):
        self._kinds = {kind.name: kind for kind in kinds}

    def register(self, kind: Kind) -> None:
        """Know one more kind, or another definition of one that is known."""
        self._kinds[kind.name] = kind

    def __contains__(self, name: str) -> bool:
        return name in self._kinds

    def get(self, name: str) -> Kind | None:
        return self._kinds.get(name)

    def droppable(self, name: str) -> bool:
        kind = self._kinds.get(name)
        return kind is not None and kind.droppable

    def check(self, name: str, payload: Any, *, loosely: bool = False) -> Kind:
        """The kind, or `InvalidItem` with one sentence for each wrong field.

        ``loosely``: for what a person has saved already, maybe before the finer rules were there.
        """
        kind = self._kinds.get(name)
        if kind is None:
            raise InvalidItem(fields={"kind": f"is not known here: {name}"})
        if not isinstance(payload, Mapping):
            raise InvalidItem(fields={"payload": "must be an object"})
        wrong = kind.wrong(payload, loosely=loosely)
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

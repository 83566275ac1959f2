"""Field maps: what of a payload goes where in a destination's record. Data, so that an
administrator can change it without a line of code (docs/destinations.md).

A map is a list of rules for each kind. Pure; checked when it is read, and every mistake is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fieldpost.engine.duplicates import value_at
from fieldpost.engine.errors import ConfigError, InvalidItem
from fieldpost.engine.model import Item

#: What a rule may ask of the item itself, besides the payload's own fields.
ITEM_FIELDS = ("@id", "@send_id", "@kind", "@created_at")
_PLACE = re.compile(r"\{([^{}]+)\}")
_RULE = frozenset({"to", "from", "text", "value", "choices", "otherwise", "max", "required"})
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Rule:
    """One field of the destination's record.

    ``to``: its name, with dots for one inside another; and one of: ``source``, a field of the
    payload (dots likewise) or one of `ITEM_FIELDS`; ``text``, with ``{field}`` in it, of which a
    line is left out when all its fields are empty; ``value``, always the same. ``choices``: ours ->
    theirs; ``otherwise``: theirs for what is not among them, or not given (None: left out).
    ``most``: characters, what is longer is cut; ``required``: refused when it is empty.
    """

    to: str
    source: str = ""
    text: str = ""
    value: Any = None
    choices: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Any = None
    most: int | None = None
    required: bool = False

    def of(self, item: Item, payload: Mapping[str, Any]) -> Any:
        """The value for the record; None: left out."""
        if self.value is not None:
            return self.value
        if self.text:
            found: Any = _filled(self.text, item, payload)
        else:
            found = _asked(self.source, item, payload)
        if self.choices:
            given = found not in (None, "")
            found = self.choices.get(str(found), self.otherwise) if given else self.otherwise
        if isinstance(found, str):
            found = found.strip()
            if self.most is not None and len(found) > self.most:
                found = found[: self.most - 1] + "…"
        return None if found in (None, "") else found


#: Kind -> its rules.
FieldMap = Mapping[str, Sequence[Rule]]


def render(rules: Sequence[Rule], item: Item, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The record's fields. Raises `InvalidItem` with the payload's fields that are missing."""
    record: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for rule in rules:
        value = rule.of(item, payload)
        if value is None:
            if rule.required:
                missing[rule.source or rule.to] = "is required by the destination"
            continue
        *path, last = rule.to.split(".")
        place = record
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    if missing:
        raise InvalidItem(fields=missing)
    return record


def read_map(given: Mapping[str, Any], defaults: FieldMap) -> FieldMap:
    """``defaults`` with the rules of a configuration: {kind: [{"to", "from" or "text" or "value",
    "choices"?, "otherwise"?, "max"?, "required"?}]}. A rule takes the place of the default one with
    the same ``to``; one with nothing but ``to`` takes it away.

    Raises `ConfigError` with every mistake under ``<kind>[<n>]``.
    """
    wrong: dict[str, str] = {}
    result = {kind: list(rules) for kind, rules in defaults.items()}
    for kind, rules in given.items():
        mine = result.setdefault(kind, [])
        if not isinstance(rules, Sequence) or isinstance(rules, str):
            wrong[kind] = "must be a list of rules"
            continue
        for n, raw in enumerate(rules):
            try:
                rule = _rule(raw)
            except ValueError as error:
                wrong[f"{kind}[{n}]"] = str(error)
                continue
            places = [at for at, other in enumerate(mine) if other.to == rule.to]
            for at in reversed(places):
                del mine[at]
            if rule.source or rule.text or rule.value is not None:
                mine.insert(places[0] if places else len(mine), rule)
    if wrong:
        raise ConfigError(fields=wrong)
    return result


def needs(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The payload's fields without which there is no record."""
    return tuple(rule.source for rule in rules if rule.required and rule.source)


def texts_of(rule: Rule) -> list[str]:
    """What the rule's text asks for, in order: fields of the payload and `ITEM_FIELDS`."""
    return _PLACE.findall(rule.text)


def offers(rules: Sequence[Rule]) -> dict[str, tuple[str, ...]]:
    """The payload's fields of which only some values have a place in the record: what the form may
    offer. A field that is also written out in a text loses nothing, so it is free."""
    written = {name for rule in rules for name in texts_of(rule)}
    return {
        rule.source: tuple(rule.choices)
        for rule in rules
        if rule.choices and rule.otherwise is None and rule.source not in written
    }


def _rule(raw: Any) -> Rule:
    """Raises `ValueError` with what is wrong, in words."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("to"), str) or not raw["to"]:
        raise ValueError("must be an object that names a field in 'to'")
    if unknown := sorted(set(raw) - _RULE):
        raise ValueError(f"has {unknown[0]!r}, which is not known")
    if len(raw["to"].split(".")) > _DEEPEST or not all(raw["to"].split(".")):
        raise ValueError("must name a field in 'to', with single dots")
    if sum(name in raw for name in ("from", "text", "value")) > 1:
        raise ValueError("must have one of 'from', 'text' and 'value'")
    source, text = raw.get("from", ""), raw.get("text", "")
    if not isinstance(source, str) or not isinstance(text, str):
        raise ValueError("must have text in 'from' and 'text'")
    asked = [source] if source else _PLACE.findall(text)
    if bad := [name for name in asked if name.startswith("@") and name not in ITEM_FIELDS]:
        raise ValueError(f"asks for {bad[0]!r}; of an item there is {', '.join(ITEM_FIELDS)}")
    choices, most = raw.get("choices", {}), raw.get("max")
    if not isinstance(choices, Mapping):
        raise ValueError("must have an object in 'choices'")
    if most is not None and (type(most) is not int or most < 1):
        raise ValueError("must have a number of characters in 'max'")
    return Rule(
        raw["to"],
        source,
        text,
        raw.get("value"),
        dict(choices),
        raw.get("otherwise"),
        most,
        bool(raw.get("required", False)),
    )


def _asked(name: str, item: Item, payload: Mapping[str, Any]) -> Any:
    if name == "@id":
        return item.id
    if name == "@send_id":
        return item.send_id
    if name == "@kind":
        return item.kind
    if name == "@created_at":
        return item.created_at
    return value_at(payload, name)


def _filled(text: str, item: Item, payload: Mapping[str, Any]) -> str:
    lines = []
    for line in text.split("\n"):
        pieces = _PLACE.split(line)  # text, name, text, name, ..., text
        pieces[1::2] = [_written(_asked(name, item, payload)) for name in pieces[1::2]]
        if len(pieces) == 1 or any(pieces[1::2]):
            lines.append("".join(pieces))
    return "\n".join(lines).strip()


def _written(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool | int | float):
        return str(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)

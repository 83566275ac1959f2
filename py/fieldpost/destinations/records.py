"""What the adapters of ticket systems share besides the field map itself: the texts that people
read over there, the way back from a system's field names to the payload's, and files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import Item
from fieldpost.ports import Manifest

from .base import Discovered
from .fieldmap import FieldMap, Rule, offers, texts_of

#: All that a ticket and a feedback hold for people, for a system's one long text. A line without
#: anything in it is left out; the last one always stands, so the text is never empty.
TICKET_TEXT = """{description}

Severity: {severity}
Category: {category}
Reported by: {user.name} {user.email} {user.id}
Device: {systemInfo.deviceName} {systemInfo.osVersion} {systemInfo.architecture}
Diagnostics: {skillResults}
Reference: {@id}"""
FEEDBACK_TEXT = """{comment}

Rating: {rating} of 5
From: {userName} {userId}
About: {skillId}
Context: {context}
Reference: {@id}"""


_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Described:
    """One field of a record, as the system describes it. ``to``: its name in the field map;
    ``label``: what people call it, "" where that is all; ``choices``: all values that it takes,
    None: any; ``length``: the most characters, None: not said."""

    to: str
    label: str
    required: bool = False
    choices: tuple[str, ...] | None = None
    length: int | None = None


def rules_for(fields: FieldMap, kind: str) -> Sequence[Rule]:
    """Raises `InvalidItem` where the map says nothing of the kind."""
    rules = fields.get(kind)
    if not rules:
        raise InvalidItem(fields={"kind": "has no place in the destination's field map"})
    return rules


def payload_name(rules: Sequence[Rule], theirs: str) -> str:
    """The payload's field that their field is made of; their own name where none is."""
    made: dict[str, str] = {}
    for rule in reversed(rules):  # of several the first counts
        names = [rule.source] if rule.source else texts_of(rule)
        if own := [name for name in names if not name.startswith("@")]:
            path = rule.to.split(".")
            made |= dict.fromkeys((path[-1], path[0], rule.to), own[0])
    return made.get(theirs, theirs)


def payload_fields(rules: Sequence[Rule], theirs: Mapping[str, str]) -> dict[str, str]:
    """What a system says of its fields, said of the payload's."""
    found: dict[str, str] = {}
    for name, text in theirs.items():
        ours = payload_name(rules, name)
        found[ours] = f"{found[ours]} {text}" if ours in found else text
    return found


def discovered(
    fields: FieldMap,
    described: Sequence[Described],
    *,
    file_bytes: int | None = None,
    notes: Sequence[str] = (),
) -> Discovered:
    """A system's description of its fields, in the payload's names; what the map does not fit is
    said in the notes."""
    found = Discovered(file_bytes=file_bytes)
    said = list(notes)
    for kind, rules in fields.items():
        free = {rule.source for rule in rules if rule.choices} - set(offers(rules))
        required: list[str] = []
        choices: dict[str, tuple[str, ...]] = {}
        length: dict[str, int] = {}
        for one in described:
            rule = next((rule for rule in rules if rule.to == one.to), None)
            if rule is None:
                if one.required:
                    said.append(unfilled(kind, one.to, one.label))
                continue
            said += _unfit(kind, rule, one)
            if not rule.source or rule.source.startswith("@"):
                continue
            if one.required and rule.source not in required:
                required.append(rule.source)
            if one.choices is not None and rule.choices:
                before = choices.get(rule.source, tuple(rule.choices))
                ours = _fitting(rule, before, one.choices)
                if rule.otherwise is None and (rule.source not in free or len(ours) < len(before)):
                    choices[rule.source] = ours
            elif one.choices is not None:
                before = choices.get(rule.source, one.choices)
                choices[rule.source] = _fitting(rule, before, one.choices)
            elif one.length is not None and (rule.most is None or rule.most > one.length):
                length[rule.source] = one.length
        found.required[kind] = tuple(required)
        found.choices[kind] = choices
        found.max_length[kind] = length
    return Discovered(found.required, found.choices, found.max_length, file_bytes, tuple(said))


def unfilled(kind: str, to: str, label: str = "") -> str:
    """The sentence on a field that has to be filled and never is."""
    return f"{_named(to, label)} must be filled, and no rule for {kind} does."


def _named(to: str, label: str) -> str:
    return f"{label} ({to})" if label else to


def _unfit(kind: str, rule: Rule, one: Described) -> list[str]:
    """What the rule may write and the field does not take."""
    if one.choices is None:
        return []
    name = _named(one.to, one.label)
    wrong = sorted(_written(rule) - set(one.choices))
    return [f"{name} has no {to!r}, which a rule for {kind} gives." for to in wrong]


def _written(rule: Rule) -> set[str]:
    """All that a rule may write of itself, as text."""
    may = (rule.value, rule.otherwise, *rule.choices.values())
    return {str(to) for to in may if type(to) in (str, int)}


def _fitting(rule: Rule, ours: Iterable[str], offered: Iterable[str]) -> tuple[str, ...]:
    """Those of our values that the rule leaves out, or writes as something that is offered."""
    there = set(offered)
    return tuple(
        each
        for each in ours
        if (rule.choices and each not in rule.choices) or str(rule.choices.get(each, each)) in there
    )


def choices_left(rules: Sequence[Rule], offered: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Payload field -> the values of it that have a place among what is ``offered`` (by ``to``),
    where the form has to know: of a field that is written out in a text too, nothing is lost, and
    what a rule with an `otherwise` has no place for is written as that."""
    bound = offers(rules)
    left: dict[str, tuple[str, ...]] = {}
    for rule in rules:
        if rule.to not in offered or rule.source not in bound or rule.otherwise is not None:
            continue
        before = left.get(rule.source, bound[rule.source])
        left[rule.source] = _fitting(rule, before, offered[rule.to])
    return left


def unplaced(rules: Sequence[Rule], offered: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Sentences on what the map would write that the vendor does not offer."""
    notes = []
    for rule in rules:
        if rule.to not in offered:
            continue
        gone = sorted(_written(rule) - set(offered[rule.to]))
        if gone:
            notes.append(f"{rule.to} does not offer {', '.join(gone)}, which the map would write.")
    return tuple(notes)


# --- files ----------------------------------------------------------------------------------------


def taken_for_it(item: Item, manifest: Manifest) -> int:
    """How many other files of the item are there already that may look like this one: where names
    and sizes are all that can be compared, only what is there more often is this one. (A file twice
    is better than a file lost.)"""
    others = (a for a in item.attachments if a.id != manifest.id and a.size == manifest.size)
    return sum(a.done for a in others)


def media_type(manifest: Manifest) -> str:
    """Of a file, as it may stand in a header."""
    return manifest.type if _MEDIA_TYPE.fullmatch(manifest.type) else "application/octet-stream"

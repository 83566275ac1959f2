"""What Jira says of a project's create screen, in the payload's own names. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Discovered
from .fieldmap import FieldMap, Rule, needs, offers
from .records import choices_left, unplaced

#: Written by the adapter itself, or by Jira.
_OURS = frozenset({"project", "issuetype", "labels"})
#: What Jira takes of a summary.
SUMMARY_MAX = 255


def issue_type_id(answer: dict[str, Any], name: str) -> str | None:
    """Of the answer to ``createmeta/<project>/issuetypes``, of either API."""
    for kind in _listed(answer, "issueTypes"):
        if kind.get("name") == name and kind.get("id") is not None:
            return str(kind["id"])
    return None


def discovered(maps: FieldMap, screen: dict[str, Any], files: dict[str, Any]) -> Discovered:
    """``screen``: the answer to ``createmeta/<project>/issuetypes/<id>``; ``files``: to
    ``attachment/meta``."""
    fields = {
        str(f.get("fieldId") or f.get("key")): f
        for f in _listed(screen, "fields")
        if f.get("fieldId") or f.get("key")
    }
    must = {
        name
        for name, f in fields.items()
        if f.get("required") is True and f.get("hasDefaultValue") is not True
    }
    required, choices, lengths = {}, {}, {}
    notes: list[str] = []
    for kind, rules in maps.items():
        offered = {rule.to: _values(rule, fields) for rule in rules if _root(rule) in fields}
        offered = {to: values for to, values in offered.items() if values}
        asked = (r.source for r in rules if r.source and _root(r) in must)
        required[kind] = tuple(dict.fromkeys([*needs(rules), *asked]))
        choices[kind] = {**offers(rules), **choices_left(rules, offered)}
        lengths[kind] = {r.source: SUMMARY_MAX for r in rules if r.to == "summary" and r.source}
        notes += unplaced(rules, offered)
        notes += _missing(kind, rules, fields, must)
    limit = files.get("uploadLimit")
    if files.get("enabled") is False:
        notes.append("Attachments are switched off in this Jira: every file would be refused.")
    return Discovered(
        required,
        choices,
        lengths,
        limit if type(limit) is int and limit > 0 else None,
        tuple(dict.fromkeys(notes)),
    )


def _missing(kind: str, rules: Sequence[Rule], fields: dict[str, Any], must: set[str]) -> list[str]:
    mapped = {_root(rule) for rule in rules}
    return [
        *(
            f"{name} is not on the create screen, so what is mapped to it would be refused."
            for name in sorted(mapped - set(fields) - _OURS)
        ),
        *(
            f"{fields[name].get('name') or name} is required, and nothing is mapped to it "
            f"for {kind}."
            for name in sorted(must - mapped - _OURS)
        ),
        *(
            "The label field is not on the create screen: without it no issue can be made."
            for _ in range("labels" not in fields)
        ),
    ]


def _values(rule: Rule, fields: dict[str, Any]) -> list[str]:
    """What the rule's field may hold: of ``priority.name`` the names of the priorities."""
    allowed = fields[_root(rule)].get("allowedValues")
    names = ("name", "value") if "." not in rule.to else (rule.to.rpartition(".")[2],)
    return [
        str(value[name])
        for value in (allowed if isinstance(allowed, list) else [])
        for name in names
        if isinstance(value, dict) and value.get(name) is not None
    ]


def _root(rule: Rule) -> str:
    return rule.to.split(".")[0]


def _listed(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The entries of a page: the cloud names them, a data centre calls them values."""
    found = answer.get(name, answer.get("values"))
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

"""A destination's entry in the catalogue that forms go by (docs/formats.md section 6). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fieldpost.engine.kinds import STANDARD, Kinds
from fieldpost.engine.limits import (
    ATTACHMENT_BYTES_MAX,
    ATTACHMENTS_PER_ITEM_MAX,
    PAYLOAD_BYTES_MAX,
)

from .base import Declaration, Destination, Discovered
from .fieldmap import FieldMap, Rule, needs, offers

_KINDS = Kinds(*STANDARD)


def taken(declared: Declaration) -> frozenset[str]:
    """The kinds of work that it takes."""
    if declared.kinds is not None:
        return declared.kinds
    return frozenset(kind.name for kind in STANDARD)


def field_map(destination: Destination) -> FieldMap:
    """Empty of a destination that has none."""
    return getattr(destination, "fields", None) or {}


def entry(
    name: str, title: str, destination: Destination, said: Discovered, state: str
) -> dict[str, Any]:
    """``said``: what the destination says of itself, as last heard; ``state``: of its lane."""
    declared, mapped = destination.declaration, field_map(destination)
    sizes = (declared.file_bytes, said.file_bytes, ATTACHMENT_BYTES_MAX)
    most = min(size for size in sizes if size is not None)
    kinds = sorted(taken(declared))
    return {
        "name": name,
        "title": title,
        "kinds": kinds,
        "guarantee": said.weaker or declared.guarantee,
        "state": state,
        "limits": {
            "payload_bytes": PAYLOAD_BYTES_MAX,
            "attachment_bytes": most if declared.attachments else 0,
            "attachments": ATTACHMENTS_PER_ITEM_MAX if declared.attachments else 0,
        },
        "fields": {kind: _fields(kind, mapped.get(kind, ()), said) for kind in kinds},
    }


def _fields(kind: str, rules: Sequence[Rule], said: Discovered) -> dict[str, Any]:
    """What the kind itself wants, the map to the destination, and the destination."""
    known = _KINDS.get(kind)
    needed = [
        *(known.required if known else ()),
        *needs(rules),
        *said.required.get(kind, ()),
    ]
    required = [name for name in needed if not name.startswith("@")]  # those nobody fills in
    choices = {
        **(known.choices if known else {}),
        **offers(rules),
        **said.choices.get(kind, {}),
    }
    lengths = dict(known.max_length if known else {})
    for name, most in said.max_length.get(kind, {}).items():
        lengths[name] = min(most, lengths.get(name, most))
    return {
        "required": list(dict.fromkeys(required)),
        # Where nothing is left the map does not fit, and the notes say so to an administrator. A
        # form with an empty list would refuse whatever is chosen, so nobody could even save.
        "choices": {name: list(values) for name, values in choices.items() if values},
        "max_length": lengths,
    }

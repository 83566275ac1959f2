"""What people wanted of their items, kept apart from what the product stores: the measure for what
arrives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Wish:
    """One item as somebody saved it. ``versions``: the payloads that were ever given for it, the
    first and one for each edit that was begun; ``entity`` in clear; ``expires_at``: ms;
    ``lanes``: the one that it takes, or those of the savings of which one wins."""

    entity: str | None = None
    parents: tuple[str, ...] = ()
    cancel_with_parent: bool = False
    expires_at: int | None = None
    versions: list[dict[str, Any]] = field(default_factory=list)
    lanes: set[str] = field(default_factory=set)


#: Item id -> wish.
Wishes = dict[str, Wish]


def wish_of(data: Mapping[str, Any]) -> Wish:
    """Of the options of `Queue.enqueue`, which are those of a capture too."""
    return Wish(
        entity=data.get("entity"),
        parents=tuple(data.get("depends_on", ())),
        cancel_with_parent=data.get("on_parent_failed") == "cancel",
        expires_at=data.get("expires_at"),
    )


def with_names(value: Any, names: Mapping[str, str]) -> Any:
    """``value`` with each ``{"$ref": id}`` in it replaced by the name that the destination gave
    that item; one without a name stays."""
    if isinstance(value, dict):
        if set(value) == {"$ref"}:
            return names.get(value["$ref"], value)
        return {key: with_names(inner, names) for key, inner in value.items()}
    return [with_names(inner, names) for inner in value] if isinstance(value, list) else value


@dataclass(slots=True)
class Expected:
    """What people wanted, and how items may end. ``by_hand``: a person took it back or gave it up;
    ``broken``: its files were lost on the device; ``mended``: an edit took away what the gateway
    refuses, if it came in time."""

    wishes: Wishes = field(default_factory=dict)
    poison: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    by_hand: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    mended: set[str] = field(default_factory=set)

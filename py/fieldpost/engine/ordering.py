"""Order where it matters: rows of one entity, parents before children (invariant 6). Pure.

Rows of an entity stand in line while they are open or failed. Only the first of the line may be
sent: a row under way comes before one that is not, then the earlier sequence comes first. So a
failed row keeps those behind it, until a person acts; a row that was cancelled and is restored
takes its old place before those that have not been begun, and waits for one that has been.
A child waits until all its parents are completed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .canonical import canonical
from .model import Item
from .record import dump
from .transitions import END_STATES, OPEN_STATES, State

#: States in which a row keeps those of its entity behind it.
IN_LINE = OPEN_STATES | {State.FAILED}
_UNDER_WAY = frozenset({State.IN_PROGRESS, State.UNKNOWN, State.HANDED_OVER})
#: A parent in one of these will not be sent, unless a person acts.
GIVEN_UP = END_STATES - {State.COMPLETED}

PARENTS_MAX = 100
#: Rows looked at for a circle of parents; chains of people's work are a few rows long.
ANCESTORS_MAX = 1_000

_LAST = 2**62
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def under_way(item: Item) -> bool:
    """Whether something of it may have been sent, and the end has not come."""
    begun = item.attempt > 0 or item.step > 0
    return item.state in _UNDER_WAY or (item.state is State.PENDING and begun)


def standing(items: Iterable[Item], fresh: Collection[str]) -> list[Item]:
    """The rows that stand in line, in order; new ones, without a sequence yet, last and as given.

    ``fresh``: ids of rows that take their place only now: whatever was tried of them before counts
    no more.
    """
    placed = [
        (1 if item.id in fresh else place, item.sequence or _LAST, at, item)
        for at, item in enumerate(items)
        if (place := turn(item)) is not None
    ]
    return [item for *_, item in sorted(placed, key=lambda entry: entry[:3])]


def turn(item: Item) -> int | None:
    """Place in its entity's line before the sequence: 0 under way, 1 not; None: not in line."""
    if item.entity is None or item.state not in IN_LINE:
        return None
    return 0 if under_way(item) else 1


def may_expire(item: Item) -> bool:
    """Whether its ``expires_at`` counts: it waits, and nothing of it has arrived for certain. What
    may have arrived (``unknown``) does not end by a clock."""
    waits = item.state is State.PENDING or item.state is State.BLOCKED
    return item.expires_at is not None and waits and item.step == 0


def has_expired(item: Item, now: int) -> bool:
    return may_expire(item) and (item.expires_at or 0) <= now


# --- parents --------------------------------------------------------------------------------------


def parents_wrong(item_id: str, parents: object) -> str | None:
    """What is wrong with a ``depends_on`` as it was given; None when it can be looked up."""
    if not isinstance(parents, list | tuple) or not all(isinstance(id_, str) for id_ in parents):
        return "must be a list of ids"
    if len(parents) > PARENTS_MAX:
        return f"are {len(parents)}; at most {PARENTS_MAX} are allowed"
    if not all(_UUID.fullmatch(id_) for id_ in parents):
        return "must be lower-case UUIDs"
    return "names the item itself" if item_id in parents else None


def in_circle(
    item_id: str, parents: Iterable[str], parents_of: Mapping[str, Iterable[str]]
) -> bool:
    """Whether ``item_id`` would, over any number of others, wait for itself."""
    seen: set[str] = set()
    left = list(parents)
    while left:
        ancestor = left.pop()
        if ancestor == item_id:
            return True
        if ancestor not in seen:
            seen.add(ancestor)
            left.extend(parents_of.get(ancestor, ()))
    return False


# --- the sealed part ``links`` --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Links:
    """What a row knows of others: its entity in clear, and what its parents are called over there.

    ``remote``: parent id -> its id at the destination, "" when the destination gave it none.
    """

    entity: str | None = None
    remote: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> bytes:
        return dump({"entity": self.entity, "remote": dict(self.remote)})

    @classmethod
    def load(cls, data: bytes | None) -> Links:
        value = json.loads(data) if data else {}
        return cls(value.get("entity"), value.get("remote") or {})

    def with_parent(self, parent_id: str, remote_id: str | None) -> Links:
        return replace(self, remote={**self.remote, parent_id: remote_id or ""})


def resolved(body: bytes, links: bytes | None) -> bytes:
    """The canonical payload with each ``{"$ref": "<parent id>"}`` in it replaced by what the
    destination calls that parent; references to anything else stay as they are."""
    remote = {id_: name for id_, name in Links.load(links).remote.items() if name}
    if not remote or b'"$ref"' not in body:
        return body

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            if value.keys() == {"$ref"} and value["$ref"] in remote:
                return remote[value["$ref"]]
            return {name: walk(inner) for name, inner in value.items()}
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    return canonical(walk(json.loads(body)))

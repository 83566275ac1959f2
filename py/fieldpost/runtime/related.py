"""What a new item says of others: its entity, its parents, and what is known of them already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.ordering import ANCESTORS_MAX, Links, in_circle, parents_wrong
from fieldpost.ports import Store

from .ordering import Write

#: As given -> as stored. The default is not stored.
_ON_PARENT_FAILED = {"block": None, "cancel": "cancel"}
_ENTITY_MAX = 500


@dataclass(frozen=True, slots=True)
class Relations:
    """``links``: the sealed part, None for an item that has to do with no other."""

    parents: tuple[str, ...]
    on_parent_failed: str | None
    links: Links | None


#: What an item says of others, and what most items say.
_RELATED = frozenset({"entity", "depends_on", "on_parent_failed", "links"})
_NONE = Relations((), None, None)


def related(data: Mapping[str, Any], item_id: str) -> Relations:
    """Read ``entity``, ``depends_on``, ``on_parent_failed`` and (from a rescue file) ``links``.

    Raises `InvalidItem` with the fields that are wrong.
    """
    if _RELATED.isdisjoint(data):
        return _NONE
    wrong: dict[str, str] = {}
    given = data.get("links") or {}
    entity = data.get("entity") or given.get("entity")
    if entity is not None and not (isinstance(entity, str) and len(entity) <= _ENTITY_MAX):
        wrong["entity"] = f"must be a text of at most {_ENTITY_MAX} characters"
    parents = data.get("depends_on") or ()
    if problem := parents_wrong(item_id, parents):
        wrong["depends_on"] = problem
    policy = data.get("on_parent_failed") or "block"
    if policy not in _ON_PARENT_FAILED:
        wrong["on_parent_failed"] = "must be 'block' or 'cancel'"
    if wrong:
        raise InvalidItem(fields=wrong)
    links = Links(entity, given.get("remote") or {}) if entity or parents or given else None
    return Relations(tuple(dict.fromkeys(parents)), _ON_PARENT_FAILED[policy], links)


async def check_parents(store: Store, writes: Sequence[Write]) -> None:
    """Raises `InvalidItem` when a parent is no row, or an edited row would wait for itself.

    A new row cannot: its parents are here before it.
    """
    rows = {write.put.item.id: write.put.item for write in writes}
    named = {id_ for item in rows.values() for id_ in item.parents} - set(rows)
    found = {s.item.id: s.item.parents for s in await store.get(sorted(named))}
    if missing := sorted(named - set(found)):
        raise InvalidItem(fields={"depends_on": f"names what is not here: {missing[0]}"})
    edited = [write.put.item for write in writes if not write.put.insert and write.put.item.parents]
    if not edited:
        return
    parents_of = {id_: item.parents for id_, item in rows.items()} | found
    level = {id_ for parents in found.values() for id_ in parents} - set(parents_of)
    while level:
        if len(parents_of) > ANCESTORS_MAX:
            raise InvalidItem(fields={"depends_on": "is a chain too long to follow"})
        found = {s.item.id: s.item.parents for s in await store.get(sorted(level))}
        parents_of |= dict.fromkeys(level, ()) | found
        level = {id_ for parents in found.values() for id_ in parents} - set(parents_of)
    if any(in_circle(item.id, item.parents, parents_of) for item in edited):
        raise InvalidItem(fields={"depends_on": "goes round in a circle"})

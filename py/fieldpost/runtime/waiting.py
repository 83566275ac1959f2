"""What blocked rows wait for, for people to see: bounded by the rows asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from fieldpost.engine.model import Item
from fieldpost.engine.record import Head
from fieldpost.engine.transitions import State
from fieldpost.ports import Store


class Blocker(TypedDict):
    id: str
    title: str
    state: str


async def waits_for(store: Store, items: Sequence[Item]) -> dict[str, list[Blocker]]:
    """For each blocked row: the first of its entity's line, then its parents that are not sent."""
    blocked = [item for item in items if item.state is State.BLOCKED]
    entities = sorted({item.entity for item in blocked if item.entity is not None})
    lines = await store.lines("entity", entities, 1) if entities else []
    first = {e: rows[0].id for e, rows in zip(entities, lines, strict=True) if rows}
    names: dict[str, list[str]] = {}
    for item in blocked:
        ahead = first.get(item.entity or "")
        named = [ahead, *item.parents] if ahead not in (None, item.id) else item.parents
        names[item.id] = [id_ for id_ in named if id_ is not None]
    wanted = sorted({id_ for ids in names.values() for id_ in ids})
    found: dict[str, Blocker] = {}
    for stored in await store.get(wanted, ("head",)) if wanted else []:
        title = Head.load(stored.parts.get("head")).title
        found[stored.item.id] = Blocker(
            id=stored.item.id, title=title, state=str(stored.item.state)
        )
    gone = ""
    return {
        id_: [found.get(name) or Blocker(id=name, title=gone, state=gone) for name in named]
        for id_, named in names.items()
    }

"""What a commit owes to other rows: whoever leaves a line lets the next one go, in the same commit.

The committer asks for a plan of each group it is about to write. Rows that may not be sent yet are
stored blocked; rows that become free are written along; preconditions say what the plan was made
of, so that a context that was faster makes it be made again. Where nothing is blocked that costs
one precondition and no read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from fieldpost.engine.machine import Freed, Held, ParentGone, step
from fieldpost.engine.model import Item, Stored
from fieldpost.engine.ordering import (
    GIVEN_UP,
    IN_LINE,
    Links,
    standing,
    under_way,
)
from fieldpost.engine.record import Head, history_with
from fieldpost.engine.transitions import END_STATES, Event, State
from fieldpost.ports import Below, Line, Precondition, Put, Refused, Revision, Store

#: Side records of what a commit left to the next one: the children of a row that ended.
TABLE = "ordering"
#: Rows that one commit frees or cancels for others; the rest is noted and follows at once.
ROWS_MAX = 200
#: Children of one row that are looked at in all.
_CHILDREN_MAX = 100_000

#: States out of which a row takes its place in line anew.
_OUTSIDE = frozenset(
    {
        None,
        State.PENDING,
        State.BLOCKED,
        State.FAILED,
        State.CONFLICTED,
        State.CANCELLED,
        State.EXPIRED,
        State.DISCARDED,
    }
)


@dataclass(frozen=True, slots=True)
class Write:
    """One row's change; ``was`` is the state it was read in, None for a new row."""

    put: Put
    was: State | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The writes asked for, as they have to be stored, and what belongs to them."""

    writes: list[Write]
    extra: list[Write] = field(default_factory=list)
    expect: list[Precondition] = field(default_factory=list)
    side: dict[tuple[str, str], str | None] = field(default_factory=dict)

    @property
    def left(self) -> list[str]:
        """Rows whose children another commit has to see to."""
        return [key for (_, key), text in self.side.items() if text is not None]


class Ordering:
    """Makes plans. It remembers nothing but whether it last met blocked rows."""

    def __init__(self, store: Store):
        self._store = store
        self._some_blocked = False

    async def plan(self, writes: list[Write], revisit: Sequence[str], now: int) -> Plan:
        """``revisit``: rows that ended in an earlier commit, with children left over."""
        comes = revisit or any(_comes(write) for write in writes)
        if not comes and not any(_leaves(write) for write in writes):
            return Plan(writes)
        if not comes and not await self._any_blocked():
            return Plan(writes, expect=[Below("state:blocked", 1)])
        return await _Planner(self._store, writes, now).make(revisit)

    async def _any_blocked(self) -> bool:
        if self._some_blocked:
            counters = await self._store.counters()
            self._some_blocked = counters.get("state:blocked", 0) > 0
        return self._some_blocked

    def refused(self, refusal: Refused) -> None:
        """A plan's own precondition did not hold: the next one looks."""
        if isinstance(refusal.expectation, Below):
            self._some_blocked = True


def _comes(write: Write) -> bool:
    """Whether the row takes a place in line, or may have to wait for a parent."""
    item = write.put.item
    if item.entity is None and not item.parents and "entity" not in write.put.marks:
        return False
    again = write.was is not State.PENDING or not under_way(item)
    return again and write.was in _OUTSIDE and item.state in IN_LINE


def _leaves(write: Write) -> bool:
    state = write.put.item.state
    ends = state in END_STATES or state is State.CONFLICTED
    return ends and write.was is not None and write.was is not state


class _Planner:
    """One plan: rows are read, moved in memory, and what came of it is written down."""

    def __init__(self, store: Store, writes: list[Write], now: int):
        self._store = store
        self._now = now
        self._asked = list(writes)
        self._at = {write.put.item.id: at for at, write in enumerate(writes)}
        #: Every row of the plan as it will be, those asked for first.
        self._rows = {write.put.item.id: write.put.item for write in writes}
        self._read: dict[str, Item] = {}  # rows of the plan that nobody asked to change, as read
        self._fresh: set[str] = set()
        self._entities: dict[str, None] = {}  # lines that change, in order
        self._linked: dict[str, list[str]] = {}  # row -> its parents that are completed
        self._with: dict[str, str] = {}  # row -> the parent it is cancelled with
        self._free: dict[str, None] = {}  # rows that may have become free
        self._expect: list[Precondition] = []
        self._side: dict[tuple[str, str], str | None] = {}

    async def make(self, revisit: Sequence[str]) -> Plan:
        await self._name_entities()
        comers = [write.put.item.id for write in self._asked if _comes(write)]
        ended = {w.put.item.id: w.put.item for w in self._asked if _leaves(w)}
        for item in ended.values():
            self._touch(item)
        for id_ in comers:
            self._fresh.add(id_)
            self._free[id_] = None
            self._touch(self._rows[id_])
        for stored in await self._store.get(revisit):
            self._side[TABLE, stored.item.id] = None
            ended.setdefault(stored.item.id, stored.item)
        while ended:
            ended = await self._follow(ended)
        await self._look_at_parents(comers)
        await self._line_up()
        for id_ in self._free:
            item = self._rows[id_]
            if item.entity is None:
                self._settle_place(item, first=True)
        return await self._written()

    # --- rows --------------------------------------------------------------------------------

    async def _name_entities(self) -> None:
        """New rows bring their entity in clear: from here on it is the mark, as in the store."""
        new = [w.put for w in self._asked if "entity" in w.put.marks]
        hidden = await self._store.marks("entity", [p.marks["entity"] for p in new]) if new else []
        for put, mark in zip(new, hidden, strict=True):
            at = self._at[put.item.id]
            marks = {name: value for name, value in put.marks.items() if name != "entity"}
            item = self._rows[put.item.id] = put.item.changed(entity=mark)
            self._asked[at] = replace(self._asked[at], put=replace(put, item=item, marks=marks))

    def _touch(self, item: Item) -> None:
        if item.entity is not None:
            self._entities[item.entity] = None

    def _take(self, item: Item) -> Item:
        """The row as this plan has it so far; one that it meets for the first time joins it."""
        if item.id not in self._rows:
            self._rows[item.id] = self._read[item.id] = item
        return self._rows[item.id]

    # --- parents and children ----------------------------------------------------------------

    async def _follow(self, ended: dict[str, Item]) -> dict[str, Item]:
        """Children of rows that ended are told; returns those that ended by it."""
        over = {id_: item for id_, item in ended.items() if item.state in END_STATES}
        lines = await self._store.lines("parent", list(over), ROWS_MAX + 1) if over else []
        cancelled: dict[str, Item] = {}
        for parent, line in zip(over.values(), lines, strict=True):
            children = line
            if len(children) <= ROWS_MAX:
                ids = tuple(child.id for child in children)
                self._expect.append(Line("parent", parent.id, ids, ROWS_MAX + 1))
            elif parent.state in GIVEN_UP:
                (children,) = await self._store.lines("parent", [parent.id], _CHILDREN_MAX)
            told = [child for child in children if self._concerns(parent, child)]
            room = max(0, ROWS_MAX - len(self._read))
            if told and (len(told) > room or len(children) > ROWS_MAX):
                self._side[TABLE, parent.id] = json.dumps({"at": self._now})
            for child in told[:room]:
                self._tell(parent, self._take(child), cancelled)
        return cancelled

    def _concerns(self, parent: Item, child: Item) -> bool:
        child = self._rows.get(child.id, child)
        if child.state is not State.BLOCKED or parent.id not in child.parents:
            return False
        return parent.state is State.COMPLETED or child.on_parent_failed == "cancel"

    def _tell(self, parent: Item, child: Item, cancelled: dict[str, Item]) -> None:
        self._touch(child)
        if parent.state is State.COMPLETED:
            self._part_with(child, parent.id)
        else:
            cancelled[child.id] = self._rows[child.id] = step(child, ParentGone(), self._now)
            self._with[child.id] = parent.id

    def _part_with(self, child: Item, parent_id: str) -> None:
        """The parent is completed: the child waits for it no more and learns its remote id."""
        left = tuple(id_ for id_ in child.parents if id_ != parent_id)
        self._rows[child.id] = child.changed(parents=left)
        self._linked.setdefault(child.id, []).append(parent_id)
        self._free[child.id] = None

    async def _look_at_parents(self, comers: Iterable[str]) -> None:
        """Parents of rows that come: those that are completed already will not tell them."""
        named = {id_ for comer in comers for id_ in self._rows[comer].parents}
        found = {s.item.id: s.item for s in await self._store.get(sorted(named - set(self._rows)))}
        for comer in comers:
            for parent_id in self._rows[comer].parents:
                parent = self._rows.get(parent_id) or found.get(parent_id)
                if parent is not None and parent.state is State.COMPLETED:
                    self._part_with(self._rows[comer], parent_id)
                elif parent_id in found:
                    self._expect.append(Revision(parent_id, found[parent_id].revision))

    # --- entities ----------------------------------------------------------------------------

    async def _line_up(self) -> None:
        """In each line that changes only the first row may go."""
        mine: dict[str, list[Item]] = {entity: [] for entity in self._entities}
        for item in self._rows.values():
            if item.entity in mine:
                mine[item.entity].append(item)
        if not mine:
            return
        sizes = {e: 1 + sum(item.sequence > 0 for item in rows) for e, rows in mine.items()}
        read = await self._store.lines("entity", list(mine), max(sizes.values()))
        for (entity, rows), line in zip(mine.items(), read, strict=True):
            size = sizes[entity]
            ids = tuple(item.id for item in line[:size])
            self._expect.append(Line("entity", entity, ids, size))
            others = [item for item in line[:size] if item.id not in self._rows]
            for at, item in enumerate(standing([*others, *rows], self._fresh)):
                self._settle_place(item, first=at == 0)

    def _settle_place(self, item: Item, *, first: bool) -> None:
        free = first and not item.parents
        waits = item.state is State.PENDING and (item.id in self._fresh or not under_way(item))
        if waits and not free:
            self._rows[self._take(item).id] = step(item, Held(), self._now)
        elif item.state is State.BLOCKED and free:
            self._rows[self._take(item).id] = step(item, Freed(), self._now)
        elif item.state is State.BLOCKED and first and item.id not in self._rows:
            # Its parents hold it; who frees it of the last one must see that it is first now.
            self._expect.append(Revision(item.id, item.revision))

    # --- the result --------------------------------------------------------------------------

    async def _written(self) -> Plan:
        changed = [id_ for id_, item in self._read.items() if self._rows[id_] is not item]
        asked = [id_ for id_ in self._linked if id_ in self._at]
        parents = {id_ for ids in self._linked.values() for id_ in ids} | set(self._with.values())
        sealed = (
            {
                s.item.id: s
                for s in await self._store.get(
                    [*changed, *asked, *(parents - set(changed) - set(asked))],
                    ("head", "history", "links"),
                )
            }
            if self._linked or self._with
            else {}
        )
        writes = list(self._asked)
        for id_, at in self._at.items():
            write = writes[at]
            if self._rows[id_] is not write.put.item or id_ in self._linked:
                parts = self._parts(id_, write.put, sealed)
                writes[at] = replace(
                    write, put=replace(write.put, item=self._rows[id_], parts=parts)
                )
        extra = []
        for id_ in changed:
            put = Put(self._rows[id_])
            put = replace(put, parts=self._parts(id_, put, sealed))
            extra.append(Write(put, was=self._read[id_].state))
        return Plan(writes, extra, self._expect, self._side)

    def _parts(self, id_: str, put: Put, sealed: dict[str, Stored]) -> dict[str, bytes | None]:
        """The put's parts, with what the row learned of its parents."""
        parts = dict(put.parts)
        stored = sealed[id_].parts if id_ in sealed else {}
        if id_ in self._linked:
            links = Links.load(parts.get("links") or stored.get("links"))
            for parent_id in self._linked[id_]:
                links = links.with_parent(parent_id, self._head(parent_id, sealed).remote_id)
            parts["links"] = links.dump()
        if id_ in self._with:
            title = self._head(self._with[id_], sealed).title
            text = f"Cancelled with “{title}”, which it depends on."
            entry = {"n": 0, "at": self._now, "ended_at": self._now, "outcome": str(Event.CANCEL)}
            history = parts.get("history") or stored.get("history")
            parts["history"] = history_with(history, {**entry, "text": text})
        return parts

    def _head(self, id_: str, sealed: dict[str, Stored]) -> Head:
        """As it will be: the answer that completes a parent also brings its remote id."""
        at = self._at.get(id_)
        new = None if at is None else self._asked[at].put.parts.get("head")
        return Head.load(new or (sealed[id_].parts.get("head") if id_ in sealed else None))

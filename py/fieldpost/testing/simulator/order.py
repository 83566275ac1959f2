"""Order as people mean it (docs/order.md), looked at from outside after every commit and effect.

A model of its own, which shares no code with the product's: who came when, who is under way, who
holds whom. It belongs to the `Monitor`, which tells it of every changed row; that an item goes to
this destination or to that one plays no part in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from fieldpost.engine.model import Item
from fieldpost.engine.transitions import State

from .wishes import Expected, with_names

#: A row in one of these has left its line until a person brings it back.
OUT = frozenset({State.CANCELLED, State.DISCARDED, State.EXPIRED})
_GIVEN_UP = OUT | {State.FAILED}
_WITH_GATEWAY = frozenset({State.IN_PROGRESS, State.UNKNOWN, State.HANDED_OVER})


@dataclass(frozen=True, slots=True)
class Arrival:
    """An item takes effect: what of it the destination has, and what it calls it."""

    id: str
    payload: Mapping[str, Any]
    remote_id: str


class Order:
    """``rows``: every row as the last commit left it, with the change of now in it."""

    def __init__(
        self,
        rows: Mapping[str, Item],
        expected: Expected,
        violated: Callable[[str, str], NoReturn],
        latest: Callable[[], int],
    ) -> None:
        self._rows = rows
        self._wishes = expected.wishes
        self._by_hand = expected.by_hand
        self._violated = violated
        #: The latest time that any clock of the device has shown (ms).
        self._latest = latest
        #: What the destinations call items.
        self.names: dict[str, str] = {}
        #: Items that ended because a parent was given up.
        self.went_along: set[str] = set()
        self._commits = 0
        self._completed: set[str] = set()
        self._arrived: set[str] = set()
        #: The order of coming, whatever the rows say.
        self._place: dict[str, int] = {}
        self._lines: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._children: defaultdict[str, dict[str, None]] = defaultdict(dict)
        #: Id -> the commit with which it came (back) into its line, was begun; ever went out.
        self._came: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        self._went_out: set[str] = set()

    # --- what happens ----------------------------------------------------------------------------

    def committed(self, changes: Iterable[tuple[Item | None, Item]]) -> None:
        """Rows as they were and as they are, of one commit, in the order of their writing."""
        self._commits += 1
        known = [change for change in changes if self._concerns(change[1])]
        for old, new in known:
            self._note(old, new)
        before = {new.id: old for old, new in known}
        for old, new in known:
            if new.state is State.IN_PROGRESS and old is not None:
                self._claimed(old, new)
            if new.state in _GIVEN_UP and old is not None and old.state is not new.state:
                self._given_up(new, before)
        self._look([new.id for _, new in known])

    def not_accepted(self, item_id: str) -> None:
        """It was called wrong: right for the child of what retention has taken out, and of nothing
        else."""
        parents = self._wishes[item_id].parents
        if parents and all(parent in self._rows for parent in parents):
            text = f"{_short(item_id)} was refused, and all its parents are here"
            self._violated("parents-known", text)

    def removed(self, item: Item) -> None:
        """Retention took the row out."""
        if item.entity is not None:
            self._lines[item.entity].pop(item.id, None)
        self._look([item.id], gone=item)

    def reverted(self) -> None:
        """The device forgot something that it had called durable: begin again from its rows."""
        for known in (self._place, self._came, self._begun, self._lines, self._children):
            known.clear()
        ordered = sorted(self._rows.values(), key=lambda item: item.sequence)
        self._completed = {item.id for item in ordered if item.state is State.COMPLETED}
        for item in ordered:
            if self._concerns(item):
                self._note(None, item)

    def leaving(self, item: Item) -> None:
        """Its bytes leave now, under its own lease."""
        if self._concerns(item):
            self._first_in_line(item)
            self._parents_done(item, "leaves")

    def arrived(self, arrival: Arrival) -> None:
        """It takes effect now. The names of its parents are known from their own arrivals."""
        id_, wish = arrival.id, self._wishes.get(arrival.id)
        self.names[id_] = arrival.remote_id
        self._arrived.add(id_)
        row = self._rows.get(id_)
        if wish is None or row is None or not self._concerns(row):
            return
        self._parents_done(row, "arrives")
        if not any(with_names(said, self.names) == arrival.payload for said in wish.versions):
            what = "without its parent's name" if wish.parents else "with content nobody gave it"
            self._violated("parent-name", f"{_short(id_)} arrives {what}")
        self._after_all_before(row)

    # --- who holds whom --------------------------------------------------------------------------

    def holders(self, item: Item) -> list[str]:
        """What the row waits for: parents that are not completed, and those before it in line."""
        wish = self._wishes.get(item.id)
        parents = wish.parents if wish is not None else ()
        waits = [id_ for id_ in parents if id_ not in self._completed]
        return waits + [other.id for other in self._before(item)]

    def _before(self, item: Item) -> list[Item]:
        """The rows of its entity that come before it now."""
        mine = self._turn(item)
        return [other for other in self._line(item) if self._turn(other) < mine]

    def _turn(self, item: Item) -> tuple[bool, int]:
        return item.id not in self._begun, self._place[item.id]

    def _line(self, item: Item) -> list[Item]:
        """The other rows that stand in its entity's line."""
        if item.entity is None:
            return []
        others = (self._rows[id_] for id_ in self._lines[item.entity] if id_ != item.id)
        return [other for other in others if _stands(other)]

    # --- checks ----------------------------------------------------------------------------------

    def _concerns(self, item: Item) -> bool:
        """Not what could not be read: it is a dead letter of its own, without order."""
        return item.id in self._wishes and item.kind != "quarantine"

    def _note(self, old: Item | None, new: Item) -> None:
        id_ = new.id
        if id_ not in self._place:
            self._place[id_] = len(self._place)
            for parent in self._wishes[id_].parents:
                self._children[parent][id_] = None
            if new.entity is not None:
                self._lines[new.entity][id_] = None
            elif self._wishes[id_].entity is not None:
                self._violated("entity-order", f"{_short(id_)} has lost its entity")
        if new.state is State.COMPLETED:
            self._completed.add(id_)
        if old is None or (old.state in OUT and new.state not in OUT):
            self._came[id_] = self._commits
        if new.state in OUT:
            self._went_out.add(id_)
        if not _begun(new):
            self._begun.pop(id_, None)
        elif id_ not in self._begun:
            self._begun[id_] = self._commits

    def _claimed(self, old: Item, new: Item) -> None:
        self._first_in_line(new)
        self._parents_done(new, "is taken to be sent")
        if old.state is not State.PENDING or old.step:
            return
        if new.expires_at is not None and new.expires_at <= new.updated_at:
            self._violated("dates", f"{_short(new.id)} is taken to be sent after it expired")
        if (new.not_before or 0) > self._latest():
            self._violated("dates", f"{_short(new.id)} is taken to be sent before its date")

    def _first_in_line(self, item: Item) -> None:
        for other in self._line(item):
            if _with_gateway(other):
                text = f"{_short(item.id)} goes while {_short(other.id)} is {other.state}"
                self._violated("one-under-way", text)
            # One that came back finds before it what has been begun meanwhile.
            begun, earlier = self._begun[item.id], self._place[other.id] < self._place[item.id]
            waits = earlier and self._came[other.id] < begun
            if self._begun.get(other.id, begun) < begun or (other.id not in self._begun and waits):
                self._violated("entity-order", f"{_short(item.id)} overtakes {_short(other.id)}")

    def _parents_done(self, item: Item, does: str) -> None:
        for parent in self._wishes[item.id].parents:
            if parent not in self._completed:
                text = f"{_short(item.id)} {does} before its parent {_short(parent)} is completed"
                self._violated("parents-first", text)

    def _given_up(self, parent: Item, before: Mapping[str, Item | None]) -> None:
        for id_ in self._children[parent.id]:
            child = self._rows.get(id_)
            was = before.get(id_, child)
            if child is None or was is None or was.state is not State.BLOCKED:
                continue
            along, name = self._wishes[id_].cancel_with_parent, _short(id_)
            if along:
                self.went_along.add(id_)
            if along and child.state not in OUT:
                self._violated("parent-gone", f"{name} is {child.state} although its parent ended")
            if not along and child.state is State.CANCELLED and id_ not in self._by_hand:
                self._violated("parent-gone", f"{name} was to wait, and went with its parent")

    def _look(self, ids: Iterable[str], gone: Item | None = None) -> None:
        """At every row that these may hold: who is held by nothing waits for nothing."""
        rows = [self._rows[id_] for id_ in ids if id_ in self._rows]
        entities = {item.entity for item in (*rows, gone) if item is not None and item.entity}
        near = {id_ for entity in entities for id_ in self._lines[entity]}
        near |= {child for id_ in ids for child in self._children[id_]}
        near |= {item.id for item in rows}
        for id_ in sorted(near):
            item = self._rows.get(id_)
            if item is None or item.state is not State.BLOCKED:
                continue
            holders = self.holders(item)
            if not holders:
                self._violated("freed", f"{_short(id_)} is blocked and nothing holds it")
            for holder in holders:
                if holder not in self._rows:
                    self._violated("freed", f"{_short(id_)} waits for what is not here any more")

    def _after_all_before(self, item: Item) -> None:
        """Effects come in the order of coming. Bytes that come late of one that has left its line,
        or is given up, are no new effect of the order's making."""
        if item.id not in self._begun:
            return
        for other in self._line(item):
            earlier = self._place[other.id] < self._place[item.id]
            here = other.id in self._arrived
            if earlier and not here and self._came[other.id] < self._begun[item.id]:
                text = f"{_short(item.id)} takes effect before {_short(other.id)}"
                self._violated("entity-order", text)
        if item.entity is None or item.id in self._went_out:
            return
        for id_ in self._lines[item.entity]:
            if self._place[id_] > self._place[item.id] and id_ in self._arrived:
                text = f"{_short(item.id)} takes effect after {_short(id_)}"
                self._violated("entity-order", text)


def _stands(item: Item) -> bool:
    return item.state not in OUT and item.state is not State.COMPLETED


def _with_gateway(item: Item) -> bool:
    """The destination has it, or may have it, and the end is not known."""
    return item.state in _WITH_GATEWAY or (item.state is State.PENDING and item.step > 0)


def _begun(item: Item) -> bool:
    return _with_gateway(item) or (item.state is State.PENDING and item.attempt > 0)


def _short(item_id: str) -> str:
    return f"…{item_id[-4:]}"

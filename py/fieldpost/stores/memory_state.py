"""The memory store's durable state: rows, their indexes and the small tables. Sealed throughout."""

from __future__ import annotations

import heapq
import operator
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from fieldpost.engine.model import MARKS, Item
from fieldpost.engine.ordering import may_expire, turn
from fieldpost.engine.scheduling import ReadyKey
from fieldpost.engine.transitions import State
from fieldpost.ports import JournalRecord

from .ordered import Ordered
from .rows import COUNTERS, MARK_ORDER, attachment_ids, count_move, wake_at

Sealed = tuple[str, bytes]  # kid, envelope


class Row(NamedTuple):
    """A row as stored: clear columns and sealed parts. Replaced, never changed."""

    item: Item
    parts: dict[str, bytes]


_marks = operator.attrgetter(*MARKS)
_NO_MARKS = (None,) * len(MARKS)

#: (time in ms, sequence), ascending.
_Times = list[tuple[int, int]]


def _times() -> defaultdict[str, _Times]:
    return defaultdict(list)


class MemoryState:
    """Everything that survives; the indexes follow from the rows."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.counters = dict.fromkeys(COUNTERS, 0)  # those by kind come as kinds do
        self.journal: list[JournalRecord] = []
        self.heads: dict[str, tuple[int, str]] = {}  # latest writer last
        self.inbox: dict[str, tuple[int, str, bytes, frozenset[str]]] = {}  # at, kid, data, uses
        self.parts: dict[str, dict[int, Sealed]] = {}
        self.manifests: dict[str, tuple[int, str, bytes]] = {}  # at, kid, data
        self.side: dict[tuple[str, str], Sealed] = {}
        self.attached: defaultdict[str, set[str]] = defaultdict(set)
        self._by_sequence: dict[int, str] = {}
        self._listing: defaultdict[State, Ordered] = defaultdict(Ordered)
        self._ready: defaultdict[str, defaultdict[int, Ordered]] = defaultdict(
            lambda: defaultdict(Ordered)
        )
        self._wake = _times()
        self._due = _times()
        self._marked = {mark: _times() for mark in MARKS}  # key: value, time: created_at
        self._lines = {"entity": _times(), "parent": _times()}  # in place of a time: the turn
        self._expiring = _times()  # key: state

    def copy(self) -> MemoryState:
        """A state of the same content that shares nothing that changes."""
        twin = MemoryState()
        for row in sorted(self.rows.values(), key=lambda row: row.item.sequence):
            twin.write(row)
        twin.counters = dict(self.counters)
        twin.journal, twin.heads = list(self.journal), dict(self.heads)
        twin.inbox, twin.side = dict(self.inbox), dict(self.side)
        twin.parts = {id_: dict(parts) for id_, parts in self.parts.items()}
        twin.manifests = dict(self.manifests)
        return twin

    # --- writing -----------------------------------------------------------------------------

    def write(self, row: Row) -> None:
        """Put a row in place of the one with its id; indexes and counters follow."""
        item = row.item
        before = self.rows.get(item.id)
        old = None if before is None else before.item
        self.rows[item.id] = row
        self._by_sequence[item.sequence] = item.id
        count_move(self.counters, old, item)
        if old is None or old.state is not item.state:
            if old is not None:
                self._listing[old.state].discard(old.sequence)
            self._listing[item.state].add(item.sequence)
        self._move_ready(old, item)
        if not item.ready or (old is not None and not old.ready):  # ready rows have no times
            self._move_times(old, item)
        if _marks(item) != _NO_MARKS or (old is not None and _marks(old) != _NO_MARKS):
            self._move_marks(old, item)
        if item.attachments or (old is not None and old.attachments):
            self._move_attached(old, item)
        if _may_line(item) or (old is not None and _may_line(old)):
            self._move_lines(old, item)
        if item.expires_at is not None or (old is not None and old.expires_at is not None):
            self._move_expiring(old, item)

    def _move_lines(self, old: Item | None, item: Item) -> None:
        for kind, index in self._lines.items():
            was = [] if old is None else list(_places(old, kind))
            now = list(_places(item, kind))
            if was != now:
                for key, place in was:
                    _remove(index, key, place)
                for key, place in now:
                    insort(index[key], place)

    def _move_expiring(self, old: Item | None, item: Item) -> None:
        if old is not None and may_expire(old):
            _remove(self._expiring, old.state, (old.expires_at or 0, old.sequence))
        if may_expire(item):
            insort(self._expiring[item.state], (item.expires_at or 0, item.sequence))

    def remove(self, id_: str) -> None:
        """Take a row out for good, with the bytes of attachments that nothing else refers to."""
        row = self.rows.pop(id_, None)
        if row is None:
            return
        item = row.item
        del self._by_sequence[item.sequence]
        count_move(self.counters, item, None)
        self._listing[item.state].discard(item.sequence)
        nothing = dict.fromkeys((*MARKS, "due_at", "not_before", "expires_at"))
        bare = item.changed(ready=False, attachments=(), parents=(), **nothing)
        self._move_ready(item, bare)
        self._move_times(item, bare)
        self._move_marks(item, bare)
        self._move_attached(item, bare)
        self._move_lines(item, bare)
        self._move_expiring(item, bare)
        captured = {used for *_, uses in self.inbox.values() for used in uses}
        for attachment_id in attachment_ids(item.attachments):
            if not self.attached[attachment_id] and attachment_id not in captured:
                self.parts.pop(attachment_id, None)
                self.manifests.pop(attachment_id, None)

    def _move_attached(self, old: Item | None, item: Item) -> None:
        if old is not None:
            for id_ in attachment_ids(old.attachments):
                self.attached[id_].discard(item.id)
        for id_ in attachment_ids(item.attachments):
            self.attached[id_].add(item.id)

    def _move_ready(self, old: Item | None, item: Item) -> None:
        if old is not None and old.ready:
            if item.ready and (old.lane, old.level) == (item.lane, item.level):
                return
            self._ready[old.lane][old.level].discard(old.sequence)
        if item.ready:
            self._ready[item.lane][item.level].add(item.sequence)

    def _move_marks(self, old: Item | None, item: Item) -> None:
        for mark in MARKS:
            was: str | None = None if old is None else getattr(old, mark)
            now: str | None = getattr(item, mark)
            if old is not None and was is not None:
                if was == now and old.created_at == item.created_at:
                    continue
                _remove(self._marked[mark], was, (old.created_at, old.sequence))
            if now is not None:
                insort(self._marked[mark][now], (item.created_at, item.sequence))

    def _move_times(self, old: Item | None, item: Item) -> None:
        times: tuple[tuple[defaultdict[str, _Times], Callable[[Item], int | None]], ...] = (
            (self._wake, wake_at),
            (self._due, _retry_at),
        )
        for index, time_of in times:
            if old is not None and (was := time_of(old)) is not None:
                _remove(index, old.lane, (was, old.sequence))
            if (now := time_of(item)) is not None:
                insort(index[item.lane], (now, item.sequence))

    def append(self, record: JournalRecord) -> None:
        self.journal.append(record)
        self.counters["journal"] += 1
        self.heads.pop(record.writer, None)
        self.heads[record.writer] = (record.k, record.hash)

    def add_capture(self, id_: str, capture: tuple[int, str, bytes, frozenset[str]]) -> None:
        self.inbox[id_] = capture
        self.counters["inbox"] += 1
        self.counters["revision"] += 1

    def drop_capture(self, id_: str) -> None:
        if self.inbox.pop(id_, None) is not None:
            self.counters["inbox"] -= 1

    # --- reading -----------------------------------------------------------------------------

    def _row(self, sequence: int) -> Row:
        return self.rows[self._by_sequence[sequence]]

    def ready_rows(self, lane: str) -> Iterator[Row]:
        """By level (priority, texts before files), then sequence."""
        levels = self._ready[lane]
        for level in sorted(levels):
            yield from map(self._row, levels[level].ascending())

    def ready_keys(self, lane: str, per_level: int, newest: bool) -> Iterator[ReadyKey]:
        levels = self._ready[lane]
        for level in sorted(levels):
            found = levels[level].descending() if newest else levels[level].ascending()
            for sequence in islice(found, per_level):
                yield ReadyKey(level, sequence, self._by_sequence[sequence])

    def waiting_rows(self, lane: str, now: int, far: int) -> Iterator[Row]:
        """Due at ``now`` (earliest first), then those whose retry lies beyond ``far``."""
        wake, due = self._wake[lane], self._due[lane]
        for at in range(bisect_left(wake, (now + 1, 0))):
            yield self._row(wake[at][1])
        for at in range(bisect_left(due, (far + 1, 0)), len(due)):
            row = self._row(due[at][1])
            if (wake_at(row.item) or 0) > now:  # not among those above
                yield row

    def next_due(self, lane: str) -> int | None:
        wake = self._wake[lane]
        return wake[0][0] if wake else None

    def in_line(self, line: str, key: str) -> Iterator[Row]:
        for _, sequence in self._lines[line].get(key, ()):
            yield self._row(sequence)

    def expired_rows(self, now: int) -> Iterator[Row]:
        for state in (State.PENDING, State.BLOCKED):
            for at, sequence in self._expiring.get(state, ()):
                if at > now:
                    break
                yield self._row(sequence)

    def listed(self, states: Sequence[State], cursor: int | None, newest: bool) -> Iterator[Row]:
        lists = [self._listing[state] for state in dict.fromkeys(states)]
        runs = [one.descending(cursor) if newest else one.ascending(cursor) for one in lists]
        return map(self._row, heapq.merge(*runs, reverse=newest))

    def marked(
        self, mark: str, value: str, since: int = 0, until: int | None = None
    ) -> Iterator[str]:
        """Ids of the rows made from ``since`` to ``until`` that carry ``value``, oldest first."""
        found = self._marked[mark].get(value, [])
        end = len(found) if until is None else bisect_left(found, (until + 1, 0))
        recent = [sequence for _, sequence in found[bisect_left(found, (since, 0)) : end]]
        if MARK_ORDER[mark] == "sequence":
            recent.sort()
        for sequence in recent:
            yield self._by_sequence[sequence]


def _may_line(item: Item) -> bool:
    return item.entity is not None or bool(item.parents)


def _places(item: Item, line: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """(key, place) of the row in the lines of that kind; see `ports.Line`."""
    if line == "entity":
        at = turn(item)
        if item.entity is not None and at is not None:
            yield item.entity, (at, item.sequence)
    elif item.state is State.BLOCKED:
        for parent in item.parents:
            yield parent, (0, item.sequence)


def _retry_at(item: Item) -> int | None:
    return None if wake_at(item) is None else item.due_at


def _remove(index: defaultdict[str, _Times], key: str, entry: tuple[int, int]) -> None:
    entries = index[key]
    at = bisect_left(entries, entry)
    if at < len(entries) and entries[at] == entry:
        del entries[at]
        if not entries:
            del index[key]

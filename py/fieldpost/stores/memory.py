"""The store in memory: for tests, simulations and queues that may end with the process.

It seals as the durable stores do, so whatever works on it works on them. A commit touches nothing
before all its checks have passed, and there is no ``await`` inside one: it is atomic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from fieldpost.engine.errors import DatabaseError
from fieldpost.engine.model import Capture, Item, Stored
from fieldpost.engine.scheduling import ReadyKey
from fieldpost.engine.transitions import State
from fieldpost.ports import (
    Absent,
    Below,
    Commit,
    Committed,
    JournalRecord,
    Line,
    Manifest,
    Page,
    Precondition,
    Put,
    Refused,
    Revision,
)
from fieldpost.security.cipher import Cipher

from . import rows
from .memory_state import MemoryState, Row


class _Violation(NamedTuple):
    existing_id: str | None


class MemoryStore:
    """`ports.Store` in memory."""

    def __init__(self, cipher: Cipher, *, state: MemoryState | None = None) -> None:
        self._cipher = cipher
        self._durable = state or MemoryState()
        self._closed = False

    @property
    def _state(self) -> MemoryState:
        if self._closed:
            raise DatabaseError("The store is closed.")
        return self._durable

    def durable_copy(self) -> MemoryStore:
        """What a crash at this moment leaves: a new store with a copy of all that is durable.

        Works on a closed store too; the two share nothing that changes.
        """
        return MemoryStore(self._cipher, state=self._durable.copy())

    async def close(self) -> None:
        self._closed = True

    # --- commits -----------------------------------------------------------------------------

    async def commit(self, commit: Commit) -> Committed:
        state, cipher = self._state, self._cipher
        for index, expectation in enumerate(commit.expect):
            violation = self._violated(state, expectation)
            if violation is not None:
                raise Refused(index, expectation, violation.existing_id)
        staged: dict[str, Row] = {}
        written: list[Item] = []
        adopted = set(commit.adopt)
        sequence = state.counters["sequence"]
        for index, put in enumerate(commit.puts, len(commit.expect)):
            old = staged.get(put.item.id) or state.rows.get(put.item.id)
            if put.insert and put.item.id in adopted and put.item.id not in state.inbox:
                raise Refused(index, Absent(put.item.id), put.item.id)
            row = self._row(index, put, old, sequence + 1)
            sequence += put.insert
            staged[put.item.id] = row
            written.append(row.item)
        side = {
            place: None if text is None else rows.seal_side(cipher, *place, text)
            for place, text in commit.side.items()
        }
        # From here on nothing can fail.
        state.counters["sequence"] = sequence
        for row in staged.values():
            state.write(row)
        for id_ in commit.drop:
            state.remove(id_)
        for capture_id in commit.adopt:
            state.drop_capture(capture_id)
        for attachment_id in commit.drop_blobs:
            state.parts.pop(attachment_id, None)
            state.manifests.pop(attachment_id, None)
        for place, sealed in side.items():
            if sealed is None:
                state.side.pop(place, None)
            else:
                state.side[place] = sealed
        if commit.journal is not None:
            state.append(commit.journal)
        state.counters["revision"] += 1
        return Committed(state.counters["revision"], tuple(written))

    def _violated(self, state: MemoryState, expectation: Precondition) -> _Violation | None:
        """None when it holds."""
        if isinstance(expectation, Below):
            below = state.counters.get(expectation.counter, 0) < expectation.limit
            return None if below else _Violation(None)
        if isinstance(expectation, Absent):
            there = expectation.id in state.rows
            return _Violation(expectation.id) if there else None
        if isinstance(expectation, Revision):
            row = state.rows.get(expectation.id)
            if row is not None and row.item.revision == expectation.revision:
                return None
            return _Violation(None if row is None else row.item.id)
        if isinstance(expectation, Line):
            found = islice(state.in_line(expectation.line, expectation.key), expectation.size)
            as_said = tuple(row.item.id for row in found) == expectation.ids
            return None if as_said else _Violation(None)
        value = self._cipher.mark(expectation.mark, expectation.value)
        oldest = next(
            state.marked(expectation.mark, value, expectation.since, expectation.until), None
        )
        return None if oldest is None else _Violation(oldest)

    def _row(self, index: int, put: Put, old: Row | None, sequence: int) -> Row:
        """The row that ``put`` makes of ``old``; refused as `Store.commit` says."""
        item = put.item
        if put.insert:
            if old is not None:
                raise Refused(index, Absent(item.id), item.id)
        elif old is None or old.item.revision != item.revision:
            raise Refused(index, Revision(item.id, item.revision), item.id if old else None)
        kid, sealed = rows.seal_parts(self._cipher, item, put.parts)
        marks = {mark: self._cipher.mark(mark, value) for mark, value in put.marks.items()}
        revision = 1
        if old is not None:
            kept = {part: data for part, data in old.parts.items() if part not in sealed}
            sealed = kept | rows.reseal(self._cipher, old.item, kid, kept) | sealed
            sequence, revision = old.item.sequence, old.item.revision + 1
            kid = kid or old.item.kid
        return Row(
            rows.stamped(item, sequence, revision, kid, marks),
            {part: data for part, data in sealed.items() if data is not None},
        )

    # --- rows --------------------------------------------------------------------------------

    def _open(self, row: Row, parts: Sequence[str]) -> Stored:
        opened = {
            part: rows.open_part(self._cipher, row.item, part, row.parts[part])
            for part in parts
            if part in row.parts
        }
        return Stored(row.item, opened)

    async def get(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        stored = self._state.rows
        return [self._open(stored[id_], parts) for id_ in ids if id_ in stored]

    async def ready(self, lane: str, limit: int, parts: Sequence[str] = ()) -> list[Stored]:
        found = islice(self._state.ready_rows(lane), limit)
        return [self._open(row, parts) for row in found]

    async def ready_keys(
        self, lane: str, per_level: int, *, newest_first: bool = False
    ) -> list[ReadyKey]:
        return list(self._state.ready_keys(lane, per_level, newest_first))

    async def waiting(self, lane: str, now: int, horizon: int, limit: int) -> list[Stored]:
        found = islice(self._state.waiting_rows(lane, now, now + horizon), limit)
        return [Stored(row.item) for row in found]

    async def next_due(self, lane: str) -> int | None:
        return self._state.next_due(lane)

    async def lines(
        self, line: Literal["entity", "parent"], keys: Sequence[str], size: int
    ) -> list[list[Item]]:
        state = self._state
        return [[row.item for row in islice(state.in_line(line, key), size)] for key in keys]

    async def marks(self, mark: str, values: Sequence[str]) -> list[str]:
        return [self._cipher.mark(mark, value) for value in values]

    async def expired(self, now: int, limit: int) -> list[Stored]:
        found = islice(self._state.expired_rows(now), limit)
        return [Stored(row.item) for row in found]

    async def page(
        self,
        states: Sequence[State],
        *,
        limit: int,
        cursor: int | None = None,
        newest_first: bool = False,
        parts: Sequence[str] = (),
    ) -> Page:
        state = self._state
        found = list(islice(state.listed(states, cursor, newest_first), limit + 1))
        page = [self._open(row, parts) for row in found[:limit]]
        return Page(page, page[-1].item.sequence if page and len(found) > limit else None)

    async def find(self, mark: str, value: str, limit: int = 10) -> list[str]:
        return list(islice(self._state.marked(mark, self._cipher.mark(mark, value)), limit))

    async def counters(self) -> dict[str, int]:
        return dict(self._state.counters)

    # --- side records and journal ------------------------------------------------------------

    async def side(self, table: str, key: str) -> str | None:
        sealed = self._state.side.get((table, key))
        return None if sealed is None else rows.open_side(self._cipher, table, key, *sealed)

    async def sides(self, table: str) -> dict[str, str]:
        return {
            key: rows.open_side(self._cipher, table, key, *sealed)
            for (of, key), sealed in sorted(self._state.side.items())
            if of == table
        }

    async def journal(self, after: int, limit: int) -> list[tuple[int, JournalRecord]]:
        first = max(after, 0)
        return list(enumerate(self._state.journal[first : first + limit], first + 1))

    async def heads(self) -> dict[str, tuple[int, str]]:
        latest: Iterable[tuple[str, tuple[int, str]]] = reversed(self._state.heads.items())
        return dict(islice(latest, rows.HEADS_MAX))

    # --- inbox and blobs ---------------------------------------------------------------------

    async def capture(self, capture: Capture) -> None:
        state = self._state
        if capture.id not in state.inbox and capture.id not in state.rows:
            kid, sealed = self._cipher.seal(capture.id, "capture", "body", capture.data)
            used = frozenset(rows.captured_attachments(capture.data))
            state.add_capture(capture.id, (capture.at, kid, sealed, used))

    async def captures(self, limit: int) -> list[Capture]:
        oldest = islice(self._state.inbox.items(), limit)
        sealed = [(id_, at, kid, data) for id_, (at, kid, data, _) in oldest]
        return rows.open_captures(self._cipher, sealed)

    async def put_part(self, attachment_id: str, n: int, data: bytes) -> None:
        if n < 1:
            raise ValueError("parts are numbered from 1")
        parts = self._state.parts.setdefault(attachment_id, {})
        parts[n] = self._cipher.seal(attachment_id, "attachment", str(n), data)

    async def put_manifest(self, manifest: Manifest) -> None:
        sealed = rows.seal_manifest(self._cipher, manifest)
        self._state.manifests[manifest.id] = (manifest.at, *sealed)

    async def manifest(self, attachment_id: str) -> Manifest | None:
        found = self._state.manifests.get(attachment_id)
        return None if found is None else rows.open_manifest(self._cipher, attachment_id, *found)

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        found = self._state.parts.get(attachment_id, {}).get(n)
        if found is None:
            return None
        kid, sealed = found
        return self._cipher.open(kid, attachment_id, "attachment", str(n), sealed)

    async def orphans(self, before: int, limit: int) -> list[str]:
        return [id_ for _, id_ in sorted(self._unreferenced(before))[:limit]]

    def _unreferenced(self, before: int) -> Iterator[tuple[int, str]]:
        """(age as made-at ms, attachment id) of what nothing refers to."""
        state = self._state
        captured = {id_ for _, _, _, used in state.inbox.values() for id_ in used}
        for id_ in state.parts.keys() | state.manifests.keys():
            found = state.manifests.get(id_)
            at = found[0] if found else rows.made_at(id_)
            unused = id_ not in captured and not state.attached.get(id_)
            if unused and at is not None and at < before:
                yield at, id_

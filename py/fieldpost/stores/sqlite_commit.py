"""One commit on SQLite: sealed before the transaction, checked and written inside it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fieldpost.engine.model import PARTS, Item
from fieldpost.engine.transitions import State
from fieldpost.ports import (
    Absent,
    Below,
    Commit,
    Committed,
    JournalRecord,
    Line,
    Precondition,
    Put,
    Refused,
    Revision,
    Unique,
)
from fieldpost.security.cipher import Cipher

from . import rows, sqlite_rows
from .sqlite_queries import in_line
from .sqlite_thread import Meta

#: From this many new rows on, a savepoint is cheaper than a look at each of them.
_TRUST_FROM = 16


_DELETE_UNUSED = """
DELETE FROM blobs WHERE attachment_id = :id
  AND NOT EXISTS (SELECT 1 FROM attached WHERE attachment_id = :id)
  AND NOT EXISTS (SELECT 1 FROM inbox, json_each(inbox.attachment_ids) WHERE value = :id)
"""


@dataclass(frozen=True, slots=True)
class SealedPut:
    """A put with its parts sealed and its marks computed."""

    put: Put
    kid: str | None
    parts: dict[str, bytes | None]
    marks: dict[str, str]


@dataclass(frozen=True, slots=True)
class SealedCommit:
    """A commit with everything sealed that needs no look at the database."""

    commit: Commit
    puts: list[SealedPut]
    uniques: dict[int, str]  # index of a `Unique` -> HMAC of its value
    side: dict[tuple[str, str], tuple[str, bytes] | None]


def seal_commit(cipher: Cipher, commit: Commit) -> SealedCommit:
    """Runs outside the transaction, so that the write lock is not held over it."""
    puts = []
    for put in commit.puts:
        marks = {mark: cipher.mark(mark, value) for mark, value in put.marks.items()}
        puts.append(SealedPut(put, *rows.seal_parts(cipher, put.item, put.parts), marks))
    uniques = {
        index: cipher.mark(expected.mark, expected.value)
        for index, expected in enumerate(commit.expect)
        if isinstance(expected, Unique)
    }
    side = {
        place: None if text is None else rows.seal_side(cipher, *place, text)
        for place, text in commit.side.items()
    }
    return SealedCommit(commit, puts, uniques, side)


def apply(
    cipher: Cipher, sealed: SealedCommit, connection: sqlite3.Connection, meta: Meta
) -> Committed:
    """The work of one commit, for `DatabaseThread.write`. Raises `Refused`."""
    inserts = sum(put.put.insert for put in sealed.puts)
    if inserts < _TRUST_FROM:
        return _Work(cipher, sealed, connection, meta).run(trusting=False)
    before = dict(meta)
    connection.execute("SAVEPOINT puts")
    try:
        done = _Work(cipher, sealed, connection, meta).run(trusting=True)
    except (sqlite3.IntegrityError, Refused):
        # What was refused may not have been the first thing wrong: look at each this time.
        connection.execute("ROLLBACK TO puts")
        meta.update(before)
        done = _Work(cipher, sealed, connection, meta).run(trusting=False)
    connection.execute("RELEASE puts")
    return done


class _Work:
    """Applies one sealed commit; whoever began the transaction undoes it when it raises."""

    def __init__(
        self, cipher: Cipher, sealed: SealedCommit, connection: sqlite3.Connection, meta: Meta
    ) -> None:
        self._cipher = cipher
        self._sealed = sealed
        self._db = connection
        self._meta = meta
        self._known: dict[str, sqlite_rows.Before] = {}
        self._written: dict[str, list[Any]] = {}  # id -> values written by this commit
        self._inserts: list[list[Any]] = []
        self._adopting: set[str] = set()  # new rows that are made of a capture
        self._updates: dict[str, list[list[Any]]] = {}

    def run(self, *, trusting: bool) -> Committed:
        """Raises `Refused` before anything is written, or between puts: then all is undone.

        ``trusting``: whether new rows are new is left to the table to find out, which saves a look
        at each; it raises `sqlite3.IntegrityError` when one is not, and all has to be done again.
        """
        commit = self._sealed.commit
        ids = {e.id for e in commit.expect if isinstance(e, Absent | Revision)}
        ids |= {put.item.id for put in commit.puts if not put.insert} | set(commit.drop)
        inserts = {put.item.id for put in commit.puts if put.insert}
        ids = ids - inserts if trusting else ids | inserts
        self._known = sqlite_rows.load_before(self._db, tuple(ids))
        for index, expected in enumerate(commit.expect):
            self._demand(index, expected)
        self._adopting = inserts & set(commit.adopt)
        puts = enumerate(self._sealed.puts, len(commit.expect))
        written = tuple(self._put(index, sealed) for index, sealed in puts)
        self._flush()
        for id_ in commit.drop:
            self._remove(id_)
        self._adopt(commit.adopt)
        for id_ in commit.drop_blobs:
            self._db.execute("DELETE FROM blobs WHERE attachment_id = ?", (id_,))
        for (table, key), value in self._sealed.side.items():
            self._put_side(table, key, value)
        if commit.journal is not None:
            self._append(commit.journal)
        self._meta["revision"] += 1
        self._meta[rows.KINDS_AT] = self._meta["revision"]
        return Committed(self._meta["revision"], written)

    # --- preconditions -----------------------------------------------------------------------

    def _demand(self, index: int, expected: Precondition) -> None:
        if isinstance(expected, Below):
            if self._meta.get(expected.counter, 0) >= expected.limit:
                raise Refused(index, expected)
        elif isinstance(expected, Absent):
            if expected.id in self._known:
                raise Refused(index, expected, expected.id)
        elif isinstance(expected, Revision):
            old = self._known.get(expected.id)
            if old is None or old.revision != expected.revision:
                raise Refused(index, expected, expected.id if old else None)
        elif isinstance(expected, Line):
            if in_line(self._db, expected.line, expected.key, expected.size) != expected.ids:
                raise Refused(index, expected)
        else:
            value = self._sealed.uniques[index]
            oldest = marked(self._db, expected.mark, value, 1, expected.since, expected.until)
            if oldest:
                raise Refused(index, expected, oldest[0])

    # --- rows --------------------------------------------------------------------------------

    def _put(self, index: int, sealed: SealedPut) -> Item:
        item = sealed.put.item
        old = self._before(item.id)
        if sealed.put.insert:
            self._demand_capture(index, item.id)
            if old is not None:
                raise Refused(index, Absent(item.id), item.id)
            stored, values = self._insert(sealed)
        else:
            if old is None or old.revision != item.revision:
                raise Refused(index, Revision(item.id, item.revision), item.id if old else None)
            stored, values = self._update(sealed, old)
        rows.count_move(self._meta, None if old is None else old.counted, stored)
        if item.attachments or (old is not None and old.attachments):
            self._attach(item, None if old is None else old.attachments)
        was = () if old is None else old.waits_for
        now = item.parents if stored.state is State.BLOCKED else ()
        if was != now:
            self._wait(stored.sequence, was, now)
        self._written[item.id] = values
        return stored

    def _before(self, id_: str) -> sqlite_rows.Before | None:
        """The row as it is now. A second put of the same row finds the first one written."""
        values = self._written.pop(id_, None)
        if values is None:
            return self._known.get(id_)
        self._flush()
        return sqlite_rows.before_of(values)

    def _insert(self, sealed: SealedPut) -> tuple[Item, list[Any]]:
        self._meta["sequence"] += 1
        sequence = self._meta["sequence"]
        stored = rows.stamped(sealed.put.item, sequence, 1, sealed.kid, sealed.marks)
        values = sqlite_rows.values_of(stored)
        self._inserts.append(sqlite_rows.insert_values(values, sealed.parts))
        return stored, values

    def _update(self, sealed: SealedPut, old: sqlite_rows.Before) -> tuple[Item, list[Any]]:
        item, kid, parts = sealed.put.item, sealed.kid, sealed.parts
        if kid is not None and old.kid is not None and kid != old.kid:
            parts = self._resealed(old, kid, parts)
        stored = rows.stamped(item, old.sequence, old.revision + 1, kid or old.kid, sealed.marks)
        values = sqlite_rows.values_of(stored)
        sql, new = sqlite_rows.update_of(old, values, parts)
        self._updates.setdefault(sql, []).append(new)
        return stored, values

    def _resealed(
        self, old: sqlite_rows.Before, kid: str, parts: dict[str, bytes | None]
    ) -> dict[str, bytes | None]:
        """``parts`` and, under the same key, those that the put leaves as they are."""
        sql = f"SELECT {sqlite_rows.SELECT_ROW} FROM items WHERE sequence = ?"  # noqa: S608
        row = self._db.execute(sql, (old.sequence,)).fetchone()
        kept = dict(zip(PARTS, row[-len(PARTS) :], strict=True))
        kept = {part: data for part, data in kept.items() if part not in parts}
        return rows.reseal(self._cipher, sqlite_rows.item_of(row), kid, kept) | parts

    def _attach(self, item: Item, was: str | None) -> None:
        """Keep the way from an attachment to its rows (orphans) in step."""
        id_ = item.id
        old = {a["id"] for a in json.loads(was or "[]")}
        new = set(rows.attachment_ids(item.attachments))
        self._db.executemany(
            "DELETE FROM attached WHERE attachment_id = ? AND item_id = ?",
            [(attachment_id, id_) for attachment_id in old - new],
        )
        self._db.executemany(
            "INSERT INTO attached VALUES (?, ?)",
            [(attachment_id, id_) for attachment_id in new - old],
        )

    def _wait(self, sequence: int, was: tuple[str, ...], now: tuple[str, ...]) -> None:
        """Keep the way from a parent to the rows that wait for it in step."""
        self._db.executemany(
            "DELETE FROM waits WHERE parent_id = ? AND sequence = ?",
            [(id_, sequence) for id_ in was],
        )
        self._db.executemany("INSERT INTO waits VALUES (?, ?)", [(id_, sequence) for id_ in now])

    def _remove(self, id_: str) -> None:
        """A row and the bytes of its attachments that no other row and no capture refers to."""
        old = self._known.get(id_)
        if old is None:
            return
        self._db.execute("DELETE FROM items WHERE sequence = ?", (old.sequence,))
        rows.count_move(self._meta, old.counted, None)
        for attachment in json.loads(old.attachments or "[]"):
            self._db.execute(
                "DELETE FROM attached WHERE attachment_id = ? AND item_id = ?",
                (attachment["id"], id_),
            )
            self._db.execute(_DELETE_UNUSED, {"id": attachment["id"]})

    def _flush(self) -> None:
        """Write the puts gathered so far: one call for all rows of the same form."""
        if self._inserts:
            self._db.executemany(sqlite_rows.INSERT, self._inserts)
        for sql, values in self._updates.items():
            self._db.executemany(sql, values)
        self._inserts, self._updates = [], {}

    # --- the small tables --------------------------------------------------------------------

    def _demand_capture(self, index: int, id_: str) -> None:
        """A row made of a capture needs the capture: it may have been taken back meanwhile."""
        if id_ in self._adopting:
            found = self._db.execute("SELECT 1 FROM inbox WHERE id = ?", (id_,)).fetchone()
            if found is None:
                raise Refused(index, Absent(id_), id_)

    def _adopt(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            cursor = self._db.execute("DELETE FROM inbox WHERE id = ?", (id_,))
            self._meta["inbox"] -= cursor.rowcount

    def _put_side(self, table: str, key: str, value: tuple[str, bytes] | None) -> None:
        if value is None:
            self._db.execute('DELETE FROM side WHERE "table" = ? AND key = ?', (table, key))
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO side VALUES (?, ?, ?, ?)", (table, key, *value)
            )

    def _append(self, record: JournalRecord) -> None:
        self._meta["journal"] += 1
        values = (self._meta["journal"], record.writer, record.k, record.hash, record.text)
        self._db.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", values)


def marked(
    connection: sqlite3.Connection,
    mark: str,
    value: str,
    limit: int,
    since: int = 0,
    until: int | None = None,
) -> list[str]:
    """Ids of the rows created from ``since`` to ``until`` with ``value`` as ``mark``, oldest
    first."""
    order = rows.MARK_ORDER[mark]
    before = "" if until is None else "AND created_at <= ? "
    sql = (
        f"SELECT id FROM items WHERE {mark} = ? AND created_at >= ? {before}"  # noqa: S608
        f"ORDER BY {order} LIMIT ?"
    )
    place = (value, since) if until is None else (value, since, until)
    return [id_ for (id_,) in connection.execute(sql, (*place, limit))]

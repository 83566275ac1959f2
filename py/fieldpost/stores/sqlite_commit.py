"""One commit on SQLite: sealed before the transaction, checked and written inside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

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
    Refused,
    Revision,
)
from fieldpost.security.cipher import Cipher

from . import rows, sqlite_rows
from .sealing import SealedCommit, SealedPut, seal_commit
from .sqlite_queries import in_line
from .sqlite_rows import KID, REVISION, SEQUENCE, Values
from .sqlite_seen import Seen
from .sqlite_thread import Distrust, Meta

_DELETE_UNUSED = """
DELETE FROM blobs WHERE attachment_id = :id
  AND NOT EXISTS (SELECT 1 FROM attached WHERE attachment_id = :id)
  AND NOT EXISTS (SELECT 1 FROM inbox, json_each(inbox.attachment_ids) WHERE value = :id)
"""


class Written(NamedTuple):
    """What a commit did, and the rows it wrote over others, as they stand now."""

    done: Committed
    rows: dict[str, Values]


class CommitWork:
    """One commit as `Writing` for `DatabaseThread.write`. Raises `Refused`.

    At first it trusts: that a new row is new, and that a row it writes over is still what ``seen``
    says, when the revision is the one the caller read. The statements themselves find out when
    that is not so, which saves a look at each row; then it raises `Distrust`, is undone, and looks
    at each row when called again, so that the refusal names what was first to be wrong.
    """

    def __init__(self, cipher: Cipher, commit: Commit, seen: Seen) -> None:
        self._cipher = cipher
        self._sealed = seal_commit(cipher, commit)
        found = ((put.item, seen.get(put.item.id)) for put in commit.puts if not put.insert)
        self._trusted: dict[str, Values] = {
            item.id: row for item, row in found if row and row[REVISION] == item.revision
        }
        self._new = {put.item.id for put in commit.puts if put.insert}
        self._trusting = bool(self._trusted or self._new)

    def __call__(self, connection: sqlite3.Connection, meta: Meta) -> Written:
        if not self._trusting:
            return _Work(self._cipher, self._sealed, connection, meta).run({}, set())
        try:
            work = _Work(self._cipher, self._sealed, connection, meta)
            return work.run(self._trusted, self._new)
        except (sqlite3.IntegrityError, Refused) as error:
            self._trusting = False
            raise Distrust from error


class _Work:
    """Applies one sealed commit; whoever began the transaction undoes it when it raises."""

    def __init__(
        self, cipher: Cipher, sealed: SealedCommit, connection: sqlite3.Connection, meta: Meta
    ) -> None:
        self._cipher = cipher
        self._sealed = sealed
        self._db = connection
        self._meta = meta
        self._known: dict[str, Values] = {}
        self._written: dict[str, Values] = {}  # id -> values written by this commit
        self._adopting: set[str] = set()  # new rows that are made of a capture
        self._statements: dict[str, list[Sequence[Any]]] = {}
        self._over: dict[str, Values] = {}  # of those, rows that were there before

    def run(self, trusted: dict[str, Values], new: set[str]) -> Written:
        """Raises `Refused` before anything is written, or between puts: then all is undone.

        ``trusted``: rows taken to be as they are given; ``new``: ids taken to be new.
        """
        commit = self._sealed.commit
        ids = {e.id for e in commit.expect if isinstance(e, Absent | Revision)}
        ids.update(put.item.id for put in commit.puts)
        ids.update(commit.drop)
        ids -= new
        ids.difference_update(trusted)
        self._known = sqlite_rows.load_rows(self._db, tuple(ids)) | trusted
        for index, expected in enumerate(commit.expect):
            self._demand(index, expected)
        if commit.adopt:
            self._adopting = {put.item.id for put in commit.puts if put.insert} & set(commit.adopt)
        puts = enumerate(self._sealed.puts, len(commit.expect))
        written = tuple([self._put(index, sealed) for index, sealed in puts])
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
        return Written(Committed(self._meta["revision"], written), self._over)

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
            if old is None or old[REVISION] != expected.revision:
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
            self._meta["sequence"] += 1
            stored = rows.stamped(item, self._meta["sequence"], 1, sealed.kid, sealed.marks)
            values = sqlite_rows.values_of(stored)
            sql, new = sqlite_rows.insert_of(values, sealed.parts)
            rows.count_move(self._meta, None, stored)
        else:
            if old is None or old[REVISION] != item.revision:
                raise Refused(index, Revision(item.id, item.revision), item.id if old else None)
            kid, parts = sealed.kid, sealed.parts
            if kid is not None and old[KID] is not None and kid != old[KID]:
                parts = self._resealed(old, kid, parts)
            revision = item.revision + 1
            stored = rows.stamped(item, old[SEQUENCE], revision, kid or old[KID], sealed.marks)
            values = self._over[item.id] = sqlite_rows.values_of(stored)
            sql, new = sqlite_rows.update_of(old, values, parts)
            rows.count_move(self._meta, sqlite_rows.counted(old), stored)
        self._statements.setdefault(sql, []).append(new)
        self._written[item.id] = values
        if item.attachments or (old is not None and sqlite_rows.attached(old)):
            self._attach(item, old)
        now = item.parents if stored.state is State.BLOCKED else ()
        was = () if old is None else sqlite_rows.waits_for(old)
        if was != now:
            self._wait(stored.sequence, was, now)
        return stored

    def _before(self, id_: str) -> Values | None:
        """The row as it is now. A second put of the same row finds the first one written."""
        values = self._written.pop(id_, None)
        if values is None:
            return self._known.get(id_)
        self._flush()
        return values

    def _resealed(
        self, old: Values, kid: str, parts: dict[str, bytes | None]
    ) -> dict[str, bytes | None]:
        """``parts`` and, under the same key, those that the put leaves as they are."""
        sql = f"SELECT {sqlite_rows.SELECT_ROW} FROM items WHERE sequence = ?"  # noqa: S608
        row = self._db.execute(sql, (old[SEQUENCE],)).fetchone()
        kept = dict(zip(PARTS, row[-len(PARTS) :], strict=True))
        kept = {part: data for part, data in kept.items() if part not in parts}
        return rows.reseal(self._cipher, sqlite_rows.item_of(row), kid, kept) | parts

    def _attach(self, item: Item, before: Values | None) -> None:
        """Keep the way from an attachment to its rows (orphans) in step."""
        id_ = item.id
        old = set() if before is None else set(sqlite_rows.attached(before))
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
        self._db.execute("DELETE FROM items WHERE sequence = ?", (old[SEQUENCE],))
        rows.count_move(self._meta, sqlite_rows.counted(old), None)
        for attachment_id in sqlite_rows.attached(old):
            self._db.execute(
                "DELETE FROM attached WHERE attachment_id = ? AND item_id = ?",
                (attachment_id, id_),
            )
            self._db.execute(_DELETE_UNUSED, {"id": attachment_id})

    def _flush(self) -> None:
        """Write the puts gathered so far: one call for all rows of the same form.

        Raises `sqlite3.IntegrityError` for a row that is not new or not what it was taken for.
        """
        written = sum(
            self._db.executemany(sql, values).rowcount for sql, values in self._statements.items()
        )
        if written != sum(map(len, self._statements.values())):
            raise sqlite3.IntegrityError("a row has changed")
        self._statements = {}

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

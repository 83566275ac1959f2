"""What the SQLite store reads. Each function is one view of the database, run in its thread."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Sequence
from typing import Any

from fieldpost.engine.model import PARTS
from fieldpost.engine.scheduling import ReadyKey
from fieldpost.engine.transitions import OPEN_STATES
from fieldpost.ports import JournalRecord

from .rows import HEADS_MAX, made_at, shown_counters
from .sqlite_rows import SELECT_COLUMNS, chunks, marks_of

_Row = tuple[Any, ...]


def _columns(parts: Sequence[str]) -> str:
    """The item's columns, then the wanted parts in the order of `PARTS`."""
    return ", ".join([SELECT_COLUMNS, *(part for part in PARTS if part in parts)])


def get(db: sqlite3.Connection, ids: Sequence[str], parts: Sequence[str]) -> list[_Row]:
    """The rows that exist, in the order asked."""
    found: dict[str, _Row] = {}
    for chunk in chunks(ids):
        where = f"id IN ({marks_of(len(chunk))})"
        sql = f"SELECT {_columns(parts)} FROM items WHERE {where}"  # noqa: S608 - own names
        found.update((row[0], row) for row in db.execute(sql, chunk))
    return [found[id_] for id_ in ids if id_ in found]


def ready(db: sqlite3.Connection, lane: str, limit: int, parts: Sequence[str]) -> list[_Row]:
    """By level, then sequence: the order of the partial index, so nothing is sorted or skipped."""
    sql = (
        f"SELECT {_columns(parts)} FROM items INDEXED BY items_ready "  # noqa: S608 - own names
        "WHERE lane = ? AND rank IS NOT NULL ORDER BY rank, sequence LIMIT ?"
    )
    return db.execute(sql, (lane, limit)).fetchall()


def ready_keys(db: sqlite3.Connection, lane: str, per_level: int, newest: bool) -> list[ReadyKey]:
    """From level to level by the index: a level's crowd is skipped, not read."""
    next_level = (
        "SELECT min(rank) FROM items INDEXED BY items_ready "
        "WHERE lane = ? AND rank IS NOT NULL AND rank > ?"
    )
    keys = (
        "SELECT rank, sequence, id FROM items INDEXED BY items_ready "  # noqa: S608 - own words
        "WHERE lane = ? AND rank IS NOT NULL AND rank = ? "
        f"ORDER BY sequence {'DESC' if newest else ''} LIMIT ?"
    )
    found: list[ReadyKey] = []
    level = -1
    while (level := db.execute(next_level, (lane, level)).fetchone()[0]) is not None:
        found += [ReadyKey(*row) for row in db.execute(keys, (lane, level, per_level))]
    return found


def waiting(db: sqlite3.Connection, lane: str, now: int, far: int, limit: int) -> list[_Row]:
    """Due at ``now``, then those whose retry lies beyond ``far``."""
    due = (
        f"SELECT {SELECT_COLUMNS} FROM items INDEXED BY items_due "  # noqa: S608 - own names
        "WHERE lane = ? AND wake IS NOT NULL AND wake <= ? ORDER BY wake, sequence LIMIT ?"
    )
    found: list[_Row] = db.execute(due, (lane, now, limit)).fetchall()
    if len(found) < limit:
        stranded = (
            f"SELECT {SELECT_COLUMNS} FROM items INDEXED BY items_retry "  # noqa: S608
            "WHERE lane = ? AND wake IS NOT NULL AND due_at IS NOT NULL "
            "AND due_at > ? AND wake > ? ORDER BY due_at, sequence LIMIT ?"
        )
        found += db.execute(stranded, (lane, far, now, limit - len(found)))
    return found


def next_due(db: sqlite3.Connection, lane: str) -> int | None:
    sql = "SELECT min(wake) FROM items INDEXED BY items_due WHERE lane = ? AND wake IS NOT NULL"
    found: int | None = db.execute(sql, (lane,)).fetchone()[0]
    return found


_LINES = {
    "entity": "FROM items INDEXED BY items_line WHERE entity = ? AND line IS NOT NULL "
    "ORDER BY line, sequence LIMIT ?",
    "parent": "FROM waits CROSS JOIN items USING (sequence) WHERE parent_id = ? "
    "ORDER BY sequence LIMIT ?",
}


def line(db: sqlite3.Connection, kind: str, key: str, size: int) -> list[_Row]:
    sql = f"SELECT {SELECT_COLUMNS} {_LINES[kind]}"
    return db.execute(sql, (key, size)).fetchall()


def in_line(db: sqlite3.Connection, kind: str, key: str, size: int) -> tuple[str, ...]:
    return tuple(id_ for (id_,) in db.execute(f"SELECT id {_LINES[kind]}", (key, size)))


def expired(db: sqlite3.Connection, now: int, limit: int) -> list[_Row]:
    sql = (
        f"SELECT {SELECT_COLUMNS} FROM items INDEXED BY items_expiry "  # noqa: S608 - own names
        "WHERE expires_at IS NOT NULL AND step = 0 AND state IN ('pending', 'blocked') "
        "AND state = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?"
    )
    found: list[_Row] = []
    for state in ("pending", "blocked"):
        found += db.execute(sql, (state, now, limit - len(found)))
    return found


def page(
    db: sqlite3.Connection,
    states: Sequence[str],
    limit: int,
    cursor: int | None,
    newest: bool,
    parts: Sequence[str],
) -> tuple[list[_Row], bool]:
    """(rows, whether there are more): each state's numbers first, then the page's rows only."""
    beyond = "" if cursor is None else f"AND sequence {'<' if newest else '>'} ?"
    sql = (
        f"SELECT sequence FROM items INDEXED BY items_listing WHERE state = ? {beyond} "  # noqa: S608
        f"ORDER BY sequence {'DESC' if newest else ''} LIMIT ?"
    )
    place = () if cursor is None else (cursor,)
    runs = [
        [number for (number,) in db.execute(sql, (state, *place, limit + 1))] for state in states
    ]
    numbers = list(heapq.merge(*runs, reverse=newest))
    found: dict[int, _Row] = {}
    for chunk in chunks(numbers[:limit]):
        where = f"sequence IN ({marks_of(len(chunk))})"
        sql = f"SELECT sequence, {_columns(parts)} FROM items WHERE {where}"  # noqa: S608
        found.update((row[0], row[1:]) for row in db.execute(sql, chunk))
    return [found[number] for number in numbers[:limit]], len(numbers) > limit


def counters(db: sqlite3.Connection) -> dict[str, int]:
    return shown_counters(dict(db.execute("SELECT name, v FROM meta")))


def open_by_kind(db: sqlite3.Connection) -> list[tuple[str, int, int]]:
    """(kind, open items, their bytes), counted: the index by state brings the open rows only."""
    states = marks_of(len(OPEN_STATES))
    sql = (
        "SELECT kind, count(*), total(size) FROM items INDEXED BY items_listing "  # noqa: S608
        f"WHERE state IN ({states}) GROUP BY kind"
    )
    found = db.execute(sql, [str(state) for state in OPEN_STATES])
    return [(kind, items, int(size)) for kind, items, size in found]


def sides(db: sqlite3.Connection, table: str, key: str | None) -> list[_Row]:
    """(key, kid, data) of the one record, or of all of the table."""
    sql = 'SELECT key, kid, data FROM side WHERE "table" = ?'
    if key is None:
        return db.execute(f"{sql} ORDER BY key", (table,)).fetchall()
    return db.execute(f"{sql} AND key = ?", (table, key)).fetchall()


def journal(db: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, JournalRecord]]:
    sql = "SELECT n, writer, k, hash, text FROM journal WHERE n > ? ORDER BY n LIMIT ?"
    return [(n, JournalRecord(*rest)) for n, *rest in db.execute(sql, (after, limit))]


# One step of the index for each writer, not for each record.
_WRITERS = """
WITH RECURSIVE writers(name) AS (
  SELECT min(writer) FROM journal
  UNION ALL
  SELECT (SELECT min(writer) FROM journal WHERE writer > name) FROM writers WHERE name IS NOT NULL
)
SELECT (SELECT max(n) FROM journal WHERE writer = name) AS last FROM writers
WHERE name IS NOT NULL ORDER BY last DESC LIMIT ?
"""


def heads(db: sqlite3.Connection) -> dict[str, tuple[int, str]]:
    last = [n for (n,) in db.execute(_WRITERS, (HEADS_MAX,))]
    if not last:
        return {}  # an empty list would make SQLite read the whole table
    sql = f"SELECT writer, k, hash FROM journal WHERE n IN ({marks_of(len(last))})"  # noqa: S608
    return {writer: (k, head) for writer, k, head in db.execute(f"{sql} ORDER BY n DESC", last)}


def captures(db: sqlite3.Connection, limit: int) -> list[tuple[str, int, str, bytes]]:
    sql = "SELECT id, at, kid, data FROM inbox ORDER BY n LIMIT ?"
    return db.execute(sql, (limit,)).fetchall()


def blob(db: sqlite3.Connection, attachment_id: str, n: int) -> Any:
    """(at, kid, data), or None. Number 0 is the manifest."""
    sql = "SELECT at, kid, data FROM blobs WHERE attachment_id = ? AND n = ?"
    return db.execute(sql, (attachment_id, n)).fetchone()


# One step of the index for each attachment, not for each part.
_UNREFERENCED = """
WITH RECURSIVE ids(id) AS (
  SELECT min(attachment_id) FROM blobs
  UNION ALL
  SELECT (SELECT min(attachment_id) FROM blobs WHERE attachment_id > id) FROM ids
  WHERE id IS NOT NULL
)
SELECT id, (SELECT at FROM blobs WHERE attachment_id = id AND n = 0) FROM ids
WHERE id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM attached WHERE attachment_id = id)
  AND id NOT IN (SELECT value FROM inbox, json_each(inbox.attachment_ids))
"""


def orphans(db: sqlite3.Connection, before: int, limit: int) -> list[str]:
    """Oldest first; `made_at` tells the age of what has no manifest."""
    aged = ((made_at(id_) if at is None else at, id_) for id_, at in db.execute(_UNREFERENCED))
    old = [(at, id_) for at, id_ in aged if at is not None and at < before]
    return [id_ for _, id_ in sorted(old)[:limit]]

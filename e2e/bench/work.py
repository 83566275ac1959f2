"""What is measured on CPython, done once by Fieldpost's stores and once by hand.

By hand (``raw``) means the same table, columns and indexes with the sqlite3 module in the calling
thread, parts in clear, no preconditions and no counters.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from fieldpost.engine.machine import Answered, Claimed, step
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.retry import PRESETS
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.system import SystemEntropy
from fieldpost.ports import Commit, Put, Store
from fieldpost.stores import sqlite_schema
from fieldpost.stores.sqlite import SqliteStore

ENTROPY = SystemEntropy()
INTENT = b'{"id":"%b"}' % (b"i" * 900)  # what goes to the gateway: the payload and some words
HISTORY = b'[{"n":1,"outcome":"delivered"}]'
_PARTS = ("head", "body", "intent", "history")
_POLICY = PRESETS["itsm"]
_DELIVERED = Outcome(Class.DELIVERED, remote_id="FP-000001")
_START = 1_750_000_000_000


def ticket(n: int) -> dict[str, Any]:
    """600 bytes of canonical JSON."""
    made = {"summary": f"Ticket {n:06d}", "description": "", "severity": "medium"}
    made["user"] = {"name": "Ada Example", "email": "ada@example.org"}  # type: ignore[assignment]
    made["description"] = "d" * (600 - len(json.dumps(made, separators=(",", ":"))))
    return made


def ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def puts(n: int) -> list[Put]:
    """New rows, ready to be claimed."""

    def put(i: int) -> Put:
        now = _START + i
        body = json.dumps(ticket(i)).encode()
        id_, send = ENTROPY.uuid7(now), ENTROPY.uuid7(now)
        item = Item(id_, "ticket", "create", "gateway", send, now, now, size=600, body_bytes=600)
        return Put(item, {"head": b'{"t":"Ticket"}', "body": body}, {"fingerprint": id_}, True)

    return [put(i) for i in range(n)]


# --- Fieldpost's stores --------------------------------------------------------------------------


async def open_sqlite(path: Path, level: str = "FULL") -> SqliteStore:
    """``level``: SQLite's ``synchronous``."""
    open_ = sqlite_schema._open

    def opened(path: Path) -> sqlite3.Connection:
        connection = open_(path)
        connection.execute(f"PRAGMA synchronous = {level}")
        return connection

    with mock.patch.object(sqlite_schema, "_open", opened):
        return await SqliteStore.open(path, KeyRing.ephemeral())


async def commit_all(store: Store, rows: Sequence[Put], size: int) -> float:
    """Milliseconds for all in commits of ``size``."""
    started = time.perf_counter()
    for at in range(0, len(rows), size):
        await store.commit(Commit(puts=tuple(rows[at : at + size])))
    return ms_since(started)


async def claim_and_settle(store: Store, n: int, size: int) -> float:
    """Milliseconds for ``n`` rows, ``size`` at a time: read with all parts, a commit with lease and
    intent, a commit with the answer."""
    started = time.perf_counter()
    for _ in range(n // size):
        found = await store.ready("gateway", size, _PARTS)
        assert len(found) == size
        now = _START
        claimed = [step(row.item, Claimed("bench", 60_000), now) for row in found]
        claims = tuple(Put(item, {"intent": INTENT}) for item in claimed)
        done = (await store.commit(Commit(puts=claims))).items
        answered = [step(item, Answered(_DELIVERED, _POLICY, 0.5), now) for item in done]
        parts: dict[str, bytes | None] = {"intent": None, "history": HISTORY}
        await store.commit(Commit(puts=tuple(Put(item, dict(parts)) for item in answered)))
    return ms_since(started)


# --- by hand -------------------------------------------------------------------------------------

_NAMES = (
    "id, kind, operation, lane, send_id, created_at, updated_at, state, priority, revision, "
    "ready, rank, attempts, attempt, step, size, body_bytes, schema, fingerprint, kid, head, body"
)
_INSERT = f"INSERT INTO items ({_NAMES}) VALUES ({', '.join('?' * 22)})"
_READY = (
    "SELECT sequence, revision, state, priority, attempt, head, body, intent, history FROM items "
    "WHERE lane = 'gateway' AND rank IS NOT NULL ORDER BY rank, sequence LIMIT ?"
)
_CLAIM = (
    "UPDATE items SET state = 'in_progress', ready = 0, rank = NULL, attempt = attempt + 1, "
    "lease_owner = 'bench', lease_until = ?, updated_at = ?, revision = revision + 1, intent = ? "
    "WHERE sequence = ? AND revision = ?"
)
_SETTLE = (
    "UPDATE items SET state = 'completed', lease_owner = NULL, lease_until = NULL, "
    "updated_at = ?, revision = revision + 1, intent = NULL, history = ? "
    "WHERE sequence = ? AND revision = ?"
)


class Raw:
    """A connection of its own to a table made by the store's own DDL."""

    def __init__(self, path: Path, level: str = "FULL") -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {level}")
        self._db.executescript(sqlite_schema._DDL)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        yield
        self._db.execute("COMMIT")

    def commit_all(self, rows: Sequence[Put], size: int) -> float:
        started = time.perf_counter()
        for at in range(0, len(rows), size):
            values = [
                (
                    *(p.item.id, "ticket", "create", "gateway", p.item.send_id, p.item.created_at),
                    *(p.item.updated_at, "pending", 5, 1, True, 5, 0, 0, 0, 600, 600, 1, p.item.id),
                    *("d1-00000000", p.parts["head"], p.parts["body"]),
                )
                for p in rows[at : at + size]
            ]
            with self._transaction():
                self._db.executemany(_INSERT, values)
        return ms_since(started)

    def claim_and_settle(self, n: int, size: int) -> float:
        started = time.perf_counter()
        for _ in range(n // size):
            found = self._db.execute(_READY, (size,)).fetchall()
            assert len(found) == size
            with self._transaction():
                claims = [(_START + 60_000, _START, INTENT, row[0], row[1]) for row in found]
                self._db.executemany(_CLAIM, claims)
            with self._transaction():
                answers = [(_START, HISTORY, row[0], row[1] + 1) for row in found]
                self._db.executemany(_SETTLE, answers)
        return ms_since(started)

    def close(self) -> None:
        self._db.close()

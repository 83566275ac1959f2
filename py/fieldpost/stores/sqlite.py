"""The store on SQLite: one file, several processes, sealed rows (docs/formats.md §4).

For CPython hosts only: Pyodide's standard library comes without sqlite3.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from fieldpost.engine.config import Durability
from fieldpost.engine.model import MARKS, PARTS, Capture, Item, Stored
from fieldpost.engine.scheduling import ReadyKey
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Committed, JournalRecord, Manifest, Page
from fieldpost.security.cipher import Cipher

from . import rows, sqlite_queries
from .sqlite_commit import CommitWork, marked
from .sqlite_rows import item_of
from .sqlite_seen import Seen
from .sqlite_thread import DatabaseThread, Meta


class SqliteStore:
    """`ports.Store` in a SQLite file of mode 0600. Made by `open`; used from one event loop."""

    def __init__(self, thread: DatabaseThread, cipher: Cipher) -> None:
        self._thread = thread
        self._cipher = cipher
        self._seen = Seen()

    @classmethod
    async def open(
        cls,
        path: Path,
        cipher: Cipher,
        *,
        max_bytes: int | None = None,
        durability: Durability = "full",
    ) -> SqliteStore:
        """The store in ``path``, made there when there is none.

        ``max_bytes``: the file grows no further (`StorageFull`); None: until the disk is full.
        ``durability``: ``full`` syncs at every commit; ``normal`` survives a crash of the process,
        but a power cut can take the last commits (the file stays whole).
        Raises `SchemaTooNew` when a newer version wrote it, `DatabaseError` when it cannot be used.
        """
        thread = DatabaseThread(path, max_bytes, durability)
        await thread.start()
        return cls(thread, cipher)

    async def close(self) -> None:
        await self._thread.close()

    async def commit(self, commit: Commit) -> Committed:
        written = await self._thread.write(CommitWork(self._cipher, commit, self._seen))
        self._seen.add(written.rows)
        return written.done

    # --- rows --------------------------------------------------------------------------------

    def _stored(self, found: Sequence[Sequence[Any]], parts: Sequence[str]) -> list[Stored]:
        wanted = [part for part in PARTS if part in parts]
        open_part, cipher = rows.open_part, self._cipher
        stored: list[Stored] = []
        for row in found:
            item = item_of(row)
            opened: dict[str, bytes] = {}
            for part, data in zip(wanted, row[len(row) - len(wanted) :], strict=True):
                if data is not None:
                    opened[part] = open_part(cipher, item, part, data)
            stored.append(Stored(item, opened))
        return stored

    async def get(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        wanted = list(ids)
        found = await self._thread.read(lambda db: sqlite_queries.get(db, wanted, parts))
        self._seen.read(found)
        return self._stored(found, parts)

    async def ready(self, lane: str, limit: int, parts: Sequence[str] = ()) -> list[Stored]:
        found = await self._thread.read(lambda db: sqlite_queries.ready(db, lane, limit, parts))
        self._seen.read(found)
        return self._stored(found, parts)

    async def ready_keys(
        self, lane: str, per_level: int, *, newest_first: bool = False
    ) -> list[ReadyKey]:
        return await self._thread.read(
            lambda db: sqlite_queries.ready_keys(db, lane, per_level, newest_first)
        )

    async def waiting(self, lane: str, now: int, horizon: int, limit: int) -> list[Stored]:
        found = await self._thread.read(
            lambda db: sqlite_queries.waiting(db, lane, now, now + horizon, limit)
        )
        return self._stored(found, ())

    async def next_due(self, lane: str) -> int | None:
        return await self._thread.read(lambda db: sqlite_queries.next_due(db, lane))

    async def lines(
        self, line: Literal["entity", "parent"], keys: Sequence[str], size: int
    ) -> list[list[Item]]:
        found = await self._thread.read(
            lambda db: [sqlite_queries.line(db, line, key, size) for key in keys]
        )
        return [[item_of(row) for row in rows_] for rows_ in found]

    async def marks(self, mark: str, values: Sequence[str]) -> list[str]:
        return [self._cipher.mark(mark, value) for value in values]

    async def expired(self, now: int, limit: int) -> list[Stored]:
        found = await self._thread.read(lambda db: sqlite_queries.expired(db, now, limit))
        return self._stored(found, ())

    async def page(
        self,
        states: Sequence[State],
        *,
        limit: int,
        cursor: int | None = None,
        newest_first: bool = False,
        parts: Sequence[str] = (),
    ) -> Page:
        named = [str(state) for state in dict.fromkeys(states)]
        found, more = await self._thread.read(
            lambda db: sqlite_queries.page(db, named, limit, cursor, newest_first, parts)
        )
        stored = self._stored(found, parts)
        return Page(stored, stored[-1].item.sequence if stored and more else None)

    async def find(self, mark: str, value: str, limit: int = 10) -> list[str]:
        if mark not in MARKS:
            raise ValueError(f"no such mark: {mark}")
        hidden = self._cipher.mark(mark, value)
        return await self._thread.read(lambda db: marked(db, mark, hidden, limit))

    async def counters(self) -> dict[str, int]:
        return await self._thread.read(sqlite_queries.counters)

    # --- side records and journal ------------------------------------------------------------

    async def side(self, table: str, key: str) -> str | None:
        return (await self._sides(table, key)).get(key)

    async def sides(self, table: str) -> dict[str, str]:
        return await self._sides(table, None)

    async def _sides(self, table: str, key: str | None) -> dict[str, str]:
        found = await self._thread.read(lambda db: sqlite_queries.sides(db, table, key))
        return {
            name: rows.open_side(self._cipher, table, name, kid, data) for name, kid, data in found
        }

    async def journal(self, after: int, limit: int) -> list[tuple[int, JournalRecord]]:
        return await self._thread.read(lambda db: sqlite_queries.journal(db, after, limit))

    async def heads(self) -> dict[str, tuple[int, str]]:
        return await self._thread.read(sqlite_queries.heads)

    # --- inbox and blobs ---------------------------------------------------------------------

    async def capture(self, capture: Capture) -> None:
        kid, sealed = self._cipher.seal(capture.id, "capture", "body", capture.data)
        used = json.dumps(rows.captured_attachments(capture.data))

        def work(db: sqlite3.Connection, meta: Meta) -> None:
            if db.execute("SELECT 1 FROM items WHERE id = ?", (capture.id,)).fetchone():
                return
            cursor = db.execute(
                "INSERT INTO inbox (id, at, kid, attachment_ids, data) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO NOTHING",
                (capture.id, capture.at, kid, used, sealed),
            )
            meta["inbox"] += cursor.rowcount
            meta["revision"] += cursor.rowcount
            meta[rows.KINDS_AT] = meta["revision"]

        await self._thread.write(work)

    async def captures(self, limit: int) -> list[Capture]:
        found = await self._thread.read(lambda db: sqlite_queries.captures(db, limit))
        return rows.open_captures(self._cipher, found)

    async def put_part(self, attachment_id: str, n: int, data: bytes) -> None:
        if n < 1:
            raise ValueError("parts are numbered from 1")
        sealed = self._cipher.seal(attachment_id, "attachment", str(n), data)
        await self._put_blob(attachment_id, n, None, *sealed)

    async def put_manifest(self, manifest: Manifest) -> None:
        sealed = rows.seal_manifest(self._cipher, manifest)
        await self._put_blob(manifest.id, 0, manifest.at, *sealed)

    async def _put_blob(self, id_: str, n: int, at: int | None, kid: str, data: bytes) -> None:
        def work(db: sqlite3.Connection, _: Meta) -> None:
            values = (id_, n, at, kid, data)
            db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?)", values)

        await self._thread.write(work)

    async def manifest(self, attachment_id: str) -> Manifest | None:
        found = await self._thread.read(lambda db: sqlite_queries.blob(db, attachment_id, 0))
        return None if found is None else rows.open_manifest(self._cipher, attachment_id, *found)

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        if n < 1:
            return None  # the manifest is kept as number 0
        found = await self._thread.read(lambda db: sqlite_queries.blob(db, attachment_id, n))
        if found is None:
            return None
        _, kid, sealed = found
        return self._cipher.open(kid, attachment_id, "attachment", str(n), sealed)

    async def orphans(self, before: int, limit: int) -> list[str]:
        return await self._thread.read(lambda db: sqlite_queries.orphans(db, before, limit))

"""One SQLite file: one writing thread with group commit, and a few reading threads.

A commit costs an fsync (about 1.5 ms on the machine this was measured on), so everything that
waits while one commit runs shares the next. The event loop never touches SQLite.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from .grouped import Grouped, Job
from .problems import Problem
from .sql import SCHEMA, SqlTx
from .tables import Tx

T = TypeVar("T")

READERS = 2
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit is on the disk before it is answered (invariant 2)
    "busy_timeout=10000",
    "cache_size=-32768",  # KiB; the default 2 MB spills the pages of one large group
)


class SqlDatabase(Grouped):
    """Jobs are functions of a connection. They run in a thread, and twice if their group fails."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path`` (mode 0600 comes from the process's umask).

        Raises `sqlite3.Error` when the file is no database or cannot be written.
        """
        super().__init__()
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(SCHEMA)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="gateway-reader")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []

    @property
    def durability(self) -> str:
        return "always"  # synchronous=FULL

    async def read(self, job: Callable[[Tx], T]) -> T:
        """Run ``job`` on a connection that sees the last commit and cannot write."""
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: job(SqlTx(self._reader()))
        )

    def close(self) -> None:
        """Finish what runs and close the file. Idempotent."""
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in (*self._opened, self._connection):
            connection.close()

    def _commit(self, jobs: list[Job]) -> list[Any]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [self._refusable(job) for job in jobs]
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self.commits += 1
        return results

    def _refusable(self, job: Job) -> Any:
        self._connection.execute("SAVEPOINT job")
        try:
            result = job(SqlTx(self._connection))
        except Problem as refusal:
            self._connection.execute("ROLLBACK TO job")
            result = refusal
        self._connection.execute("RELEASE job")
        return result

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            self._opened.append(connection)
        return connection

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
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .problems import Problem

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

#: Requests that share one commit: bounds how long the first one waits for the last one's work.
GROUP_MAX = 32
READERS = 2
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit is on the disk before it is answered (invariant 2)
    "busy_timeout=10000",
    "cache_size=-32768",  # KiB; the default 2 MB spills the pages of one large group
)


class Database:
    """Jobs are functions of a connection. They run in a thread, and twice if their group fails."""

    def __init__(self, path: Path, schema: str) -> None:
        """Open or create ``path`` (mode 0600 comes from the process's umask) with ``schema``.

        Raises `sqlite3.Error` when the file is no database or cannot be written.
        """
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(schema)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="gateway-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="gateway-reader")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._waiting: list[tuple[Job, asyncio.Future[Any]]] = []
        self._running = False
        self.commits = 0

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``job`` in a transaction and return its result once that is durable.

        Raises the job's `Problem` (its changes undone, those of its group kept), `sqlite3.Error`
        when the storage fails; nothing of the job is kept then.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if not self._running:
            self._start(GROUP_MAX)
        return await future

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``job`` on a connection that sees the last commit and cannot write."""
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: job(self._reader())
        )

    def close(self) -> None:
        """Finish what runs and close the file. Idempotent."""
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in (*self._opened, self._connection):
            connection.close()

    def _start(self, most: int) -> None:
        group, self._waiting = self._waiting[:most], self._waiting[most:]
        self._running = True
        running = asyncio.get_running_loop().run_in_executor(
            self._writer, self._commit, [job for job, _ in group]
        )
        running.add_done_callback(partial(self._finish, group))

    def _finish(
        self, group: list[tuple[Job, asyncio.Future[Any]]], running: asyncio.Future[list[Any]]
    ) -> None:
        error = running.exception()
        self._running = False
        if error is not None and len(group) > 1:
            # One of them broke the commit; alone, each gets its own outcome.
            self._waiting = group + self._waiting
            self._start(1)
            return
        results = [error] if error is not None else running.result()
        for (_, future), result in zip(group, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        if self._waiting:
            self._start(GROUP_MAX)

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
            result = job(self._connection)
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

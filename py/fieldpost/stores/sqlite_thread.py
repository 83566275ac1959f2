"""The thread that writes to SQLite, group commit, and reading beside it.

A hop between threads for each awaited statement costs three quarters of SQLite's rate, and a
transaction for each commit a disk sync. So work comes here whole, and whatever has queued up while
one transaction was under way shares the next one; each piece keeps its own fate by a savepoint.

Readings never wait for a disk sync or another process's lock (WAL), and take less than opening what
they bring: they are done where they are asked for, with a connection of their own. Only while
writings are under way they queue up behind these, so that each sees what was given before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from fieldpost.engine.config import Durability
from fieldpost.engine.errors import DatabaseError

from .rows import KINDS_AT, recount_kinds
from .sqlite_queries import open_by_kind
from .sqlite_rows import chunks
from .sqlite_schema import check_schema, connect, connect_reading, storage_error

_T = TypeVar("_T")

#: Numbers of the table ``meta``, as they stand in this transaction; what is changed gets written.
Meta = dict[str, int]
Reading = Callable[[sqlite3.Connection], _T]
Writing = Callable[[sqlite3.Connection, Meta], _T]

#: Pieces of work in one transaction; the ones behind them wait for its sync only once more.
_GROUP_MAX = 1000


class Distrust(Exception):
    """A writing went by what turned out not to be so: undo it and run it again. The second time it
    looks at everything itself, and raises this no more."""


@dataclass(slots=True)
class _Job:
    """Work for the thread, and who waits for it. Exactly one of ``reading``, ``writing`` is set."""

    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    reading: Reading[Any] | None = None
    writing: Writing[Any] | None = None
    result: Any = None
    error: BaseException | None = None

    def resolve(self) -> None:
        if self.future.done():  # the caller was cancelled: the work is done or not all the same
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class DatabaseThread:
    """Runs writings, and the readings given behind them, in that order, off the event loop."""

    def __init__(
        self, path: Path, max_bytes: int | None = None, durability: Durability = "full"
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._durability: Durability = durability
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        # A daemon: a process that forgets to close must still end; the file takes no harm.
        self._thread = threading.Thread(target=self._run, name="fieldpost-sqlite", daemon=True)
        self._connection: sqlite3.Connection
        self._reader: sqlite3.Connection | None = None  # used in the thread of the event loop only
        self._given = 0  # pieces of work, counted by the event loop
        self._handled = 0  # of these, by the thread
        self._meta: Meta = {}
        self._version: int | None = None

    async def start(self) -> None:
        """Open the file. Raises `SchemaTooNew`, `DatabaseError`."""
        opened = self._submit(reading=lambda _: None)
        self._thread.start()
        await opened

    async def read(self, work: Reading[_T]) -> _T:
        """Run ``work`` on one consistent view of the database.

        Raises what it raises, and `DatabaseError`.
        """
        reader = self._reader
        if reader is not None and self._given == self._handled:
            try:
                return _view(reader, work)
            except sqlite3.OperationalError as error:
                # Locked while another process recovers the log: the thread has the time to wait.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise storage_error(error) from error
            except sqlite3.Error as error:
                raise storage_error(error) from error
        result: _T = await self._submit(reading=work)
        return result

    async def write(self, work: Writing[_T]) -> _T:
        """Run ``work`` in a transaction; durable on return, undone when it raises.

        ``work`` runs in the thread, under the write lock: it should only write. It may be run twice
        (`Distrust`), the first time being undone. Raises what it raises, and `DatabaseError` or
        `StorageFull`.
        """
        result: _T = await self._submit(writing=work)
        return result

    async def close(self) -> None:
        """Finish what was given, close the connection, end the thread."""
        self._closed = True
        if self._reader is not None:  # first: the last connection to close empties the log
            self._reader.close()
            self._reader = None
        if self._thread.is_alive():
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _submit(
        self, reading: Reading[Any] | None = None, writing: Writing[Any] | None = None
    ) -> asyncio.Future[Any]:
        if self._closed:
            raise DatabaseError("The store is closed.")
        loop = asyncio.get_running_loop()
        job = _Job(loop.create_future(), loop, reading, writing)
        self._given += 1
        self._jobs.put(job)
        return job.future

    # --- in the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        first = self._jobs.get()
        assert first is not None
        try:
            self._connection = connect(self._path, self._max_bytes, self._durability)
            self._reader = connect_reading(self._path)
        except BaseException as error:  # noqa: BLE001 - raised where the store is opened
            self._closed = True
            first.error = error
            _deliver([first])
            return
        self._handled += 1
        _deliver([first])
        going = True
        while going:
            jobs, going = self._next_jobs()
            self._work(jobs)
        self._connection.close()

    def _next_jobs(self) -> tuple[list[_Job], bool]:
        """All that waits, at least one; and whether there may be more after them."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == _GROUP_MAX:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _work(self, jobs: list[_Job]) -> None:
        """Whoever waits in two places at once cannot tell the order, so writings go together."""
        writings = [job for job in jobs if job.writing is not None]
        if writings:
            try:
                self._write_group(writings)
            except sqlite3.Error as error:
                self._roll_back()
                for job in writings:
                    # Refusals too: the row that one met may have been another's in this group.
                    job.error = storage_error(error)
            self._handled += len(writings)
            _deliver(writings)
        for job in jobs:
            if job.reading is not None:
                self._read(job, job.reading)
                self._handled += 1
                _deliver([job])

    def _write_group(self, jobs: list[_Job]) -> None:
        """One transaction for all; raises `sqlite3.Error` when nothing of it is durable."""
        run = self._connection.execute
        before, after = self._begin()
        alone = len(jobs) == 1  # then it has the transaction for its savepoint
        for job in jobs:
            if not alone:
                run("SAVEPOINT job")
            meta = dict(after)
            done = self._attempt(job, meta)
            if done is None:
                if alone:
                    run("ROLLBACK")
                    before, after = self._begin()
                else:
                    run("ROLLBACK TO job")
                meta = dict(after)
                done = self._attempt(job, meta)
            if done:
                after = meta
            elif alone:
                self._roll_back()
                return
            else:
                cause = job.error and job.error.__cause__
                if not self._connection.in_transaction and cause:  # SQLite gave up all of it
                    raise cause
                run("ROLLBACK TO job")
            if not alone:
                run("RELEASE job")
        self._write_meta([(name, v) for name, v in after.items() if before.get(name) != v])
        run("COMMIT")
        self._meta = after

    def _begin(self) -> tuple[Meta, Meta]:
        """Begin a transaction: the numbers as they stand, and as they have to stand in it."""
        self._connection.execute("BEGIN IMMEDIATE")
        before = self._read_meta()
        return before, in_step(self._connection, before)

    def _write_meta(self, changed: list[tuple[str, int]]) -> None:
        """In one statement: that is three times as fast as one for each number."""
        for some in chunks(changed):
            values = ", ".join(["(?, ?)"] * len(some))
            self._connection.execute(
                f"INSERT OR REPLACE INTO meta VALUES {values}",  # noqa: S608 - no words at all
                list(chain.from_iterable(some)),
            )

    def _read_meta(self) -> Meta:
        """The numbers as they stand: those last written here, unless another process wrote since.

        ``data_version`` tells that, at a tenth of the cost of reading them all.
        """
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._meta = dict(self._connection.execute("SELECT name, v FROM meta"))
            self._version = version
        return self._meta

    def _roll_back(self) -> None:
        self._version = None  # after a failure, believe only what is in the file
        with contextlib.suppress(sqlite3.Error):  # SQLite may have done so itself
            self._connection.execute("ROLLBACK")

    def _attempt(self, job: _Job, meta: Meta) -> bool | None:
        """Whether it is done; None when it has to be undone and attempted once more."""
        assert job.writing is not None
        try:
            check_schema(meta)
            job.result = job.writing(self._connection, meta)
        except Distrust:
            return None
        except sqlite3.Error as error:
            job.error = storage_error(error)
        except BaseException as error:  # noqa: BLE001 - raised where the work was given
            job.error = error
        return job.error is None

    def _read(self, job: _Job, work: Reading[Any]) -> None:
        try:
            job.result = _view(self._connection, work)
        except sqlite3.Error as error:
            job.error = storage_error(error)
        except BaseException as error:  # noqa: BLE001 - raised where the work was given
            job.error = error


def _view(connection: sqlite3.Connection, work: Reading[_T]) -> _T:
    """``work`` on one consistent view of the database. Raises what it raises."""
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        connection.execute("ROLLBACK")


def in_step(connection: sqlite3.Connection, meta: Meta) -> Meta:
    """The numbers, with those by kind counted anew when a version that knew none of them wrote
    last. Inside the transaction of the first write after it, over the open rows only."""
    if meta.get(KINDS_AT) == meta["revision"]:
        return meta
    meta = {"removed": 0, **meta}
    recount_kinds(meta, open_by_kind(connection))
    meta[KINDS_AT] = meta["revision"]
    return meta


def _deliver(jobs: list[_Job]) -> None:
    """Wake those who wait: one call into each event loop for the whole group."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, done in by_loop.items():
        with contextlib.suppress(RuntimeError):  # a closed loop: its callers are gone with it
            loop.call_soon_threadsafe(_resolve_all, done)


def _resolve_all(jobs: list[_Job]) -> None:
    for job in jobs:
        job.resolve()

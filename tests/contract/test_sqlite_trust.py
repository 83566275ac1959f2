"""What the SQLite store takes for granted until a statement finds otherwise, and what it reads
where it is asked: never to be seen from outside."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Absent, Commit, Put, Refused, Revision
from fieldpost.stores import sqlite_seen
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.stores.sqlite_thread import DatabaseThread
from fieldpost.testing.storecontract.support import add, check, new, one, refused, uid, update


@pytest.fixture
async def stores(path: Path, ring: KeyRing) -> AsyncIterator[tuple[SqliteStore, SqliteStore]]:
    one_, two = await SqliteStore.open(path, ring), await SqliteStore.open(path, ring)
    yield one_, two
    for store in (one_, two):
        await check(store)
        await store.close()


Stores = tuple[SqliteStore, SqliteStore]


async def test_a_row_that_another_process_has_changed(stores: Stores) -> None:
    store, other = stores
    await add(store, new(1), new(2), new(3))
    first, second, third = [(await one(store, n)).item for n in (1, 2, 3)]
    await update(other, second, ready=False)
    puts = tuple(Put(item.changed(ready=False)) for item in (first, second, third))
    refusal = await refused(store.commit(Commit(puts=puts)))
    assert (refusal.index, refusal.expectation) == (1, Revision(second.id, 1))
    assert refusal.existing_id == second.id
    assert [(await one(store, n)).item.revision for n in (1, 2, 3)] == [1, 2, 1]


async def test_a_row_that_is_another_one_now(stores: Stores) -> None:
    """Removed and made anew elsewhere: the same id and revision, another number, other columns."""
    store, other = stores
    await add(store, new(1))
    seen = (await one(store, 1)).item
    await other.commit(Commit(drop=(seen.id,)))
    await add(other, new(1, state=State.CANCELLED, ready=False, size=7))
    written = await update(store, seen, state=State.COMPLETED, ready=False)
    assert (written.sequence, written.revision) == (2, 2)
    assert (await one(other, 1)).item == written


async def test_what_was_wrong_first_is_what_is_said(stores: Stores) -> None:
    """Although the table finds the second row there first."""
    store, _ = stores
    await add(store, new(1), new(2))
    stale = (await one(store, 1)).item
    await update(store, stale, ready=False)
    refusal = await refused(
        store.commit(
            Commit(expect=(Absent(uid(2)),), puts=(new(2), Put(stale.changed(priority=9))))
        )
    )
    assert (refusal.index, refusal.expectation) == (0, Absent(uid(2)))
    refusal = await refused(store.commit(Commit(puts=(Put(stale.changed(priority=9)), new(2)))))
    assert refusal.index == 0


async def test_one_of_a_group_is_refused(stores: Stores) -> None:
    """It is undone alone, whichever place it has among those of its transaction."""
    store, other = stores
    await add(store, *(new(n) for n in range(1, 6)))
    rows = [(await one(store, n)).item for n in range(1, 6)]
    await update(other, rows[2], ready=False)
    held = threading.Event()
    thread = store._thread
    waiting = asyncio.ensure_future(thread.write(lambda db, meta: held.wait() and None))
    work = [
        store.commit(Commit(puts=(Put(row.changed(ready=False)), new(9 + n))))
        for n, row in enumerate(rows)
    ]
    tasks = [asyncio.ensure_future(each) for each in work]
    await asyncio.sleep(0)  # all are given: they share the next transaction
    held.set()
    await waiting
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, Refused) for each in done] == [False, False, True, False, False]
    assert (await store.counters())["sequence"] == 9
    assert await store.get([uid(11)]) == []


async def test_more_rows_than_are_remembered(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_seen, "_MAX", 3)
    store, _ = stores
    await add(store, *(new(n) for n in range(1, 9)))
    found = await store.ready("inbox", 8)
    assert len(store._seen._rows) == 3
    written = await add(store, *(Put(row.item.changed(ready=False)) for row in found))
    assert [item.revision for item in written] == [2] * 8
    again = await add(store, *(Put(item.changed(ready=True)) for item in written))
    assert [item.revision for item in again] == [3] * 8
    assert len(store._seen._rows) == 3


async def test_a_refused_commit_leaves_nothing_behind_in_memory(stores: Stores) -> None:
    """What would have been written is not taken for what is there."""
    store, _ = stores
    await add(store, new(1), new(2))
    first = (await one(store, 1)).item
    await refused(store.commit(Commit(puts=(Put(first.changed(size=9)), new(2)))))
    written = await update(store, first, priority=7)
    assert written == (await one(store, 1)).item
    assert written.size == first.size


async def test_a_statement_checks_what_is_remembered(path: Path, ring: KeyRing) -> None:
    """With a look at no row: a commit of rows just read selects nothing of ``items``."""
    store = await SqliteStore.open(path, ring)
    await add(store, new(1), new(2))
    found = await store.ready("inbox", 2)
    asked: list[str] = []
    await store._thread.write(lambda db, meta: db.set_trace_callback(asked.append))
    written = await add(store, *(Put(row.item.changed(ready=False)) for row in found))
    await add(store, *(Put(item.changed(ready=True)) for item in written), new(3))
    assert not [sql for sql in asked if sql.startswith("SELECT") and "items" in sql]
    assert len([sql for sql in asked if sql.startswith("UPDATE items")]) == 4
    await store.close()


async def test_a_reading_sees_what_was_given_before_it(stores: Stores) -> None:
    store, _ = stores
    for n in range(1, 20):
        writing = asyncio.ensure_future(add(store, new(n)))
        await asyncio.sleep(0)  # given, not awaited
        assert (await one(store, n)).item.id == uid(n)
        await writing


async def test_readings_need_no_thread(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = stores
    await add(store, new(1))
    monkeypatch.setattr(DatabaseThread, "_submit", None)
    assert (await one(store, 1)) == (await one(other, 1))


async def test_a_reading_that_finds_the_file_locked(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while another process recovers the log: it waits in the thread, not on the event loop."""
    store, _ = stores
    await add(store, new(1))

    class Locked:
        def execute(self, sql: str) -> None:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
            raise error

    with monkeypatch.context() as patched:
        patched.setattr(store._thread, "_reader", Locked())
        assert (await one(store, 1)).item.sequence == 1

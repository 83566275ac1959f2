"""Several stores on one file, in one process and in several, some of which are killed."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fieldpost.engine.errors import DatabaseError
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Commit, Put, Refused
from fieldpost.stores import sqlite_schema
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.storecontract.support import add, check, new, one, uid


async def test_a_writer_that_never_ends(
    path: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_schema, "BUSY_TIMEOUT_S", 0.05)
    store = await SqliteStore.open(path, ring)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError):
        await add(store, new(1))
    assert (await store.counters())["open"] == 0
    other.execute("ROLLBACK")
    other.close()
    await add(store, new(1))
    await check(store)
    await store.close()


async def test_two_stores_on_one_file(path: Path, ring: KeyRing) -> None:
    """Each sees the other's commits; of two claims of a row one is refused."""
    one_, two = await SqliteStore.open(path, ring), await SqliteStore.open(path, ring)
    for n in range(1, 40):
        await add((one_, two)[n % 2], new(n))
    rows = [stored.item for stored in await two.ready("inbox", 50)]
    assert [row.sequence for row in rows] == list(range(1, 40))
    claims = [
        store.commit(Commit(puts=(Put(row.changed(ready=False)),)))
        for row in rows
        for store in (one_, two)
    ]
    done = await asyncio.gather(*claims, return_exceptions=True)
    assert sum(isinstance(result, Refused) for result in done) == 39
    await check(one_)
    await one_.close()
    await check(two)
    await two.close()


_WORKER = """
import asyncio, sys
from pathlib import Path
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.storecontract.support import add, new

async def main(folder, first, count):
    ring = KeyRing.load_or_create(folder / "keys.json")
    store = await SqliteStore.open(folder / "queue.db", ring)
    for n in range(first, first + count):
        await add(store, new(n, head=b"h%d" % n))
        print(n, flush=True)
    await store.close()

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
"""


def start(folder: Path, first: int, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _WORKER, str(folder), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_several_processes(tmp_path: Path) -> None:
    """Started at once on nothing, they agree on keys, schema and numbers."""
    workers = [start(tmp_path, 1000 * n, 60) for n in (1, 2, 3)]
    for worker in workers:
        await asyncio.to_thread(worker.communicate, timeout=60)
        assert worker.returncode == 0
    ring = KeyRing.load_or_create(tmp_path / "keys.json")
    store = await SqliteStore.open(tmp_path / "queue.db", ring)
    assert (await store.counters())["open"] == 180
    assert (await one(store, 3059, "head")).parts == {"head": b"h3059"}
    await check(store)
    await store.close()
    assert sorted(os.listdir(tmp_path)) == ["keys.json", "queue.db"]


@pytest.mark.parametrize("after", [1, 7, 23])
async def test_killed(tmp_path: Path, after: int) -> None:
    """Invariant 2: what was acknowledged before kill -9 is there, and the store is whole."""
    worker = start(tmp_path, 1, 100_000)
    assert worker.stdout is not None
    acknowledged = [int(await asyncio.to_thread(worker.stdout.readline)) for _ in range(after)]
    worker.kill()
    rest, _ = await asyncio.to_thread(worker.communicate)
    acknowledged += [int(line) for line in rest.splitlines()]
    ring = KeyRing.load_or_create(tmp_path / "keys.json")
    store = await SqliteStore.open(tmp_path / "queue.db", ring)
    found = await store.get([uid(n) for n in acknowledged], ["head"])
    assert [row.parts["head"] for row in found] == [b"h%d" % n for n in acknowledged]
    await check(store)
    await store.close()

"""What only a file can show: modes, keys, schema, full disks, several processes, kills."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from fieldpost.engine.errors import DatabaseError, DecryptionError, SchemaTooNew, StorageFull
from fieldpost.engine.model import Capture
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import Key, KeyRing
from fieldpost.ports import Commit, Manifest, Put
from fieldpost.stores import sqlite_queries
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.stores.sqlite_thread import DatabaseThread
from fieldpost.testing.storecontract.support import (
    NOW,
    Journalled,
    add,
    check,
    ids,
    new,
    one,
    uid,
    update,
)

MARKER = "MARKER-7f3a-Ölpumpe"
INDEX = Key("i1-00000009", "index", bytes(32), 1)


def data_key(n: int) -> Key:
    return Key(f"d1-{n:08x}", "data", bytes([n]) * 32, n)


def modes(folder: Path) -> set[int]:
    return {file.stat().st_mode & 0o777 for file in folder.iterdir()}


def content(path: Path) -> bytes:
    return path.read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_counters_by_kind_of_a_file_that_has_none(path: Path, ring: KeyRing) -> None:
    """Counted once, by the first commit; again after a version without them has written."""
    store = await SqliteStore.open(path, ring)
    (row, _, _) = await add(store, new(1, size=3), new(2, kind="log", size=4), new(3, size=5))
    await update(store, row, state=State.COMPLETED, ready=False)
    await store.close()
    by_kind = {"open:ticket": 1, "bytes:ticket": 5, "open:log": 1, "bytes:log": 4, "bytes": 9}

    def old_version(sql: str) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(sql)
        connection.close()

    names = "name LIKE 'open:%' OR name LIKE 'bytes%' OR name IN ('kinds', 'removed')"
    old_version(f"DELETE FROM meta WHERE {names}")
    store = await SqliteStore.open(path, ring)
    assert not by_kind.keys() & (await store.counters()).keys()
    await store.commit(Commit())
    assert by_kind.items() <= (await store.counters()).items()
    old_version("UPDATE meta SET v = v + 7 WHERE name IN ('bytes:log', 'revision')")
    assert not by_kind.keys() & (await store.counters()).keys()
    await store.capture(Capture(uid(8), NOW, b"{}"))
    assert by_kind.items() <= (await store.counters()).items()
    await store.close()


async def test_the_files_are_for_the_owner_only(path: Path, ring: KeyRing) -> None:
    store = await SqliteStore.open(path, ring)
    await add(store, new(1))
    assert modes(path.parent) == {0o600}
    await store.close()
    os.chmod(path, 0o644)
    store = await SqliteStore.open(path, ring)
    assert modes(path.parent) == {0o600}
    await store.close()


async def test_sealed_on_disk(path: Path, ring: KeyRing) -> None:
    """Invariant 7: nothing of what people wrote lies in clear in any of the files."""
    store = await SqliteStore.open(path, ring)
    secret = MARKER.encode()
    parts: dict[str, bytes | None] = dict.fromkeys(("head", "body", "intent", "history"), secret)
    marks = dict.fromkeys(("entity", "fingerprint", "natural_key", "owner"), MARKER)
    side = {("t", "k"): MARKER}
    await store.commit(Commit(puts=(Put(new(1).item, parts, marks, insert=True),), side=side))
    await store.capture(Capture(uid(2), NOW, b'{"kind":"' + secret + b'"}'))
    await store.put_part(uid(3), 1, secret)
    await store.put_manifest(Manifest(uid(3), MARKER, MARKER, 1, (MARKER,), NOW))
    live = b"".join(content(path.parent / name) for name in names(path.parent))
    await store.close()
    for found in (live, content(path)):
        assert len(found) > 4096
        assert b"MARKER" not in found


async def test_wrong_key(path: Path) -> None:
    """Another ring opens nothing, and finds no row by its marks; the rows stay as they are."""
    mine, other = (KeyRing([data_key(n), INDEX]) for n in (1, 2))
    forged = KeyRing([Key("d1-00000001", "data", bytes([9]) * 32, 1), INDEX])
    store = await SqliteStore.open(path, mine)
    await add(store, new(1, head=b"secret"))
    await store.commit(Commit(side={("t", "k"): "1"}))
    await store.capture(Capture(uid(2), NOW, b"{}"))
    await store.put_part(uid(3), 1, b"x")
    await store.put_manifest(Manifest(uid(3), "n", "t", 1, ("qqo=",), NOW))
    await store.close()
    for ring in (other, forged):
        store = await SqliteStore.open(path, ring)
        for call in (
            store.get(ids(1), ["head"]),
            store.ready("inbox", 1, ["head"]),
            store.captures(1),
            store.side("t", "k"),
            store.part(uid(3), 1),
            store.manifest(uid(3)),
        ):
            with pytest.raises(DecryptionError):
                await call
        assert (await one(store, 1)).parts == {}
        await store.close()
    store = await SqliteStore.open(path, mine)
    assert (await one(store, 1, "head")).parts == {"head": b"secret"}
    await store.close()


async def test_a_capture_that_does_not_open_holds_up_no_other(path: Path) -> None:
    store = await SqliteStore.open(path, KeyRing([data_key(1), INDEX]))
    await store.capture(Capture(uid(1), NOW, b"{}"))
    await store.close()
    store = await SqliteStore.open(path, KeyRing([data_key(2), INDEX]))
    await store.capture(Capture(uid(2), NOW, b"{}"))
    assert [c.id for c in await store.captures(10)] == ids(2)
    await store.close()


async def test_a_new_data_key(path: Path) -> None:
    """Rows sealed before stay readable; one that gets a new part is sealed anew as a whole."""
    store = await SqliteStore.open(path, KeyRing([data_key(1), INDEX]))
    await add(store, new(1, head=b"one"), new(2, head=b"two"))
    await store.close()
    store = await SqliteStore.open(path, KeyRing([data_key(1), data_key(2), INDEX]))
    row = (await one(store, 1)).item
    (row,) = await add(store, Put(row, {"intent": b"i"}))
    kept = await update(store, (await one(store, 2)).item, priority=9)
    assert (row.kid, kept.kid) == ("d1-00000002", "d1-00000001")
    await store.close()
    store = await SqliteStore.open(path, KeyRing([data_key(2), INDEX]))
    assert (await one(store, 1, "head", "intent")).parts == {"head": b"one", "intent": b"i"}
    await store.close()


async def test_a_newer_schema_is_not_touched(path: Path, ring: KeyRing) -> None:
    """Invariant 9, at the start and under a store that is open already."""
    store = await SqliteStore.open(path, ring)
    (row,) = await add(store, new(1))
    with sqlite3.connect(path) as newer:
        newer.execute("UPDATE meta SET v = 3 WHERE name = 'schema'")
    newer.close()
    with pytest.raises(SchemaTooNew):
        await add(store, new(2))
    with pytest.raises(SchemaTooNew):
        await update(store, row, priority=1)
    with pytest.raises(SchemaTooNew):
        await store.capture(Capture(uid(3), NOW, b"{}"))
    await store.close()
    with pytest.raises(SchemaTooNew):
        await SqliteStore.open(path, ring)


async def test_columns_and_tables_of_a_later_version_stay(path: Path, ring: KeyRing) -> None:
    store = await SqliteStore.open(path, ring)
    (row,) = await add(store, new(1, head=b"h"))
    with sqlite3.connect(path) as later:
        later.execute("ALTER TABLE items ADD COLUMN mood TEXT")
        later.execute("ALTER TABLE items ADD COLUMN weight INTEGER NOT NULL DEFAULT 7")
        later.execute("UPDATE items SET mood = 'calm'")
        later.execute("INSERT INTO meta VALUES ('later', 3)")
    later.close()
    await update(store, row, priority=8)
    await add(store, new(2))
    await check(store)
    assert (await one(store, 1, "head")).parts == {"head": b"h"}
    await store.close()
    with sqlite3.connect(path) as later:
        found = later.execute("SELECT mood, weight, priority FROM items ORDER BY sequence")
        assert found.fetchall() == [("calm", 7, 8), (None, 7, 5)]
    later.close()


async def test_full(path: Path, ring: KeyRing) -> None:
    """A commit that does not fit is told so and leaves nothing; one that fits goes on."""
    store = await SqliteStore.open(path, ring, max_bytes=400_000)
    await add(store, *(new(n, head=b"h") for n in range(1, 21)))
    before = await store.counters()
    big = (Put(new(n).item, {"body": os.urandom(60_000)}, insert=True) for n in range(100, 120))
    with pytest.raises(StorageFull) as caught:
        await add(store, *big)
    assert MARKER not in str(caught.value)
    assert await store.counters() == before
    await check(store)
    await add(store, new(50))
    with pytest.raises(StorageFull):
        await store.put_part(uid(3), 1, bytes(1 << 20))
    assert await store.part(uid(3), 1) is None
    await check(store)
    await store.close()


async def test_full_in_a_group(path: Path, ring: KeyRing) -> None:
    """Whoever was told that it is saved finds it; whoever was not, does not."""
    store = await SqliteStore.open(path, ring, max_bytes=400_000)
    puts = [Put(new(n).item, {"body": os.urandom(20_000)}, insert=True) for n in range(1, 60)]
    done = await asyncio.gather(*(add(store, put) for put in puts), return_exceptions=True)
    saved = [result[0].id for result in done if not isinstance(result, BaseException)]
    failed = [result for result in done if isinstance(result, BaseException)]
    assert failed
    assert all(isinstance(error, StorageFull) for error in failed)
    assert [row.item.id for row in await store.get([put.item.id for put in puts])] == saved
    await check(store)
    await store.close()


@pytest.fixture
def someones_file(path: Path) -> bytes:
    text = b"not a database, but someone's text " * 200
    path.parent.mkdir()
    path.write_bytes(text)
    return text


async def test_not_a_store(path: Path, ring: KeyRing, someones_file: bytes) -> None:
    with pytest.raises(DatabaseError):
        await SqliteStore.open(path, ring)
    assert content(path) == someones_file
    with pytest.raises(DatabaseError):
        await SqliteStore.open(path / "below", ring)


async def test_commits_at_once_share_transactions(
    path: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    work = DatabaseThread._write_group

    def counted(self: DatabaseThread, jobs: list) -> None:  # type: ignore[type-arg]
        groups.append(len(jobs))
        work(self, jobs)

    monkeypatch.setattr(DatabaseThread, "_write_group", counted)
    store = await SqliteStore.open(path, ring)
    await asyncio.gather(*(add(store, new(n)) for n in range(1, 501)))
    assert sum(groups) == 500
    assert len(groups) < 100
    await store.close()


async def test_a_caller_that_goes_away(path: Path, ring: KeyRing) -> None:
    """Its commit happens or not, whole; the thread goes on."""
    store = await SqliteStore.open(path, ring)
    task = asyncio.create_task(add(store, new(1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await add(store, new(2))
    await check(store)
    await store.close()


async def test_a_bug_in_a_commit_reaches_its_caller_only(path: Path, ring: KeyRing) -> None:
    store = await SqliteStore.open(path, ring)
    bad = Commit(adopt=(None,), journal=42)  # type: ignore[arg-type]
    results = await asyncio.gather(
        add(store, new(1)), store.commit(bad), add(store, new(2)), return_exceptions=True
    )
    assert isinstance(results[1], AttributeError)
    assert (await store.counters())["open"] == 2
    await check(store)
    await store.close()


async def test_claims_and_lists_do_not_scan(path: Path, ring: KeyRing) -> None:
    """The plan of every query that runs while draining: indexes only, nothing sorted."""
    store = await SqliteStore.open(path, ring)
    await Journalled(store).commit(new(1))
    await store.close()
    connection = sqlite3.connect(path)
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    sqlite_queries.ready(connection, "inbox", 5, ("head",))
    sqlite_queries.ready_keys(connection, "inbox", 5, newest=False)
    sqlite_queries.ready_keys(connection, "inbox", 5, newest=True)
    sqlite_queries.waiting(connection, "inbox", 1, 2, 5)
    sqlite_queries.next_due(connection, "inbox")
    sqlite_queries.page(connection, ["pending", "failed"], 5, None, False, ())
    sqlite_queries.page(connection, ["pending"], 5, 3, True, ("head",))
    sqlite_queries.heads(connection)
    sqlite_queries.get(connection, ids(1, 2), ("body",))
    connection.set_trace_callback(None)
    assert len(asked) >= 9
    for sql in asked:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
        scans = [step for step in plan if step.startswith("SCAN") and step != "SCAN writers"]
        assert not scans, sql
        if "journal" not in sql:
            assert not any("TEMP B-TREE" in step for step in plan), sql
    connection.close()

"""Storage of schema 1, frozen in tests/fixtures/v1, opened by the code of today (invariant 9)."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.runtime.worlds import World

from fieldpost.engine.errors import DatabaseError, DuplicateItem, SchemaTooNew
from fieldpost.engine.model import PARTS
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Commit
from fieldpost.stores import sqlite_schema, sqlite_upgrade
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.fakes import FakeClock, FakeGateway, SeededEntropy
from fieldpost.testing.storecontract.support import check

V1 = Path(__file__).parents[1] / "fixtures/v1"
TOLD = json.loads((V1 / "queue.json").read_text())

#: Rows of the fixture that nobody sends any more.
ENDED = {"failed", "discarded", "cancelled", "conflicted", "expired"}


def fake_gateway() -> FakeGateway:
    """The gateway as it was when the fixture was written."""
    ledger: dict[str, dict[str, Any]] = json.loads(json.dumps(TOLD["ledger"]))
    files = {a["id"]: [b""] * a["parts"] for op in ledger.values() for a in op["attachments"]}
    return FakeGateway(ledger=ledger, files=files, inbox=list(TOLD["inbox"]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("queue.db", "keys.json"):
        shutil.copy(V1 / name, tmp_path / name)
        (tmp_path / name).chmod(0o600)
    return tmp_path


async def opened(folder: Path) -> SqliteStore:
    ring = KeyRing.load_or_create(folder / "keys.json")
    return await SqliteStore.open(folder / "queue.db", ring)


@pytest_asyncio.fixture
async def store(folder: Path) -> AsyncIterator[SqliteStore]:
    made = await opened(folder)
    yield made
    await made.close()


def world_of(store: SqliteStore) -> World:
    return World(
        store=store,
        clock=FakeClock(TOLD["now"]),
        gateway=fake_gateway(),
        entropy=SeededEntropy(99),
    )


async def test_every_row_opens_as_it_was(store: SqliteStore) -> None:
    for name, (id_, state) in TOLD["rows"].items():
        if state == "captured":
            assert [c.id for c in await store.captures(9)] == [id_]
            continue
        (stored,) = await store.get([id_], PARTS)
        assert stored.item.state is State(state), name
        assert stored.item.parents == ()
        assert json.loads(stored.parts["body"])["summary"] == name
        assert stored.parts["head"]
    assert await store.side("t", "k") == '"kept"'
    assert "bytes" not in await store.counters()  # the first commit counts what schema 1 did not
    await store.commit(Commit())
    await check(store)


async def test_what_was_pending_survives_the_upgrade_and_is_delivered(store: SqliteStore) -> None:
    """Known failure 12: the schema upgrade deletes the pending store."""
    world = world_of(store)
    assert (await world.queue.verify())["ok"]
    await world.queue.sync()
    world.gateway.deliver_later()
    await world.settle()
    for name, (id_, state) in TOLD["rows"].items():
        expected = State(state) if name in ENDED else State.COMPLETED
        assert (await world.queue.get(id_)).state is expected, name
        assert (id_ in world.gateway.inbox) is (name not in ENDED), name
    assert len(set(world.gateway.inbox)) == len(world.gateway.inbox), "doubled"
    verified = await world.queue.verify()
    assert verified["ok"], verified["problems"]


async def test_marks_and_lines_go_on(store: SqliteStore) -> None:
    world = world_of(store)
    world.link.set(False)
    with pytest.raises(DuplicateItem):
        await world.queue.enqueue("ticket", {"summary": "again"}, unique_key="K-1")
    behind = await world.queue.enqueue("ticket", {"summary": "behind"}, entity="pump-3")
    assert behind.state is State.BLOCKED
    child_of = TOLD["rows"]["with a file"][0]
    child = await world.queue.enqueue("ticket", {"summary": "child"}, depends_on=[child_of])
    world.link.set(True)
    await world.settle()
    order = world.gateway.inbox
    assert order.index(TOLD["rows"]["with an entity"][0]) < order.index(behind.id)
    assert order.index(child_of) < order.index(child.id)


async def test_an_old_expiry_counts(store: SqliteStore) -> None:
    world = world_of(store)
    world.link.set(False)
    world.clock.advance(366 * 86_400_000)
    await world.queue.sync()
    item = await world.queue.get(TOLD["rows"]["with an expiry"][0])
    assert item.state is State.EXPIRED


async def test_an_upgraded_file_is_like_a_new_one(folder: Path, tmp_path: Path) -> None:
    """The same tables, columns and indexes; and twice opened is once upgraded."""
    for _ in range(2):
        await (await opened(folder)).close()
    fresh = tmp_path / "fresh.db"
    await (await SqliteStore.open(fresh, KeyRing.ephemeral())).close()

    def shape(path: Path) -> dict[str, Any]:
        connection = sqlite3.connect(path)
        names = connection.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall()
        columns = {
            name: sorted(column[1:3] for column in connection.execute(f"PRAGMA table_info({name})"))
            for kind, name in names
            if kind == "table"
        }
        (schema,) = connection.execute("SELECT v FROM meta WHERE name = 'schema'").fetchone()
        connection.close()
        return {"names": names, "columns": columns, "schema": schema}

    assert shape(folder / "queue.db") == shape(fresh)


async def test_an_upgrade_that_fails_leaves_the_file_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {2: (*sqlite_upgrade.UPGRADES[2], "CREATE TABLE waits (x)")}
    monkeypatch.setattr(sqlite_upgrade, "UPGRADES", broken)
    with pytest.raises(DatabaseError):
        await opened(folder)
    connection = sqlite3.connect(folder / "queue.db")
    columns = [column[1] for column in connection.execute("PRAGMA table_info(items)")]
    assert "line" not in columns
    assert connection.execute("SELECT v FROM meta WHERE name = 'schema'").fetchone() == (1,)
    connection.close()


async def test_an_old_context_on_the_newer_schema_does_not_drain(folder: Path) -> None:
    """Another process upgrades the file under an open queue: it refuses and sends nothing."""
    store = await opened(folder)
    world = world_of(store)
    with sqlite3.connect(folder / "queue.db") as newer:
        version = sqlite_schema.SCHEMA + 1
        newer.execute("UPDATE meta SET v = ? WHERE name = 'schema'", (version,))
    newer.close()
    with pytest.raises(SchemaTooNew):
        await world.queue.sync()
    assert not [r for r in world.gateway.requests if r.url.endswith("/operations")]
    await store.close()
    with pytest.raises(SchemaTooNew):
        await opened(folder)

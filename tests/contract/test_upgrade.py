"""Storage of every older version, frozen in tests/fixtures, opened by the code of today."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.contract.upgrading import Upgraded

from fieldpost.engine.errors import DatabaseError, SchemaTooNew
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Commit
from fieldpost.stores import sqlite_schema, sqlite_upgrade
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.storecontract.support import check

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(params=["v1", "v2"])
def frozen(request: pytest.FixtureRequest) -> Path:
    return FIXTURES / str(request.param)


@pytest.fixture
def told(frozen: Path) -> dict[str, Any]:
    """What is in the fixture."""
    read: dict[str, Any] = json.loads((frozen / "queue.json").read_text())
    return read


def copied(frozen: Path, to: Path) -> Path:
    for name in ("queue.db", "keys.json"):
        shutil.copy(frozen / name, to / name)
        (to / name).chmod(0o600)
    return to


@pytest.fixture
def folder(frozen: Path, tmp_path: Path) -> Path:
    return copied(frozen, tmp_path)


async def opened(folder: Path) -> SqliteStore:
    ring = KeyRing.load_or_create(folder / "keys.json")
    return await SqliteStore.open(folder / "queue.db", ring)


@pytest_asyncio.fixture
async def store(folder: Path) -> AsyncIterator[SqliteStore]:
    made = await opened(folder)
    yield made
    await made.close()


async def test_every_row_opens_as_it_was(store: SqliteStore, told: dict[str, Any]) -> None:
    upgraded = Upgraded(store, told)
    await upgraded.every_row_is_as_it_was()
    await upgraded.side_records_are_as_they_were()
    # The first commit counts what schema 1 did not.
    assert ("bytes" in await store.counters()) is ("counters" in told)
    await store.commit(Commit())
    await check(store)


async def test_what_was_pending_survives_the_upgrade_and_is_delivered(
    store: SqliteStore, told: dict[str, Any]
) -> None:
    """Known failure 12: the schema upgrade deletes the pending store. Among rows that were never
    touched, and old and new ones in one line."""
    await Upgraded(store, told).all()


async def test_an_old_expiry_counts(store: SqliteStore, told: dict[str, Any]) -> None:
    upgraded = Upgraded(store, told)
    upgraded.clock.advance(366 * 86_400_000)
    await upgraded.queue.sync()
    item = await upgraded.queue.get(upgraded.ids["with an expiry"])
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(FIXTURES / "v1", tmp_path)
    broken = {2: (*sqlite_upgrade.UPGRADES[2], "CREATE TABLE waits (x)")}
    monkeypatch.setattr(sqlite_upgrade, "UPGRADES", broken)
    with pytest.raises(DatabaseError):
        await opened(folder)
    connection = sqlite3.connect(folder / "queue.db")
    columns = [column[1] for column in connection.execute("PRAGMA table_info(items)")]
    assert "line" not in columns
    assert connection.execute("SELECT v FROM meta WHERE name = 'schema'").fetchone() == (1,)
    connection.close()


async def test_an_old_context_on_the_newer_schema_does_not_drain(
    folder: Path, told: dict[str, Any]
) -> None:
    """Another process upgrades the file under an open queue: it refuses and sends nothing."""
    store = await opened(folder)
    upgraded = Upgraded(store, told)
    upgraded.link.set(True)
    with sqlite3.connect(folder / "queue.db") as newer:
        version = sqlite_schema.SCHEMA + 1
        newer.execute("UPDATE meta SET v = ? WHERE name = 'schema'", (version,))
    newer.close()
    with pytest.raises(SchemaTooNew):
        await upgraded.queue.sync()
    assert not [r for r in upgraded.gateway.requests if r.url.endswith("/operations")]
    await store.close()
    with pytest.raises(SchemaTooNew):
        await opened(folder)

"""The store contract on the stores that run on CPython."""

from pathlib import Path

import pytest

from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Store
from fieldpost.stores.memory import MemoryStore
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.storecontract import CASES


class Memory:
    """A memory store that is reopened by its durable copy."""

    def __init__(self) -> None:
        self.store = MemoryStore(KeyRing.ephemeral())

    async def reopen(self) -> Store:
        copy = self.store.durable_copy()
        await self.store.close()
        self.store = copy
        return copy


class Sqlite:
    """A SQLite store in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: SqliteStore | None = None

    async def reopen(self) -> Store:
        await self.close()
        ring = KeyRing.load_or_create(self.folder / "keys.json")
        self.store = await SqliteStore.open(self.folder / "queue.db", ring)
        return self.store

    async def close(self) -> None:
        if self.store is not None:
            await self.store.close()


@pytest.mark.parametrize("case", CASES)
async def test_memory(case: str) -> None:
    memory = Memory()
    await CASES[case](memory.store, memory.reopen)


@pytest.mark.parametrize("case", CASES)
async def test_sqlite(case: str, tmp_path: Path) -> None:
    sqlite = Sqlite(tmp_path)
    try:
        await CASES[case](await sqlite.reopen(), sqlite.reopen)
    finally:
        await sqlite.close()

"""The store that fails on purpose fails where it was told to, and nowhere else."""

import itertools

import pytest

from fieldpost.engine.errors import DatabaseError, StorageFull
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.faultystore import WRITES, Fault, FaultyStore
from fieldpost.testing.storecontract import CASES
from fieldpost.testing.storecontract.support import add, check, ids, new


def memory() -> MemoryStore:
    return MemoryStore(KeyRing.ephemeral())


async def test_without_a_fault_it_is_the_store_inside() -> None:
    inner = memory()

    async def reopen() -> FaultyStore:
        nonlocal inner
        inner = inner.durable_copy()
        return FaultyStore(inner)

    for name in ("every_column_survives", "blobs", "adopt", "journal", "pages", "waiting", "marks"):
        inner = memory()
        await CASES[name](FaultyStore(inner), reopen)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_every_operation_can_fail(when: str) -> None:
    for n in itertools.count(1):
        inner = memory()
        store = FaultyStore(inner, Fault(n, when))  # type: ignore[arg-type]
        done = 0
        try:
            for number in (1, 2, 3):
                await add(store, new(number))
                done = number
        except DatabaseError:
            assert store.fired
        left = await inner.durable_copy().get(ids(1, 2, 3))
        assert len(left) == done + (store.fired and when == "after")
        await check(inner)
        if not store.fired:
            break
    assert n == 4


async def test_once_or_from_then_on_and_only_what_counts() -> None:
    once = FaultyStore(memory(), Fault(2, error=StorageFull, only=WRITES))
    await once.counters()
    await add(once, new(1))
    with pytest.raises(StorageFull):
        await add(once, new(2))
    await add(once, new(2))
    assert once.operations == ["commit"] * 3

    broken = FaultyStore(memory(), Fault(2, persistent=True))
    await add(broken, new(1))
    for _ in range(3):
        with pytest.raises(DatabaseError):
            await add(broken, new(2))
    assert len(await broken.inner.get(ids(1, 2))) == 1

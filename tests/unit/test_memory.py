"""What only the memory store has: a copy of what is durable, which shares nothing."""

from fieldpost.engine.model import Capture
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import Key, KeyRing
from fieldpost.ports import Commit, Put
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.storecontract.support import NOW, add, check, new, one, snapshot, uid, update

INDEX = Key("i1-00000009", "index", bytes(32), 1)
OLD = Key("d1-00000001", "data", bytes([1]) * 32, 1)
NEW = Key("d1-00000002", "data", bytes([2]) * 32, 2)


async def test_a_copy_shares_nothing_that_changes() -> None:
    store = MemoryStore(KeyRing.ephemeral())
    (row, *_) = await add(store, new(1, head=b"h"), new(2, due_at=5, ready=False))
    await store.capture(Capture(uid(9), NOW, b"{}"))
    await store.commit(Commit(side={("t", "k"): "1"}))
    await store.put_part(uid(8), 1, b"x")
    copy = store.durable_copy()
    before = await snapshot(copy)
    assert before == await snapshot(store)
    await update(store, row, state=State.COMPLETED, ready=False)
    await add(store, new(3))
    await store.commit(Commit(adopt=(uid(9),), side={("t", "k"): None}, drop_blobs=(uid(8),)))
    assert await snapshot(copy) == before
    assert await copy.part(uid(8), 1) == b"x"
    assert (await add(copy, new(3)))[0].sequence == 3
    await check(copy)
    await check(store)


async def test_a_new_data_key_seals_the_whole_row_anew() -> None:
    store = MemoryStore(KeyRing([OLD, INDEX]))
    await add(store, new(1, head=b"one"))
    store = MemoryStore(KeyRing([OLD, NEW, INDEX]), state=store._state)
    (row,) = await add(store, Put((await one(store, 1)).item, {"intent": b"i"}))
    assert row.kid == "d1-00000002"
    store = MemoryStore(KeyRing([NEW, INDEX]), state=store._state)
    assert (await one(store, 1, "head", "intent")).parts == {"head": b"one", "intent": b"i"}


async def test_rows_are_kept_sealed() -> None:
    store = MemoryStore(KeyRing.ephemeral())
    await add(store, new(1, head=b"MARKER", marks={"entity": "MARKER"}))
    await store.capture(Capture(uid(2), NOW, b'{"x":"MARKER"}'))
    assert "MARKER" not in repr(store._state.rows)
    assert "MARKER" not in repr(store._state.inbox)

"""Captures and attachments: durable before the item, and collected when nothing refers to them."""

from __future__ import annotations

import asyncio
import json

from fieldpost.engine.errors import DatabaseError
from fieldpost.engine.model import Attachment, Capture
from fieldpost.engine.transitions import State
from fieldpost.ports import Absent, Commit, Manifest, Put, Store

from .support import NOW, Reopen, add, check, ids, item, new, refused, uid, update


def capture(n: int, *attachments: str) -> Capture:
    listed = [{"id": id_, "size": 4, "parts": 1} for id_ in attachments]
    value = {"kind": "ticket", "payload": {"n": n, "text": "漏水"}, "attachments": listed}
    return Capture(uid(n), NOW + n, json.dumps(value, separators=(",", ":")).encode())


def content(captures: list[Capture]) -> list[tuple[str, int, object]]:
    """Captures as data: a host may write the JSON another way round."""
    return [(c.id, c.at, json.loads(c.data)) for c in captures]


async def case_captures(store: Store, reopen: Reopen) -> None:
    """Oldest first, opened, durable; the same id again changes nothing."""
    for n in (3, 1, 2):
        await store.capture(capture(n))
    again = Capture(uid(1), NOW + 99, capture(99).data)
    await store.capture(again)
    store = await reopen()
    expected = content([capture(3), capture(1), capture(2)])
    assert content(await store.captures(10)) == expected
    assert content(await store.captures(2)) == expected[:2]
    assert (await store.counters())["inbox"] == 3
    await check(store)


async def case_adopt(store: Store, reopen: Reopen) -> None:
    """A capture leaves the inbox in the commit that makes it an item, or not at all."""
    for n in (1, 2):
        await store.capture(capture(n))
    await store.commit(Commit(expect=(Absent(uid(1)),), puts=(new(1),), adopt=(uid(1),)))
    assert [c.id for c in await store.captures(10)] == ids(2)
    refusal = await refused(store.commit(Commit(puts=(new(1),), adopt=(uid(2),))))
    assert refusal.existing_id == uid(1)
    await store.capture(capture(1))  # its page never heard the answer
    store = await reopen()
    assert [c.id for c in await store.captures(10)] == ids(2)
    await store.commit(Commit(puts=(new(2),), adopt=(uid(2), uid(1), uid(9))))
    assert await store.captures(10) == []
    assert (await store.counters())["inbox"] == 0
    await check(store)


async def case_adopt_taken_back(store: Store, reopen: Reopen) -> None:
    """A capture that was taken back, or adopted elsewhere, makes no row any more."""
    await store.capture(capture(1))
    await store.commit(Commit(adopt=(uid(1),)))  # its page took it back
    refusal = await refused(store.commit(Commit(puts=(new(1),), adopt=(uid(1),))))
    assert refusal.existing_id == uid(1)
    store = await reopen()
    assert await store.get(ids(1)) == []
    await check(store)


async def case_captures_at_once(store: Store, _: Reopen) -> None:
    """Captures and commits at once do not disturb each other."""
    work = [store.capture(capture(n % 10 + 1)) for n in range(20)]
    await asyncio.gather(*work, *(add(store, new(100 + n)) for n in range(10)))
    assert sorted(c.id for c in await store.captures(100)) == [uid(n) for n in range(1, 11)]
    await check(store)


MANIFEST = Manifest(uid(50), "Pumpe läckt 漏水.jpg", "image/jpeg", 7, ("qqo=", "u7s="), NOW)


async def case_blobs(store: Store, reopen: Reopen) -> None:
    """Parts from 1 and the manifest come back as they were; a part put again replaces itself."""
    assert await store.manifest(uid(50)) is None
    assert await store.part(uid(50), 1) is None
    zeros = bytes(1 << 20)
    await store.put_part(uid(50), 1, b"wrong")
    await store.put_part(uid(50), 1, zeros)
    await store.put_part(uid(50), 2, b"end")
    await store.put_part(uid(51), 1, b"other")
    await store.put_manifest(MANIFEST)
    store = await reopen()
    assert await store.manifest(uid(50)) == MANIFEST
    assert await store.part(uid(50), 1) == zeros
    assert await store.part(uid(50), 2) == b"end"
    assert await store.part(uid(50), 3) is None
    assert await store.manifest(uid(51)) is None


async def case_drop_blobs(store: Store, reopen: Reopen) -> None:
    """Manifest and parts go in the commit, or stay when it is refused."""
    for n in (50, 51):
        await store.put_part(uid(n), 1, b"x")
        await store.put_manifest(Manifest(uid(n), "f", "", 1, ("qqo=",), NOW))
    await add(store, new(1))
    await refused(store.commit(Commit(puts=(new(1),), drop_blobs=(uid(50),))))
    assert await store.part(uid(50), 1) == b"x"
    await store.commit(Commit(drop_blobs=(uid(50), uid(99))))
    store = await reopen()
    assert await store.part(uid(50), 1) is None
    assert await store.manifest(uid(50)) is None
    assert await store.part(uid(51), 1) == b"x"


async def case_orphans(store: Store, reopen: Reopen) -> None:
    """Old attachments that no row and no capture refers to; whoever refers keeps them."""
    day = 86_400_000
    old, young = NOW - 2 * day, NOW
    a, b, c, d, e = (uid(n, old) for n in range(60, 65))
    for n, id_ in enumerate((a, b, c, d, e)):
        await store.put_part(id_, 1, b"x")
        if id_ != e:  # of e the page died before the manifest was written: its id tells its age
            at = young if id_ == d else old + n
            await store.put_manifest(Manifest(id_, "f", "", 1, ("qqo=",), at))
    attached = (Attachment(a, 1, 1), Attachment(uid(99), 1, 1))
    (row,) = await add(store, Put(item(1, attachments=attached), insert=True))
    await store.capture(capture(2, b))
    store = await reopen()
    assert set(await store.orphans(NOW - day, 10)) == {c, e}
    assert len(await store.orphans(NOW - day, 1)) == 1
    row = await update(store, row, state=State.COMPLETED, ready=False)
    assert set(await store.orphans(NOW - day, 10)) == {c, e}
    await update(store, row, attachments=attached[1:])
    await store.commit(Commit(adopt=(uid(2),), drop_blobs=(c,)))
    assert set(await store.orphans(NOW - day, 10)) == {a, b, e}
    await store.commit(Commit(drop_blobs=(a, b, e)))
    assert await store.orphans(NOW - day, 10) == []
    assert await store.orphans(NOW + 1, 10) == [d]


async def case_closed(store: Store, _: Reopen) -> None:
    """A closed store says so; closing twice is no error."""
    await store.close()
    await store.close()
    for call in (store.counters(), store.commit(Commit()), store.get(ids(1)), store.captures(1)):
        try:
            await call
        except DatabaseError:
            continue
        raise AssertionError("a closed store answered")

"""`Commit.drop`: rows removed for good, with all that belongs to them and nothing else."""

from __future__ import annotations

from typing import Any

from fieldpost.engine.model import MARKS, Attachment, Capture
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Line, Manifest, Revision, Store

from .support import (
    NOW,
    Journalled,
    Reopen,
    add,
    check,
    ids,
    new,
    one,
    problems,
    refused,
    rows,
    uid,
    update,
)


async def case_drop(store: Store, reopen: Reopen) -> None:
    """A dropped row is in no list, no index and no counter, also after a reopen; its sequence is
    not given out again, and a row that is not there is nothing to remove."""
    log = Journalled(store)
    marks = dict.fromkeys(MARKS, "v")
    made = await log.commit(
        new(1, size=10, marks=marks), new(2, size=5, marks=marks), new(3, ready=False, due_at=NOW)
    )
    record = log.writer.record([[row.id, "pending", None, 1] for row in made[::2]], NOW)
    await store.commit(Commit(drop=(uid(1), uid(3), uid(9)), journal=record))
    log.writer.advance(record)
    for _ in range(2):
        assert await store.get(ids(1, 2, 3)) == [await one(store, 2)]
        assert [row.item.id for row in await rows(store)] == ids(2)
        assert [row.item.id for row in await store.ready("inbox", 9)] == ids(2)
        assert (await store.waiting("inbox", NOW + 1, 10, 9), await store.next_due("inbox")) == (
            [],
            None,
        )
        assert [await store.find(mark, "v") for mark in MARKS] == [ids(2)] * len(MARKS)
        counters = await store.counters()
        assert (counters["open"], counters["open:ticket"], counters["bytes"]) == (1, 1, 5)
        assert counters["removed"] == 2
        assert await problems(store) == []
        await check(store)
        store = await reopen()
    (again,) = await add(store, new(1))
    assert again.sequence == 4


async def case_drop_leaves_every_line(store: Store, reopen: Reopen) -> None:
    """A dropped row stands in no line of its entity or parent, and expires no more."""
    marks = {"entity": "pump"}
    blocked: dict[str, Any] = {"state": State.BLOCKED, "ready": False, "parents": tuple(ids(9))}
    for n in (1, 2):
        await add(store, new(n, expires_at=NOW, marks=marks), new(10 + n, **blocked))
    (entity,) = await store.marks("entity", ["pump"])
    await store.commit(Commit(drop=tuple(ids(1, 11))))
    for _ in range(2):
        (line,) = await store.lines("entity", [entity], 5)
        (behind,) = await store.lines("parent", ids(9), 5)
        expired = await store.expired(NOW, 5)
        assert [row.id for row in line] == ids(2)
        assert [row.id for row in behind] == ids(12)
        assert [row.item.id for row in expired] == ids(2)
        await store.commit(Commit(expect=(Line("parent", uid(9), tuple(ids(12)), 3),)))
        store = await reopen()


async def case_drop_is_fenced(store: Store, _: Reopen) -> None:
    """With a `Revision` beside it a row is not removed that somebody changed meanwhile."""
    (row,) = await add(store, new(1))
    await update(store, row, priority=9)
    fenced = Commit(expect=(Revision(uid(1), 1),), drop=(uid(1),))
    assert (await refused(store.commit(fenced))).expectation == fenced.expect[0]
    await one(store, 1)
    await check(store)


async def case_drop_takes_the_files_along(store: Store, reopen: Reopen) -> None:
    """The bytes of an attachment go with the last row that has it, unless a capture has it too."""
    for n in (91, 92, 93):
        await store.put_part(uid(n), 1, b"part")
        await store.put_manifest(Manifest(uid(n), "f", "t", 4, ("qqo=",), NOW))
    files = {n: Attachment(uid(n), size=4, parts=1) for n in (91, 92, 93)}
    await add(
        store,
        new(1, state=State.COMPLETED, ready=False, attachments=tuple(files.values())),
        new(2, attachments=(files[92],)),
    )
    data = f'{{"kind": "ticket", "attachments": [{{"id": "{uid(93)}"}}]}}'.encode()
    await store.capture(Capture(uid(5), NOW, data))
    await store.commit(Commit(drop=(uid(1),)))
    store = await reopen()
    assert [await store.part(uid(n), 1) for n in (91, 92, 93)] == [None, b"part", b"part"]
    assert await store.manifest(uid(91)) is None
    assert await store.manifest(uid(92)) is not None
    await store.commit(Commit(drop=(uid(2),)))
    assert [await store.part(uid(n), 1) for n in (92, 93)] == [None, b"part"]
    await check(store)

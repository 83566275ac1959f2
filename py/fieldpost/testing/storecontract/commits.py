"""`Store.commit`: what a commit that holds writes, and that it is still there after a reopen."""

from __future__ import annotations

from fieldpost.engine.model import PARTS, Attachment, Item, Stored
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Put, Store

from .support import (
    NOW,
    Journalled,
    Reopen,
    add,
    check,
    ids,
    item,
    new,
    one,
    problems,
    refused,
    rows,
    snapshot,
    uid,
    update,
)

FULL = item(
    7,
    kind="évidence".replace("é", "e"),
    operation="update",
    lane="servicenow:north-1",
    state=State.UNKNOWN,
    priority=10,
    ready=False,
    due_at=NOW + 5000,
    not_before=NOW + 60_000,
    expires_at=NOW + 10**9,
    attempts=2,
    attempt=3,
    step=1,
    size=2**40,
    body_bytes=12,
    error_code="QUEUE_SYNC_FAILED",
    lease_owner="worker-1",
    lease_until=NOW + 60_000,
    handed_to="gateway",
    attachments=(
        Attachment(uid(70), size=2**33, parts=8192, acked=3),
        Attachment(uid(71), size=1, parts=1, error="TOO_LARGE"),
    ),
)


async def case_every_column_survives(store: Store, reopen: Reopen) -> None:
    """A row comes back as it went in, with what the store gives it."""
    (plain, full) = await add(store, new(1, head=b"h"), Put(FULL, {"head": b"h"}, insert=True))
    assert full == FULL.changed(sequence=2, revision=1, kid=full.kid)
    assert plain == item(1).changed(sequence=1, revision=1, kid=plain.kid)
    assert full.kid
    assert [(await one(store, 1)).item, (await one(store, 7)).item] == [plain, full]
    store = await reopen()
    assert [(await one(store, 1)).item, (await one(store, 7)).item] == [plain, full]
    cleared: dict[str, object] = {
        "due_at": None,
        "not_before": None,
        "error_code": None,
        "attachments": (),
    }
    full = await update(store, full, **cleared, lease_owner=None, lease_until=None)
    assert (await one(store, 7)).item == full
    assert full.due_at is None
    assert full.attachments == ()


async def case_sequence_and_revision(store: Store, _: Reopen) -> None:
    """The store numbers rows as they come and counts each row's writes, whatever the item says."""
    first = await add(store, new(5, sequence=99, revision=42), new(3))
    assert [(row.sequence, row.revision) for row in first] == [(1, 1), (2, 1)]
    changed = await update(store, first[0], sequence=77)
    assert (changed.sequence, changed.revision) == (1, 2)
    assert (await add(store, new(4)))[0].sequence == 3


async def case_revision_of_the_store(store: Store, _: Reopen) -> None:
    """It rises by one a commit, and is told to the one who committed."""
    for expected in (1, 2, 3):
        done = await store.commit(Commit(puts=(new(expected), new(100 + expected))))
        assert done.revision == (await store.counters())["revision"] == expected
    assert (await store.commit(Commit())).revision == 4


async def case_several_puts_of_one_row(store: Store, _: Reopen) -> None:
    """Puts of a commit apply in order, so one can go on from the one before it."""
    chain = (
        new(1, head=b"1"),
        Put(item(1, revision=1, priority=6), {"body": b"2"}),
        Put(item(1, revision=2, priority=7, state=State.FAILED, ready=False), {"head": None}),
    )
    written = await add(store, *chain, new(2))
    assert [row.revision for row in written] == [1, 2, 3, 1]
    assert [row.sequence for row in written] == [1, 1, 1, 2]
    stored = await one(store, 1, *PARTS)
    assert (stored.item.priority, stored.parts) == (7, {"body": b"2"})
    await check(store)


async def case_parts_are_kept_replaced_and_removed(store: Store, reopen: Reopen) -> None:
    """Parts not named stay as they are; None removes one."""
    text = "läckt 漏水 🚰\0".encode()
    parts: dict[str, bytes | None] = {"head": text, "body": b"b" * 5000, "intent": b""}
    (row,) = await add(store, Put(item(1), parts, insert=True))
    assert (await one(store, 1, *PARTS)).parts == parts
    row = await update(store, row, priority=6)
    assert (await one(store, 1, *PARTS)).parts == parts
    (row,) = await add(store, Put(row, {"head": b"new", "intent": None, "history": b"[]"}))
    expected = {"head": b"new", "body": b"b" * 5000, "history": b"[]"}
    store = await reopen()
    assert (await one(store, 1, *PARTS)).parts == expected
    assert (await one(store, 1, "body", "intent")).parts == {"body": b"b" * 5000}
    assert (await one(store, 1)).parts == {}


async def case_marks(store: Store, reopen: Reopen) -> None:
    """Marks are set where named, opaque, and otherwise stay as the item has them."""
    marks = {"entity": "INC1", "natural_key": "k|1", "fingerprint": "f", "owner": "ann"}
    (row,) = await add(store, new(1, marks=marks))
    opaque = {getattr(row, name) for name in marks}
    assert len(opaque) == 4
    assert not opaque & set(marks.values())
    kept = await update(store, row, priority=9)
    assert {getattr(kept, name) for name in marks} == opaque
    (moved,) = await add(store, Put(kept.changed(natural_key=None), marks={"entity": "INC2"}))
    store = await reopen()
    assert (await one(store, 1)).item == moved
    assert await store.find("entity", "INC1") == await store.find("natural_key", "k|1") == []
    assert await store.find("entity", "INC2") == await store.find("fingerprint", "f") == ids(1)


async def case_counters_follow_every_move(store: Store, reopen: Reopen) -> None:
    """Counters equal the recount after each commit: every state, in and out, in one or in many."""
    assert set((await store.counters()).values()) == {0}
    stored = await add(store, *(new(n) for n in range(1, 23)))
    for turn in range(3):
        puts = [
            Put(row.changed(state=list(State)[(n + 5 * turn) % len(State)], ready=False))
            for n, row in enumerate(stored)
        ]
        stored = await add(store, *puts[:20]) + await add(store, *puts[20:])
        await check(store)
    await check(await reopen())


async def case_journal(store: Store, reopen: Reopen) -> None:
    """Records come back as written, numbered without a gap over all writers, page by page."""
    one_, two = Journalled(store, "w1"), Journalled(store, "w2")
    await one_.commit(new(1))
    await two.commit(new(2), new(3))
    await store.commit(Commit(puts=(new(4),)))
    rows_ = [(await one(store, n)).item for n in (1, 2)]
    await one_.commit(Put(rows_[0].changed(state=State.FAILED)), was=State.PENDING)
    refusal = await refused(store.commit(Commit(puts=(new(1),), journal=one_.record(new(1)))))
    assert refusal.index == 0
    await two.commit(Put(rows_[1].changed(state=State.COMPLETED)), was=State.PENDING)
    store = await reopen()
    found = await store.journal(0, 100)
    assert [(n, r.writer, r.k) for n, r in found] == [
        (1, "w1", 1),
        (2, "w2", 1),
        (3, "w1", 2),
        (4, "w2", 2),
    ]
    assert await store.journal(1, 2) == found[1:3]
    assert await store.journal(4, 10) == []
    assert (await store.counters())["journal"] == 4
    assert await store.heads() == {"w1": (2, found[2][1].hash), "w2": (2, found[3][1].hash)}


async def case_journal_verifies(store: Store, _: Reopen) -> None:
    """The fold of the records equals the counters; a commit that went round the journal shows."""
    log = Journalled(store)
    stored = await log.commit(*(new(n) for n in range(1, 9)))
    for row in stored[:5]:
        await log.commit(Put(row.changed(state=State.IN_PROGRESS)), was=State.PENDING)
    assert await problems(store) == []
    await add(store, new(50))
    assert await problems(store) != []


async def case_heads_of_the_latest_writers(store: Store, _: Reopen) -> None:
    """At most 16 writers, those that wrote last."""
    writers = [Journalled(store, f"w{n:02}") for n in range(20)]
    for n, writer in enumerate(writers):
        await writer.commit(new(n + 1))
    await writers[0].commit(new(99))
    latest = [writers[0], *writers[5:]]
    assert await store.heads() == {w.writer.writer_id: (w.writer.k, w.writer.head) for w in latest}


async def case_side_records(store: Store, reopen: Reopen) -> None:
    """Small JSON texts by table and key, in the same commit as the rows; None removes one."""
    assert await store.side("lane", "inbox") is None
    side: dict[tuple[str, str], str | None] = {
        ("lane", "inbox"): '{"paused":"läuft"}',
        ("lane", "b/c|d"): "1",
        ("device", "inbox"): "2",
    }
    await store.commit(Commit(side=side))
    assert await store.sides("lane") == {"inbox": '{"paused":"läuft"}', "b/c|d": "1"}
    await store.commit(Commit(side={("lane", "inbox"): None, ("lane", "b/c|d"): '"new"'}))
    store = await reopen()
    assert await store.side("lane", "inbox") is None
    assert await store.side("device", "inbox") == "2"
    assert await store.sides("lane") == {"b/c|d": '"new"'}
    assert await store.sides("other") == {}


async def case_durable(store: Store, reopen: Reopen) -> None:
    """Invariant 2: all that was acknowledged is there when the store is opened again."""
    log = Journalled(store)
    await log.commit(*(new(n, head=b"%d" % n, marks={"entity": f"e{n}"}) for n in range(1, 30)))
    await store.commit(Commit(side={("t", "k"): "1"}))
    before = await snapshot(store)
    for _ in range(2):
        store = await reopen()
        assert await snapshot(store) == before


async def case_bulk(store: Store, reopen: Reopen) -> None:
    """10,000 rows in one commit."""
    puts = [new(n, head=b"row %d" % n, priority=n % 10 + 1) for n in range(1, 10_001)]
    done = await store.commit(Commit(puts=tuple(puts)))
    assert [row.sequence for row in done.items] == list(range(1, 10_001))
    store = await reopen()
    assert (await store.counters())["open"] == 10_000
    assert (await one(store, 9999, "head")).parts == {"head": b"row 9999"}
    top: list[Stored] = await store.ready("inbox", 3)
    assert [row.item.id for row in top] == ids(9, 19, 29)
    refusal = await refused(store.commit(Commit(puts=(new(10_001), *puts[5000:6000]))))
    assert (refusal.index, refusal.existing_id) == (1, uid(5001))
    assert (await store.counters())["open"] == 10_000
    moved: list[Item] = [row.item for row in await rows(store)]
    gone = (Put(row.changed(state=State.COMPLETED, ready=False)) for row in moved)
    assert len(await add(store, *gone)) == 10_000
    assert (await store.counters())["open"] == 0
    assert await store.ready("inbox", 3) == []

"""`Store.commit`: what it refuses, in which order, and that a refusal changes nothing."""

from __future__ import annotations

import asyncio

from fieldpost.engine.transitions import State
from fieldpost.ports import Absent, Below, Commit, Committed, Put, Refused, Revision, Store, Unique

from .support import (
    NOW,
    Journalled,
    Reopen,
    add,
    check,
    item,
    new,
    one,
    refused,
    snapshot,
    uid,
    update,
)


async def case_absent(store: Store, _: Reopen) -> None:
    """`Absent` holds for an unknown id and names the row it met."""
    await store.commit(Commit(expect=(Absent(uid(1)),), puts=(new(1),)))
    refusal = await refused(store.commit(Commit(expect=(Absent(uid(1)),), puts=(new(2),))))
    assert (refusal.index, refusal.existing_id) == (0, uid(1))
    assert refusal.expectation == Absent(uid(1))
    assert await store.get([uid(2)]) == []


async def case_revision(store: Store, _: Reopen) -> None:
    """`Revision` holds for exactly the stored revision of a row that exists."""
    await add(store, new(1))
    await store.commit(Commit(expect=(Revision(uid(1), 1),)))
    for wrong in (Revision(uid(1), 0), Revision(uid(1), 2), Revision(uid(2), 1)):
        refusal = await refused(store.commit(Commit(expect=(wrong,))))
        assert (refusal.index, refusal.expectation) == (0, wrong)


async def case_unique(store: Store, _: Reopen) -> None:
    """`Unique` looks at rows created at or after ``since`` and names the oldest of them."""
    for first, mark in ((10, "fingerprint"), (20, "natural_key"), (30, "entity")):
        free = Unique(mark, "größe|漏水")
        await store.commit(Commit(expect=(free,)))
        await add(store, new(first, marks={mark: "größe|漏水"}), new(first + 5, marks={mark: "x"}))
        await add(store, new(first + 2, marks={mark: "größe|漏水"}))
        for since, meets in ((0, first), (NOW + first, first), (NOW + first + 1, first + 2)):
            taken = Unique(mark, "größe|漏水", since)
            refusal = await refused(store.commit(Commit(expect=(taken,))))
            assert (refusal.existing_id, refusal.expectation) == (uid(meets), taken)
        await store.commit(Commit(expect=(Unique(mark, "größe|漏水", NOW + first + 3),)))
        await store.commit(Commit(expect=(Unique(mark, "other"),)))


async def case_unique_until(store: Store, _: Reopen) -> None:
    """``until`` ends the time that is looked at: a row made after it, as one is when the clock has
    jumped back since, is no obstacle."""
    for first, mark in ((10, "fingerprint"), (20, "natural_key"), (30, "entity")):
        await add(store, new(first, marks={mark: "v"}), new(first + 4, marks={mark: "v"}))
        for since, until, meets in (
            (0, NOW + first - 1, None),
            (0, NOW + first, first),
            (NOW + first + 1, NOW + first + 3, None),
            (NOW + first + 1, NOW + first + 4, first + 4),
        ):
            expect = Commit(expect=(Unique(mark, "v", since, until),))
            if meets is None:
                await store.commit(expect)
            else:
                assert (await refused(store.commit(expect))).existing_id == uid(meets)


async def case_unique_is_per_mark(store: Store, _: Reopen) -> None:
    await add(store, new(1, marks={"entity": "a"}))
    await store.commit(Commit(expect=(Unique("natural_key", "a"), Unique("fingerprint", "a"))))


async def case_below(store: Store, _: Reopen) -> None:
    """`Below` compares the counter before the commit: the last place may be taken."""
    await store.commit(Commit(expect=(Below("open", 1),), puts=(new(1), new(2))))
    refusal = await refused(store.commit(Commit(expect=(Below("open", 2),), puts=(new(3),))))
    assert (refusal.index, refusal.existing_id) == (0, None)
    await store.commit(Commit(expect=(Below("open", 3), Below("state:failed", 1))))
    await update(store, (await one(store, 1)).item, state=State.FAILED, ready=False)
    await store.commit(Commit(expect=(Below("open", 2),)))
    await refused(store.commit(Commit(expect=(Below("state:failed", 1),))))


async def case_below_by_kind(store: Store, _: Reopen) -> None:
    """Undelivered items and their bytes are counted by kind; a kind never seen counts 0, and what
    is delivered counts no more (known failure 5)."""
    limits = (Below("open:log", 1), Below("bytes:log", 100), Below("bytes", 100))
    await store.commit(Commit(expect=limits, puts=(new(1, kind="log", size=70), new(2, size=29))))
    counters = await store.counters()
    assert (counters["open:log"], counters["bytes:log"], counters["bytes"]) == (1, 70, 99)
    assert (counters["open:ticket"], counters["bytes:ticket"]) == (1, 29)
    assert (await refused(store.commit(Commit(expect=limits)))).expectation == limits[0]
    log = await update(store, (await one(store, 1)).item, size=100)
    refusal = await refused(store.commit(Commit(expect=limits[1:])))
    assert refusal.expectation == limits[1]
    await update(store, log, state=State.COMPLETED, ready=False)
    await store.commit(Commit(expect=limits))
    assert (await store.counters())["bytes"] == 29
    await check(store)


async def case_first_that_fails_is_named(store: Store, _: Reopen) -> None:
    """Preconditions are checked in order, those of the puts after them."""
    await add(store, new(1, marks={"natural_key": "k"}), new(2))
    expect = (Absent(uid(3)), Revision(uid(2), 1), Unique("natural_key", "k"), Below("open", 0))
    refusal = await refused(store.commit(Commit(expect=expect, puts=(new(1),))))
    assert (refusal.index, refusal.existing_id) == (2, uid(1))
    refusal = await refused(store.commit(Commit(expect=expect[:2], puts=(new(3), new(1)))))
    assert refusal.index == 3
    assert refusal.expectation == Absent(uid(1))


async def case_refusal_changes_nothing(store: Store, _: Reopen) -> None:
    """Of a refused commit nothing remains: rows, parts, side, inbox, blobs, journal, counters."""
    log = Journalled(store)
    await log.commit(new(1, head=b"one"), new(2))
    await store.commit(Commit(side={("t", "k"): '"kept"'}))
    await store.put_part(uid(9), 1, b"part")
    before = await snapshot(store)
    puts = (
        new(3, head=b"three"),
        Put((await one(store, 1)).item.changed(priority=9), {"head": b"changed"}),
        Put(item(2, revision=7)),
    )
    refusal = await refused(
        store.commit(
            Commit(
                expect=(Absent(uid(3)),),
                puts=puts,
                side={("t", "k"): None, ("t", "new"): "1"},
                drop_blobs=(uid(9),),
                journal=log.record(*puts),
            )
        )
    )
    assert (refusal.index, refusal.expectation) == (3, Revision(uid(2), 7))
    assert await snapshot(store) == before
    assert await store.part(uid(9), 1) == b"part"
    await check(store)


async def case_insert_is_idempotent_on_the_id(store: Store, _: Reopen) -> None:
    """The same insert again is refused with the id it has, and the first row stays."""
    await add(store, new(1, head=b"first"))
    refusal = await refused(store.commit(Commit(puts=(new(1, head=b"second", priority=9),))))
    assert (refusal.index, refusal.expectation, refusal.existing_id) == (
        0,
        Absent(uid(1)),
        uid(1),
    )
    stored = await one(store, 1, "head")
    assert (stored.parts["head"], stored.item.priority) == (b"first", 5)
    assert (await store.counters())["sequence"] == 1


async def case_fence(store: Store, _: Reopen) -> None:
    """Invariant 5: of two writes from the same revision one is refused; so is one on no row."""
    (read,) = await add(store, new(1))
    claimed = await update(store, read, state=State.IN_PROGRESS, ready=False, lease_owner="a")
    refusal = await refused(store.commit(Commit(puts=(Put(read.changed(lease_owner="b")),))))
    assert (refusal.index, refusal.expectation) == (0, Revision(uid(1), 1))
    assert (await one(store, 1)).item == claimed
    refusal = await refused(store.commit(Commit(puts=(Put(item(2, revision=1)),))))
    assert refusal.expectation == Revision(uid(2), 1)


async def case_concurrent_claims(store: Store, _: Reopen) -> None:
    """Ten claims of each row at once: one has it, nine are refused, nothing else is disturbed."""
    stored = await add(store, *(new(n) for n in range(1, 6)))
    before = (await store.counters())["revision"]
    claims = [
        store.commit(Commit(puts=(Put(row.changed(lease_owner=f"w{n}", ready=False)),)))
        for n in range(10)
        for row in stored
    ]
    done = await asyncio.gather(*claims, return_exceptions=True)
    kept = [result for result in done if isinstance(result, Committed)]
    assert len(kept) == 5
    assert sum(isinstance(result, Refused) for result in done) == 45
    for result in kept:
        (row,) = result.items
        assert (await store.get([row.id]))[0].item == row
    revisions = sorted(result.revision for result in kept)
    assert revisions == list(range(before + 1, before + 6))
    await check(store)


async def case_concurrent_inserts(store: Store, reopen: Reopen) -> None:
    """Many at once, some of them doubled: each id once, sequences without a gap."""
    commits = [store.commit(Commit(puts=(new(n % 40 + 1),))) for n in range(60)]
    done = await asyncio.gather(*commits, return_exceptions=True)
    kept = [result.items[0] for result in done if isinstance(result, Committed)]
    assert sorted(row.id for row in kept) == [uid(n) for n in range(1, 41)]
    assert sorted(row.sequence for row in kept) == list(range(1, 41))
    store = await reopen()
    assert (await store.counters())["open"] == 40
    await check(store)

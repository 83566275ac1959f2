"""What `Store` finds: rows by id, ready rows, waiting rows, pages, marks."""

from __future__ import annotations

from fieldpost.engine.model import Stored
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Store

from .support import NOW, Reopen, add, ids, new, one, uid, update

HORIZON = 3_600_000


def found(rows: list[Stored]) -> list[str]:
    return [row.item.id for row in rows]


async def case_get(store: Store, _: Reopen) -> None:
    """Rows that exist, in the order asked; parts that are there."""
    await add(store, new(1, head=b"one"), new(2), new(3, head=b"three"))
    rows = await store.get(ids(3, 9, 1, 2), ["head", "body"])
    assert found(rows) == ids(3, 1, 2)
    assert [row.parts for row in rows] == [{"head": b"three"}, {"head": b"one"}, {}]
    assert await store.get([]) == []
    assert len(await store.get([uid(n) for n in range(1, 2000)])) == 3


async def case_ready_order(store: Store, reopen: Reopen) -> None:
    """By priority, 10 first, then by sequence; one lane only; at most ``limit``."""
    levels = {1: 5, 2: 10, 3: 1, 4: 5, 5: 10, 6: 8}
    await add(store, *(new(n, priority=p, head=b"%d" % n) for n, p in levels.items()))
    await add(store, new(7, lane="other"), new(8, lane="inbox2"))
    assert found(await store.ready("inbox", 10)) == ids(2, 5, 6, 1, 4, 3)
    store = await reopen()
    assert found(await store.ready("inbox", 4)) == ids(2, 5, 6, 1)
    assert [row.parts for row in await store.ready("inbox", 2, ["head"])] == [
        {"head": b"2"},
        {"head": b"5"},
    ]
    assert found(await store.ready("other", 10)) == ids(7)
    assert await store.ready("none", 10) == []


async def case_ready_texts_before_files(store: Store, _: Reopen) -> None:
    """Rows whose text is acknowledged (step 1) come after every text, whatever their priority."""
    rows = await add(store, new(1, priority=10), new(2, priority=1), new(3, priority=10, step=1))
    assert found(await store.ready("inbox", 10)) == ids(1, 2, 3)
    await update(store, rows[0], step=1)
    await add(store, new(4, priority=2, step=1), new(5, priority=5))
    assert found(await store.ready("inbox", 10)) == ids(5, 2, 1, 3, 4)


async def case_ready_follows_the_rows(store: Store, _: Reopen) -> None:
    """A row leaves when it is claimed, comes back in its old place, and moves with its priority."""
    rows = list(await add(store, *(new(n) for n in range(1, 7))))
    claimed = await update(store, rows[1], state=State.IN_PROGRESS, ready=False)
    assert found(await store.ready("inbox", 10)) == ids(1, 3, 4, 5, 6)
    back = await update(store, claimed, state=State.PENDING, ready=True)
    assert found(await store.ready("inbox", 3)) == ids(1, 2, 3)
    urgent = await update(store, back, priority=8)
    await update(store, rows[5], lane="other")
    assert found(await store.ready("inbox", 10)) == ids(2, 1, 3, 4, 5)
    again = await update(store, urgent, priority=5)
    assert found(await store.ready("inbox", 10)) == ids(1, 2, 3, 4, 5)
    for row in (rows[0], again, rows[2], rows[3]):
        await update(store, row, state=State.COMPLETED, ready=False)
    assert found(await store.ready("inbox", 10)) == ids(5)


async def case_ready_keys(store: Store, reopen: Reopen) -> None:
    """The first keys of each level, or the last ones; one lane only; nothing but the index."""
    levels = {1: 5, 2: 10, 3: 5, 4: 1, 5: 10, 6: 5}
    await add(store, *(new(n, priority=p) for n, p in levels.items()))
    await add(store, new(7, step=1), new(8, priority=1, step=1), new(9, lane="other"))
    await add(store, new(10, ready=False, due_at=NOW), new(11, state=State.BLOCKED, ready=False))
    store = await reopen()

    async def at(count: int, newest: bool = False) -> list[tuple[int, int, str]]:
        return [
            (k.level, k.sequence, k.id)
            for k in await store.ready_keys("inbox", count, newest_first=newest)
        ]

    def keys(*pairs: tuple[int, int]) -> list[tuple[int, int, str]]:
        return [(level, n, uid(n)) for level, n in pairs]

    assert await at(1) == keys((0, 2), (5, 1), (9, 4), (15, 7), (19, 8))
    assert await at(1, True) == keys((0, 5), (5, 6), (9, 4), (15, 7), (19, 8))
    assert await at(2) == keys((0, 2), (0, 5), (5, 1), (5, 3), (9, 4), (15, 7), (19, 8))
    assert (await at(9, True))[:5] == keys((0, 5), (0, 2), (5, 6), (5, 3), (5, 1))
    assert len(await at(100)) == 8
    assert await store.ready_keys("none", 5) == []
    (claimed,) = [row.item for row in await store.get(ids(2))]
    back = await update(store, claimed, state=State.IN_PROGRESS, ready=False)
    assert (await at(1))[0] == (0, 5, uid(5))
    await update(store, back, state=State.PENDING, ready=True, priority=1)
    assert (await at(1))[2] == (9, 2, uid(2))


async def case_waiting(store: Store, reopen: Reopen) -> None:
    """Claimable rows that are not ready, once the later of due_at and not_before has come."""
    await add(
        store,
        new(1, due_at=NOW + 10, ready=False),
        new(2, not_before=NOW + 20, ready=False),
        new(3, due_at=NOW + 10, not_before=NOW + 30, ready=False),
        new(4, due_at=NOW + 40, not_before=NOW + 5, state=State.UNKNOWN, ready=False),
        new(5, due_at=NOW),  # ready: nothing to wake
        new(6, due_at=NOW, state=State.BLOCKED, ready=False),  # not claimable
        new(7, due_at=NOW, state=State.COMPLETED, ready=False),
        new(8, due_at=NOW, lane="other", ready=False),
        new(9, ready=False),  # waits for a commit, not for a time
    )
    store = await reopen()

    async def at(now: int) -> set[str]:
        rows = await store.waiting("inbox", now, HORIZON, 10)
        assert all(row.parts == {} for row in rows)
        return set(found(rows))

    assert await at(NOW + 9) == set()
    assert await at(NOW + 10) == set(ids(1))
    assert await at(NOW + 29) == set(ids(1, 2))
    assert await at(NOW + 30) == set(ids(1, 2, 3))
    assert await at(NOW + 40) == set(ids(1, 2, 3, 4))
    assert len(await store.waiting("inbox", NOW + 40, HORIZON, 3)) == 3
    assert found(await store.waiting("other", NOW, HORIZON, 3)) == ids(8)


async def case_waiting_after_the_clock_jumped_back(store: Store, _: Reopen) -> None:
    """Invariant 8: a retry further off than the horizon is woken; a user's own date is not."""
    later = NOW + HORIZON
    await add(
        store,
        new(1, due_at=later, ready=False),
        new(2, due_at=later + 1, ready=False),
        new(3, not_before=later + 10**9, ready=False),
        new(4, due_at=NOW + 5, not_before=later + 10**9, ready=False),
        new(5, due_at=later + 10**6, ready=False, lane="other"),
    )
    assert found(await store.waiting("inbox", NOW, HORIZON, 10)) == ids(2)
    assert set(found(await store.waiting("inbox", NOW - 1, HORIZON, 10))) == set(ids(1, 2))


async def case_next_due(store: Store, _: Reopen) -> None:
    """The smallest due time of the not-ready claimable rows of the lane; they leave when woken."""
    assert await store.next_due("inbox") is None
    (first, second, _third) = await add(
        store,
        new(1, due_at=NOW + 10, ready=False),
        new(2, due_at=NOW + 5, not_before=NOW + 30, ready=False),
        new(3, due_at=NOW + 1),
    )
    await add(
        store,
        new(4, due_at=NOW + 1, lane="other", ready=False),
        new(5, due_at=NOW + 2, state=State.FAILED, ready=False),
        new(6, ready=False),
    )
    assert await store.next_due("inbox") == NOW + 10
    first = await update(store, first, due_at=None, ready=True)
    assert await store.next_due("inbox") == NOW + 30
    await update(store, second, state=State.CANCELLED, ready=False)
    assert await store.next_due("inbox") is None
    await update(store, first, ready=False, due_at=NOW + 99)
    assert await store.next_due("inbox") == NOW + 99
    assert await store.next_due("other") == NOW + 1


async def case_pages(store: Store, reopen: Reopen) -> None:
    """Rows in any of the states by sequence, both ways; the cursor leads on, nothing twice."""
    order = [State.PENDING, State.FAILED, State.COMPLETED]
    for n in range(1, 26):
        await add(store, new(n, state=order[n % 3], ready=False, head=b"%d" % n))
    store = await reopen()
    wanted = [uid(n) for n in range(1, 26) if n % 3 != 2]
    for newest in (False, True):
        seen: list[str] = []
        cursor: int | None = None
        for _ in range(10):
            page = await store.page(
                [State.FAILED, State.PENDING], limit=4, cursor=cursor, newest_first=newest
            )
            assert 0 < len(page.rows) <= 4
            seen += found(page.rows)
            cursor = page.next
            if cursor is None:
                break
        assert seen == (wanted[::-1] if newest else wanted)
    page = await store.page([State.COMPLETED], limit=8, parts=["head"])
    assert [row.parts["head"] for row in page.rows] == [b"%d" % n for n in range(2, 25, 3)]
    assert page.next is None
    assert (await store.page([State.EXPIRED], limit=5)).rows == []
    assert (await store.page([], limit=5)).rows == []


async def case_pages_follow_the_rows(store: Store, _: Reopen) -> None:
    """A row is listed in its present state only, at its old place; rows that move while paging do
    not disturb the others."""
    rows = await add(store, *(new(n) for n in range(1, 8)))
    first = await store.page([State.PENDING], limit=3)
    assert found(first.rows) == ids(1, 2, 3)
    moved = await update(store, rows[2], state=State.FAILED, ready=False)
    await update(store, rows[4], state=State.FAILED, ready=False)
    second = await store.page([State.PENDING], limit=3, cursor=first.next)
    assert found(second.rows) == ids(4, 6, 7)
    assert second.next is None
    assert found((await store.page([State.FAILED], limit=9)).rows) == ids(3, 5)
    await update(store, moved, state=State.PENDING, ready=True)
    assert found((await store.page([State.PENDING], limit=9)).rows) == ids(1, 2, 3, 4, 6, 7)


async def case_find(store: Store, reopen: Reopen) -> None:
    """Ids by the HMAC of a value, oldest first, at most ``limit``; the value as such finds none."""
    await add(store, *(new(n, marks={"entity": "INC|7"}) for n in range(1, 15)))
    await add(store, new(20, marks={"entity": "INC|8", "natural_key": "INC|7"}))
    store = await reopen()
    assert await store.find("entity", "INC|7") == [uid(n) for n in range(1, 11)]
    assert await store.find("entity", "INC|7", 2) == ids(1, 2)
    assert (
        await store.find("entity", "INC|8") == await store.find("natural_key", "INC|7") == ids(20)
    )
    assert await store.find("fingerprint", "INC|7") == []
    stored = (await one(store, 20)).item
    assert stored.entity is not None
    assert await store.find("entity", stored.entity) == []


async def case_counters_are_copies(store: Store, _: Reopen) -> None:
    """Whoever asks may do with the answer what they like."""
    await store.commit(Commit(puts=(new(1),)))
    (await store.counters()).clear()
    (await store.get(ids(1), ["head"]))[0].parts["head"] = b"?"
    assert (await store.counters())["open"] == 1
    assert (await one(store, 1, "head")).parts == {}

"""Rows in line: of one entity, and behind a parent; and what expires. `Line` as a precondition."""

from __future__ import annotations

import asyncio
from typing import Any

from fieldpost.engine.model import Item
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Committed, Line, Put, Refused, Store

from .support import NOW, Reopen, add, ids, item, new, one, refused, uid, update

_PUMP = {"entity": "pump 3"}


async def _line(store: Store, entity: str, size: int = 10) -> list[str]:
    (mark,) = await store.marks("entity", [entity])
    (line,) = await store.lines("entity", [mark], size)
    return [row.id for row in line]


async def _behind(store: Store, n: int, size: int = 10) -> list[str]:
    (line,) = await store.lines("parent", [uid(n)], size)
    return [row.id for row in line]


def _child(n: int, *parents: int, **changes: Any) -> Put:
    values: dict[str, Any] = {"state": State.BLOCKED, "ready": False}
    values["parents"] = tuple(ids(*parents))
    return new(n, **(values | changes))


async def case_marks(store: Store, reopen: Reopen) -> None:
    """`marks` says what a row's column holds, in the order asked, also after a restart."""
    (row,) = await add(store, new(1, marks=_PUMP))
    store = await reopen()
    other, same = await store.marks("entity", ["größe", "pump 3"])
    assert (row.entity, row.entity == other) == (same, False)
    assert await store.marks("entity", []) == []


async def case_line_of_an_entity(store: Store, reopen: Reopen) -> None:
    """Open and failed rows stand in it: those under way first, then by sequence."""
    rows = await add(store, *(new(n, marks=_PUMP) for n in (3, 1, 2)), new(4), new(5))
    assert await _line(store, "pump 3") == ids(3, 1, 2)
    assert await _line(store, "pump 3", 1) == ids(3)
    assert await _line(store, "another") == []
    for state in State:
        now = (await one(store, 1)).item
        await update(store, now, state=state, ready=False, attempt=0)
        under_way = state in {State.IN_PROGRESS, State.UNKNOWN, State.HANDED_OVER}
        gone = state in {State.COMPLETED, State.CANCELLED, State.EXPIRED, State.DISCARDED}
        expected = ids(1, 3, 2) if under_way else ids(3, 2) if gone else ids(3, 1, 2)
        assert await _line(store, "pump 3") == expected, state
    tried = await update(store, (await one(store, 2)).item, attempt=1)
    assert await _line(store, "pump 3") == ids(2, 3)
    await update(store, tried, state=State.BLOCKED, ready=False)
    store = await reopen()
    assert await _line(store, "pump 3") == ids(3, 2)
    assert rows[0].entity is not None
    both = await store.lines("entity", [rows[0].entity, "nobody"], 5)
    assert [[row.id for row in line] for line in both] == [ids(3, 2), []]
    assert both[0][0] == (await one(store, 3)).item


async def case_line_behind_a_parent(store: Store, reopen: Reopen) -> None:
    """Blocked rows stand behind each of their parents, by sequence, until they are not blocked."""
    await add(store, new(1), new(2), _child(9, 1), _child(8, 2, 1), _child(7, 2))
    assert (await _behind(store, 1), await _behind(store, 2)) == (ids(9, 8), ids(8, 7))
    assert (await _behind(store, 1, 1), await _behind(store, 7)) == (ids(9), [])
    row = (await one(store, 8)).item
    assert (row.parents, row.on_parent_failed) == (tuple(ids(2, 1)), None)
    row = await update(store, row, parents=tuple(ids(2)), on_parent_failed="cancel")
    store = await reopen()
    assert (await _behind(store, 1), await _behind(store, 2)) == (ids(9), ids(8, 7))
    assert (await one(store, 8)).item == row
    row = await update(store, row, state=State.CANCELLED)
    await update(store, (await one(store, 9)).item, state=State.PENDING, ready=True, parents=())
    assert (await _behind(store, 1), await _behind(store, 2)) == ([], ids(7))
    await update(store, row, state=State.BLOCKED)
    assert await _behind(store, 2) == ids(8, 7)


async def case_line_as_a_precondition(store: Store, _: Reopen) -> None:
    """`Line` holds for exactly the rows in line, as far as ``size`` goes."""
    (mark,) = await store.marks("entity", ["pump 3"])
    empty = Line("entity", mark, (), 1)
    await store.commit(Commit(expect=(empty,), puts=(new(1, marks=_PUMP),)))
    refusal = await refused(store.commit(Commit(expect=(empty,), puts=(new(2, marks=_PUMP),))))
    assert (refusal.index, refusal.expectation, refusal.existing_id) == (0, empty, None)
    await add(store, new(2, marks=_PUMP), _child(3, 1), _child(4, 1))
    lines: tuple[tuple[Line, bool], ...] = (
        (Line("entity", mark, tuple(ids(1)), 1), True),
        (Line("entity", mark, tuple(ids(1)), 2), False),
        (Line("entity", mark, tuple(ids(1, 2)), 2), True),
        (Line("entity", mark, tuple(ids(1, 2)), 9), True),
        (Line("entity", mark, tuple(ids(2, 1)), 2), False),
        (Line("entity", mark, tuple(ids(1, 2, 3)), 3), False),
        (Line("parent", uid(1), tuple(ids(3, 4)), 3), True),
        (Line("parent", uid(1), tuple(ids(3)), 3), False),
        (Line("parent", uid(1), tuple(ids(3)), 1), True),
        (Line("parent", uid(2), (), 3), True),
    )
    for line, holds in lines:
        if holds:
            await store.commit(Commit(expect=(line,)))
        else:
            refusal = await refused(store.commit(Commit(expect=(empty, line)[1:])))
            assert refusal.expectation == line


async def case_first_in_line_once(store: Store, reopen: Reopen) -> None:
    """Of many that want to be the first of an entity at once, one is."""
    (mark,) = await store.marks("entity", ["pump 3"])
    first = Line("entity", mark, (), 1)
    tries = [
        store.commit(Commit(expect=(first,), puts=(new(n, marks=_PUMP),))) for n in range(1, 11)
    ]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, Committed) for result in done) == 1
    assert sum(isinstance(result, Refused) for result in done) == 9
    store = await reopen()
    assert len(await _line(store, "pump 3")) == 1


async def case_links_are_sealed_and_kept(store: Store, reopen: Reopen) -> None:
    """The part ``links`` goes and comes as the others do."""
    (row,) = await add(store, Put(item(1), {"links": "größe".encode(), "head": b"h"}, insert=True))
    await update(store, row, priority=9)
    store = await reopen()
    assert (await one(store, 1, "links")).parts == {"links": "größe".encode()}
    await add(store, Put((await one(store, 1)).item, {"links": None}))
    assert (await one(store, 1, "head", "links")).parts == {"head": b"h"}


async def case_expired(store: Store, reopen: Reopen) -> None:
    """What waits past its own expiry, whatever its lane; nothing that may have arrived."""

    async def expired(at: int, limit: int = 10) -> list[str]:
        return [stored.item.id for stored in await store.expired(at, limit)]

    def until(n: int, **changes: Any) -> Put:
        return new(n, expires_at=NOW + n, **changes)

    blocked: dict[str, Any] = {"state": State.BLOCKED, "ready": False}
    await add(store, until(20), until(10, lane="other"), until(30, **blocked), new(5))
    await add(store, until(1, step=1), until(2, state=State.UNKNOWN), until(3, state=State.FAILED))
    assert await expired(NOW + 9) == []
    assert await expired(NOW + 10) == ids(10)
    assert await expired(NOW + 99) == ids(10, 20, 30)
    assert await expired(NOW + 99, 2) == ids(10, 20)
    await update(store, (await one(store, 10)).item, expires_at=None)
    await update(store, (await one(store, 20)).item, state=State.IN_PROGRESS, ready=False)
    store = await reopen()
    assert await expired(NOW + 99) == ids(30)
    row: Item = (await one(store, 20)).item
    await update(store, row, state=State.PENDING, expires_at=NOW + 40)
    await update(store, (await one(store, 30)).item, state=State.EXPIRED)
    assert (await expired(NOW + 39), await expired(NOW + 40)) == ([], ids(20))

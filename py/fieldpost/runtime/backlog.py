"""How much waits, in bytes, and since when: bounded reads, whatever the length of the queue.

Counters and pages are the store's, so this is about the whole queue, all of its lanes. That is
meant where a costly network is asked about: it is the device that has it. One lane's share is not
known: where there are several, a lane that cannot send lets the others go sooner, and the time left
that a lane's progress tells is that of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldpost.engine.transitions import OPEN_STATES, State
from fieldpost.ports import Store

#: Rows looked at, at most, of those asked about and of the others.
_PAGE = 50


async def backlog(store: Store, states: Sequence[State], now: int) -> tuple[int, int]:
    """Age of the oldest item in ``states`` (open ones; ms), exact, and the bytes of all of them.

    The bytes are exact while no more than a page is in ``states``, or no more than a page is open
    besides. Else, or where the store has not counted bytes yet, they are extrapolated from the
    oldest rows. Raises `DatabaseError`.
    """
    page = await store.page(states, limit=_PAGE)
    rows = [row.item for row in page.rows]
    if not rows:
        return 0, 0
    age, size = max(now - rows[0].created_at, 0), sum(item.size for item in rows)
    if page.next is None:
        return age, size
    counters = await store.counters()
    counts = {state: counters.get(f"state:{state}", 0) for state in OPEN_STATES}
    total, others = counters.get("bytes"), [s for s in OPEN_STATES - {*states} if counts[s]]
    if total is not None:
        rest = await store.page(others, limit=_PAGE) if others else None
        if rest is None or rest.next is None:
            besides = sum(row.item.size for row in rest.rows) if rest else 0
            return age, max(total - besides, size)  # they were read one after the other
    count = max(sum(counts[state] for state in states), len(rows))
    estimate = size * count // len(rows)
    return age, estimate if total is None else min(estimate, total)

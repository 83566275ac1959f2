"""What goes by itself, and when: delivered and given up items after their time, logs by their ring.

Undelivered work never goes (invariant 1), logs aside; what is removed leaves a line in the journal.
Each step reads what it removes and no more: the oldest rows of a state, by the listing's index.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from fieldpost.engine.limits import KindLimit, Limits
from fieldpost.engine.model import Item
from fieldpost.engine.retention import Retention
from fieldpost.engine.transitions import END_STATES, OPEN_STATES, State
from fieldpost.ports import Clock, Refused, Store

from .committer import Change, Committer

#: Rows removed in one commit.
_AT_ONCE = 100
#: Commits of one tidying: what is left waits for the next one.
_STEPS_MAX = 50
#: When retention last looked at the clock, and how often that is noted.
_LOOKED = ("retention", "looked")
_NOTE_EVERY_MS = 3600 * 1000
#: A log that is under way is not taken out from under its drainer.
_MAY_GO = (OPEN_STATES | END_STATES) - {State.IN_PROGRESS, State.UNKNOWN}


def ring_key(kind: str) -> str:
    """The natural key that all items of a ring share: its index brings the oldest ones first."""
    return f"{kind}|ring"


async def remove(committer: Committer, rows: Sequence[Item], note: str) -> int:
    """Remove the rows; how many went. None of them when one was changed meanwhile."""
    if not rows:
        return 0
    try:
        await committer.commit(Change(drop=rows, note=note))
    except Refused:
        return 0
    return len(rows)


async def evict(store: Store, committer: Committer, limits: Limits) -> int:
    """Free storage for new work: the oldest delivered items, then the oldest logs; how many went.

    Raises `StorageFull` when the storage is too full even to remove something.
    """
    page = await store.page([State.COMPLETED], limit=_AT_ONCE)
    gone = await remove(committer, [row.item for row in page.rows], "evict")
    for kind in limits.kinds:
        if not gone and limits.is_ring(kind):
            oldest = await _oldest_of_ring(store, kind)
            gone = await remove(committer, oldest, "evict")
    return gone


async def trim_rings(store: Store, committer: Committer, limits: Limits) -> int:
    """Bring every ring within its limits, and a tenth below, so that not every new one costs a
    removal; the oldest go, delivered or not."""
    gone = 0
    for kind, limit in limits.kinds.items():
        while limit.ring and (surplus := _surplus(limit, kind, await store.counters())):
            oldest = _enough(await _oldest_of_ring(store, kind), *surplus)
            removed = await remove(committer, oldest, "ring")
            if not removed:
                break
            gone += removed
    return gone


def _surplus(limit: KindLimit, kind: str, counters: dict[str, int]) -> tuple[int, int] | None:
    """(items, bytes) that should go; None while the ring is within its limits."""
    used = counters.get(f"open:{kind}", 0), counters.get(f"bytes:{kind}", 0)
    pairs = [(n, most) for n, most in zip(used, (limit.items, limit.bytes), strict=True)]
    if not any(most is not None and n > most for n, most in pairs):
        return None
    items, size = (0 if most is None else max(0, n - most * 9 // 10) for n, most in pairs)
    return items, size


def _enough(oldest: Sequence[Item], items: int, size: int) -> list[Item]:
    """The first of them, until so many open ones of so many bytes are among them."""
    taken = list[Item]()
    for item in oldest:
        if items <= 0 and size <= 0:
            break
        taken.append(item)
        if item.is_open:
            items, size = items - 1, size - item.size
    return taken


async def _oldest_of_ring(store: Store, kind: str) -> list[Item]:
    """Of the oldest rows of a ring those that may go."""
    ids = await store.find("natural_key", ring_key(kind), _AT_ONCE)
    return [row.item for row in await store.get(ids) if row.item.state in _MAY_GO]


class Keeper:
    """Removes what has been kept as long as `Retention` says. `tidy` is called now and then."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        retention: Retention,
        limits: Limits,
        announce: Callable[[], None],
    ):
        self._store = store
        self._committer = committer
        self._clock = clock
        self._retention = retention
        self._limits = limits
        self._announce = announce
        self._places: dict[State, int | None] = {}

    async def tidy(self) -> int:
        """Remove what is due, in bounded commits; how many rows went."""
        gone = await self.trim()
        counters = await self._store.counters()
        if not any(counters.get(f"state:{state}") for state in END_STATES):
            return gone
        now, text = self._clock.now(), await self._store.side(*_LOOKED)
        believed = self._retention.believes(now, json.loads(text)["at"] if text else None)
        if text is None or not believed or now - json.loads(text)["at"] > _NOTE_EVERY_MS:
            await self._committer.commit(Change(side={_LOOKED: json.dumps({"at": now})}))
        if believed:
            for state in sorted(END_STATES):
                gone += await self._expire(state, now)
        if gone:
            self._announce()
        return gone

    async def trim(self) -> int:
        """Only the rings."""
        return await trim_rings(self._store, self._committer, self._limits)

    async def _expire(self, state: State, now: int) -> int:
        """Goes on where the last look ended: what is kept for longer hides nothing behind it. Of
        the pages read, all but the last had something to remove."""
        gone, cursor = 0, self._places.get(state)
        for _ in range(_STEPS_MAX if self._retention.removes(state) else 0):
            page = await self._store.page([state], limit=_AT_ONCE, cursor=cursor)
            due = [row.item for row in page.rows if self._retention.is_due(row.item, now)]
            removed = await remove(self._committer, await self._unneeded(due), "retention")
            gone += removed
            cursor = page.next
            if cursor is None or not removed:
                break
        self._places[state] = cursor
        return gone

    async def _unneeded(self, due: Sequence[Item]) -> list[Item]:
        """Without those that other items wait for: they could never go on, and nobody would see
        why. A dead letter holds up the later items of its entity, any of these its children."""
        children = await self._store.lines("parent", [item.id for item in due], 1)
        entities = list({i.entity for i in due if i.entity and i.state is State.FAILED})
        lines = await self._store.lines("entity", entities, 2)
        behind = {e for e, line in zip(entities, lines, strict=True) if len(line) > 1}
        return [
            item
            for item, line in zip(due, children, strict=True)
            if not line and not (item.state is State.FAILED and item.entity in behind)
        ]

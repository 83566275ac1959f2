"""The sync strategy `batched`: for how long a lane's texts wait for others of their kind.

Two bounded reads: keys of the ready index, and the rows among them that were not seen before, for
an item's kind, operation and time never change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from fieldpost.engine.limits import PRIORITY_MAX
from fieldpost.engine.pacing import Text, flush_at, gathered
from fieldpost.engine.scheduling import is_text, priority_of
from fieldpost.ports import Store

#: So many batches of one priority are told apart. What lies behind them is not read: where more
#: wait than this, all goes, for one of up to so many operations must be full, and among more of
#: them the waiting has brought enough together.
_BATCHES = 4


class Together:
    """Of one lane. Remembers what it read of the rows that wait; nothing that matters."""

    def __init__(self, store: Store, lane: str):
        self._store = store
        self._lane = lane
        self._seen: dict[str, Text] = {}

    async def due_at(
        self, size: int, timeout_ms: int, now: int, may_go: Callable[[int], bool]
    ) -> int | None:
        """When the first batch is due (ms; at most ``now``: at once); None when nothing waits, or a
        file does that goes. ``size``: items in a full batch; ``may_go``: levels that count at all.
        Raises `DatabaseError`."""
        window = _BATCHES * size
        ready = await self._store.ready_keys(self._lane, window)
        keys = [key for key in ready if may_go(key.level)]
        if not keys or not all(is_text(key.level) for key in keys):
            self._seen = {}
            return None
        crowds = Counter(priority_of(key.level) for key in keys)
        if PRIORITY_MAX in crowds or max(crowds.values()) >= window:
            return now
        before = self._seen
        rows = await self._store.get([key.id for key in keys if key.id not in before])
        items = [row.item for row in rows]
        read = {i.id: Text(i.kind, i.operation, i.priority, i.created_at) for i in items}
        known = before | read
        # A row that somebody took in between is no longer there; a priority may have changed.
        self._seen = {
            key.id: known[key.id]._replace(priority=priority_of(key.level))
            for key in keys
            if key.id in known
        }
        return flush_at(gathered(self._seen.values(), now), size, timeout_ms, now)

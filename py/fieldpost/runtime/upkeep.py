"""What a queue does beside saving and sending: room, retention, its own logs, trying at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fieldpost.engine.config import LogConfig, QueueConfig
from fieldpost.engine.duplicates import NO_WINDOW
from fieldpost.engine.limits import ORPHAN_AGE_MS
from fieldpost.engine.model import Item

from .adopt import Intake
from .committer import Change, Committer
from .driver import Host
from .logs import LogItems
from .loop import SyncLoop
from .online import online_first
from .retention import Keeper, ring_key

#: Attachments whose bytes are removed in one commit.
_ORPHANS_MAX = 200
#: Rows of the ring looked through for the latest.
_LOGS_MAX = 100_000
#: Of a queue that is put together without one; `open_queue` has its own.
BARE = QueueConfig(duplicates=NO_WINDOW, logging=LogConfig(level="off"))


class Upkeep:
    """Part of `runtime.queue.Queue`."""

    config: QueueConfig
    _host: Host
    _committer: Committer
    _intake: Intake
    _loop: SyncLoop
    _keeper: Keeper
    _logs: LogItems

    if TYPE_CHECKING:  # what `Queue` has

        async def enqueue(self, kind: str, payload: Mapping[str, Any], **options: Any) -> Item: ...
        def _announce(self) -> None: ...

    def _keep_up(self, config: QueueConfig) -> None:
        """Make the parts, when those above are there."""
        self.config = config
        store, clock = self._host.store, self._host.clock
        self._keeper = Keeper(
            store, self._committer, clock, config.retention, config.limits, self._announce
        )
        self._logs = LogItems(config.logging, clock, self._keep_logs)

    async def try_now(
        self, kind: str, payload: Mapping[str, Any], *, timeout_ms: int = 5_000, **options: Any
    ) -> Item:
        """Save one item durably, then send what waits at once: the item as it is at its end, or
        after ``timeout_ms``. If it is open then, it goes out later by itself (A60).

        Options and errors are those of `enqueue`. Delivery never raises: ``state`` tells.
        """
        item = await self.enqueue(kind, payload, **options)
        return await online_first(self._host, self._loop.turn, item, timeout_ms)

    async def room(self, kind: str) -> dict[str, int | None]:
        """{"items", "bytes"}: how much more of the kind comes in now; None: no limit."""
        return self._intake.limits.room(kind, await self._host.store.counters())

    async def logs(self, limit: int = 100) -> list[dict[str, Any]]:
        """The latest of the queue's own logs, oldest first: payloads of kind ``log``."""
        store = self._host.store
        ids = await store.find("natural_key", ring_key("log"), _LOGS_MAX)
        return [json.loads(row.parts["body"]) for row in await store.get(ids[-limit:], ("body",))]

    async def tidy(self) -> int:
        """Remove what has been kept as long as the configuration says, logs beyond their ring, and
        bytes that nothing refers to; how many rows and attachments. The loop does it hourly."""
        return await self._keeper.tidy() + await self.collect_orphans()

    async def collect_orphans(self) -> int:
        """Remove attachment bytes that nothing has referred to for a day; returns how many."""
        before = self._host.clock.now() - ORPHAN_AGE_MS
        ids = await self._host.store.orphans(before, _ORPHANS_MAX)
        if ids:
            await self._committer.commit(Change(drop_blobs=ids))
        return len(ids)

    async def _keep_logs(self, payloads: list[dict[str, Any]]) -> None:
        await self._intake.enqueue_many(
            [self._intake.write({"kind": "log", "payload": p}) for p in payloads]
        )
        await self._keeper.trim()

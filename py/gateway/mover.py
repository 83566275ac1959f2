"""What brings things from the ledger into the relay's queue, and back: whenever there is something,
and in one process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fieldpost.engine.errors import QueueError
from fieldpost.ports import Leadership, Tabs

_log = logging.getLogger("gateway.relay")

#: When the queue is full, or its storage fails, this long before the next attempt.
_AGAIN_SECONDS = 5.0
#: What another process left behind is looked for this often; one's own is told at once.
_LOOK_SECONDS = 5.0
#: One process at a time moves: for so long it may be silent, and for so long the others wait for it
#: before they look again whether there is anything left for them.
_LEASE_MS, _LEASE_WAIT_MS = 15_000, 10_000


@dataclass
class Mover:
    """``event``: there may be something; ``some``: whether there is; ``move``: one step, True when
    there may be more."""

    name: str
    event: asyncio.Event
    some: Callable[[], Awaitable[bool]]
    move: Callable[[Leadership], Awaitable[bool]]
    stopping: bool = False

    def stop(self) -> None:
        """Before its task is cancelled: a cancellation may get lost in an answer that comes with
        it."""
        self.stopping = True
        self.event.set()

    async def run(self, tabs: Tabs) -> None:
        """Until it is stopped. Each step can be repeated, but processes that do it at once would do
        everything twice."""
        while not self.stopping:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it may forget a cancellation.
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self.event.wait()
            self.event.clear()
            try:
                await self._until_done(tabs)
            except (QueueError, sqlite3.Error, OSError) as error:
                _log.error("Relaying waits: %s", type(error).__name__)
                await asyncio.sleep(_AGAIN_SECONDS)  # the storage's trouble, not a race
                self.event.set()

    async def _until_done(self, tabs: Tabs) -> None:
        while not self.stopping and await self.some():
            if await tabs.lead(
                self._alone,
                lane=f"relay-{self.name}",
                wait_ms=_LEASE_WAIT_MS,
                steal_after_ms=_LEASE_MS,
            ):
                break

    async def _alone(self, held: Leadership) -> None:
        while not self.stopping and not held.lost and await self.move(held):
            held.beat()

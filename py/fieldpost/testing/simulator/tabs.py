"""The drain lock among simulated contexts, as js/tabs.mjs keeps it over Web Locks.

A lock is asked for with a time limit; whoever did not get it watches the holder's beats, and takes
the lock from one that stood still. A killed holder's lock is free at once; a frozen holder keeps
it, wakes up late and then finds ``lost`` true.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fieldpost.ports import Leadership

from .loop import Place, SimLoop


@dataclass(slots=True, eq=False)
class Held:
    """`ports.Leadership`."""

    place: Place
    lock: DrainLock
    stolen: bool
    lost: bool = False

    def beat(self) -> None:
        self.lock.beaten_at = self.lock.loop.time()


class DrainLock:
    """One for all contexts of a store."""

    def __init__(self, loop: SimLoop, told: Callable[[Place, str], None]) -> None:
        self.loop = loop
        self.holder: Held | None = None
        self.beaten_at = 0.0
        #: Places that the lock was taken from, until they get it again.
        self.robbed: set[str] = set()
        self._queue: deque[tuple[Place, asyncio.Future[Held]]] = deque()
        self._told = told

    def grant(self, place: Place, *, stolen: bool) -> Held:
        self.holder = Held(place, self, stolen)
        self.robbed.discard(place.name)
        self.holder.beat()
        self._told(place, "lock stolen" if stolen else "lock granted")
        return self.holder

    def steal(self, place: Place) -> Held:
        if self.holder is not None:
            self.holder.lost = True
            self.robbed.add(self.holder.place.name)
        return self.grant(place, stolen=self.holder is not None)

    async def request(self, place: Place, wait_ms: float) -> Held | None:
        if self.holder is None:
            return self.grant(place, stolen=False)
        future: asyncio.Future[Held] = self.loop.create_future()
        self._queue.append((place, future))
        timer = self.loop.call_later(wait_ms / 1000, _give_up, future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result())  # granted to somebody who no longer waits
            raise
        except TimeoutError:
            return None
        finally:
            timer.cancel()

    def release(self, held: Held) -> None:
        """Also what the browser does for a context that died."""
        if self.holder is not held:
            return
        self.holder = None
        while self._queue:
            place, future = self._queue.popleft()
            if not future.done() and not place.dead:
                future.set_result(self.grant(place, stolen=False))
                return

    def died(self, place: Place) -> None:
        if self.holder is not None and self.holder.place is place:
            self.release(self.holder)


def _give_up(future: asyncio.Future[Held]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


class SimTabs:
    """`ports.Tabs` of one context."""

    def __init__(self, place: Place, lock: DrainLock, spread: Callable[[Place, int], None]) -> None:
        self.callbacks: list[Callable[[dict[str, Any]], None]] = []
        self._place = place
        self._lock = lock
        self._spread = spread
        #: Since when this context watches a holder (virtual seconds); None: it does not.
        self._watching: float | None = None

    async def lead(
        self,
        work: Callable[[Leadership], Awaitable[None]],
        *,
        lane: str,  # noqa: ARG002 - these worlds have one
        wait_ms: int,
        steal_after_ms: int,
    ) -> bool:
        held: Held | None
        if self._still_ms() >= steal_after_ms:
            held = self._lock.steal(self._place)
        else:
            held = await self._lock.request(self._place, wait_ms)
        if held is None:
            if self._watching is None:
                self._watching = self._lock.loop.time()
            return False
        self._watching = None
        try:
            await work(held)
        finally:
            held.lost = True
            self._lock.release(held)
        return True

    def _still_ms(self) -> float:
        if self._watching is None or self._lock.holder is None:
            return 0
        since = max(self._watching, self._lock.beaten_at)
        return (self._lock.loop.time() - since) * 1000

    def slept(self) -> None:
        """This context stood still itself: what it did not see says nothing of the holder."""
        if self._watching is not None:
            self._watching = self._lock.loop.time()

    def announce(self, revision: int) -> None:
        self._spread(self._place, revision)

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

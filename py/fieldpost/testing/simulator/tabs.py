"""The drain locks among simulated contexts, one a lane, as js/tabs.mjs keeps them over Web Locks.

A lock is asked for with a time limit; whoever did not get it watches the holder's beats, and takes
the lock from one that stood still. A killed holder's locks are free at once; a frozen holder keeps
its own, wakes up late and then finds ``lost`` true of those that were taken.
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
    stealable: bool = True
    lost: bool = False

    def beat(self) -> None:
        self.lock.beaten_at = self.lock.loop.time()


class DrainLock:
    """Of one lane, for all contexts of a store."""

    def __init__(self, loop: SimLoop, lane: str, told: Callable[[Place, str, str], None]) -> None:
        self.loop = loop
        self.lane = lane
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
        self._told(place, "lock stolen" if stolen else "lock granted", self.lane)
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

    def leads(self, place: Place) -> bool:
        return self.holder is not None and self.holder.place is place


class Locks:
    """By lane; one that nobody asked for yet is free."""

    def __init__(self, loop: SimLoop, told: Callable[[Place, str, str], None]) -> None:
        self._loop = loop
        self._told = told
        self._locks: dict[str, DrainLock] = {}

    def __getitem__(self, lane: str) -> DrainLock:
        lock = self._locks.get(lane)
        if lock is None:
            lock = self._locks[lane] = DrainLock(self._loop, lane, self._told)
        return lock

    def holders(self) -> list[Place]:
        """Who leads some lane."""
        held = (lock.holder for lock in self._locks.values())
        return [holder.place for holder in held if holder is not None]

    def died(self, place: Place) -> None:
        for lock in self._locks.values():
            if lock.holder is not None and lock.holder.place is place:
                lock.release(lock.holder)


def _give_up(future: asyncio.Future[Held]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


class SimTabs:
    """`ports.Tabs` of one context."""

    def __init__(self, place: Place, locks: Locks, spread: Callable[[Place, int], None]) -> None:
        self.callbacks: list[Callable[[dict[str, Any]], None]] = []
        self._place = place
        self._locks = locks
        self._spread = spread
        #: Lane -> since when this context watches its holder (virtual seconds).
        self._watching: dict[str, float] = {}

    async def lead(
        self,
        work: Callable[[Leadership], Awaitable[None]],
        *,
        lane: str,
        wait_ms: int,
        steal_after_ms: int,
    ) -> bool:
        lock = self._locks[lane]
        held: Held | None
        if self._still_ms(lock) >= steal_after_ms:
            held = lock.steal(self._place)
        else:
            held = await lock.request(self._place, wait_ms)
        if held is None:
            self._watching.setdefault(lane, lock.loop.time())
            return False
        self._watching.pop(lane, None)
        try:
            await work(held)
        finally:
            held.lost = True
            lock.release(held)
        return True

    def _still_ms(self, lock: DrainLock) -> float:
        watching = self._watching.get(lock.lane)
        if watching is None or lock.holder is None:
            return 0
        return (lock.loop.time() - max(watching, lock.beaten_at)) * 1000

    def slept(self) -> None:
        """This context stood still itself: what it did not see says nothing of the holder."""
        for lane in self._watching:
            self._watching[lane] = self._locks[lane].loop.time()

    def announce(self, revision: int) -> None:
        self._spread(self._place, revision)

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

"""Ways to die in the middle of an act, each tried at every place; for test_dying.py.

An act is one call of the queue in a world that was prepared for it. A way of dying takes the act
and a number, and returns whether the act came to its end before that place was reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.runtime.test_crashes import crashing_queue
from tests.runtime.worlds import World

from fieldpost.engine.errors import QueueError
from fieldpost.runtime.queue import Queue
from fieldpost.testing.crashing import Crash, Crasher
from fieldpost.testing.faultystore import Fault, FaultyStore

#: What the act does with a queue; it may note in ``known`` what it was told for certain.
Act = Callable[[Queue, dict[str, Any]], Awaitable[None]]
#: (world, act, number, known) -> whether the act ended before that place.
Way = Callable[[World, Act, int, dict[str, Any]], bool]

#: More places than any act has; a way that never ends is a mistake of the test.
PLACES_MAX = 2_000


def every_place(way: Way, prepare: Callable[[], tuple[World, Act]]) -> list[tuple[World, dict]]:
    """The worlds that are left, one for each place at which the act was cut, and what was known."""
    left = []
    for n in range(1, PLACES_MAX):
        world, act = prepare()
        known: dict[str, Any] = {}
        ended = way(world, act, n, known)
        left.append((world, known))
        if ended:
            return left
    raise AssertionError("the act never ends")


@dataclass(frozen=True)
class Killed:
    """The process dies at the nth call of a port, before or after it took effect."""

    after: bool

    def __call__(self, world: World, act: Act, n: int, known: dict[str, Any]) -> bool:
        crasher = Crasher(n, after=self.after)
        asyncio.run(self._doomed(crashing_queue(world, crasher), act, crasher, known))
        world.restart()
        return not crasher.dead

    async def _doomed(
        self, queue: Queue, act: Act, crasher: Crasher, known: dict[str, Any]
    ) -> None:
        try:
            await act(queue, known)
        except (Crash, QueueError):
            assert crasher.dead


def stopped(world: World, act: Act, n: int, known: dict[str, Any]) -> bool:
    """The process stands still for ever after n turns of its event loop: between any two awaits."""
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(_acting(world, act, known))
        for _ in range(n):
            if task.done():
                break
            loop.call_soon(loop.stop)
            loop.run_forever()
        ended = task.done()
        if ended:
            task.result()
        dead = world.store
        world.restart()  # from a copy of what is durable now; nothing below touches it
        loop.run_until_complete(_buried(world, dead))
    finally:
        loop.close()
    return ended


async def _acting(world: World, act: Act, known: dict[str, Any]) -> None:
    await act(world.queue, known)


async def _buried(world: World, dead: Any) -> None:
    """What was left standing is ended where it can reach nothing any more."""
    await dead.close()
    world.gateway.down = True
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    world.gateway.down = False


@dataclass(frozen=True)
class Failing:
    """The storage fails once, at its nth operation, and the process lives on with the same queue.

    ``when`` "after": the operation took effect and only its answer was lost.
    """

    when: Any

    def __call__(self, world: World, act: Act, n: int, known: dict[str, Any]) -> bool:
        store = FaultyStore(world.store, Fault(n, self.when))
        whole, world.store = world.store, store
        world.queue = world.open()
        asyncio.run(self._troubled(world.queue, act, store, known))
        store.fault = None
        world.store = whole  # looked at directly; the queue goes on through the other
        return not store.fired

    async def _troubled(
        self, queue: Queue, act: Act, store: FaultyStore, known: dict[str, Any]
    ) -> None:
        try:
            await act(queue, known)
        except QueueError:
            assert store.fired


WAYS: dict[str, Way] = {
    "killed-before": Killed(after=False),
    "killed-after": Killed(after=True),
    "stopped": stopped,
    "failing-before": Failing("before"),
    "failing-after": Failing("after"),
}

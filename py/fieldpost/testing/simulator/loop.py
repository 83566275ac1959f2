"""An event loop without time, threads or I/O: every run of a seed is the same run.

Time jumps to the next timer when nothing can run. Among what can run, the seed chooses, so that
other seeds see other interleavings. Callbacks know the `Place` (tab, courier) they belong to, by
their context: a killed place never runs again, not even its ``finally``; a frozen one waits.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

_T = TypeVar("_T")

#: Rounds of cancelling what is left when a world ends.
_CLOSING_ROUNDS = 8


@dataclass(slots=True, eq=False)
class Place:
    """Where code runs and with what it dies."""

    name: str
    dead: bool = False
    frozen: bool = False
    shelf: list[asyncio.Handle] = field(default_factory=list)


#: The place of the running code; none for what belongs to the world itself.
PLACE: contextvars.ContextVar[Place | None] = contextvars.ContextVar("place", default=None)


class Stuck(Exception):
    """Nothing can run and no timer is set: everybody waits for somebody."""


class SimLoop(asyncio.BaseEventLoop):
    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._now = 0.0
        self._runnable: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.Handle]] = []
        self._order = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._closing = False
        #: Callbacks of killed places; only the end of the world runs them, to be rid of them.
        self._dropped: list[asyncio.Handle] = []
        self._frozen: list[Place] = []
        self._root = contextvars.Context()
        self._at_step: dict[int, Callable[[], None]] = {}
        #: Callbacks run so far.
        self.steps = 0
        #: Raised out of the loop, whoever swallowed it.
        self.failure: BaseException | None = None

    # --- what asyncio asks of a loop -------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._runnable.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, handle))
        return handle

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = super().create_task(coro, **options)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A callback raised: nobody else would notice. (What the garbage collector finds of killed
        places comes at no fixed time and says nothing.)"""
        error = context.get("exception")
        if str(context.get("message", "")).startswith("Exception in callback") and not self.failure:
            self.failure = error

    def _run_once(self) -> None:
        if self.failure is not None and not self._closing:
            raise self.failure
        self.steps += 1
        at_step = self._at_step.pop(self.steps, None)
        if at_step is not None:
            at_step()
        handle = self._next()
        if handle is not None and not handle.cancelled():
            handle._run()

    def _next(self) -> asyncio.Handle | None:
        runnable = self._runnable
        if not runnable:
            self._wait_for_timer()
        at = int(self._rng.random() * len(runnable))
        runnable[at], runnable[-1] = runnable[-1], runnable[at]
        handle = runnable.pop()
        place = handle._context.get(PLACE)  # type: ignore[attr-defined]
        if place is None or self._closing:
            return handle
        if place.dead:
            self._dropped.append(handle)
        elif place.frozen:
            place.shelf.append(handle)
        else:
            return handle
        return None

    def _wait_for_timer(self) -> None:
        if not self._timers:
            raise Stuck
        self._now = max(self._now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now:
            self._runnable.append(heapq.heappop(self._timers)[2])

    # --- what a world asks of it -----------------------------------------------------------------

    def outside(self, delay: float, callback: Callable[..., Any], *args: Any) -> None:
        """Run ``callback`` in ``delay`` seconds as part of no place: nobody's death stops it."""
        context = self._root.copy()
        if delay > 0:
            self.call_later(delay, callback, *args, context=context)
        else:
            self.call_soon(callback, *args, context=context)

    def spawn(self, place: Place | None, coro: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """A task that lives and dies with ``place``."""
        context = self._root.copy()
        context.run(PLACE.set, place)
        return self.create_task(coro, context=context)

    def in_place(self, place: Place, callback: Callable[..., Any], *args: Any) -> None:
        context = self._root.copy()
        context.run(PLACE.set, place)
        self.call_soon(callback, *args, context=context)

    def after_steps(self, count: int, callback: Callable[[], None]) -> None:
        """Run ``callback`` between two callbacks, wherever that is."""
        at = self.steps + max(1, count)
        while at in self._at_step:
            at += 1
        self._at_step[at] = callback

    def freeze(self, place: Place) -> None:
        place.frozen = True
        self._frozen.append(place)

    def kill(self, place: Place) -> None:
        place.dead, place.frozen = True, False
        self._dropped += place.shelf
        place.shelf = []

    def thaw(self, place: Place) -> None:
        place.frozen = False
        self._runnable += place.shelf
        place.shelf = []

    def forget_steps(self) -> None:
        """What `after_steps` was to do is not done."""
        self._at_step.clear()

    def errors(self) -> list[BaseException]:
        """What ended tasks raised since the last call."""
        ended = [task for task in self._tasks if task.done()]
        self._tasks = [task for task in self._tasks if not task.done()]
        found = [None if task.cancelled() else task.exception() for task in ended]
        return [error for error in found if error is not None]

    def end(self) -> None:
        """Cancel what is left, killed and frozen places too, and close."""
        self._closing, self._timers = True, []
        self._at_step.clear()
        for place in self._frozen:
            self.thaw(place)
        self._runnable += self._dropped
        for _ in range(_CLOSING_ROUNDS):  # a coroutine may catch the first
            left = [task for task in self._tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            while self._runnable:
                handle = self._runnable.pop()
                if not handle.cancelled():
                    handle._run()
        self.errors()
        self.close()


def now(coro: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that waits for nothing, as those of the memory store are."""
    try:
        coro.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    coro.close()
    raise RuntimeError("this coroutine waits, so it cannot be run between two events")

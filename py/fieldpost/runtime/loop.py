"""What a queue does by itself: adopts captures, ends what expired, tidies up, and keeps its lanes
sending (`laneloop`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fieldpost.engine.errors import QueueError
from fieldpost.engine.limits import SYNC_EVERY_MS, TIDY_EVERY_MS

from .adopt import Intake
from .driver import Driver
from .laneloop import LaneLoop
from .overdue import expire

log = logging.getLogger("fieldpost")


class SyncLoop:
    """Of one context. The first driver's lane is the home. ``greet``: by lane, what is called once
    its destination was found to answer."""

    def __init__(
        self,
        drivers: Sequence[Driver],
        intake: Intake,
        greet: Mapping[str, Callable[[], Awaitable[object]]],
        tidy: Callable[[], Awaitable[object]] | None = None,
        every_ms: int = SYNC_EVERY_MS,
    ):
        #: Called after the first turn and then hourly: work that nobody waits for.
        self._tidy = tidy
        self._tidied_at: float | None = None  # monotonic, ms
        self._every_ms = every_ms
        self._home = drivers[0]
        self.lanes = [LaneLoop(driver, greet.get(driver.lane), every_ms) for driver in drivers]
        self._intake = intake
        self._wake = asyncio.Event()
        self._adopt = True
        self._adopting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], object] | None = None
        self._stopping = False
        self._trouble: QueueError | None = None

    @property
    def trouble(self) -> QueueError | None:
        """What went wrong with the storage in the latest turn, None when nothing did."""
        return self._trouble or next((lane.trouble for lane in self.lanes if lane.trouble), None)

    @property
    def last_sync_at(self) -> int | None:
        return max((lane.last_sync_at for lane in self.lanes if lane.last_sync_at), default=None)

    @property
    def next_turn_at(self) -> int | None:
        """Wall clock of the next turn that a timer will start, for people to see."""
        return min((lane.next_turn_at for lane in self.lanes if lane.next_turn_at), default=None)

    def start(self) -> None:
        if self._task is None:
            host = self._home.host
            leave = [
                host.link.subscribe(self._link_changed),
                host.tabs.subscribe(self._heard),
            ]
            self._unsubscribe = lambda: [stop() for stop in leave]
            self._wake.set()
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End after the turns under way; their rows tell the next context what they had begun."""
        self._stopping = True
        for lane in self.lanes:
            lane.stopping()
        self._wake.set()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._task is not None:
            await self._task
            self._task = None
        for lane in self.lanes:
            await lane.stop()

    def nudge(self, *, ask_now: bool = False, by_hand: bool = False, adopt: bool = True) -> None:
        """There may be something to do; the flags are `Driver.drain`'s. ``adopt``: there may be
        captures in the inbox."""
        self._adopt = self._adopt or adopt
        for lane in self.lanes:
            lane.want(ask_now=ask_now, by_hand=by_hand)
        if self._adopt:
            self._wake.set()
        else:
            self._send()

    async def turn(self, *, by_hand: bool = False) -> bool:
        """One round now: adopt, drain every lane. False when another context is draining one.

        Raises `QueueError` when the storage fails.
        """
        for lane in self.lanes:
            lane.want(by_hand=by_hand)
        await self._take_in(adopt=by_hand)
        turns = [lane.turn() for lane in self.lanes]
        if len(turns) == 1:
            return await turns[0]
        # One lane's trouble keeps no other from its turn.
        results = await asyncio.gather(*turns, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return all(results)

    async def _take_in(self, *, adopt: bool = False) -> int:
        """Rows of what was captured, and an end to what expired; how many of both."""
        async with self._adopting:
            taken = 0
            if self._adopt or adopt:
                self._adopt = False  # before: a capture that comes meanwhile asks again
                taken = await self._intake.adopt()
            host = self._home.host
            return taken + await expire(host.store, self._home.committer, host.clock)

    def _heard(self, message: dict[str, Any]) -> None:
        mine = self._home.committer.revision  # 0: nothing is committed here yet
        if message.get("type") == "changed" and (not mine or message.get("revision") != mine):
            for lane in self.lanes:
                lane.changed_elsewhere()

    def _link_changed(self, online: bool) -> None:
        if online:
            self.nudge(ask_now=True)

    async def _run(self) -> None:
        nudged = True
        while not self._stopping:
            self._wake.clear()
            try:
                news = await self._take_in()
                self._trouble = None
            except QueueError as error:
                self._trouble, self._adopt, news = error, True, 0
                log.warning("taking in failed: %s", error.code)
            for lane in self.lanes:
                lane.start()
            if nudged or news:
                self._send()
            nudged = await self._wait()

    def _send(self) -> None:
        for lane in self.lanes:
            lane.nudge()

    async def _wait(self) -> bool:
        """Until there is something to take in, tidying meanwhile; False when only time went by."""
        clock = self._home.host.clock
        woken = asyncio.ensure_future(self._wake.wait())
        every = self._home.pacing.timer_ms(self._every_ms)
        timer = asyncio.ensure_future(clock.sleep(every))
        try:
            await self._tidy_at_times()
            await asyncio.wait({timer, woken}, return_when=asyncio.FIRST_COMPLETED)
            self._adopt = self._adopt or timer.done()
            return woken.done()
        finally:
            timer.cancel()
            woken.cancel()

    async def _tidy_at_times(self) -> None:
        now = self._home.host.clock.monotonic()
        last = self._tidied_at
        if self._tidy is not None and (last is None or now - last >= TIDY_EVERY_MS):
            self._tidied_at = now
            try:
                await self._tidy()
            except QueueError as error:
                self._trouble = error
                log.warning("tidying up failed: %s", error.code)

"""When to sync: on a nudge, when the network returns, at the next due time, by hand. Single
flight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fieldpost.engine.errors import QueueError
from fieldpost.engine.limits import SYNC_EVERY_MS, TIDY_EVERY_MS
from fieldpost.engine.pacing import Held

from .adopt import Intake
from .committer import Change
from .driver import Driver
from .overdue import expire
from .pacing import TABLE

log = logging.getLogger("fieldpost")


class SyncLoop:
    """Adopts captures and drains, again and again, until stopped."""

    def __init__(
        self,
        driver: Driver,
        intake: Intake,
        greet: Callable[[], Awaitable[object]] | None = None,
        tidy: Callable[[], Awaitable[object]] | None = None,
        every_ms: int = SYNC_EVERY_MS,
    ):
        #: Called when the server was just found to answer, at the start and after each return.
        self._greet = greet
        #: Called after the first turn and then hourly: work that nobody waits for.
        self._tidy = tidy
        self._tidied_at: float | None = None  # monotonic, ms
        self._every_ms = every_ms
        self._driver = driver
        self._intake = intake
        self._wake = asyncio.Event()
        self._ask_now = True  # the first turn finds out what the network is like
        self._by_hand = False
        self._adopt = True
        self._turn_lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], object] | None = None
        self._stopping = False
        #: What went wrong with the storage in the latest turn, None when nothing did.
        self.trouble: QueueError | None = None
        self.last_sync_at: int | None = None
        #: Wall clock of the next turn that a timer will start, for people to see.
        self.next_turn_at: int | None = None

    def start(self) -> None:
        if self._task is None:
            leave = [
                self._driver.host.link.subscribe(self._link_changed),
                self._driver.host.tabs.subscribe(self._heard),
            ]
            self._unsubscribe = lambda: [stop() for stop in leave]
            self._wake.set()
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End after the turn under way; its rows tell the next context what it had begun."""
        self._stopping = True
        self._wake.set()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._task is not None:
            await self._task
            self._task = None

    def nudge(self, *, ask_now: bool = False, by_hand: bool = False, adopt: bool = True) -> None:
        """There may be something to do; the flags are `Driver.drain`'s. ``adopt``: there may be
        captures in the inbox."""
        self._adopt = self._adopt or adopt
        self._ask_now = self._ask_now or ask_now
        self._by_hand = self._by_hand or by_hand
        self._wake.set()

    async def turn(self, *, by_hand: bool = False) -> bool:
        """One round now: adopt, drain. False when another context is draining.

        Raises `QueueError` when the storage fails.
        """
        async with self._turn_lock:
            ask_now, self._ask_now = self._ask_now, False
            by_hand, self._by_hand = self._by_hand or by_hand, False
            if self._adopt or by_hand:
                self._adopt = False  # before: a capture that comes meanwhile asks again
                await self._intake.adopt()
            host = self._driver.host
            await expire(host.store, self._driver.committer, host.clock)
            held = await self._held(by_hand=by_hand)
            if held is not None:
                self._ask_now = self._ask_now or ask_now
                return True
            led = await self._driver.drain(ask_now=ask_now, by_hand=by_hand)
            if led:
                await self._keep_slot()
            self.last_sync_at = self._driver.host.clock.now()
            if led and ask_now and self._greet and (await self._driver.lane_state()).open:
                await self._greet()
            return led

    async def _held(self, *, by_hand: bool) -> Held | None:
        """Why nothing is sent in this turn; settings and pauses are taken anew from the store."""
        driver, pacing = self._driver, self._driver.pacing
        pacing.forget()
        held = await pacing.held(by_hand=by_hand)
        driver.paused = pacing.settings.pause_of(driver.destination.lane)
        return held

    async def _keep_slot(self) -> None:
        """A time of the schedule counts as kept once all that could be sent went."""
        note = await self._driver.pacing.slot_to_keep()
        if note is not None and self._driver.may_claim and (await self._driver.lane_state()).open:
            place = (TABLE, self._driver.destination.lane)
            await self._driver.committer.commit(Change(side={place: note}))

    def _heard(self, message: dict[str, Any]) -> None:
        """Another context changed something: perhaps a setting, perhaps a pause."""
        mine = self._driver.committer.revision
        if message.get("type") == "changed" and message.get("revision") != mine:
            self._driver.pacing.forget()
            if self._driver.paused is not None:
                self.nudge(adopt=False)  # perhaps it was just resumed

    def _link_changed(self, online: bool) -> None:
        if online:
            self.nudge(ask_now=True)

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            led = True
            try:
                led = await self.turn()
                await self._tidy_at_times()
                self.trouble = None
            except QueueError as error:
                self.trouble = error
                self._adopt = True
                log.warning("sync turn failed: %s", error.code)
            await self._wait(led)

    async def _tidy_at_times(self) -> None:
        now = self._driver.host.clock.monotonic()
        last = self._tidied_at
        if self._tidy is not None and (last is None or now - last >= TIDY_EVERY_MS):
            self._tidied_at = now
            await self._tidy()

    async def _wait(self, led: bool) -> None:
        """Until something happens or the next time is due. Delays are taken anew from the clock
        each round, so a sleep that took too long or a clock that jumped strands nothing."""
        delay = self._driver.beat_every_ms if not led else await self._delay_ms()
        clock = self._driver.host.clock
        self.next_turn_at = clock.now() + int(delay)
        timer = asyncio.ensure_future(clock.sleep(delay))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({timer, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._adopt = self._adopt or timer.done()
            timer.cancel()
            woken.cancel()

    async def _delay_ms(self) -> float:
        every = self._driver.pacing.timer_ms(self._every_ms)
        if self.trouble is not None or not self._driver.may_claim:
            return every
        host, now = self._driver.host, self._driver.host.clock.now()
        try:
            counters = await host.store.counters()
            due = await host.store.next_due(self._driver.destination.lane)
            held = await self._driver.pacing.held()
            waits = (await self._driver.lane_state()).wait_ms(now)
        except QueueError as error:
            self.trouble = error
            return every
        if not counters.get("open"):
            return every
        if waits:
            return min(every, waits)
        if held is not None:
            due = held.until
        return min(every, max(due - now, 50)) if due is not None else every

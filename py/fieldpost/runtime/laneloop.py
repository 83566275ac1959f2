"""When one lane sends: on a nudge, when the network returns, at the next due time, by hand. Single
flight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fieldpost.engine.errors import QueueError
from fieldpost.engine.limits import RECEIPTS_FIRST_MS, SYNC_EVERY_MS
from fieldpost.engine.pacing import Held

from .committer import Change
from .driver import Driver
from .pacing import TABLE

log = logging.getLogger("fieldpost")


class LaneLoop:
    """Drains a lane, again and again, until stopped; whatever becomes of it, the other lanes'
    loops go on."""

    def __init__(
        self,
        driver: Driver,
        greet: Callable[[], Awaitable[object]] | None = None,
        every_ms: int = SYNC_EVERY_MS,
    ):
        self.driver = driver
        #: Called when the server was just found to answer, at the start and after each return.
        self._greet = greet
        self._every_ms = every_ms
        self._wake = asyncio.Event()
        self._ask_now = True  # the first turn finds out what the network is like
        self._by_hand = False
        self._turn_lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        #: What went wrong with the storage in the latest turn, None when nothing did.
        self.trouble: QueueError | None = None
        self.last_sync_at: int | None = None
        #: After how long to ask what became of what was handed over; None while nothing is. Nobody
        #: tells of an end, so it is asked for soon after a hand-over, then less and less often.
        self._receipts_ms: int | None = None
        self._seen_handed: tuple[int, int] = (0, 0)
        #: Wall clock of the next turn that a timer will start.
        self.next_turn_at: int | None = None

    def start(self) -> None:
        self._task = self._task or asyncio.create_task(self._run())

    def stopping(self) -> None:
        self._stopping = True
        self._wake.set()

    async def stop(self) -> None:
        """End after the turn under way; its rows tell the next context what it had begun."""
        self.stopping()
        if self._task is not None:
            await self._task
            self._task = None

    def nudge(self, *, ask_now: bool = False, by_hand: bool = False) -> None:
        """There may be something to send; the flags are `Driver.drain`'s."""
        self.want(ask_now=ask_now, by_hand=by_hand)
        self._wake.set()

    def want(self, *, ask_now: bool = False, by_hand: bool = False) -> None:
        """Of the next turn, whenever it comes."""
        self._ask_now = self._ask_now or ask_now
        self._by_hand = self._by_hand or by_hand

    async def turn(self) -> bool:
        """One drain now. False when another context is draining. Raises `QueueError` when the
        storage fails."""
        async with self._turn_lock:
            driver = self.driver
            ask_now, self._ask_now = self._ask_now, False
            by_hand, self._by_hand = self._by_hand, False
            held = await self._held(by_hand=by_hand)
            if held is not None:
                self._ask_now = self._ask_now or ask_now
                return True
            led = await driver.drain(ask_now=ask_now, by_hand=by_hand)
            if led:
                await self._keep_slot()
            self.last_sync_at = driver.host.clock.now()
            if led and ask_now and self._greet and (await driver.lane_state()).open:
                await self._greet()
            return led

    async def _held(self, *, by_hand: bool) -> Held | None:
        """Why nothing is sent in this turn; settings and pauses are taken anew from the store."""
        driver, pacing = self.driver, self.driver.pacing
        pacing.forget()
        held = await pacing.held(by_hand=by_hand)
        driver.paused = pacing.settings.pause_of(driver.lane)
        return held

    async def _keep_slot(self) -> None:
        """A time of the schedule counts as kept once all that could be sent went."""
        driver = self.driver
        note = await driver.pacing.slot_to_keep()
        if note is not None and driver.may_claim and (await driver.lane_state()).open:
            await driver.committer.commit(Change(side={(TABLE, driver.lane): note}))

    def changed_elsewhere(self) -> None:
        """Another context changed something: perhaps a setting, perhaps a pause."""
        self.driver.pacing.forget()
        if self.driver.paused is not None:
            self.nudge()  # perhaps it was just resumed

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            led = True
            try:
                led = await self.turn()
                await self._pace_receipts()
                self.trouble = None
            except QueueError as error:
                self.trouble = error
                log.warning("sync turn failed: %s", error.code)
            await self._wait(led)

    async def _pace_receipts(self) -> None:
        """After each turn: begin again with the shortest wait where one was handed over, or a
        receipt came; else twice as long as the last. Raises `QueueError`."""
        driver = self.driver
        handed = (await driver.host.store.counters()).get("state:handed_over", 0)
        if not handed or driver.destination.receipts(0) is None:
            self._receipts_ms, self._seen_handed = None, (0, 0)
            return
        seen = (handed, (await driver.lane_state()).cursor)
        moved, self._seen_handed = seen != self._seen_handed, seen
        if moved or self._receipts_ms is None:
            self._receipts_ms = RECEIPTS_FIRST_MS
        else:
            self._receipts_ms = min(2 * self._receipts_ms, self._every_ms)

    async def _wait(self, led: bool) -> None:
        """Until something happens or the next time is due. Delays are taken anew from the clock
        each round, so a sleep that took too long or a clock that jumped strands nothing."""
        clock = self.driver.host.clock
        delay = await self._delay_ms() if led else self.driver.beat_every_ms
        self.next_turn_at = clock.now() + int(delay)
        timer = asyncio.ensure_future(clock.sleep(delay))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({timer, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            woken.cancel()

    async def _delay_ms(self) -> float:
        driver = self.driver
        every = driver.pacing.timer_ms(self._every_ms)
        if self.trouble is not None or not driver.may_claim:
            return every
        host, now = driver.host, driver.host.clock.now()
        try:
            counters = await host.store.counters()
            due = await host.store.next_due(driver.lane)
            held = await driver.pacing.held()
            waits = (await driver.lane_state()).wait_ms(now)
        except QueueError as error:
            self.trouble = error
            return every
        if not counters.get("open"):
            return every
        if waits:
            return min(every, waits)
        if self._receipts_ms is not None:
            every = min(every, self._receipts_ms)
        if held is not None:
            due = held.until
        return min(every, max(due - now, 50)) if due is not None else every

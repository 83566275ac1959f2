"""The drain of a lane, under its lock: recover, ask, wake what is due, send, collect receipts.

Text goes before attachments. Whatever interrupts it, the rows tell what may have been sent;
`recover` reads that, the code here remembers nothing that matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fieldpost.destinations.base import Contact
from fieldpost.destinations.guarded import guarded
from fieldpost.engine.breaker import OPEN, rules_of
from fieldpost.engine.limits import BEAT_EVERY_MS, LOCK_WAIT_MS, STEAL_AFTER_MS
from fieldpost.engine.machine import Woken, step
from fieldpost.engine.retry import DELAY_MS_MAX, RetryPolicy, policy_of
from fieldpost.ports import (
    Clock,
    Entropy,
    Leadership,
    Link,
    Put,
    Refused,
    Store,
    Surroundings,
    Tabs,
    Transport,
)

from . import lane as lanes
from .committer import Change, Committer, Write
from .contact import make_contact, note, word
from .failover import fail_over
from .lane import LaneState
from .metering import MeteredTransport
from .overdue import finish_left_over
from .pacing import Pacing
from .picking import Picker
from .receipts import collect_receipts
from .recover import recover
from .routes import Lane
from .sending import Sending

_PAGE = 200

#: Side records to commit with the writes that are left, see `Driver.commit_each`.
Side = Callable[[Sequence[Write]], Mapping[tuple[str, str], str | None]]


@dataclass(slots=True)
class Progress:
    """Of the drain under way: items and bytes settled, and what there was to do when it began."""

    done: int = 0
    total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0


@dataclass(frozen=True, slots=True)
class Host:
    """The ports a driver works with; one composition root per host makes it."""

    store: Store
    transport: Transport
    clock: Clock
    entropy: Entropy
    link: Link
    tabs: Tabs
    surroundings: Surroundings | None = None


class Driver:
    """Drains one lane. One drain at a time per context; over contexts the lane's lock and the
    revisions rule.

    ``policy``: where the lane names none; ``slots``: the requests that all lanes of the queue may
    have under way together.
    """

    def __init__(
        self,
        host: Host,
        committer: Committer,
        lane: Lane,
        owner: str,
        policy: RetryPolicy,
        slots: asyncio.Semaphore | None = None,
        steal_after_ms: int = STEAL_AFTER_MS,
    ):
        self.lane = lane.lane
        self.pacing = Pacing(host.store, host.clock, self.lane, host.surroundings)
        metered = MeteredTransport(host.transport, host.clock, self.pacing)
        self.host = replace(host, transport=metered)
        self.picker = Picker(self)
        self.committer = committer
        self.destination = guarded(lane.destination)
        self.policy = policy if lane.policy is None else policy_of(lane.policy)
        self.owner = owner
        self.steal_after_ms = steal_after_ms
        self.rules = rules_of(lane.breaker)
        self.requests = lane.requests
        self.slots = slots or asyncio.Semaphore(lane.requests)
        #: How many items wait for this lane, of the store's counters; the queue tells.
        self.open_items: Callable[[Mapping[str, int]], int] = lambda found: found.get("open", 0)
        #: The lane that takes over while this one's destination is away, and who is told of it.
        self.failover: Lane | None = None
        self.moved: Callable[[], None] = lambda: None
        #: Whether the queue has this lane only, so that its counters are the lane's.
        self.alone = True
        #: Whether the device's token is meant for this destination; the queue tells.
        self.signs_in = True
        #: Whether items of a kind may be given up under load; the queue tells.
        self.droppable: Callable[[str], bool] = lambda _kind: False
        #: When the drain last looked for a person's word, monotonic; None: it looks at once.
        self.heard_at: float | None = None
        #: Several beats fit into the time after which a still one counts as frozen.
        self.beat_every_ms = min(BEAT_EVERY_MS, steal_after_ms // 6)
        self.progress: Progress | None = None
        #: Of the drain under way, monotonic: its latest beat, and the end of its latest standstill.
        self._beaten_at: float | None = None
        self._still_at: float | None = None
        self.leading = False
        #: Set by a pause; claims stop at once, what is under way ends.
        self.paused: str | None = None

    @property
    def may_claim(self) -> bool:
        return self.host.link.online and self.paused is None

    async def lane_state(self) -> LaneState:
        """As stored, with what a person said of its breaker since."""
        text = await self.host.store.side(lanes.TABLE, self.lane)
        return LaneState.load(text, self.rules).told(await word(self))

    async def drain(self, *, ask_now: bool = False, by_hand: bool = False) -> bool:
        """Deliver what can be delivered now. False when another context holds the drain lock.

        ``ask_now``: the network came back, so the lane's own waiting time does not count;
        ``by_hand``: a person asked, so the items' retry times do not count either.
        """
        if not self.may_claim:
            return True

        async def work(leadership: Leadership) -> None:
            self.leading = True
            beat = asyncio.create_task(self._beat(leadership))
            try:
                await self._drain(leadership, ask_now=ask_now or by_hand, by_hand=by_hand)
            finally:
                beat.cancel()
                self._beaten_at = None
                self.leading = False
                self.progress = None

        return await self.host.tabs.lead(
            work, lane=self.lane, wait_ms=LOCK_WAIT_MS, steal_after_ms=self.steal_after_ms
        )

    async def _beat(self, leadership: Leadership) -> None:
        while not leadership.lost:
            now = self.host.clock.monotonic()
            if self._beaten_at is not None and now - self._beaten_at > self.steal_after_ms:
                self._still_at = now
            self._beaten_at = now
            leadership.beat()
            await self.host.clock.sleep(self.beat_every_ms)

    def stood_still_since(self, moment: float) -> bool:
        """Whether this context stood still, at any time after ``moment`` (monotonic), for so long
        that another one may have taken the lock: what was claimed then must not leave any more. A
        ``strong`` destination takes the same thing once, whoever sends it."""
        if self.destination.declaration.guarantee == "strong":
            return False
        if self._still_at is not None and self._still_at > moment:
            return True
        alive_at = max(moment, self._beaten_at or moment)
        return self.host.clock.monotonic() - alive_at > self.steal_after_ms

    async def _drain(self, leadership: Leadership, *, ask_now: bool, by_hand: bool) -> None:
        await self.pacing.begin(by_hand=by_hand)
        await recover(self, leadership)
        counters = await self.host.store.counters()
        if counters.get("state:blocked"):
            await finish_left_over(self.host.store, self.committer)
        stored = await self.lane_state()
        state = stored.lapsed(self.host.clock.now(), self.host.entropy.fraction())
        if state is not stored:
            note(self.lane, stored, state)
            await self.keep_lane(state)
        if state.held:
            return
        if self.failover is not None and state.breaker.mode == OPEN:
            await self._promote(by_hand=by_hand)
            if await fail_over(self, self.failover):
                self.moved()
        work = await self._has_work(counters)
        if not ask_now and (not work or state.wait_ms(self.host.clock.now()) > 0):
            return
        if ask_now or not state.open or not self.destination.located:
            state = await make_contact(self, state)
        if state.open and work:
            await self._promote(by_hand=by_hand)
            self.progress = Progress(total=self.open_items(counters))
            state = await Sending(self, leadership, state).run()
        # What was refused may have been sent after all, by a person at the gateway.
        refused = ask_now and counters.get("state:failed")
        if state.open and (counters.get("state:handed_over") or refused):
            await collect_receipts(self, state)

    async def _has_work(self, counters: Mapping[str, int]) -> bool:
        """Whether anything waits for this lane, or for what becomes of it over there."""
        if self.alone or not counters.get("open"):
            return bool(counters.get("open"))
        if counters.get("state:handed_over") and self.destination.receipts(0) is not None:
            return True
        store = self.host.store
        ready = await store.ready_keys(self.lane, 1)
        return bool(ready) or await store.next_due(self.lane) is not None

    # --- before sending --------------------------------------------------------------------------

    async def store_lane(
        self, state: LaneState, contact: Contact, *writes: Write, keep: bool = False
    ) -> LaneState:
        after = state.after(contact, self.host.clock.now(), self.host.entropy.fraction())
        if after != state or writes or keep:
            await self.keep_lane(after, *writes)
        return after

    async def keep_lane(self, state: LaneState, *writes: Write) -> None:
        record = {(lanes.TABLE, self.lane): state.dump()}
        await self.commit_each(writes, lambda _left: record)

    async def _promote(self, *, by_hand: bool) -> None:
        """Rows whose due time came get ready; by hand, all that wait for a retry."""
        store, lane = self.host.store, self.lane
        while True:
            now = self.host.clock.now()
            until = now + DELAY_MS_MAX if by_hand else now
            rows = await store.waiting(lane, until, DELAY_MS_MAX, _PAGE)
            rows = [r for r in rows if (r.item.not_before or 0) <= now]
            if not rows:
                return
            await self.commit_each(
                [Write(Put(step(r.item, Woken(), now)), was=r.item.state) for r in rows]
            )

    # --- writing ---------------------------------------------------------------------------------

    async def commit_each(self, writes: Sequence[Write], side: Side | None = None) -> set[str]:
        """Commit together; a row that somebody else changed meanwhile is left out (the fence).
        ``side``: the records that go with those writes that are left; the ids that were written."""
        left = list(writes)
        while True:
            notes = dict(side(left)) if side is not None else {}
            if not left and not notes:
                break
            try:
                await self.committer.commit(Change(left, side=notes))
            except Refused as refusal:
                refused_id = getattr(refusal.expectation, "id", None)
                remaining = [w for w in left if w.put.item.id != refused_id]
                if len(remaining) == len(left):
                    raise  # not about one of these rows: a bug, not a race
                left = remaining
                continue
            self.host.tabs.announce(self.committer.revision)
            break
        return {write.put.item.id for write in left}

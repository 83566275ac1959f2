"""The drain: claim, seal the intent, send, classify, settle, in batches, under the drain lock.

A batch's settlement and the next batch's claim share one commit. Text goes before attachments.
Whatever interrupts it, the rows tell what may have been sent; `recover` reads that, the code here
remembers nothing that matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fieldpost.destinations.base import Contact, Destination, Reading
from fieldpost.engine.breaker import RulesLike, rules_of
from fieldpost.engine.limits import BEAT_EVERY_MS, LOCK_WAIT_MS, STEAL_AFTER_MS
from fieldpost.engine.machine import Woken, step
from fieldpost.engine.model import Stored
from fieldpost.engine.retry import DELAY_MS_MAX, PolicyLike, policy_of
from fieldpost.ports import (
    Clock,
    Entropy,
    Leadership,
    Link,
    NoAnswer,
    Put,
    Refused,
    Store,
    Surroundings,
    Tabs,
    Transport,
)

from . import lane as lanes
from .asking import ask
from .committer import Change, Committer, Write
from .contact import listen, make_contact, note, told
from .lane import LaneState
from .lookup import look_up, must_look_up
from .metering import MeteredTransport
from .overdue import finish_left_over
from .pace import Load, chosen, learnt, load_of, paced
from .pacing import Pacing
from .parts import send_parts
from .picking import Picker
from .receipts import collect_receipts
from .recover import recover
from .settle import Claim, acknowledgeable, claim, outcomes_for, retries, settle

_PAGE = 200
#: send_ids acknowledged in one request.
_ACKS_MAX = 1_000


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
    """Drains lanes. One at a time per context; over contexts the drain lock and the revisions
    rule."""

    def __init__(
        self,
        host: Host,
        committer: Committer,
        destination: Destination,
        policy: PolicyLike,
        owner: str,
        steal_after_ms: int = STEAL_AFTER_MS,
        rules: RulesLike = None,
    ):
        self.pacing = Pacing(host.store, host.clock, destination.lane, host.surroundings)
        metered = MeteredTransport(host.transport, host.clock, self.pacing)
        self.host = replace(host, transport=metered)
        self.picker = Picker(self)
        self.committer = committer
        self.destination = destination
        self.policy = policy_of(policy)
        self.owner = owner
        self.steal_after_ms = steal_after_ms
        self.rules = rules_of(rules)
        #: Whether items of a kind may be given up under load; the queue tells.
        self.droppable: Callable[[str], bool] = lambda _kind: False
        #: When the drain last looked for a person's word, monotonic; None: it looks at once.
        self.heard_at: float | None = None
        #: Several beats fit into the time after which a still one counts as frozen.
        self.beat_every_ms = min(BEAT_EVERY_MS, steal_after_ms // 6)
        self.progress: Progress | None = None
        self.leading = False
        #: Set by a pause; claims stop at once, what is under way ends.
        self.paused: str | None = None

    @property
    def may_claim(self) -> bool:
        return self.host.link.online and self.paused is None

    async def lane_state(self) -> LaneState:
        """As stored, with what a person said of its breaker since."""
        text = await self.host.store.side(lanes.TABLE, self.destination.lane)
        return await told(self, LaneState.load(text, self.rules))

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
                self.leading = False
                self.progress = None

        return await self.host.tabs.lead(
            work, wait_ms=LOCK_WAIT_MS, steal_after_ms=self.steal_after_ms
        )

    async def _beat(self, leadership: Leadership) -> None:
        while not leadership.lost:
            leadership.beat()
            await self.host.clock.sleep(self.beat_every_ms)

    async def _drain(self, leadership: Leadership, *, ask_now: bool, by_hand: bool) -> None:
        await self.pacing.begin(by_hand=by_hand)
        await recover(self, leadership)
        counters = await self.host.store.counters()
        if counters.get("state:blocked"):
            await finish_left_over(self.host.store, self.committer)
        stored = await self.lane_state()
        state = stored.lapsed(self.host.clock.now(), self.host.entropy.fraction())
        if state is not stored:
            note(self.destination.lane, stored, state)
            await self.keep_lane(state)
        if state.held:
            return
        if not ask_now and (not counters.get("open") or state.wait_ms(self.host.clock.now()) > 0):
            return
        if ask_now or not state.open:
            state = await make_contact(self, state)
        if not state.open or not counters.get("open"):
            return
        await self._promote(by_hand=by_hand)
        self.progress = Progress(total=counters["open"])
        state = await self._send_all(leadership, state)
        if state.open and counters.get("state:handed_over"):
            await collect_receipts(self, state)

    # --- before sending --------------------------------------------------------------------------

    async def store_lane(
        self, state: LaneState, contact: Contact, *writes: Write, keep: bool = False
    ) -> LaneState:
        after = state.after(contact, self.host.clock.now(), self.host.entropy.fraction())
        if after != state or writes or keep:
            await self.keep_lane(after, *writes)
        return after

    async def keep_lane(self, state: LaneState, *writes: Write) -> None:
        await self.commit_each(writes, {(lanes.TABLE, self.destination.lane): state.dump()})

    async def _promote(self, *, by_hand: bool) -> None:
        """Rows whose due time came get ready; by hand, all that wait for a retry."""
        store, lane = self.host.store, self.destination.lane
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

    # --- sending ---------------------------------------------------------------------------------

    async def _send_all(self, leadership: Leadership, state: LaneState) -> LaneState:
        """Batches until nothing is ready or the lane closes. ``settled`` travels with the next
        claim."""
        settled: list[Write] = []
        while True:
            state = await listen(self, state)
            going = state.open and self.may_claim and not leadership.lost
            load = self._load(state)
            rows = await self.picker.next_rows(paced(state, load)) if going else []
            now, declared = self.host.clock.now(), self.destination.declaration
            if doubtful := [row for row in rows if must_look_up(row.item, declared, now)]:
                state, looked = await self._look_up(leadership, state, doubtful)
                await self._commit_state(state, [*settled, *looked], [])
                settled = []
                continue
            rows, shed = chosen(rows, load, self.droppable, now)
            claims, claim_writes = await self._claims(rows)
            asked = state.probing(self.host.clock.now()) if rows else state
            kept = await self._commit_state(asked, settled, [*shed, *claim_writes])
            claims = [c for c in claims if c.item.id in kept]
            if not claims:
                if asked is not state:
                    await self.keep_lane(state)  # the probe never left
                if going and (rows or settled):
                    settled = []
                    continue  # what was just settled may be ready again: its files, a later step
                return state
            state = asked
            if leadership.lost:
                return state  # whoever took the lock recovers these rows
            if claims[0].item.step > 0:
                state, settled = await send_parts(self, leadership, state, claims[0])
            else:
                state, settled = await self._send_batch(state, claims)

    async def _look_up(
        self, leadership: Leadership, state: LaneState, rows: Sequence[Stored]
    ) -> tuple[LaneState, list[Write]]:
        """Instead of a send that would no longer be safe (invariant 4)."""
        done = await look_up(self, leadership, rows)
        for contact in (looked.contact for looked in done):
            if contact is not None:
                now, fraction = self.host.clock.now(), self.host.entropy.fraction()
                state = state.after(contact, now, fraction)
        return state, [looked.write for looked in done]

    async def _claims(self, rows: Sequence[Stored]) -> tuple[list[Claim], list[Write]]:
        now = self.host.clock.now()
        claims, writes = [], []
        for row in rows:
            manifests = []
            if row.item.attachments and row.item.step == 0:
                found = [await self.host.store.manifest(a.id) for a in row.item.attachments]
                manifests = [m for m in found if m is not None]
            taken, write = claim(row, self.destination, manifests, self.owner, now)
            claims.append(taken)
            writes.append(write)
        return claims, writes

    async def _commit_state(
        self, state: LaneState, settled: list[Write], claims: list[Write]
    ) -> set[str]:
        """Settlement and the next claim in one commit; the ids that were written."""
        side: dict[tuple[str, str], str | None] = {}
        if settled or state.breaker.probes:  # a probe's deadline is durable before it leaves
            side = {(lanes.TABLE, self.destination.lane): state.dump()}
        if settled:
            side |= await self.pacing.settled(settled, state.contact, state.text, last=not claims)
        return await self.commit_each([*settled, *claims], side)

    async def commit_each(
        self, writes: Sequence[Write], side: Mapping[tuple[str, str], str | None] | None = None
    ) -> set[str]:
        """Commit together; a row that somebody else changed meanwhile is left out (the fence)."""
        left = list(writes)
        while left or side:
            try:
                await self.committer.commit(Change(left, side=dict(side or {})))
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

    async def _send_batch(
        self, state: LaneState, claims: list[Claim]
    ) -> tuple[LaneState, list[Write]]:
        acks = state.acks[:_ACKS_MAX]
        items = [c.item for c in claims]
        request = self.destination.request([c.intent for c in claims], acks)
        asked = await ask(
            self.host.clock, state.texts, request, self.host.transport.send, len(request.body)
        )
        state = replace(state, texts=asked.durations)
        if isinstance(asked.answer, NoAnswer):
            reading = self.destination.no_answer(asked.answer)
        else:
            reading = self.destination.read(items, asked.answer)
            if asked.answer.status == 200 and not reading.whole:
                state = replace(state, acks=state.acks[len(acks) :])
        return self.settle_all(state, claims, reading, asked.took_ms)

    def settle_all(
        self, state: LaneState, claims: Sequence[Claim], reading: Reading, took_ms: float = 0
    ) -> tuple[LaneState, list[Write]]:
        """The writes that an answer causes, and the lane after it."""
        now, fraction = self.host.clock.now(), self.host.entropy.fraction
        before, state = state, state.after(reading.contact, now, fraction(), took_ms=took_ms)
        note(self.destination.lane, before, state)
        items, most = [c.item for c in claims], self.destination.declaration.batch_items
        state = learnt(state, items, reading, self._load(state, took_ms), most=most)
        budget = state.budget.at_time(now).fresh(sum(c.item.attempt == 1 for c in claims))
        writes, acks = [], []
        for taken, outcome in zip(claims, outcomes_for(reading, len(claims)), strict=True):
            item, write = settle(taken, outcome, self.policy, now, fraction(), budget.wait_ms)
            writes.append(write)
            if retries(taken, item):
                budget = budget.spent()
            if acknowledgeable(item):
                acks.append(item.send_id)
            if self.progress and not item.is_open:
                self.progress.done += 1
                self.progress.bytes_done += item.size
        return replace(state, acks=(*state.acks, *acks), budget=budget), writes

    def _load(self, state: LaneState, took_ms: float = 0) -> Load:
        now, progress = self.host.clock.now(), self.progress
        depth = progress.total - progress.done if progress else 0
        online = self.host.link.online
        return load_of(state, now, online=online, depth=depth, took_ms=took_ms)

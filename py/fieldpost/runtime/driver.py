"""The drain: claim, seal the intent, send, classify, settle, in batches, under the drain lock.

A batch's settlement and the next batch's claim share one commit. Text goes before attachments.
Whatever interrupts it, the rows tell what may have been sent; `_recover` reads that, the code here
remembers nothing that matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fieldpost.destinations.base import Contact, Destination, Reading
from fieldpost.engine.errors import AttachmentUnreadable, DecryptionError
from fieldpost.engine.limits import BEAT_EVERY_MS, LOCK_WAIT_MS, STEAL_AFTER_MS
from fieldpost.engine.machine import Orphaned, Woken, step
from fieldpost.engine.model import Stored
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.retry import DELAY_MS_MAX, RetryPolicy
from fieldpost.engine.transitions import State
from fieldpost.ports import (
    Clock,
    Entropy,
    Leadership,
    Link,
    NoAnswer,
    Put,
    Refused,
    Store,
    Tabs,
    Transport,
)

from . import lane as lanes
from .committer import Change, Committer, Write
from .device import device_token
from .lane import LaneState
from .parts import send_parts
from .receipts import collect_receipts
from .settle import Claim, acknowledgeable, claim, outcomes_for, settle

_CLAIM_PARTS = ("head", "body", "intent", "history")
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


class Driver:
    """Drains lanes. One at a time per context; over contexts the drain lock and the revisions
    rule."""

    def __init__(
        self,
        host: Host,
        committer: Committer,
        destination: Destination,
        policy: RetryPolicy,
        owner: str,
        steal_after_ms: int = STEAL_AFTER_MS,
    ):
        self.host = host
        self.committer = committer
        self.destination = destination
        self.policy = policy
        self.owner = owner
        self.steal_after_ms = steal_after_ms
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
        return LaneState.load(await self.host.store.side(lanes.TABLE, self.destination.lane))

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
        await self._recover(leadership)
        counters = await self.host.store.counters()
        state = await self.lane_state()
        if not ask_now and (not counters.get("open") or state.wait_ms(self.host.clock.now()) > 0):
            return
        if ask_now or not state.open:
            state = await self._contact(state)
        if not state.open or not counters.get("open"):
            return
        await self._promote(by_hand=by_hand)
        self.progress = Progress(total=counters["open"])
        state = await self._send_all(leadership, state)
        if state.open and counters.get("state:handed_over"):
            await collect_receipts(self, state)

    # --- before sending --------------------------------------------------------------------------

    async def _recover(self, leadership: Leadership) -> None:
        """Rows that a drainer left ``in_progress``: it held the lock we hold now, so it is gone, or
        so frozen that the lock was taken from it. Where the intent is durable a byte may have left.

        With a ``strong`` destination even a frozen drainer's late bytes have no second effect; with
        others its lease must run out first.
        """
        now = self.host.clock.now()
        strong = self.destination.declaration.guarantee == "strong"
        cursor: int | None = None
        while True:
            page = await self.host.store.page(
                [State.IN_PROGRESS], limit=_PAGE, cursor=cursor, parts=("intent",)
            )
            if leadership.lost:
                return  # granted while this context was frozen, and taken: these are another's now
            writes = []
            for row in page.rows:
                alive = (row.item.lease_until or 0) > now and leadership.stolen and not strong
                if not alive:
                    item = step(row.item, Orphaned("intent" in row.parts), now)
                    writes.append(Write(Put(item), was=row.item.state))
            await self.commit_each(writes)
            if page.next is None:
                return
            cursor = page.next

    async def _contact(self, state: LaneState) -> LaneState:
        """Ask a lane that is not proven open before its items risk becoming ``unknown``."""
        if state.contact == "signed_out":  # the person may have signed in in another tab
            token = await device_token(self.host.store)
            if token is not None:
                self.destination.sign_in(token)
        try:
            response = await self.host.transport.send(self.destination.probe())
        except NoAnswer as failure:
            contact = self.destination.no_answer(failure).contact
        else:
            contact = self.destination.read_probe(response, known=state.known)
        return await self.store_lane(state, contact)

    async def store_lane(
        self, state: LaneState, contact: Contact, *writes: Write, keep: bool = False
    ) -> LaneState:
        after = state.after(contact, self.host.clock.now(), self.host.entropy.fraction())
        if after != state or writes or keep:
            side = {(lanes.TABLE, self.destination.lane): after.dump()}
            await self.commit_each(writes, side)
        return after

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
            going = state.open and self.may_claim and not leadership.lost
            rows = await self._next_rows(state) if going else []
            claims, claim_writes = await self._claims(rows)
            kept = await self._commit_state(state, settled, claim_writes)
            claims = [c for c in claims if c.item.id in kept]
            if not claims:
                if going and (rows or settled):
                    settled = []
                    continue  # what was just settled may be ready again: its files, a later step
                return state
            if leadership.lost:
                return state  # whoever took the lock recovers these rows
            if claims[0].item.step > 0:
                state, settled = await send_parts(self, leadership, state, claims[0])
            else:
                state, settled = await self._send_batch(state, claims)

    async def _next_rows(self, state: LaneState) -> list[Stored]:
        """The next batch: texts together, or one item whose attachments follow."""
        declared = self.destination.declaration
        limit = max(1, min(state.batch, declared.batch_items))
        rows = await self.host.store.ready(self.destination.lane, limit, _CLAIM_PARTS)
        texts = [row for row in rows if row.item.step == 0]
        if not texts:
            return rows[:1]
        size = 0
        batch: list[Stored] = []
        for row in texts:
            size += row.item.body_bytes + 1_024
            if batch and size > declared.batch_bytes:
                break
            batch.append(row)
        return batch

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
        side = {}
        if settled:
            side = {(lanes.TABLE, self.destination.lane): state.dump()}
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
        try:
            response = await self.host.transport.send(request)
        except NoAnswer as failure:
            reading = self.destination.no_answer(failure)
        else:
            reading = self.destination.read(items, response)
            if response.status == 200 and not reading.whole:
                state = replace(state, acks=state.acks[len(acks) :])
        return self.settle_all(state, claims, reading)

    def settle_all(
        self, state: LaneState, claims: Sequence[Claim], reading: Reading
    ) -> tuple[LaneState, list[Write]]:
        """The writes that an answer causes, and the lane after it."""
        now = self.host.clock.now()
        state = state.after(reading.contact, now, self.host.entropy.fraction())
        if reading.whole and len(claims) > 1:
            state = replace(state, batch=max(1, len(claims) // 2))
        elif not reading.whole:
            grown = min(self.destination.declaration.batch_items, state.batch * 2)
            state = replace(state, batch=grown)
        writes, acks = [], []
        for taken, outcome in zip(claims, outcomes_for(reading, len(claims)), strict=True):
            item, write = settle(taken, outcome, self.policy, now, self.host.entropy.fraction())
            writes.append(write)
            if acknowledgeable(item):
                acks.append(item.send_id)
            if self.progress and not item.is_open:
                self.progress.done += 1
                self.progress.bytes_done += item.size
        return replace(state, acks=(*state.acks, *acks)), writes

    # --- for send_parts --------------------------------------------------------------------------

    async def send_part(self, taken: Claim, attachment_id: str, n: int) -> Reading:
        """Send one part and read the answer. What this device cannot read any more is a final
        outcome of the item, said plainly: a missing attachment never counts as sent."""
        attachment = next(a for a in taken.item.attachments if a.id == attachment_id)
        request = self.destination.part_request(taken.item, attachment, n)
        try:
            response = await self.host.transport.send_part(request, attachment_id, n)
        except NoAnswer as failure:
            return self.destination.no_answer(failure)
        except (AttachmentUnreadable, DecryptionError) as error:
            lost = Outcome(Class.PERMANENT, AttachmentUnreadable.code, error.message)
            return Reading(Contact("online"), [lost])
        return self.destination.read_part(taken.item, attachment, n, response)

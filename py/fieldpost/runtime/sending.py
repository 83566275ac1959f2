"""One drain's sending: claim, seal the intent, send, classify, settle, in batches.

As many requests are under way as the lane may have; who claims, and writes what was answered, goes
one after another, so a batch's settlement and the next claim share one commit. The lane's state is
one value, changed between two awaits only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fieldpost.destinations.base import Reading
from fieldpost.engine.breaker import CLOSED
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import Stored
from fieldpost.engine.outcome import ARRIVED, Class
from fieldpost.ports import Leadership, NoAnswer

from . import lane as lanes
from .asking import ask
from .committer import Write
from .contact import heard, note
from .conversing import enriched, named
from .followups import SWEEP, overtaken
from .lane import LaneState
from .lookup import look_up, must_look_up
from .pace import Load, chosen, learnt, load_of, paced
from .parts import send_parts
from .settle import (
    Claim,
    acknowledgeable,
    besides,
    claim,
    outcomes_for,
    retries,
    settle,
    unsendable,
    unsent,
)
from .sweeping import send_sweeps

if TYPE_CHECKING:
    from .driver import Driver

#: send_ids acknowledged in one request.
_ACKS_MAX = 1_000
#: Said of a request that had its effect, or may have had it.
_LEFT = ARRIVED | {Class.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Batch:
    """Claimed together and sent in one request; ``acks``: send_ids acknowledged with it."""

    claims: list[Claim]
    claimed_at: float  # monotonic ms
    acks: tuple[str, ...] = ()


class Sending:
    """Of one drain of one lane, under its lock."""

    def __init__(self, driver: Driver, leadership: Leadership, state: LaneState):
        self.driver = driver
        self.leadership = leadership
        self.state = state
        #: Held by the sender that claims or writes; the others wait on it for what it frees.
        self._turn = asyncio.Condition()
        self._under_way = 0
        self._acking: set[str] = set()
        self._others: list[asyncio.Task[None]] = []
        self._broken = False
        #: What left, or may have, by the row's id, until what came of it is written.
        self._left: dict[str, Claim] = {}

    async def run(self) -> LaneState:
        """Batches until nothing is ready or the lane closes; the lane afterwards."""
        try:
            await self._sender()
        except asyncio.CancelledError:
            for task in self._others:
                task.cancel()
            raise
        finally:
            while left := [task for task in self._others if not task.done()]:
                await asyncio.wait(left)
            ended = [task.exception() for task in self._others if not task.cancelled()]
        for failure in filter(None, ended):
            raise failure
        return self.state

    async def _sender(self) -> None:
        try:
            await self._send_on()
        except BaseException:
            self._broken = True  # the others end with what they have under way
            raise
        finally:
            async with self._turn:
                self._turn.notify_all()

    async def _send_on(self) -> None:
        """One request after another; what was answered travels with the next claim."""
        settled: list[Write] = []
        while True:
            settled = await self._take_slot(settled)
            try:
                async with self._turn:
                    batch = await self._next(settled)
                    self._turn.notify_all()
                    while batch is None and self._under_way and self.going:
                        await self._turn.wait()
                        batch = await self._next([])
                    if batch is None:
                        return
                    self._under_way += 1
                self._call_another()
                try:
                    settled = await self._send(batch)
                finally:
                    self._under_way -= 1
            finally:
                self.driver.slots.release()

    async def _take_slot(self, settled: list[Write]) -> list[Write]:
        """One of the requests that the queue may have under way over all its lanes. While there is
        none, what was answered is written at least."""
        slots = self.driver.slots
        if slots.locked() and settled:
            async with self._turn:
                await self._commit(settled, [])
                self._turn.notify_all()
            settled = []
        await slots.acquire()
        return settled

    def _call_another(self) -> None:
        if len(self._others) + 1 < self.driver.requests and not self._crowded:
            self._others.append(asyncio.create_task(self._sender()))

    @property
    def going(self) -> bool:
        """Whether more may be claimed."""
        may = self.driver.may_claim and not self.leadership.lost
        return self.state.open and may and not self._broken

    @property
    def _crowded(self) -> bool:
        """A lane that is not known to be well gets one request at a time."""
        well = self.state.breaker.mode == CLOSED and not self._load().reaction.load
        return self._under_way >= (self.driver.requests if well else 1)

    # --- claiming --------------------------------------------------------------------------------

    async def _next(self, settled: list[Write]) -> Batch | None:
        """Write what was answered and claim what goes next; None when nothing does."""
        driver = self.driver
        while True:
            self.state = self.state.told(await heard(driver))
            going = self.going and not self._crowded
            load = self._load()
            rows = await driver.picker.next_rows(paced(self.state, load)) if going else []
            now, declared = driver.host.clock.now(), driver.destination.declaration
            if doubtful := [row for row in rows if must_look_up(row.item, declared, now)]:
                await self._commit(settled, await self._look_up(doubtful))
                settled = []
                continue
            rows, shed = chosen(rows, load, driver.droppable, now)
            claimed_at = driver.host.clock.monotonic()
            claims, claim_writes = await self._claims(rows)
            before = self.state.breaker
            if rows:
                self.state = self.state.probing(driver.host.clock.now())
            kept = await self._commit(settled, [*shed, *claim_writes])
            claims = [c for c in claims if c.item.id in kept]
            if self.leadership.lost:
                return None  # whoever took the lock recovers these rows
            if claims:
                return Batch(claims, claimed_at, self._acks())
            if self.state.breaker is not before and rows:
                self.state = replace(self.state, breaker=before)
                await driver.keep_lane(self.state)  # the probe never left
            if not (going and (rows or settled)):
                return None
            settled = []  # what was just settled may be ready again: its files, a later step

    async def _look_up(self, rows: Sequence[Stored]) -> list[Write]:
        """Instead of a send that would no longer be safe (invariant 4)."""
        host = self.driver.host
        done = await look_up(self.driver, self.leadership, rows)
        for contact in (looked.contact for looked in done):
            if contact is not None:
                fraction = host.entropy.fraction()
                self.state = self.state.after(contact, host.clock.now(), fraction)
        return [
            write
            for looked in done
            for write in (looked.write, looked.besides)
            if write is not None
        ]

    async def _claims(self, rows: Sequence[Stored]) -> tuple[list[Claim], list[Write]]:
        driver, now = self.driver, self.driver.host.clock.now()
        claims, writes = [], []
        for row in rows:
            manifests = []
            if row.item.attachments and row.item.step == 0:
                found = [await driver.host.store.manifest(a.id) for a in row.item.attachments]
                manifests = [m for m in found if m is not None]
            try:
                taken, write = claim(row, driver.destination, manifests, driver.owner, now)
            except InvalidItem as wrong:  # it holds up none of the others
                writes.append(unsendable(row, wrong, driver.owner, driver.policy, now))
                if driver.progress:
                    driver.progress.done += 1
                continue
            claims.append(taken)
            writes.append(write)
        return claims, writes

    async def _commit(self, settled: list[Write], others: list[Write]) -> set[str]:
        """Settlement and the next claim in one commit; the ids that were written."""
        driver = self.driver
        notes: Mapping[tuple[str, str], str] = {}
        if settled:
            last = not others and not self._under_way
            state = self.state
            notes = await driver.pacing.settled(settled, state.contact, state.text, last=last)
        done = {w.put.item.id: w.put.item.send_id for w in settled if acknowledgeable(w.put.item)}
        before = set(self.state.acks)

        def side(kept: Sequence[Write]) -> Mapping[tuple[str, str], str | None]:
            # Acknowledged is what this very commit makes durable, and nothing else.
            if not settled and not self.state.breaker.probes:
                return {}
            new = [done[w.put.item.id] for w in kept if w.put.item.id in done]
            old = [ack for ack in self.state.acks if ack in before]
            self.state = replace(self.state, acks=(*old, *new))
            return {(lanes.TABLE, driver.lane): self.state.dump(), **notes}

        try:
            kept = await driver.commit_each([*settled, *others], side)
            left = [self._left.pop(w.put.item.id, None) for w in settled]
            await self.overtaken([c for c in left if c is not None and c.item.id not in kept])
            return kept
        except BaseException:
            # Perhaps not durable: no other request under way may acknowledge it.
            old = tuple(ack for ack in self.state.acks if ack in before)
            self.state = replace(self.state, acks=old)
            raise

    async def overtaken(self, claims: Sequence[Claim]) -> None:
        """Another context took these rows over while their requests were on their way: this one had
        been suspended, and what it sent may be there twice."""
        driver, now = self.driver, self.driver.host.clock.now()
        declared, uuid7 = driver.destination.declaration, driver.host.entropy.uuid7
        looks = [overtaken(c.item, c.parts.get("head"), declared, uuid7(now), now) for c in claims]
        if writes := [look for look in looks if look is not None]:
            await driver.commit_each(writes)

    def _acks(self) -> tuple[str, ...]:
        acks = [ack for ack in self.state.acks if ack not in self._acking][:_ACKS_MAX]
        self._acking |= set(acks)
        return tuple(acks)

    # --- sending ---------------------------------------------------------------------------------

    async def _send(self, batch: Batch) -> list[Write]:
        try:
            first = batch.claims[0].item
            text = first.operation != SWEEP and first.step == 0
            intents = await enriched(self, [c.intent for c in batch.claims]) if text else []
            if self._taken_over(batch):
                return [unsent(taken, self.driver.host.clock.now()) for taken in batch.claims]
            if isinstance(intents, Reading):
                return self.settle(batch.claims, intents)
            if text:
                return await self._send_texts(batch, intents)
            if first.operation == SWEEP:
                return await send_sweeps(self, batch.claims)
            return await send_parts(self, batch.claims[0])
        finally:
            self._acking -= set(batch.acks)

    def _taken_over(self, batch: Batch) -> bool:
        """Whether another context may have taken over what was claimed here."""
        leadership = self.leadership
        return leadership.lost or (
            leadership.stealable and self.driver.stood_still_since(batch.claimed_at)
        )

    async def _send_texts(self, batch: Batch, intents: Sequence[bytes]) -> list[Write]:
        host, destination = self.driver.host, self.driver.destination
        items = [c.item for c in batch.claims]
        request = destination.request(intents, batch.acks)
        asked = await ask(
            host.clock, self.state.texts, request, host.transport.send, len(request.body)
        )
        self.state = replace(self.state, texts=asked.counted(self.state.texts))
        if isinstance(asked.answer, NoAnswer):
            reading = destination.no_answer(asked.answer)
        else:
            reading = destination.read(items, asked.answer)
            if asked.answer.status == 200 and not reading.whole:
                left = tuple(ack for ack in self.state.acks if ack not in batch.acks)
                self.state = replace(self.state, acks=left)
            reading = await named(self, items, reading)
        return self.settle(batch.claims, reading, asked.took_ms)

    def settle(self, claims: Sequence[Claim], reading: Reading, took_ms: float = 0) -> list[Write]:
        """The writes that an answer causes; the lane's state learns from it."""
        driver, progress = self.driver, self.driver.progress
        now, fraction = driver.host.clock.now(), driver.host.entropy.fraction
        before = self.state
        state = before.after(reading.contact, now, fraction(), took_ms=took_ms)
        note(driver.lane, before, state)
        items, most = [c.item for c in claims], driver.destination.declaration.batch_items
        self.state = state
        state = learnt(state, items, reading, self._load(took_ms), most=most)
        budget = state.budget.at_time(now).fresh(sum(c.item.attempt == 1 for c in claims))
        writes = []
        for taken, outcome in zip(claims, outcomes_for(reading, len(claims)), strict=True):
            item, write = settle(taken, outcome, driver.policy, now, fraction(), budget.wait_ms)
            writes += [write, *besides(taken, outcome, now)]
            if outcome.cls in _LEFT:
                self._left[item.id] = taken
            if retries(taken, item):
                budget = budget.spent()
            if progress and not item.is_open:
                progress.done += 1
                progress.bytes_done += item.size
        self.state = replace(state, budget=budget)
        return writes

    def _load(self, took_ms: float = 0) -> Load:
        host, progress = self.driver.host, self.driver.progress
        depth = progress.total - progress.done if progress else 0
        now, online = host.clock.now(), host.link.online
        return load_of(self.state, now, online=online, depth=depth, took_ms=took_ms)

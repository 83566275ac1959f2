"""Bugs that systems of this kind have had (REQUIREMENTS part 4), each put into the real code by a
context manager. The simulator has to find each of them within 200 seeds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

from tests.simulation.planted_lanes import PLANTED_LANES
from tests.simulation.planted_order import PLANTED_ORDER

from fieldpost.destinations.answers import ONLINE
from fieldpost.destinations.base import Reading
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine import machine
from fieldpost.engine.errors import AttachmentUnreadable
from fieldpost.engine.ids import uuid7
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.transitions import State
from fieldpost.ports import Response
from fieldpost.runtime import driver, parts, sending, settle
from fieldpost.runtime.committer import Change, Committer, Write
from fieldpost.runtime.driver import Driver
from fieldpost.runtime.sending import Sending
from fieldpost.stores.memory import MemoryStore
from fieldpost.stores.memory_state import MemoryState
from fieldpost.testing.simulator.disk import Disk
from gateway.ledger import Ledger


@contextlib.contextmanager
def resend_as_something_else() -> Iterator[None]:
    """While it is unknown whether it arrived, it goes again with a fresh time stamp in it."""
    real = settle.claim

    def claim(row: Any, destination: Any, manifests: Any, owner: str, now: int) -> Any:
        taken, write = real(row, destination, manifests, owner, now)
        if row.item.state is State.UNKNOWN and taken.intent.startswith(b"{"):
            fresh = taken.intent[:-1] + b',"sent_at":%d}' % now
            put = replace(write.put, parts={**write.put.parts, "intent": fresh})
            return replace(taken, intent=fresh), Write(put, was=write.was)
        return taken, write

    with mock.patch.object(sending, "claim", claim):
        yield


@contextlib.contextmanager
def fence_removed() -> Iterator[None]:
    """A write with an old revision lands: the last one wins."""
    real = MemoryStore._row

    def row(self: MemoryStore, index: int, put: Any, old: Any, sequence: int) -> Any:
        if old is not None and not put.insert:
            put = replace(put, item=put.item.changed(revision=old.item.revision))
        return real(self, index, put, old, sequence)

    with mock.patch.object(MemoryStore, "_row", row):
        yield


@contextlib.contextmanager
def success_taken_for_durable() -> Iterator[None]:
    """`onsuccess` instead of `oncomplete` with strict durability: power loss takes it back."""
    with mock.patch.object(Disk, "acknowledges", "success"):
        yield


@contextlib.contextmanager
def lock_and_lease_ignored() -> Iterator[None]:
    """Every tab drains at once, and takes what others have in progress for left behind."""

    class Alone:
        stolen = False
        stealable = True
        lost = False

        def beat(self) -> None: ...

    async def drain(self: Driver, *, ask_now: bool = False, by_hand: bool = False) -> bool:
        if self.may_claim:
            await self._drain(Alone(), ask_now=ask_now or by_hand, by_hand=by_hand)
        return True

    with mock.patch.object(Driver, "drain", drain):
        yield


@contextlib.contextmanager
def ledger_pruned_early() -> Iterator[None]:
    """The gateway forgets keys by their age, whether or not their answer was acknowledged."""

    def prune(self: Ledger, tx: Any, now: int) -> int:
        old = "SELECT n FROM ledger WHERE created_at < ? AND alias IS NULL"
        gone = tx.execute(old, (now - 10_000,)).fetchall()
        for n in gone:
            tx.execute("DELETE FROM ledger WHERE n = ?1 OR alias = ?1", n)
        return len(gone)

    with mock.patch.object(Ledger, "prune", prune):
        yield


@contextlib.contextmanager
def intent_not_stored() -> Iterator[None]:
    """The claim is committed without the bytes that are about to leave."""
    real = settle.claim

    def claim(*args: Any) -> Any:
        taken, write = real(*args)
        return taken, Write(replace(write.put, parts={}), was=write.was)

    with mock.patch.object(sending, "claim", claim):
        yield


@contextlib.contextmanager
def completed_before_the_answer() -> Iterator[None]:
    """The entry is taken out of the queue, then sent (known failure 1)."""

    async def send_texts(self: Sending, batch: Any, intents: Any) -> Any:
        driver, claims = self.driver, batch.claims
        request = driver.destination.request(intents, ())
        done = Reading(ONLINE, [Outcome(Class.DELIVERED)] * len(claims))
        await driver.commit_each(self.settle(claims, done))
        await driver.host.transport.send(request)
        return []

    with mock.patch.object(Sending, "_send_texts", send_texts):
        yield


@contextlib.contextmanager
def any_200_is_success() -> Iterator[None]:
    """A captive portal's page counts as delivered (known failure 2)."""
    real = GatewayDestination.read

    def read(self: GatewayDestination, items: Any, response: Response) -> Reading:
        if response.status == 200 and not response.body.startswith(b'{"protocol"'):
            return Reading(ONLINE, [Outcome(Class.DELIVERED)] * len(items))
        return real(self, items, response)

    with mock.patch.object(GatewayDestination, "read", read):
        yield


@contextlib.contextmanager
def tries_not_counted() -> Iterator[None]:
    """The count of tries is kept nowhere: backoff never grows, nothing ever gives up."""
    real = machine._retried

    def retried(item: Item, happening: Any, now: int, code: str) -> Item:
        return real(item.changed(attempts=0), happening, now, code)

    with mock.patch.object(machine, "_retried", retried):
        yield


@contextlib.contextmanager
def never_recovered() -> Iterator[None]:
    """Rows left in progress by a crash stay so for ever (known failure 6)."""

    async def recover(self: Driver, leadership: Any) -> None:
        return None

    with mock.patch.object(driver, "recover", recover):
        yield


@contextlib.contextmanager
def key_renewed_on_retry() -> Iterator[None]:
    """Each attempt has an idempotency key of its own."""
    real = settle.claim

    def claim(row: Any, destination: Any, manifests: Any, owner: str, now: int) -> Any:
        if row.item.attempt:
            fresh = uuid7(now, bytes([row.item.attempt % 256] * 10))
            row = replace(row, item=row.item.changed(send_id=fresh))
            row = replace(row, parts={k: v for k, v in row.parts.items() if k != "intent"})
        return real(row, destination, manifests, owner, now)

    with mock.patch.object(sending, "claim", claim):
        yield


@contextlib.contextmanager
def adopted_in_two_commits() -> Iterator[None]:
    """The capture leaves the inbox before its row is there."""

    real = Committer.commit

    async def commit(self: Committer, change: Change) -> Any:
        if change.adopt and change.writes:
            await real(self, Change(adopt=change.adopt))
            change = replace(change, adopt=())
        return await real(self, change)

    with mock.patch.object(Committer, "commit", commit):
        yield


@contextlib.contextmanager
def jump_strands_retries() -> Iterator[None]:
    """A retry waits for its wall clock time, also after the clock was set back by weeks."""

    def waiting_rows(self: MemoryState, lane: str, now: int, far: int) -> Any:
        return real(self, lane, now, 1 << 62)

    real = MemoryState.waiting_rows
    with mock.patch.object(MemoryState, "waiting_rows", waiting_rows):
        yield


@contextlib.contextmanager
def missing_file_counts_as_sent() -> Iterator[None]:
    """A part that is gone from the device is passed over (known failure 15)."""
    real = parts._send_part

    async def send_part(sending: Sending, taken: Any, attachment_id: str, n: int) -> Any:
        reading, *more = await real(sending, taken, attachment_id, n)
        if reading.outcomes[0].code == AttachmentUnreadable.code:
            reading = Reading(ONLINE, [Outcome(Class.DELIVERED, acked={attachment_id: n})])
        return reading, *more

    with mock.patch.object(parts, "_send_part", send_part):
        yield


#: Name -> the bug.
PLANTED: dict[str, Callable[[], Any]] = {
    "a resend while unknown with other bytes": resend_as_something_else,
    "the revision fence removed": fence_removed,
    "onsuccess taken as durable": success_taken_for_durable,
    "lock and lease ignored": lock_and_lease_ignored,
    "the ledger pruned early": ledger_pruned_early,
    "the intent not stored before sending": intent_not_stored,
    "completed before the answer": completed_before_the_answer,
    "any HTTP 200 counts as delivered": any_200_is_success,
    "tries not counted": tries_not_counted,
    "in_progress rows never recovered": never_recovered,
    "send_id renewed on retry": key_renewed_on_retry,
    "adoption in two commits": adopted_in_two_commits,
    "a clock jump strands retries": jump_strands_retries,
    "a missing attachment counts as sent": missing_file_counts_as_sent,
    **PLANTED_ORDER,
    **PLANTED_LANES,
}

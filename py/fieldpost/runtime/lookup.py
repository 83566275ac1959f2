"""Items of which nobody knows whether they arrived: when they must be looked up, and what follows.

Invariant 4: inside the destination's replay-safe window, counted from the first send of these
bytes, the same bytes go again; after it the destination is asked first, and where it cannot be
asked, a person is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fieldpost.destinations.base import Contact, Declaration, Finding, Lookup
from fieldpost.engine.errors import OutcomeUnknown
from fieldpost.engine.machine import Answered, LookedUp, step
from fieldpost.engine.model import Item, Stored
from fieldpost.engine.outcome import LOOK_UP_FIRST, RETRYABLE, Class, Outcome
from fieldpost.engine.record import attempt_entry, history_with
from fieldpost.engine.transitions import State
from fieldpost.ports import Leadership, NoAnswer, Put

from .committer import Write
from .followups import SWEEP, sweep_of
from .settle import head_with_remote

if TYPE_CHECKING:
    from .driver import Driver


#: An answer about an attempt that is still running, or none at all.
_LEARNT_NOTHING = RETRYABLE | {Class.UNKNOWN}


def must_look_up(item: Item, declaration: Declaration, now: int) -> bool:
    """Whether sending these bytes again is not safe (any more). A clock that was set back makes an
    age that cannot be trusted, so the item is looked up then, too (invariant 8)."""
    if item.state is State.UNKNOWN and item.step > 0:
        return now < _file_settled_at(item, declaration, now)
    window = declaration.replay_window_ms
    if item.state is not State.UNKNOWN or window is None:
        return False
    if item.operation == SWEEP:  # it only looks, and closes what it finds
        return False
    if item.error_code == LOOK_UP_FIRST:
        return True
    return item.sent_at is None or not 0 <= now - item.sent_at < window


def _file_settled_at(item: Item, declaration: Declaration, now: int) -> int:
    """Before this a file that nobody answered may still come to be there, so it is no use to look
    for it (`Destination.attach`), and handed over again it might be there twice."""
    once = declaration.files_once or not declaration.whole_files
    if once or declaration.lookup is None:
        return 0
    return min(item.updated_at, now) + declaration.lookup.settle_ms


@dataclass(frozen=True, slots=True)
class LookedUpRow:
    """The write that a lookup caused, and what the answer said of the lane."""

    write: Write
    contact: Contact | None = None
    besides: Write | None = None


async def look_up(
    driver: Driver, leadership: Leadership, rows: Sequence[Stored]
) -> list[LookedUpRow]:
    """Ask for each row in turn; stops when the lane does not answer as itself, or must stop."""
    done: list[LookedUpRow] = []
    for row in rows:
        if leadership.lost or not driver.may_claim:
            break
        done.append(await _look_up(driver, row))
        contact = done[-1].contact
        if contact is not None and not contact.ok:
            break
    return done


async def _look_up(driver: Driver, row: Stored) -> LookedUpRow:
    host, item = driver.host, row.item
    declared, now = driver.destination.declaration, host.clock.now()
    lookup = declared.lookup
    if item.step > 0:
        again_at = _file_settled_at(item, declared, now)
        return LookedUpRow(Write(Put(step(item, LookedUp(again_at=again_at), now)), item.state))
    if lookup is None:
        parked = step(item, LookedUp(code=OutcomeUnknown.code), now)
        return LookedUpRow(_write(row, parked, now, Outcome(Class.UNKNOWN, OutcomeUnknown.code)))
    # Counted from when nobody waited for an answer any more: the destination may carry out until
    # then, and after it, what was asked of it. A future time is a clock that was set back.
    settled_at = min(item.updated_at, now) + lookup.settle_ms
    if now < settled_at:
        return LookedUpRow(Write(Put(step(item, LookedUp(again_at=settled_at), now)), item.state))
    try:
        response = await host.transport.send(driver.destination.find(item))
    except NoAnswer as failure:
        finding = Finding(driver.destination.no_answer(failure).contact)
    else:
        finding = driver.destination.read_find(item, response)
    return _found(driver, row, finding)


def _found(driver: Driver, row: Stored, finding: Finding) -> LookedUpRow:
    host, item = driver.host, row.item
    now, lookup = host.clock.now(), driver.destination.declaration.lookup
    besides = None
    if finding.outcome is not None and finding.outcome.cls not in _LEARNT_NOTHING:
        answered = Answered(finding.outcome, driver.policy, host.entropy.fraction())
        after, said = step(item, answered, now), finding.outcome
    elif finding.absent and lookup is not None and (again := _again_at(item, lookup, now)):
        after = step(item, LookedUp(again_at=again), now)
        return LookedUpRow(Write(Put(after), item.state), finding.contact)
    elif finding.absent and lookup is not None and lookup.proves_absence:
        if lookup.sweep_ms is not None:
            sweep_id = host.entropy.uuid7(now)
            besides = sweep_of(item, row.parts.get("head"), sweep_id, now + lookup.sweep_ms, now)
        text = "The destination was asked and does not have it. It is sent again."
        after, said = step(item, LookedUp(absent=True), now), Outcome(Class.TRANSIENT, text=text)
    elif finding.absent:
        text = "The destination does not show it, which proves nothing there."
        said = Outcome(Class.UNKNOWN, OutcomeUnknown.code, text)
        after = step(item, LookedUp(code=OutcomeUnknown.code), now)
    else:
        # The lane's own wait decides when it is asked again, where the lane is at fault.
        delay = driver.policy.delay_ms(1, host.entropy.fraction()) if finding.contact.ok else 0
        after = step(item, LookedUp(again_at=now + delay), now)
        return LookedUpRow(Write(Put(after), item.state), finding.contact)
    return LookedUpRow(_write(row, after, now, said), finding.contact, besides)


def _again_at(item: Item, lookup: Lookup, now: int) -> int | None:
    """When it is asked for again before "not there" is believed; None: it is believed now."""
    since = max(0, now - item.updated_at)  # a clock that was set back: counted anew
    next_ms = lookup.next_ask(since)
    return None if next_ms is None else now + next_ms - since


def _write(row: Stored, after: Item, now: int, said: Outcome) -> Write:
    entry = attempt_entry(row.item.attempt, now, now, said)
    parts: dict[str, bytes | None] = {"history": history_with(row.parts.get("history"), entry)}
    if after.state is not State.UNKNOWN:
        parts["intent"] = None  # settled: these bytes need not go again as they are
    parts |= head_with_remote(row.parts.get("head"), said)
    return Write(Put(after, parts=parts), row.item.state)

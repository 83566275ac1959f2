"""The pure step: an item, something that happened, the time -> the item afterwards.

No I/O, no clock, no chance: what is needed of them comes in with the happening. Every change of
state goes through `transitions.next_state`; nothing else in the project sets ``Item.state``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .errors import IllegalTransition, MaxRetriesExceeded, OutcomeUnknown
from .happenings import (
    Answered,
    Claimed,
    Deferred,
    Dropped,
    Edited,
    Freed,
    Happening,
    Held,
    Lapsed,
    LookedUp,
    Orphaned,
    ParentGone,
    PartAcknowledged,
    Person,
    Prioritised,
    Redirected,
    Released,
    Woken,
)
from .model import Attachment, Item
from .outcome import FINAL, RETRYABLE, Class
from .retry import DELAY_MS_MAX
from .transitions import CLAIMABLE_STATES, Event, State, next_state

#: Where a priority still means something and nobody holds the row.
_RANKED = frozenset(
    {
        State.PENDING,
        State.BLOCKED,
        State.UNKNOWN,
        State.FAILED,
        State.CONFLICTED,
        State.EXPIRED,
    }
)
#: Where nothing of a row is on its way, or may have arrived.
_AT_HOME = frozenset({State.PENDING, State.BLOCKED, State.FAILED, State.EXPIRED})
__all__ = [
    "Answered",
    "Claimed",
    "Deferred",
    "Dropped",
    "Edited",
    "Freed",
    "Happening",
    "Held",
    "Lapsed",
    "LookedUp",
    "Orphaned",
    "ParentGone",
    "PartAcknowledged",
    "Person",
    "Prioritised",
    "Redirected",
    "Released",
    "Woken",
    "needs_person",
    "step",
]

#: What a person says who has looked at a destination that cannot be asked.
_SEEN = frozenset({Event.DELIVER, Event.LOOKUP_ABSENT})
_PERSON_EVENTS = _SEEN | {Event.CANCEL, Event.REVIVE, Event.DISCARD, Event.RESTORE}


def needs_person(item: Item) -> bool:
    """It may have arrived, and the destination cannot be asked (any more)."""
    return item.state is State.UNKNOWN and item.error_code == OutcomeUnknown.code


def step(item: Item, happening: Happening, now: int) -> Item:
    """The item after ``happening`` at ``now`` (ms). Raises `IllegalTransition`, changing nothing.

    Revision and sequence are the store's; a returned item keeps the revision it was read at.
    """
    match happening:
        case Claimed(owner, lease_ms):
            return _move(
                item,
                Event.CLAIM,
                now,
                ready=False,
                due_at=None,
                attempt=item.attempt + 1,
                lease_owner=owner,
                lease_until=now + lease_ms,
                sent_at=now if item.sent_at is None else item.sent_at,
            )
        case Released():
            return _freed(item, Event.RELEASE, now, ready=True)
        case Orphaned(sent_possible):
            event = Event.LOSE if sent_possible else Event.RELEASE
            return _freed(item, event, now, ready=True)
        case LookedUp():
            return _looked_up(item, happening, now)
        case Answered():
            return _answered(item, happening, now)
        case PartAcknowledged(attachment_id, acked):
            return _acknowledged(item, {attachment_id: acked}, now)
        case Woken():
            if item.state not in CLAIMABLE_STATES:
                raise IllegalTransition(f"An item that is {item.state} does not wait for a time.")
            # An unknown row says since when it is, whatever it waits for meanwhile: lookups count
            # from it.
            at = item.updated_at if item.state is State.UNKNOWN else now
            return item.changed(ready=True, due_at=None, updated_at=at)
        case Held() | Freed() | Lapsed() | ParentGone():
            return _waited(item, happening, now)
        case Deferred() | Dropped():
            return _shed(item, happening, now)
        case Person():
            return _person(item, happening, now)
        case Edited() | Prioritised() | Redirected():
            return _edited(item, happening, now)


def _waited(item: Item, happening: Held | Freed | Lapsed | ParentGone, now: int) -> Item:
    """What happens to a row while it waits for others or for its time."""
    match happening:
        case Held():
            return _move(item, Event.BLOCK, now, ready=False, due_at=None)
        case Freed():
            return _move(item, Event.UNBLOCK, now, ready=not _later(item, now), due_at=None)
        case ParentGone():
            return _move(item, Event.CANCEL, now, ready=False, due_at=None)
    if item.expires_at is None or item.expires_at > now or item.step > 0:
        raise IllegalTransition("This item has not expired.")
    return _move(item, Event.EXPIRE, now, ready=False, due_at=None)


def _shed(item: Item, happening: Deferred | Dropped, now: int) -> Item:
    if isinstance(happening, Dropped):
        return _move(item, Event.EXPIRE, now, ready=False, due_at=None, error_code="QUEUE_SHED")
    if item.state is not State.PENDING:
        raise IllegalTransition(f"An item that is {item.state} cannot be put off.")
    return item.changed(ready=False, due_at=now + happening.wait_ms, updated_at=now)


def _later(item: Item, now: int) -> bool:
    """Whether the user's own date is still to come; until then the row is not ready."""
    return item.not_before is not None and item.not_before > now


def _move(item: Item, event: Event, now: int, **changes: object) -> Item:
    return item.changed(state=next_state(item.state, event), updated_at=now, **changes)


def _freed(item: Item, event: Event, now: int, **changes: object) -> Item:
    """A move out of ``in_progress`` or ``unknown``: the lease ends with it, and unless it is still
    open whether these bytes arrived, so does what began with their first send."""
    stays = next_state(item.state, event) is State.UNKNOWN
    return _move(
        item,
        event,
        now,
        lease_owner=None,
        lease_until=None,
        sent_at=item.sent_at if stays else None,
        **changes,
    )


def _looked_up(item: Item, happening: LookedUp, now: int) -> Item:
    if item.state is not State.UNKNOWN:
        raise IllegalTransition(f"An item that is {item.state} is not looked up.")
    if happening.absent:
        return _freed(item, Event.LOOKUP_ABSENT, now, ready=True, due_at=None, error_code=None)
    at = now if happening.code else item.updated_at
    code = happening.code or item.error_code
    return _freed(item, Event.LOSE, at, ready=False, due_at=happening.again_at, error_code=code)


def _answered(item: Item, happening: Answered, now: int) -> Item:
    outcome, cls = happening.outcome, happening.outcome.cls
    code = outcome.code or cls
    if outcome.acked and item.attachments:
        item = _acknowledged(item, outcome.acked, now, exact=outcome.resume)
    if outcome.refused:
        item = _without(item, frozenset(outcome.refused))
    if outcome.restart:
        item = item.changed(step=0)
    if cls in (Class.DELIVERED, Class.DUPLICATE):
        return _freed(item, Event.DELIVER, now, ready=False, due_at=None, error_code=None)
    if cls is Class.HANDED_OVER:
        return _freed(item, Event.HAND_OVER, now, ready=False, due_at=None, error_code=None)
    if cls is Class.ACCEPTED:
        return _freed(item, Event.ADVANCE, now, ready=True, step=1, error_code=None)
    if cls is Class.CONFLICT:
        return _freed(item, Event.CONFLICT, now, ready=False, error_code=code)
    if cls in FINAL:
        return _freed(item, Event.REJECT, now, ready=False, error_code=code)
    if cls is Class.UNKNOWN:
        return _lost(item, happening, now, code)
    assert cls in RETRYABLE
    return _retried(item, happening, now, code)


def _lost(item: Item, happening: Answered, now: int, code: str) -> Item:
    """No classified answer. The item never gives up by itself here: it may have arrived, and only
    the same bytes again (or a lookup) can tell."""
    if happening.outcome.lane:
        return _freed(item, Event.LOSE, now, ready=True, error_code=code)
    used = item.attempts + 1
    delay = happening.policy.delay_ms(used, happening.fraction)
    delay = min(delay + happening.spread_ms, DELAY_MS_MAX)
    return _freed(
        item, Event.LOSE, now, ready=False, due_at=now + delay, attempts=used, error_code=code
    )


def _retried(item: Item, happening: Answered, now: int, code: str) -> Item:
    if happening.outcome.lane:  # offline, signed out, server overloaded: burns no try
        return _freed(item, Event.RETRY, now, ready=True, error_code=code)
    used = item.attempts + 1
    asked = happening.outcome.retry_after_ms
    delay = happening.policy.decide(used, happening.fraction, asked, happening.age_ms)
    if delay is None:
        # What the last answer was stands in the history; that only time was lacking, here.
        code = MaxRetriesExceeded.code
        return _freed(item, Event.GIVE_UP, now, ready=False, attempts=used, error_code=code)
    delay = min(delay + happening.spread_ms, DELAY_MS_MAX)
    return _freed(
        item, Event.RETRY, now, ready=False, due_at=now + delay, attempts=used, error_code=code
    )


def _acknowledged(item: Item, acked: Mapping[str, int], now: int, *, exact: bool = False) -> Item:
    """With the parts the destination says it holds. Counts only grow (a late answer of an earlier
    part takes nothing back) unless the destination named the place to resume from (``exact``)."""

    def changed(a: Attachment) -> Attachment:
        held = min(acked.get(a.id, a.acked), a.parts)
        return replace(a, acked=held if exact else max(a.acked, held))

    return item.changed(attachments=tuple(changed(a) for a in item.attachments), updated_at=now)


def _without(item: Item, refused: frozenset[str]) -> Item:
    """Without attachments that are rows of their own from now on."""
    gone = sum(a.size for a in item.attachments if a.id in refused)
    left = tuple(a for a in item.attachments if a.id not in refused)
    return item.changed(attachments=left, size=item.size - gone)


def _person(item: Item, happening: Person, now: int) -> Item:
    event = happening.event
    if event not in _PERSON_EVENTS:
        raise IllegalTransition(f"'{event}' is not a person's act.")
    if event is Event.CANCEL and item.step > 0:
        raise IllegalTransition("The text of this item has been sent; only its files still follow.")
    if event in _SEEN and not needs_person(item):
        raise IllegalTransition("Only an item that nobody can ask about is settled by a person.")
    opens = next_state(item.state, event) is State.PENDING
    changes: dict[str, object] = {
        "ready": opens and not _later(item, now),
        "due_at": None,
        "sent_at": None,
    }
    if opens and item.expires_at is not None and item.expires_at <= now:
        changes["expires_at"] = None  # a person wants it sent although its time is over
    if event in _SEEN:
        changes["error_code"] = None
    if event is Event.REVIVE:
        # Tries start afresh. The key stays: after a rejection the bytes are the same, and a strong
        # destination answers the same key the same way at worst.
        changes |= {"attempts": 0, "error_code": None}
        if happening.send_id is not None:
            changes["send_id"] = happening.send_id
    return _move(item, event, now, **changes)


def _edited(item: Item, happening: Edited | Prioritised | Redirected, now: int) -> Item:
    """An edit only while the destination has nothing of it (``step`` 0); never while an attempt is
    without an answer: the table has no edit there."""
    if isinstance(happening, Redirected):
        return _redirected(item, happening.lane, now)
    if isinstance(happening, Prioritised):
        if item.state not in _RANKED:
            raise IllegalTransition(f"An item that is {item.state} has no place in the queue.")
        return item.changed(priority=happening.priority, updated_at=now)
    after = next_state(item.state, Event.EDIT)
    if item.step > 0:
        raise IllegalTransition("The text of this item has been sent; only its files still follow.")
    # Out of an end it begins anew; a waiting row keeps its place, less the wait after a failure.
    opens = after is State.PENDING and (item.state is not State.PENDING or item.due_at is not None)
    expired = item.expires_at is not None and item.expires_at <= now
    return _move(
        item,
        Event.EDIT,
        now,
        ready=not _later(item, now) if opens else item.ready,
        due_at=None,
        expires_at=None if expired else item.expires_at,
        attempts=0,
        error_code=None,
        sent_at=None,
        send_id=happening.send_id,
        priority=happening.priority,
        size=item.size - item.body_bytes + happening.body_bytes,
        body_bytes=happening.body_bytes,
    )


def _redirected(item: Item, lane: str, now: int) -> Item:
    """Elsewhere only while nothing of it is here: two destinations know nothing of each other's
    keys, so what both got would be there twice."""
    if item.state not in _AT_HOME or item.step > 0 or item.sent_at is not None:
        raise IllegalTransition("It may have arrived where it was sent, so it goes nowhere else.")
    waits = item.state is State.PENDING
    return item.changed(
        lane=lane,
        ready=waits and not _later(item, now),
        due_at=None,
        attempts=0,
        updated_at=now,
    )

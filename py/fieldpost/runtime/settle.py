"""From outcomes to row changes: what a drainer writes after an attempt, and before one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fieldpost.destinations.base import Destination, Reading
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.limits import LEASE_MS
from fieldpost.engine.machine import Answered, Claimed, Orphaned, step
from fieldpost.engine.model import Item, Stored
from fieldpost.engine.ordering import resolved
from fieldpost.engine.outcome import RETRYABLE, Class, Outcome
from fieldpost.engine.record import Head, attempt_entry, first_try_at, history_with
from fieldpost.engine.retry import RetryPolicy
from fieldpost.engine.transitions import END_STATES, State
from fieldpost.ports import Manifest, Put

from .committer import Write
from .followups import SWEEP, SWEEP_INTENT, refused_files

#: Code of a dead letter whose fields are not what its destination needs.
INVALID_FIELDS = "INVALID_FIELDS"
#: Marks the intent of an attempt that sends attachment parts: its request follows from the row.
PARTS_INTENT = b"parts"


@dataclass(frozen=True, slots=True)
class Claim:
    """One row under way: as it will be stored, with its opened parts and the bytes to send."""

    item: Item
    parts: dict[str, bytes]
    intent: bytes
    started: int
    #: An earlier attempt had no answer: these bytes may have arrived already.
    unknown: bool = False


def claim(
    row: Stored, destination: Destination, manifests: Sequence[Manifest], owner: str, now: int
) -> tuple[Claim, Write]:
    """Take a row: the write makes lease and intent durable before a byte leaves (invariant 3).

    An ``unknown`` row goes out with the very bytes of the attempt that nobody answered (invariant
    4); they are in its intent. Raises what the destination's `intent` raises: `InvalidItem` is
    about this row alone (`unsendable`).
    """
    item = row.item
    if item.operation == SWEEP:
        intent = SWEEP_INTENT
    elif item.step > 0:
        intent = PARTS_INTENT
    elif item.state is State.UNKNOWN and row.parts.get("intent"):
        intent = row.parts["intent"]
    else:
        body = resolved(row.parts["body"], row.parts.get("links"))
        intent = destination.intent(item, body, manifests)
    claimed = step(item, Claimed(owner, LEASE_MS), now)
    changed = {} if row.parts.get("intent") == intent else {"intent": intent}
    write = Write(Put(claimed, parts=dict(changed)), was=item.state)
    # The store raises the revision by one with this write.
    stored = claimed.changed(revision=claimed.revision + 1)
    unknown = item.state is State.UNKNOWN
    return Claim(stored, {**row.parts, "intent": intent}, intent, now, unknown), write


def unsendable(row: Stored, wrong: InvalidItem, owner: str, policy: RetryPolicy, now: int) -> Write:
    """The row of which no request can be made for its destination: a dead letter with the fields to
    correct. Claimed and refused in one write, since nothing of it ever leaves."""
    said = Outcome(Class.PERMANENT, INVALID_FIELDS, wrong.message, fields=wrong.fields)
    claimed = step(row.item, Claimed(owner, LEASE_MS), now)
    item = step(claimed, Answered(said, policy, 0.0), now)
    history = history_with(row.parts.get("history"), attempt_entry(claimed.attempt, now, now, said))
    return Write(Put(item, parts={"history": history, "intent": None}), was=row.item.state)


def settle(
    taken: Claim,
    outcome: Outcome,
    policy: RetryPolicy,
    now: int,
    fraction: float,
    spread_ms: int = 0,
) -> tuple[Item, Write]:
    """The row after its attempt was answered, or was not. ``spread_ms``: what the lane's budget of
    retries adds to the wait of one."""
    if taken.unknown and outcome.cls in RETRYABLE:
        # "Later" is said of this attempt; the one before it may have arrived all the same, so the
        # item cannot be taken back yet, nor given up (invariant 4).
        outcome = replace(outcome, cls=Class.UNKNOWN)
    age_ms = 0
    if policy.max_age_ms is not None:
        first = first_try_at(taken.parts.get("history"))
        age_ms = now - (taken.started if first is None else first)
    item = step(taken.item, Answered(outcome, policy, fraction, age_ms, spread_ms), now)
    parts: dict[str, bytes | None] = {}
    if outcome.cls is not Class.ACCEPTED:  # one step of several is no line of the timeline
        entry = attempt_entry(item.attempt, taken.started, now, outcome)
        parts["history"] = history_with(taken.parts.get("history"), entry)
    if item.state is not State.UNKNOWN or outcome.restart:
        # Classified, or its text goes again first: these bytes need not.
        parts["intent"] = None
    parts |= head_with_remote(taken.parts.get("head"), outcome)
    return item, Write(Put(item, parts=parts), was=taken.item.state)


def unsent(taken: Claim, now: int) -> Write:
    """The row after its claim ran out, or was taken over, before its request left: nothing of this
    attempt did, so it is as open as it was whether an earlier one arrived."""
    item = step(taken.item, Orphaned(sent_possible=taken.unknown), now)
    parts: dict[str, bytes | None] = {} if taken.unknown else {"intent": None}
    return Write(Put(item, parts=parts), was=taken.item.state)


def besides(taken: Claim, outcome: Outcome, now: int) -> list[Write]:
    """The rows that come of this outcome besides the item's own: files that were refused."""
    if not outcome.refused:
        return []
    return refused_files(taken.item, taken.parts.get("head"), outcome, now)


def head_with_remote(head: bytes | None, outcome: Outcome) -> dict[str, bytes | None]:
    """The part ``head`` with what the destination calls the item, where that is news."""
    if not (outcome.remote_id or outcome.remote_url):
        return {}
    before = Head.load(head)
    after = replace(
        before,
        remote_id=outcome.remote_id or before.remote_id,
        remote_url=outcome.remote_url or before.remote_url,
        remote_name=outcome.remote_name or before.remote_name,
    )
    return {"head": after.dump()} if after != before else {}


def outcomes_for(reading: Reading, count: int) -> list[Outcome]:
    """One outcome for each item. An answer to a request of several as a whole, which might be about
    one of them only, burns no tries: the driver sends fewer together until it is known which."""
    outcomes = reading.outcomes if len(reading.outcomes) == count else reading.outcomes[:1] * count
    if not reading.whole or count == 1:
        return outcomes
    return [
        replace(o, cls=o.cls if o.cls is Class.UNKNOWN else Class.TRANSIENT, lane=True)
        for o in outcomes
    ]


def acknowledgeable(item: Item) -> bool:
    """The answer is durable here and the item needs its ledger row no more."""
    return item.state in END_STATES and item.state is not State.FAILED


def retries(taken: Claim, item: Item) -> bool:
    """The attempt burnt a try and the item waits for the next one."""
    return item.attempts > taken.item.attempts and item.due_at is not None

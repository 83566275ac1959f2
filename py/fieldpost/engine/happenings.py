"""What can happen to an item, as `machine.step` takes it: the happening and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from .outcome import Outcome
from .retry import RetryPolicy
from .transitions import Event


@dataclass(frozen=True, slots=True)
class Claimed:
    """A drainer takes the item; stored together with the sealed intent (invariant 3)."""

    owner: str
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Released:
    """The drainer knows that no byte of this attempt left."""


@dataclass(frozen=True, slots=True)
class Orphaned:
    """The drainer is gone. ``sent_possible``: an intent was durable, so a byte may have left."""

    sent_possible: bool


@dataclass(frozen=True, slots=True)
class Answered:
    outcome: Outcome
    policy: RetryPolicy
    fraction: float  # jitter, uniform in [0, 1)
    age_ms: int = 0  # since the item's first try
    spread_ms: int = 0  # a retry's extra wait: the lane's budget of them


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The destination was asked whether it has an ``unknown`` item and does not (``absent``), or
    nothing was learnt: ask again at ``again_at`` (ms; None: a person has to look)."""

    absent: bool = False
    again_at: int | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class PartAcknowledged:
    """The destination holds parts 1..``acked`` of the attachment."""

    attachment_id: str
    acked: int


@dataclass(frozen=True, slots=True)
class Woken:
    """Its due time came."""


@dataclass(frozen=True, slots=True)
class Held:
    """An earlier row of its entity, or a parent, comes first."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Nothing comes before it any more."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Its own expiry passed, by the wall clock, before it was sent."""


@dataclass(frozen=True, slots=True)
class ParentGone:
    """A parent will not be sent, and the caller said: then this one neither."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Put off for ``wait_ms`` so that more important items get through; it burns no try."""

    wait_ms: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Its kind was declared droppable and the load is too great for it. A person can revive it."""


@dataclass(frozen=True, slots=True)
class Person:
    """A named act: cancel, revive, discard, restore; and, where `needs_person`, what was found:
    it is there (deliver), or not (lookup_absent)."""

    event: Event
    send_id: str | None = None  # a fresh key for a revived item


@dataclass(frozen=True, slots=True)
class Edited:
    """A person changed what it says. ``send_id``: a fresh key where the bytes changed, so that they
    are never sent under the key of others; the old one where they did not."""

    send_id: str
    body_bytes: int
    priority: int


@dataclass(frozen=True, slots=True)
class Prioritised:
    """A person gave it another priority (1-10)."""

    priority: int


@dataclass(frozen=True, slots=True)
class Redirected:
    """It takes another lane, from its start: nothing of it is where the old one leads."""

    lane: str


Happening = (
    Claimed
    | Released
    | Orphaned
    | Answered
    | LookedUp
    | PartAcknowledged
    | Woken
    | Held
    | Freed
    | Lapsed
    | ParentGone
    | Deferred
    | Dropped
    | Person
    | Edited
    | Prioritised
    | Redirected
)

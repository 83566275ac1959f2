"""What an attempt came to: the classes of DESIGN section 6. Adapters classify, the engine
decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Class(StrEnum):
    """Outcome classes. The values are stored in error columns and shown; they never change."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"  # delivered by an earlier attempt
    ACCEPTED = "accepted"  # this step is durable over there; more steps follow
    HANDED_OVER = "handed_over"  # durable at the gateway; a receipt tells the end
    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    AUTH = "auth"
    PERMISSION = "permission"
    PERMANENT = "permanent"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNKNOWN = "unknown"  # no classified answer: it may or may not have arrived


#: Of a request that had its effect.
ARRIVED = frozenset({Class.DELIVERED, Class.DUPLICATE, Class.ACCEPTED})
#: Classes after which the same item may simply be tried again later.
RETRYABLE = frozenset({Class.TRANSIENT, Class.RATE_LIMITED, Class.AUTH})
#: Classes that end the item as a dead letter until a person acts.
FINAL = frozenset({Class.PERMANENT, Class.PERMISSION, Class.TOO_LARGE})
#: The code of an ``unknown`` outcome after which the same bytes would only be refused again, also
#: inside the replay-safe window (the key was used for others): the destination is asked first.
LOOK_UP_FIRST = "LOOK_UP_FIRST"


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """An attachment that the destination will never take, while it took the item."""

    code: str
    text: str = ""
    name: str = ""  # of the file, where the one who says so knows it


@dataclass(frozen=True, slots=True)
class Outcome:
    """The classified end of one attempt.

    ``lane``: the answer speaks of the whole lane (server down, signed out, portal), not of this
    item: it burns none of the item's tries, and the lane waits.
    ``remote_name``: what people over there call it, where that is not its ``remote_id``.
    ``code``: stable, upper case (`engine.errors` codes or the wire's). ``text``: for people.
    """

    cls: Class
    code: str | None = None
    text: str = ""
    status: int | None = None
    remote_id: str | None = None
    remote_url: str | None = None
    retry_after_ms: int | None = None
    lane: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    #: attachment id -> parts the destination holds, where the answer tells.
    acked: dict[str, int] = field(default_factory=dict)
    #: ``acked`` is the exact place to resume from, also where it is behind what was acknowledged.
    resume: bool = False
    #: The destination does not know the operation (any more): begin with the text again.
    restart: bool = False
    #: attachment id -> why it is a dead letter of its own from now on.
    refused: dict[str, RefusedFile] = field(default_factory=dict)
    remote_name: str | None = None

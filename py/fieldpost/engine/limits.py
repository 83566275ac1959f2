"""Every bound, with its reason. Units stand last in the names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PRIORITY_MIN, PRIORITY_MAX = 1, 10

#: One row's payload; more belongs into an attachment. Rows are rewritten on each state change.
PAYLOAD_BYTES_MAX = 256 * 1024
#: What a list shows of one row; small, because a page of heads is opened for every repaint.
HEAD_BYTES_MAX = 256
#: Attempts kept in a row's sealed history (oldest dropped); older ones remain in the journal.
HISTORY_ATTEMPTS_MAX = 20
#: Texts over this are deflated before sealing, and kept so only if that is smaller (U12).
COMPRESS_FROM_BYTES = 1024

#: One sealed chunk of an attachment: small enough for a slow line to finish, large enough that a
#: 90 MB file is 90 requests.
PART_BYTES = 1024 * 1024
ATTACHMENT_BYTES_MAX = 100_000_000
ATTACHMENTS_PER_ITEM_MAX = 20

#: Undelivered items; proved further by what the storage really takes.
OPEN_ITEMS_MAX = 100_000

#: Items per request: REQUIREMENTS part 3 caps a batch at 100.
BATCH_ITEMS_MAX = 100
#: Requests of one lane, or of all of them, that may be set to be under way at once.
REQUESTS_MAX = 100
#: Bytes of operations in one request; the gateway refuses more than 4 MiB.
BATCH_BYTES_MAX = 2 * 1024 * 1024

#: How long a claim holds before others may take the row over.
LEASE_MS = 60_000
REQUEST_TIMEOUT_MS = 30_000
#: A sender alive within its lease must have had its timeout before the lease ends.
assert REQUEST_TIMEOUT_MS < LEASE_MS

#: How long a context asks for the drain lock before it leaves the work to the holder.
LOCK_WAIT_MS = 2_000
#: A frozen drain lock holder is replaced after its beat stood still for this long.
STEAL_AFTER_MS = 30_000
BEAT_EVERY_MS = 5_000
SYNC_EVERY_MS = 30_000
#: What was handed over is asked after this soon; twice as long each time that nothing is new.
RECEIPTS_FIRST_MS = 1_000
#: How often what is over is looked through (A52).
TIDY_EVERY_MS = 3600 * 1000

#: Attachment bytes nobody refers to are collected after this; a draft may still be picking them up.
ORPHAN_AGE_MS = 24 * 3600 * 1000

_MB = 1024 * 1024


# --- how much a queue may hold --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KindLimit:
    """Of one kind: undelivered items, and bytes of their payloads and attachments; None: no limit
    of its own. ``ring``: when full, the oldest of it make room (logs alone: all else is kept)."""

    items: int | None = None
    bytes: int | None = None
    ring: bool = False

    def __post_init__(self) -> None:
        if any(most is not None and most < 1 for most in (self.items, self.bytes)):
            raise ValueError("a limit must be at least 1")


@dataclass(frozen=True, slots=True)
class Demand:
    """Room that a new item needs: ``counter`` + ``adding`` must not exceed ``most``."""

    name: str  # of the limit: a kind, or ``all``
    unit: str  # ``items`` or ``bytes``
    counter: str
    most: int
    adding: int


#: What the app's own logs may take; the oldest go (A48).
LOG_RING = KindLimit(items=5_000, bytes=5 * _MB, ring=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much undelivered work a queue takes in; delivered items never count (known failure 5).

    ``items``, ``bytes``: in all; ``kinds``: by kind, besides. From ``warn_at`` of a limit on people
    are warned. Beyond all this, the storage takes what it takes.
    """

    items: int = OPEN_ITEMS_MAX
    bytes: int | None = None
    kinds: Mapping[str, KindLimit] = field(default_factory=dict)
    warn_at: float = 0.8

    def __post_init__(self) -> None:
        KindLimit(self.items, self.bytes)
        if not 0 < self.warn_at <= 1:
            raise ValueError("warn_at must be above 0 and at most 1")
        # The queue writes logs by itself: they have a ring unless something else is said of them.
        object.__setattr__(self, "kinds", {"log": LOG_RING, **self.kinds})

    def is_ring(self, kind: str) -> bool:
        limit = self.kinds.get(kind)
        return limit is not None and limit.ring

    def demands(self, kind: str, items: int, size: int) -> list[Demand]:
        """What ``items`` new ones of one kind, ``size`` bytes together, need. A ring needs no room
        of its own."""
        return [
            Demand(name, unit, counter, most, items if unit == "items" else size)
            for name, unit, counter, most in self._all()
            if name == "all" or (name == kind and not self.is_ring(kind))
        ]

    def for_captures(self) -> list[dict[str, Any]]:
        """What the page checks before it says "saved": {name, unit, counter, most} of each limit
        that is not a ring's (docs/interfaces.md)."""
        return [
            {"name": name, "unit": unit, "counter": counter, "most": most}
            for name, unit, counter, most in self._all()
            if not self.is_ring(name)
        ]

    def report(self, counters: Mapping[str, int]) -> list[dict[str, Any]]:
        """Every limit: {name, used, limit, unit, warn}. A full ring is no reason to warn."""
        return [
            {
                "name": name,
                "used": counters.get(counter, 0),
                "limit": most,
                "unit": unit,
                "warn": not self.is_ring(name) and counters.get(counter, 0) >= self.warn_at * most,
            }
            for name, unit, counter, most in self._all()
        ]

    def room(self, kind: str, counters: Mapping[str, int]) -> dict[str, int | None]:
        """{"items", "bytes"}: how many more of the kind are taken; None: no limit."""
        found: dict[str, int | None] = {"items": None, "bytes": None}
        for demand in self.demands(kind, 0, 0):
            left, known = max(0, demand.most - counters.get(demand.counter, 0)), found[demand.unit]
            found[demand.unit] = left if known is None else min(left, known)
        return found

    def _all(self) -> Iterator[tuple[str, str, str, int]]:
        """(name, unit, counter, most) of each limit."""
        yield "all", "items", "open", self.items
        if self.bytes is not None:
            yield "all", "bytes", "bytes", self.bytes
        for kind, limit in self.kinds.items():
            if limit.items is not None:
                yield kind, "items", f"open:{kind}", limit.items
            if limit.bytes is not None:
                yield kind, "bytes", f"bytes:{kind}", limit.bytes


#: Of the source documents: A46-A48 (itsm), B44 (api), C's 10,000 items (interactive); D and E set
#: none (evidence, browser).
LIMITS: dict[str, Limits] = {
    "default": Limits(),
    "itsm": Limits(
        kinds={
            "ticket": KindLimit(items=20),
            "feedback": KindLimit(items=100),
            "log": KindLimit(bytes=50 * _MB, ring=True),
        }
    ),
    "api": Limits(items=10_000),
    "interactive": Limits(items=10_000),
    "evidence": Limits(),
    "browser": Limits(),
}

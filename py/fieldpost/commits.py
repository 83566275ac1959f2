"""What a commit of a store is made of: preconditions, rows to write, the journal's record.

Plain values of the port `fieldpost.ports.Store`, which has them all under its own name too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .engine.model import Item, Stored


@dataclass(frozen=True, slots=True)
class Absent:
    """No row with this id exists. Refused with ``existing_id`` = id."""

    id: str


@dataclass(frozen=True, slots=True)
class Revision:
    """The row exists and its revision is exactly ``revision`` (the fence, invariant 5)."""

    id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Unique:
    """No row created from ``since`` to ``until`` (ms, both included; None: without end) carries
    ``value`` (plaintext) as ``mark``.

    ``mark``: one of `engine.model.MARKS`. Refused with the ``existing_id`` of the oldest such row.
    """

    mark: str
    value: str
    since: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Below:
    """The counter is below ``limit`` before this commit. Counters: those of `Store.counters`; one
    that has never counted anything is 0."""

    counter: str
    limit: int


@dataclass(frozen=True, slots=True)
class Line:
    """The first ``size`` rows in line are exactly ``ids`` (fewer of them: there are no others).

    ``line``: ``entity``, and ``key`` is the mark as stored: the rows of that entity that are open
    or failed, those under way first, then by sequence (`engine.ordering.turn`); or ``parent``, and
    ``key`` is an id: the blocked rows that wait for that item, by sequence.
    """

    line: Literal["entity", "parent"]
    key: str
    ids: tuple[str, ...]
    size: int


Precondition = Absent | Revision | Unique | Below | Line


class Refused(Exception):
    """A commit was refused whole: precondition number ``index`` does not hold; nothing changed.

    What the puts imply is numbered after ``expect``: put number i has ``len(expect) + i``.
    """

    def __init__(self, index: int, expectation: Precondition, existing_id: str | None = None):
        super().__init__(f"refused: {expectation}")
        self.index = index
        self.expectation = expectation
        self.existing_id = existing_id


@dataclass(frozen=True, slots=True)
class Put:
    """Write one row.

    ``insert``: the row must not exist (as `Absent`), and the store gives it its ``sequence``.
    Otherwise the row must exist. The store sets ``revision`` (1, or the old one + 1) and ``kid``.
    ``parts``: plaintext to seal; None removes a part; parts not named stay as they are.
    ``marks``: plaintext of HMAC columns to set; columns not named stay as ``item`` has them.
    """

    item: Item
    parts: dict[str, bytes | None] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    insert: bool = False


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One hash-chained record; the store adds the gapless store-wide number ``n``.

    ``text``: canonical JSON {writer, k, prev, at, changes: [[id, from, to, revision]], note?,
    anchors?} (``to`` null: the row was removed); ``hash`` = hex SHA-256 of ``text``; ``prev`` = the
    hash of this writer's record k-1.
    """

    writer: str
    k: int
    hash: str
    text: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic change. Side records hold JSON text: small state of lanes, device and
    checkpoints."""

    expect: tuple[Precondition, ...] = ()
    puts: tuple[Put, ...] = ()
    adopt: tuple[str, ...] = ()  # inbox captures to remove (their ids)
    drop_blobs: tuple[str, ...] = ()  # attachment ids whose manifest and parts are removed
    #: Ids of rows removed for good, with the bytes of attachments that nothing else refers to. No
    #: put of the same commit may name them; a row that is not there is nothing to remove.
    drop: tuple[str, ...] = ()
    side: dict[tuple[str, str], str | None] = field(
        default_factory=dict
    )  # (table, key) -> JSON text
    journal: JournalRecord | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit wrote: the store's revision (rises by one a commit) and the rows as stored."""

    revision: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Stored]
    next: int | None  # cursor (a sequence) for the following page, None at the end


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of an attachment; sealed as a whole except ``id`` and ``at``.

    ``sha256``: base64 SHA-256 of each plain part, in order.
    """

    id: str
    name: str
    type: str
    size: int
    sha256: tuple[str, ...]
    at: int = 0

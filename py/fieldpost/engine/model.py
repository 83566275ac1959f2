"""The item and what belongs to it: frozen values, validated when made.

Times are integers: milliseconds since the Unix epoch, UTC. Ids are lower-case UUID strings.
The clear columns of a stored row are exactly the fields of `Item`; payload, title, names, file
names, server text and remote ids live only in the sealed parts (invariant 7).
"""

from __future__ import annotations

import operator
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from itertools import compress, repeat
from typing import Any, Literal

from .errors import InvalidItem
from .limits import PRIORITY_MAX, PRIORITY_MIN
from .transitions import OPEN_STATES, State

#: Version of the row's columns; rises when a column changes its meaning.
ROW_SCHEMA = 1

#: The sealed parts of a row. ``head``: what a list shows (<= 256 bytes); ``body``: the canonical
#: payload; ``intent``: the exact request of the attempt under way; ``history``: the attempts;
#: ``links``: what the row has to do with others (`engine.ordering.Links`).
PARTS = ("head", "body", "intent", "history", "links")
Part = Literal["head", "body", "intent", "history", "links"]

#: Columns a store fills with HMAC-SHA-256 of the given plaintext; opaque once stored.
MARKS = ("entity", "fingerprint", "natural_key", "owner")

PRIORITIES = {"low": 2, "normal": 5, "high": 8, "critical": 10}

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(r"[a-z][a-z0-9_.:-]{0,63}")


@lru_cache(maxsize=256)
def _are_names(*texts: str) -> bool:
    """Kinds, operations and lanes are few and each row is checked for its three."""
    return all(_NAME.fullmatch(text) for text in texts)


@dataclass(frozen=True, slots=True)
class Attachment:
    """Delivery state of one attachment; its bytes and its manifest lie sealed in ``blobs``.

    ``acked`` counts the parts the destination has acknowledged, in order: a restart resumes at
    part ``acked + 1`` (parts are numbered from 1).
    """

    id: str
    size: int  # bytes of the plain file
    parts: int
    acked: int = 0
    error: str | None = None  # code, when the destination refused this attachment for good

    @property
    def done(self) -> bool:
        return self.error is not None or self.acked >= self.parts


@dataclass(frozen=True, slots=True)
class Item:
    """One captured piece of work: the clear columns of its row."""

    id: str
    kind: str
    operation: str
    lane: str
    send_id: str
    created_at: int
    updated_at: int
    state: State = State.PENDING
    priority: int = 5
    sequence: int = 0  # given by the store inside the inserting transaction; 0 = not yet stored
    revision: int = 0  # given by the store; 0 = not yet stored
    ready: bool = True  # may be claimed now
    due_at: int | None = None  # not before this, because of a retry
    not_before: int | None = None  # not before this, because the user said so
    expires_at: int | None = None
    attempts: int = 0  # tries used up (offline and unauthorised attempts burn none)
    attempt: int = 0  # number of the latest attempt, burnt or not
    step: int = 0  # 0 the text is not acknowledged, 1 it is: attachments follow
    size: int = 0  # bytes of the canonical payload plus the attachments
    body_bytes: int = 0
    error_code: str | None = None  # outcome class or QUEUE_* code of the latest failure
    lease_owner: str | None = None
    lease_until: int | None = None
    sent_at: int | None = None  # first claim of bytes that no answer has classified yet
    handed_to: str | None = None
    attachments: tuple[Attachment, ...] = ()
    schema: int = ROW_SCHEMA
    entity: str | None = None
    fingerprint: str | None = None
    natural_key: str | None = None
    owner: str | None = None
    kid: str | None = None  # data key of the sealed parts; given by the store
    parents: tuple[str, ...] = ()  # ids that must be completed before this one is sent
    on_parent_failed: str | None = None  # "cancel": go with a parent that is given up; None: wait

    def __post_init__(self) -> None:
        if (
            _UUID.fullmatch(self.id)
            and _UUID.fullmatch(self.send_id)
            and _are_names(self.kind, self.operation, self.lane)
            and PRIORITY_MIN <= self.priority <= PRIORITY_MAX
        ):
            return
        wrong: dict[str, str] = {}
        for name in ("id", "send_id"):
            if not _UUID.fullmatch(getattr(self, name)):
                wrong[name] = "must be a lower-case UUID"
        for name in ("kind", "operation", "lane"):
            if not _NAME.fullmatch(getattr(self, name)):
                wrong[name] = "must be 1 to 64 of a-z, 0-9, _ . : -"
        if not PRIORITY_MIN <= self.priority <= PRIORITY_MAX:
            wrong["priority"] = f"must be {PRIORITY_MIN} to {PRIORITY_MAX}"
        raise InvalidItem(fields=wrong)

    @property
    def level(self) -> int:
        """Place among the ready rows, 0 first: by priority, and every text before any file."""
        return PRIORITY_MAX - self.priority + (PRIORITY_MAX if self.step else 0)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def next_attachment(self) -> Attachment | None:
        """The first attachment with parts still to send."""
        return next((a for a in self.attachments if not a.done), None)

    def changed(self, **changes: Any) -> Item:
        """As `dataclasses.replace`, at a fifth of its time: each delivery changes each row thrice.

        Raises `TypeError` for a column that does not exist, `InvalidItem` as the constructor.
        """
        values = list(column_values(self))
        for name, value in changes.items():
            place = PLACES.get(name)
            if place is None:
                raise TypeError(f"an Item has no column {name!r}")
            values[place] = value
        item = item_from_values(values)
        if not _CHECKED.isdisjoint(changes):
            item.__post_init__()
        return item


#: The columns of `Item`, in order, and where each stands.
COLUMNS = tuple(f.name for f in fields(Item))
PLACES = {name: place for place, name in enumerate(COLUMNS)}
#: What `Item.__post_init__` looks at.
_CHECKED = frozenset({"id", "send_id", "kind", "operation", "lane", "priority"})
_DEFAULTS = tuple(f.default for f in fields(Item))
_SETTERS = tuple(getattr(Item, name).__set__ for name in COLUMNS)
#: The values of all columns of an item, in order.
column_values = operator.attrgetter(*COLUMNS)


def item_from_values(values: Iterable[Any]) -> Item:
    """An `Item` from the values of all its columns, in order, that were an `Item`'s before.

    Without the validation of the constructor: that costs five times the rest, and each row passes
    here once a commit.
    """
    item: Item = object.__new__(Item)
    deque(map(operator.call, _SETTERS, repeat(item), values), maxlen=0)
    return item


def new_item(**columns: Any) -> Item:
    """As `Item(…)`, at half its time: the constructor of a frozen class sets field by field."""
    values = list(_DEFAULTS)
    for name, value in columns.items():
        values[PLACES[name]] = value
    item = item_from_values(values)
    item.__post_init__()
    return item


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as a store returns it: columns, and the parts asked for, opened."""

    item: Item
    parts: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture that the page saved and the engine has not adopted yet (the ``inbox``).

    ``data``: JSON object {kind, operation?, destination?, priority?, payload, attachments: [{id,
    size, parts}], title?, owner?}.
    """

    id: str
    at: int
    data: bytes


#: Written even at their default: a row says these of itself.
_ALWAYS = ("state", "schema", "priority", "sequence", "revision")
_ATTACHMENTS, _STATE, _PARENTS = PLACES["attachments"], PLACES["state"], PLACES["parents"]
_REQUIRED = tuple(
    name for name, default in zip(COLUMNS, _DEFAULTS, strict=True) if default is MISSING
)


def item_to_columns(item: Item) -> dict[str, Any]:
    """The row's clear columns as plain data; columns at their default are left out (size)."""
    values = column_values(item)
    # In C, not in a loop of ours: each row passes here at each of its commits.
    row = dict(compress(zip(COLUMNS, values, strict=True), map(operator.ne, values, _DEFAULTS)))
    for name in _ALWAYS:
        row[name] = getattr(item, name)
    row["state"] = str(item.state)
    if item.parents:
        row["parents"] = list(item.parents)
    if item.attachments:
        row["attachments"] = [
            {name: value for name, value in _attachment_columns(a) if value is not None}
            for a in item.attachments
        ]
    return row


def _attachment_columns(a: Attachment) -> tuple[tuple[str, Any], ...]:
    return (
        ("id", a.id),
        ("size", a.size),
        ("parts", a.parts),
        ("acked", a.acked),
        ("error", a.error),
    )


def item_from_columns(row: dict[str, Any]) -> Item:
    """The inverse of `item_to_columns`; columns this version does not know are ignored.

    Raises `InvalidItem` for a row that does not make an item (invariant 9: the caller quarantines).
    """
    values = list(_DEFAULTS)
    for name, value in row.items():
        place = PLACES.get(name)
        if place is not None and value is not None:
            values[place] = value
    try:
        values[_STATE] = State(row["state"])
        values[_PARENTS] = tuple(row.get("parents") or ())
        values[_ATTACHMENTS] = tuple(Attachment(**a) for a in row.get("attachments") or ())
        if MISSING in values:
            raise KeyError(next(n for n in _REQUIRED if row.get(n) is None))
        item = item_from_values(values)
        item.__post_init__()
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidItem(f"A stored row is not understood by this version: {error}.") from error
    return item

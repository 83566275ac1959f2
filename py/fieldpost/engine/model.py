"""The item and what belongs to it: frozen values, validated when made.

Times are integers: milliseconds since the Unix epoch, UTC. Ids are lower-case UUID strings.
The clear columns of a stored row are exactly the fields of `Item`; payload, title, names, file
names, server text and remote ids live only in the sealed parts (invariant 7).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

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
_MISSING: Any = object()


@lru_cache(maxsize=256)
def are_names(*texts: str) -> bool:
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


class _Columns(NamedTuple):
    """The clear columns of a row. A tuple, since each delivery makes each item anew five times: a
    tuple takes a tenth of the time of a class with as many slots."""

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
    handed_to: str | None = None  # the destination behind the gateway; None: its own inbox
    attachments: tuple[Attachment, ...] = ()
    schema: int = ROW_SCHEMA
    entity: str | None = None
    fingerprint: str | None = None
    natural_key: str | None = None
    owner: str | None = None
    kid: str | None = None  # data key of the sealed parts; given by the store
    parents: tuple[str, ...] = ()  # ids that must be completed before this one is sent
    on_parent_failed: str | None = None  # "cancel": go with a parent that is given up; None: wait


class Item(_Columns):
    """One captured piece of work: the clear columns of its row. Raises `InvalidItem` when made."""

    __slots__ = ()

    if not TYPE_CHECKING:  # the columns' names and types are the constructor's

        def __new__(cls, *values: Any, **named: Any) -> Item:
            item = super().__new__(cls, *values, **named)
            _check(item)
            return item

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
        """The item with other values in those columns.

        Raises `TypeError` for a column that does not exist, `InvalidItem` as the constructor.
        """
        values: list[Any] = list(self)
        for name, value in changes.items():
            place = PLACES.get(name)
            if place is None:
                raise TypeError(f"an Item has no column {name!r}")
            values[place] = value
        item = item_from_values(values)
        if not _CHECKED.isdisjoint(changes):
            _check(item)
        return item


#: The columns of `Item`, in order, and where each stands.
COLUMNS = Item._fields
PLACES = {name: place for place, name in enumerate(COLUMNS)}
#: What `_check` looks at.
_CHECKED = frozenset({"id", "send_id", "kind", "operation", "lane", "priority"})
_DEFAULTS = tuple(Item._field_defaults.get(name, _MISSING) for name in COLUMNS)


def _check(item: Item) -> None:
    """Raises `InvalidItem`."""
    if (
        _UUID.fullmatch(item.id)
        and _UUID.fullmatch(item.send_id)
        and are_names(item.kind, item.operation, item.lane)
        and PRIORITY_MIN <= item.priority <= PRIORITY_MAX
    ):
        return
    wrong: dict[str, str] = {}
    for name in ("id", "send_id"):
        if not _UUID.fullmatch(getattr(item, name)):
            wrong[name] = "must be a lower-case UUID"
    for name in ("kind", "operation", "lane"):
        if not are_names(getattr(item, name)):
            wrong[name] = "must be 1 to 64 of a-z, 0-9, _ . : -"
    if not PRIORITY_MIN <= item.priority <= PRIORITY_MAX:
        wrong["priority"] = f"must be {PRIORITY_MIN} to {PRIORITY_MAX}"
    raise InvalidItem(fields=wrong)


def item_from_values(values: Iterable[Any]) -> Item:
    """An `Item` from the values of all its columns, in order, that were an `Item`'s before.

    Without the checks of the constructor: they cost ten times the rest, and each row passes here
    once a commit.
    """
    return tuple.__new__(Item, values)


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
    name for name, default in zip(COLUMNS, _DEFAULTS, strict=True) if default is _MISSING
)


def item_to_columns(item: Item) -> dict[str, Any]:
    """The row's clear columns as plain data; columns at their default are left out (size)."""
    # In C, not in a loop of ours: each row passes here at each of its commits.
    row: dict[str, Any] = dict(
        compress(zip(COLUMNS, item, strict=True), map(operator.ne, item, _DEFAULTS))
    )
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
        if _MISSING in values:
            raise KeyError(next(n for n in _REQUIRED if row.get(n) is None))
        item = item_from_values(values)
        _check(item)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidItem(f"A stored row is not understood by this version: {error}.") from error
    return item

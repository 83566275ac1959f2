"""Rows of the Redis store: a hash each, and the indexes that follow from it (docs/redis.md).

Of a row's hash, field ``f`` holds what the scripts need (sequence, revision, state, kind, size and
kid, between spaces), ``x`` its index entries, ``c`` its other columns as JSON; each sealed part has
a field of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import MARKS, Item, Stored, item_from_columns, item_to_columns
from fieldpost.engine.ordering import may_expire, turn
from fieldpost.engine.transitions import State
from fieldpost.security.cipher import Cipher

from .rows import MARK_ORDER, attachment_ids, open_part, wake_at

#: What a script answers of a row: ``f``, ``c``, then the parts asked for; None for no such field.
Found = Sequence[bytes | None]

#: Columns that ``f`` holds and the scripts set.
_FIXED = ("sequence", "revision", "kid")

# The ends of keys, after the queue's prefix. The scripts know ":a:" for an attachment's.
READY, WAKE, RETRY = ":r:", ":w:", ":d:"


def listing_key(state: State) -> str:
    return f":s:{state}"


def expiry_key(state: State) -> str:
    return f":e:{state}"


def line_key(line: str, key: str) -> str:
    return f":l:{key}" if line == "entity" else f":p:{key}"


def mark_key(mark: str, hidden: str) -> str:
    return f":m:{mark}:{hidden}"


def goes_by_sequence(mark: str) -> bool:
    """Whether "oldest" among the rows with one value of it means the smallest sequence."""
    return MARK_ORDER[mark] == "sequence"


def entries(item: Item) -> list[list[str]]:
    """Where the row stands: [key], by its sequence; [key, score]; or [key, "" or score, end of the
    member]. At most one for each key."""
    found = [[listing_key(item.state)]]
    if item.ready:
        found.append([f"{READY}{item.lane}", str(item.level)])
    wake = wake_at(item)
    if wake is not None:
        found.append([f"{WAKE}{item.lane}", str(wake)])
        if item.due_at is not None:
            found.append([f"{RETRY}{item.lane}", str(item.due_at)])
    for mark in MARKS:
        hidden = getattr(item, mark)
        if hidden is not None:
            made = str(item.created_at)
            place = ["", made] if goes_by_sequence(mark) else [made]
            found.append([mark_key(mark, hidden), *place])
    at = turn(item)
    if at is not None and item.entity is not None:
        found.append([line_key("entity", item.entity), str(at)])
    if item.state is State.BLOCKED:
        found += [[line_key("parent", parent), "0"] for parent in dict.fromkeys(item.parents)]
    if may_expire(item):
        found.append([expiry_key(item.state), str(item.expires_at)])
    if item.attachments:
        found += [[f":a:{id_}"] for id_ in dict.fromkeys(attachment_ids(item.attachments))]
    return found


def entries_text(item: Item) -> bytes:
    return json.dumps(entries(item), separators=(",", ":")).encode()


def columns_text(item: Item) -> bytes:
    columns = item_to_columns(item)
    for name in _FIXED:
        columns.pop(name, None)
    return json.dumps(columns, separators=(",", ":")).encode()


def item_of(found: Found) -> Item:
    """Raises `InvalidItem` for a row that this version does not understand (invariant 9)."""
    try:
        sequence, revision, _state, _kind, _size, kid = (found[0] or b"").decode().split(" ")
        columns: dict[str, Any] = json.loads(found[1] or b"")
        fixed = {"sequence": int(sequence), "revision": int(revision), "kid": kid or None}
    except ValueError as error:
        raise InvalidItem("A stored row is not understood by this version.") from error
    return item_from_columns(columns | fixed)


def stored(
    cipher: Cipher, found: Sequence[Found | None], parts: Sequence[str] = ()
) -> list[Stored]:
    """The rows that are there, with ``parts`` (in the order asked for) opened."""
    opened: list[Stored] = []
    for row in found:
        if row is None:
            continue
        item = item_of(row)
        sealed = zip(parts, row[2:], strict=True)
        opened.append(
            Stored(item, {p: open_part(cipher, item, p, data) for p, data in sealed if data})
        )
    return opened


def with_kid(kid: str, sealed: bytes) -> bytes:
    """A sealed thing outside of rows, as one value."""
    return kid.encode() + b" " + sealed


def kid_of(value: bytes) -> tuple[str, bytes]:
    """(kid, envelope) of a value made by `with_kid`."""
    kid, _, sealed = value.partition(b" ")
    return kid.decode(), sealed

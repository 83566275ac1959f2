"""Rows of the table ``items`` to and from `Item`, and the statements that write them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress, repeat
from operator import is_not, ne
from typing import Any, TypeVar

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import COLUMNS, PARTS, PLACES, Attachment, Item, item_from_values
from fieldpost.engine.ordering import turn
from fieldpost.engine.transitions import State

from .rows import Counted, wake_at

_T = TypeVar("_T")

#: Ids in one statement; SQLite takes 32,766 variables, older builds 999.
CHUNK = 500

#: The clear columns of the table: those of an item, and those that follow from them.
NAMES = (*COLUMNS, "rank", "wake", "line")
_WIDTH = len(COLUMNS)
#: The values of `NAMES` as SQLite keeps them, in order.
Values = Sequence[Any]

_STATE, _READY, _KIND, _SIZE = (PLACES[name] for name in ("state", "ready", "kind", "size"))
_ATTACHMENTS, _PARENTS = PLACES["attachments"], PLACES["parents"]
SEQUENCE, REVISION, KID = (PLACES[name] for name in ("sequence", "revision", "kid"))
_STATES = {str(state): state for state in State}
_TEXTS = {state: text for text, state in _STATES.items()}

SELECT_COLUMNS = ", ".join(NAMES)
SELECT_ROW = ", ".join((*NAMES, *PARTS))


def counted(values: Values) -> Counted:
    return Counted(values[_STATE], values[_KIND], values[_SIZE])


def waits_for(values: Values) -> tuple[str, ...]:
    """The parents that the row is in line for."""
    parents = values[_PARENTS]
    return tuple(json.loads(parents)) if parents and values[_STATE] == State.BLOCKED else ()


def attached(values: Values) -> list[str]:
    """The ids of the row's attachments."""
    text = values[_ATTACHMENTS]
    return [a["id"] for a in json.loads(text)] if text else []


def load_rows(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Values]:
    """The rows that exist, by id."""
    found: dict[str, Values] = {}
    for chunk in chunks(ids):
        where = f"id IN ({marks_of(len(chunk))})"
        for row in connection.execute(f"SELECT {SELECT_COLUMNS} FROM items WHERE {where}", chunk):  # noqa: S608 - own names
            found[row[0]] = row
    return found


def chunks(values: Sequence[_T], size: int = CHUNK) -> Iterator[Sequence[_T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def marks_of(count: int) -> str:
    """``?, ?, …``: that many variables."""
    return ", ".join("?" * count)


def item_of(row: Sequence[Any]) -> Item:
    """The `Item` in the first columns of a row selected with `SELECT_COLUMNS`.

    Raises `InvalidItem` for one this version does not understand (invariant 9).
    """
    values = list(row[:_WIDTH])
    try:
        values[_STATE] = _STATES[values[_STATE]]
        values[_READY] = bool(values[_READY])
        text = values[_ATTACHMENTS]
        values[_ATTACHMENTS] = tuple(Attachment(**a) for a in json.loads(text)) if text else ()
        values[_PARENTS] = tuple(json.loads(values[_PARENTS])) if values[_PARENTS] else ()
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidItem("A stored row is not understood by this version.") from error
    return item_from_values(values)


def values_of(item: Item) -> Values:
    """What SQLite keeps of an item."""
    values = [*item, item.level if item.ready else None, wake_at(item), turn(item)]
    values[_STATE] = _TEXTS[item.state]
    values[_READY] = 1 if item.ready else 0
    values[_PARENTS] = json.dumps(item.parents) if item.parents else None
    values[_ATTACHMENTS] = _attachments_text(item.attachments) if item.attachments else None
    return values


def _attachments_text(attachments: Iterable[Attachment]) -> str:
    listed = [
        {"id": a.id, "size": a.size, "parts": a.parts, "acked": a.acked, "error": a.error}
        for a in attachments
    ]
    return json.dumps(listed, separators=(",", ":"))


# --- statements -----------------------------------------------------------------------------------
# Each writes no more columns than it must. SQLite rewrites an index whenever one of its columns is
# set, changed or not; and the sqlite3 module takes longer over a None, a bool or a bytes than over
# the rest of a column, since it looks for an adapter first: so NULL stands in the statement where
# it can, and bytes go as what has no adapter. The forms are few, some for each thing that happens
# to a row, and each is made once.

_ALL = (*NAMES, *PARTS)
#: Forms kept; the module keeps as many of the statements compiled.
_FORMS = 128


def insert_of(values: Values, parts: Mapping[str, bytes | None]) -> tuple[str, Sequence[Any]]:
    """(statement, its values) for a new row."""
    row = [*values, *_bound(map(parts.get, PARTS))]
    form = tuple(map(is_not, row, repeat(None)))
    return _insert(form), list(compress(row, form))


def _bound(parts: Iterable[bytes | None]) -> list[bytearray | None]:
    return [None if part is None else bytearray(part) for part in parts]


@lru_cache(_FORMS)
def _insert(form: tuple[bool, ...]) -> str:
    names = list(compress(_ALL, form))
    return f"INSERT INTO items ({', '.join(names)}) VALUES ({marks_of(len(names))})"  # noqa: S608


def update_of(
    old: Values, values: Values, parts: Mapping[str, bytes | None]
) -> tuple[str, Sequence[Any]]:
    """(statement, its values) that write ``values`` over the row ``old``, if that is still what is
    there: a row's number and revision say everything of it."""
    form = tuple(map(ne, old, values))  # never none of them: the revision has risen
    new = [*compress(values, form), *_bound(parts.values())]
    filled = tuple(map(is_not, new, repeat(None)))
    sql = _update(form, tuple(parts), filled)
    return sql, [*compress(new, filled), old[SEQUENCE], old[REVISION]]


@lru_cache(_FORMS)
def _update(form: tuple[bool, ...], parts: tuple[str, ...], filled: tuple[bool, ...]) -> str:
    names = (*compress(NAMES, form), *parts)
    new = ", ".join(
        f"{name} = {'?' if given else 'NULL'}" for name, given in zip(names, filled, strict=True)
    )
    return f"UPDATE items SET {new} WHERE sequence = ? AND revision = ?"  # noqa: S608 - own names

"""Rows of the table ``items`` to and from `Item`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import COLUMNS, PARTS, Attachment, Item, item_from_values
from fieldpost.engine.ordering import turn
from fieldpost.engine.transitions import State

from .rows import Counted, wake_at

_T = TypeVar("_T")

#: Ids in one statement; SQLite takes 32,766 variables, older builds 999.
CHUNK = 500

_STATE, _READY = COLUMNS.index("state"), COLUMNS.index("ready")
_ATTACHMENTS, _PARENTS = COLUMNS.index("attachments"), COLUMNS.index("parents")

#: Columns in an index: written only where they change, the rest with every update.
INDEXED = (
    "lane",
    "state",
    "created_at",
    "due_at",
    "entity",
    "fingerprint",
    "natural_key",
    "rank",
    "wake",
    "line",
    "expires_at",
    "step",
    "parents",
)
_PLAIN = tuple(c for c in COLUMNS if c not in INDEXED and c not in ("id", "sequence"))
_NAMES = (*COLUMNS, "rank", "wake", "line")
_PLACES = {name: place for place, name in enumerate(_NAMES)}
_PLAIN_PLACES = tuple(_PLACES[name] for name in _PLAIN)
_INDEXED_PLACES = tuple(_PLACES[name] for name in INDEXED)

#: The fields of `Before` that are columns, in order.
_BEFORE = ("sequence", "revision", "kid", "attachments", "kind", "size")

SELECT_COLUMNS = ", ".join(COLUMNS)
SELECT_ROW = ", ".join((*COLUMNS, *PARTS))
#: What a commit must know of a row it writes over: the fields of `Before`.
SELECT_BEFORE = ", ".join(("id", *_BEFORE, *INDEXED))
INSERT = (
    f"INSERT INTO items ({', '.join((*_NAMES, *PARTS))}) "  # noqa: S608 - names of ours only
    f"VALUES ({', '.join('?' * (len(_NAMES) + len(PARTS)))})"
)


@dataclass(frozen=True, slots=True)
class Before:
    """What a commit must know of a row it writes over."""

    sequence: int
    revision: int
    kid: str | None
    attachments: str | None
    kind: str
    size: int
    indexed: tuple[Any, ...]  # the values of `INDEXED`

    @property
    def state(self) -> State:
        return State(self.indexed[_STATE_INDEXED])

    @property
    def counted(self) -> Counted:
        return Counted(self.state, self.kind, self.size)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The parents that it is in line for."""
        return waits_for(self.state, self.indexed[_PARENTS_INDEXED])


_STATE_INDEXED, _PARENTS_INDEXED = INDEXED.index("state"), INDEXED.index("parents")


def waits_for(state: State, parents: str | None) -> tuple[str, ...]:
    return tuple(json.loads(parents)) if parents and state is State.BLOCKED else ()


def before_of(values: Sequence[Any]) -> Before:
    """What a later put of the same commit must know of a row with these `values_of`."""
    return _before(
        [values[_PLACES[name]] for name in _BEFORE], [values[place] for place in _INDEXED_PLACES]
    )


def _before(plain: Sequence[Any], indexed: Sequence[Any]) -> Before:
    sequence, revision, kid, attachments, kind, size = plain
    return Before(sequence, revision, kid, attachments, kind, size, tuple(indexed))


def load_before(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Before]:
    """The rows that exist, by id."""
    found: dict[str, Before] = {}
    for chunk in chunks(ids):
        sql = f"SELECT {SELECT_BEFORE} FROM items WHERE id IN ({marks_of(len(chunk))})"  # noqa: S608
        for id_, *row in connection.execute(sql, chunk):
            found[id_] = _before(row[: len(_BEFORE)], row[len(_BEFORE) :])
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
    values = list(row[: len(COLUMNS)])
    try:
        values[_STATE] = State(values[_STATE])
        values[_READY] = bool(values[_READY])
        text = values[_ATTACHMENTS]
        values[_ATTACHMENTS] = tuple(Attachment(**a) for a in json.loads(text)) if text else ()
        values[_PARENTS] = tuple(json.loads(values[_PARENTS])) if values[_PARENTS] else ()
    except (TypeError, ValueError) as error:
        raise InvalidItem("A stored row is not understood by this version.") from error
    return item_from_values(values)


def values_of(item: Item) -> list[Any]:
    """The values of `COLUMNS`, ``rank``, ``wake`` and ``line`` as SQLite keeps them."""
    values = [*item, item.level if item.ready else None, wake_at(item), turn(item)]
    values[_PARENTS] = json.dumps(item.parents) if item.parents else None
    values[_STATE] = str(item.state)
    values[_ATTACHMENTS] = _attachments_text(item.attachments)
    return values


def _attachments_text(attachments: Iterable[Attachment]) -> str | None:
    listed = [
        {"id": a.id, "size": a.size, "parts": a.parts, "acked": a.acked, "error": a.error}
        for a in attachments
    ]
    return json.dumps(listed, separators=(",", ":")) if listed else None


def insert_values(values: Sequence[Any], parts: Mapping[str, bytes | None]) -> list[Any]:
    """The values for `INSERT`."""
    return [*values, *map(parts.get, PARTS)]


def update_of(
    old: Before, values: Sequence[Any], parts: Mapping[str, bytes | None]
) -> tuple[str, list[Any]]:
    """(statement, values) that write ``values`` over the row ``old``.

    SQLite rewrites an index whenever a statement sets one of its columns, changed or not.
    """
    changed = [
        place
        for place, value in zip(_INDEXED_PLACES, old.indexed, strict=True)
        if values[place] != value
    ]
    names = [*(_NAMES[place] for place in changed), *parts]
    more = "".join(f", {name} = ?" for name in names)
    new = [*(values[place] for place in _PLAIN_PLACES), *(values[place] for place in changed)]
    return _UPDATE.format(more), [*new, *parts.values(), old.sequence]


_UPDATE = f"UPDATE items SET {', '.join(f'{n} = ?' for n in _PLAIN)}{{}} WHERE sequence = ?"  # noqa: S608

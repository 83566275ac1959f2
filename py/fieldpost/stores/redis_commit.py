"""One commit as the script of the Redis store takes it, and what its answer says."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fieldpost.engine.errors import DatabaseError
from fieldpost.engine.model import PARTS
from fieldpost.ports import (
    Absent,
    Below,
    Commit,
    Committed,
    Line,
    Precondition,
    Put,
    Refused,
    Revision,
)
from fieldpost.security.cipher import Cipher

from . import rows
from .redis_rows import (
    Found,
    columns_text,
    entries_text,
    goes_by_sequence,
    item_of,
    line_key,
    mark_key,
    with_kid,
)
from .sealing import SealedCommit, SealedPut


def words_of(sealed: SealedCommit, resealed: Collection[int] = ()) -> list[bytes]:
    """The script's arguments. ``resealed``: places of puts that carry all parts of their rows."""
    commit = sealed.commit
    more: list[bytes] = []

    def place(data: bytes) -> int:
        more.append(data)
        return len(more) + 1  # the first one is the job

    adopting = set(commit.adopt)
    job: dict[str, Any] = {
        "expect": [_demand(sealed, at, e) for at, e in enumerate(commit.expect)],
        "puts": [],
        "adopt": commit.adopt,
        "drop": commit.drop,
        "drop_blobs": commit.drop_blobs,
        "side": [
            [table, key, 0 if value is None else place(with_kid(*value))]
            for (table, key), value in sealed.side.items()
        ],
    }
    for at, each in enumerate(sealed.puts):
        put = each.put
        item = rows.stamped(put.item, 0, 0, None, each.marks)
        job["puts"].append(
            {
                "id": item.id,
                "insert": put.insert,
                "revision": put.item.revision,
                "adopting": put.insert and item.id in adopting,
                "state": item.state,
                "kind": item.kind,
                "size": str(item.size),
                "kid": each.kid or "",
                "resealed": at in resealed,
                "x": place(entries_text(item)),
                "c": place(columns_text(item)),
                "parts": {
                    part: 0 if data is None else place(data) for part, data in each.parts.items()
                },
            }
        )
    if commit.journal is not None:
        record = commit.journal
        text = place(record.text.encode())
        job["journal"] = [record.writer, record.k, record.hash, text]
    return [json.dumps(job, separators=(",", ":")).encode(), *more]


def _demand(sealed: SealedCommit, at: int, expected: Precondition) -> list[Any]:
    if isinstance(expected, Absent):
        return ["absent", expected.id]
    if isinstance(expected, Revision):
        return ["revision", expected.id, expected.revision]
    if isinstance(expected, Below):
        return ["below", expected.counter, expected.limit]
    if isinstance(expected, Line):
        return ["line", line_key(expected.line, expected.key), expected.size, expected.ids]
    until = "+inf" if expected.until is None else str(expected.until)
    key = mark_key(expected.mark, sealed.uniques[at])
    return ["unique", key, goes_by_sequence(expected.mark), str(expected.since), until]


def refusal(commit: Commit, answer: Sequence[Any]) -> Refused:
    _, index, existing = answer
    if index < len(commit.expect):
        expected = commit.expect[index]
    else:
        expected = _implied(commit.puts[index - len(commit.expect)])
    return Refused(index, expected, existing.decode() or None)


def _implied(put: Put) -> Precondition:
    return Absent(put.item.id) if put.insert else Revision(put.item.id, put.item.revision)


def committed(sealed: SealedCommit, answer: Sequence[Any]) -> Committed:
    _, revision, *given = answer
    items = [
        rows.stamped(
            each.put.item,
            sequence,
            1 if each.put.insert else each.put.item.revision + 1,
            kid.decode() or None,
            each.marks,
        )
        for each, sequence, kid in zip(sealed.puts, given[::2], given[1::2], strict=True)
    ]
    return Committed(revision, tuple(items))


def known_already() -> DatabaseError:
    """The commit came a second time: what the first one did stands."""
    return DatabaseError("This change had been written before. Look at what is stored.")


def reseal(
    cipher: Cipher, sealed: SealedCommit, found: Mapping[str, Found]
) -> tuple[SealedCommit, set[int]]:
    """The commit with all parts of the rows ``found`` (by id, with `PARTS`) under the new key, and
    the places of the puts that carry them: a row has one key.

    The script looks at the revision again, so what is carried is what is there. Raises
    `DecryptionError`.
    """
    puts, places = list(sealed.puts), set[int]()
    left = {
        id_: {part: data for part, data in zip(PARTS, row[2:], strict=True) if data is not None}
        for id_, row in found.items()
    }
    for at, each in enumerate(puts):
        id_ = each.put.item.id
        kept = left.get(id_)
        if kept is None:
            continue
        kept = {part: data for part, data in kept.items() if part not in each.parts}
        if each.kid is None:
            left[id_] = kept  # it only took parts away
            continue
        again = rows.reseal(cipher, item_of(found[id_]), each.kid, kept)
        puts[at] = SealedPut(each.put, each.kid, again | each.parts, each.marks)
        places.add(at)
        del left[id_]
    return sealed._replace(puts=puts), places

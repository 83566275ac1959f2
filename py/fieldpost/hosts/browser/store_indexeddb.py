"""`ports.Store` over the glue: one JavaScript call is one IndexedDB transaction.

Sealing happens in the glue, with keys that Python never sees.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

from fieldpost.engine.model import Capture, Item, Stored, item_from_columns, item_to_columns
from fieldpost.engine.scheduling import ReadyKey
from fieldpost.engine.transitions import State
from fieldpost.ports import (
    Absent,
    Below,
    Commit,
    Committed,
    JournalRecord,
    Line,
    Manifest,
    Page,
    Precondition,
    Put,
    Refused,
    Revision,
)
from fieldpost.stores.rows import stamped

from .interop import Device, Frame


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _expectation(expectation: Precondition) -> dict[str, Any]:
    if isinstance(expectation, Absent):
        return {"t": "absent", "id": expectation.id}
    if isinstance(expectation, Revision):
        return {"t": "revision", "id": expectation.id, "revision": expectation.revision}
    if isinstance(expectation, Below):
        return {"t": "below", "counter": expectation.counter, "limit": expectation.limit}
    if isinstance(expectation, Line):
        return {
            "t": "line",
            "line": expectation.line,
            "key": expectation.key,
            "ids": expectation.ids,
            "size": expectation.size,
        }
    return {
        "t": "unique",
        "mark": expectation.mark,
        "value": expectation.value,
        "since": expectation.since,
        "until": expectation.until,
    }


class _Buffer:
    """The bytes of one call, and where each piece lies in them."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes | None) -> list[int] | None:
        if data is None:
            return None
        place = [self._size, len(data)]
        self._pieces.append(data)
        self._size += len(data)
        return place

    def join(self) -> bytes:
        return b"".join(self._pieces)


def _encode(commit: Commit) -> tuple[str, bytes]:
    buffer = _Buffer()
    journal = commit.journal
    puts = [
        {
            "row": item_to_columns(put.item),
            "insert": put.insert,
            "parts": {part: buffer.add(data) for part, data in put.parts.items()},
            "marks": put.marks,
        }
        for put in commit.puts
    ]
    change = {
        "expect": [_expectation(e) for e in commit.expect],
        "puts": puts,
        "adopt": commit.adopt,
        "drop_blobs": commit.drop_blobs,
        "drop": commit.drop,
        "side": [[table, key, text] for (table, key), text in commit.side.items()],
        "journal": journal
        and {"writer": journal.writer, "k": journal.k, "hash": journal.hash, "text": journal.text},
    }
    return _dumps(change), buffer.join()


def _refused(commit: Commit, index: int, existing_id: str | None) -> Refused:
    """``index`` counts the preconditions, then the puts."""
    if index < len(commit.expect):
        return Refused(index, commit.expect[index], existing_id)
    put: Put = commit.puts[index - len(commit.expect)]
    item = put.item
    broken = Absent(item.id) if put.insert else Revision(item.id, item.revision)
    return Refused(index, broken, existing_id)


def _stored(frame: Frame) -> list[Stored]:
    return [
        Stored(
            item_from_columns(row),
            {part: frame.bytes_at(place) for part, place in row["parts"].items()},
        )
        for row in frame.value["rows"]
    ]


class IndexedDBStore:
    """See `ports.Store` for every method; ``device`` may be shared with the other ports."""

    def __init__(self, device: Device):
        self._device = device

    async def commit(self, commit: Commit) -> Committed:
        answer = (await self._device.frame("commit", *_encode(commit))).value
        if refused := answer.get("refused"):
            raise _refused(commit, refused["index"], refused["existing_id"])
        items = (
            stamped(put.item, sequence, revision, kid, dict(marks))
            for put, (sequence, revision, kid, marks) in zip(
                commit.puts, answer["rows"], strict=True
            )
        )
        return Committed(answer["revision"], tuple(items))

    async def _rows(self, method: str, **asked: Any) -> list[Stored]:
        return _stored(await self._device.frame(method, _dumps(asked)))

    async def get(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        return await self._rows("get", ids=list(ids), parts=list(parts))

    async def ready(self, lane: str, limit: int, parts: Sequence[str] = ()) -> list[Stored]:
        return await self._rows("ready", lane=lane, limit=limit, parts=list(parts))

    async def ready_keys(
        self, lane: str, per_level: int, *, newest_first: bool = False
    ) -> list[ReadyKey]:
        found = await self._device.json(
            "readyKeys", lane=lane, per_level=per_level, newest_first=newest_first
        )
        return [ReadyKey(*key) for key in found]

    async def waiting(self, lane: str, now: int, horizon: int, limit: int) -> list[Stored]:
        return await self._rows("waiting", lane=lane, now=now, horizon=horizon, limit=limit)

    async def next_due(self, lane: str) -> int | None:
        due: int | None = await self._device.json("nextDue", lane=lane)
        return due

    async def lines(
        self, line: Literal["entity", "parent"], keys: Sequence[str], size: int
    ) -> list[list[Item]]:
        asked = {"line": line, "keys": list(keys), "size": size}
        frame = await self._device.frame("lines", _dumps(asked))
        rows = (stored.item for stored in _stored(frame))
        return [list(islice(rows, count)) for count in frame.value["counts"]]

    async def marks(self, mark: str, values: Sequence[str]) -> list[str]:
        hidden: list[str] = await self._device.json("marks", mark=mark, values=list(values))
        return hidden

    async def expired(self, now: int, limit: int) -> list[Stored]:
        return await self._rows("expired", now=now, limit=limit)

    async def page(
        self,
        states: Sequence[State],
        *,
        limit: int,
        cursor: int | None = None,
        newest_first: bool = False,
        parts: Sequence[str] = (),
    ) -> Page:
        asked = {
            "states": list(states),
            "limit": limit,
            "cursor": cursor,
            "newest_first": newest_first,
            "parts": list(parts),
        }
        frame = await self._device.frame("page", _dumps(asked))
        return Page(_stored(frame), frame.value["next"])

    async def find(self, mark: str, value: str, limit: int = 10) -> list[str]:
        found: list[str] = await self._device.json("find", mark=mark, value=value, limit=limit)
        return found

    async def counters(self) -> dict[str, int]:
        counters: dict[str, int] = await self._device.json("counters")
        return counters

    async def side(self, table: str, key: str) -> str | None:
        found: dict[str, str] = await self._device.json("sides", table=table, key=key)
        return found.get(key)

    async def sides(self, table: str) -> dict[str, str]:
        found: dict[str, str] = await self._device.json("sides", table=table)
        return found

    async def journal(self, after: int, limit: int) -> list[tuple[int, JournalRecord]]:
        records = await self._device.json("journal", after=after, limit=limit)
        return [
            (
                record["n"],
                JournalRecord(*(record[name] for name in ("writer", "k", "hash", "text"))),
            )
            for record in records
        ]

    async def heads(self) -> dict[str, tuple[int, str]]:
        heads = await self._device.json("heads")
        return {writer: (k, hash_) for writer, (k, hash_) in heads.items()}

    async def capture(self, capture: Capture) -> None:
        saved = {"id": capture.id, "at": capture.at, "data": capture.data.decode()}
        await self._device.call("capture", _dumps(saved))

    async def captures(self, limit: int) -> list[Capture]:
        frame = await self._device.frame("captures", _dumps({"limit": limit}))
        return [
            Capture(found["id"], found["at"], frame.bytes_at(found["data"]))
            for found in frame.value["captures"]
        ]

    async def put_part(self, attachment_id: str, n: int, data: bytes) -> None:
        if n < 1:
            raise ValueError("parts are numbered from 1")
        await self._device.call("putPart", attachment_id, n, data)

    async def put_manifest(self, manifest: Manifest) -> None:
        value = {
            "id": manifest.id,
            "name": manifest.name,
            "type": manifest.type,
            "size": manifest.size,
            "sha256": manifest.sha256,
            "at": manifest.at,
        }
        await self._device.call("putManifest", _dumps(value))

    async def manifest(self, attachment_id: str) -> Manifest | None:
        found = await self._device.json("manifest", id=attachment_id)
        if found is None:
            return None
        return Manifest(**found | {"sha256": tuple(found["sha256"])})

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        frame = await self._device.frame("part", _dumps({"id": attachment_id, "n": n}))
        place = frame.value["part"]
        return None if place is None else frame.bytes_at(place)

    async def orphans(self, before: int, limit: int) -> list[str]:
        found: list[str] = await self._device.json("orphans", before=before, limit=limit)
        return found

    async def close(self) -> None:
        await self._device.close()

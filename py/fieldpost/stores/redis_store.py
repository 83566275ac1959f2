"""The store on Redis: one server, any number of processes on any number of machines, sealed rows.

A commit is one Lua script, so it is atomic; it is durable because the server is only taken when it
syncs its log before it answers (docs/redis.md). For CPython hosts only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from fieldpost.engine.errors import ConfigError, DatabaseError, SchemaTooNew
from fieldpost.engine.model import MARKS, PARTS, Capture, Item, Stored
from fieldpost.engine.scheduling import ReadyKey
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Committed, JournalRecord, Manifest, Page
from fieldpost.security.cipher import Cipher

from . import redis_commit, rows
from .redis_link import Durability, Place, RedisLink, store_script
from .redis_rows import (
    WAKE,
    Found,
    expiry_key,
    goes_by_sequence,
    item_of,
    kid_of,
    line_key,
    listing_key,
    mark_key,
    stored,
    with_kid,
)
from .rows import BY_KIND, COUNTERS
from .sealing import seal_commit

_COMMIT, _READ, _WRITE = map(store_script, ("commit", "read", "write"))

#: Rows or captures of one look: a script has the server to itself.
_AT_ONCE = 500


class RedisStore:
    """`ports.Store` in a Redis server. Made by `open`; used from one event loop."""

    def __init__(self, link: RedisLink, cipher: Cipher) -> None:
        self._link = link
        self._cipher = cipher

    @classmethod
    async def open(cls, url: str, cipher: Cipher, *, ack_loss: str | None = None) -> RedisStore:
        """The queue that ``url`` names (`redis_link.Place.of`), made there when there is none.

        ``ack_loss``: "1s" accepts a server that may lose the last second of what it acknowledged
        (``appendfsync everysec``), or does not tell; None accepts only one that loses nothing.
        Raises `ConfigError` for such a server, a URL that is none, or keys that are not those of
        the queue; `SchemaTooNew` when a newer version wrote it; `DatabaseError`.
        """
        link = RedisLink(Place.of(url, ack_loss))
        store = cls(link, cipher)
        try:
            # Marks made with another index key would find nothing, and no error would say so.
            await store._write("open", cipher.mark("keys", "fieldpost"), *COUNTERS)
        except BaseException:
            await link.close()
            raise
        return store

    @property
    def durability(self) -> Durability:
        """How sure the server's word is: ``always`` loses nothing it acknowledged; ``everysec`` may
        lose a second; ``unknown``: it does not tell."""
        return self._link.durability

    async def close(self) -> None:
        await self._link.close()

    # --- commits -----------------------------------------------------------------------------

    async def commit(self, commit: Commit) -> Committed:
        sealed, resealed = seal_commit(self._cipher, commit), set[int]()
        while True:
            words = redis_commit.words_of(sealed, resealed)
            answer = await self._link.run(_COMMIT, *words)
            if answer[0] == b"done":
                return redis_commit.committed(sealed, answer)
            if answer[0] == b"refused":
                raise redis_commit.refusal(commit, answer)
            if answer[0] == b"again":
                raise redis_commit.known_already()
            if answer[0] != b"reseal":
                raise _in_the_way(answer[0])
            ids = [id_.decode() for id_ in answer[1:]]
            found = {item_of(row).id: row for row in await self._get(ids, PARTS)}
            sealed, more = redis_commit.reseal(self._cipher, sealed, found)
            resealed |= more

    async def _write(self, *words: Any) -> None:
        answer = await self._link.run(_WRITE, *words)
        if answer[0] != b"done":
            raise _in_the_way(answer[0])

    # --- rows --------------------------------------------------------------------------------

    async def _look(self, which: str, **told: Any) -> Any:
        return await self._link.run(_READ, which, json.dumps(told, separators=(",", ":")))

    async def _get(self, ids: Sequence[str], parts: Sequence[str]) -> list[Found]:
        found: list[Found] = []
        for start in range(0, len(ids), _AT_ONCE):
            some = list(ids[start : start + _AT_ONCE])
            found += await self._look("get", ids=some, parts=list(parts))
        return found

    async def get(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        wanted = _known(parts)
        return stored(self._cipher, await self._get(ids, wanted), wanted)

    async def ready(self, lane: str, limit: int, parts: Sequence[str] = ()) -> list[Stored]:
        wanted = _known(parts)
        found = await self._look("ready", lane=lane, limit=limit, parts=wanted)
        return stored(self._cipher, found, wanted)

    async def ready_keys(
        self, lane: str, per_level: int, *, newest_first: bool = False
    ) -> list[ReadyKey]:
        found = await self._look("ready_keys", lane=lane, per_level=per_level, newest=newest_first)
        return [ReadyKey(int(level), int(at[:16]), at[16:52].decode()) for level, at in found]

    async def waiting(self, lane: str, now: int, horizon: int, limit: int) -> list[Stored]:
        told = {"now": str(now), "far": str(now + horizon), "limit": limit}
        return stored(self._cipher, await self._look("waiting", lane=lane, **told))

    async def next_due(self, lane: str) -> int | None:
        key = f"{self._link.prefix}{WAKE}{lane}"
        found = await self._link.ask("ZRANGE", key, 0, 0, "WITHSCORES")
        return int(float(found[1])) if found else None

    async def lines(
        self, line: Literal["entity", "parent"], keys: Sequence[str], size: int
    ) -> list[list[Item]]:
        named = [line_key(line, key) for key in keys]
        found = await self._look("lines", keys=named, size=size)
        return [[item_of(row) for row in one if row is not None] for one in found]

    async def marks(self, mark: str, values: Sequence[str]) -> list[str]:
        return [self._cipher.mark(mark, value) for value in values]

    async def expired(self, now: int, limit: int) -> list[Stored]:
        keys = [expiry_key(state) for state in (State.PENDING, State.BLOCKED)]
        found = await self._look("expired", keys=keys, now=str(now), limit=limit)
        return stored(self._cipher, found)

    async def page(
        self,
        states: Sequence[State],
        *,
        limit: int,
        cursor: int | None = None,
        newest_first: bool = False,
        parts: Sequence[str] = (),
    ) -> Page:
        wanted = _known(parts)
        start = "+inf" if newest_first else "-inf"
        found, more = await self._look(
            "page",
            keys=[listing_key(state) for state in dict.fromkeys(states)],
            beyond=start if cursor is None else f"({cursor}",
            limit=limit,
            newest=newest_first,
            parts=wanted,
        )
        page = stored(self._cipher, found, wanted)
        return Page(page, page[-1].item.sequence if page and more else None)

    async def find(self, mark: str, value: str, limit: int = 10) -> list[str]:
        if mark not in MARKS:
            raise ValueError(f"no such mark: {mark}")
        key = mark_key(mark, self._cipher.mark(mark, value))
        told = {"by_sequence": goes_by_sequence(mark), "limit": limit}
        return [id_.decode() for id_ in await self._look("find", key=key, **told)]

    async def counters(self) -> dict[str, int]:
        found = await self._link.ask("HGETALL", f"{self._link.prefix}:meta")
        if not found:
            raise _in_the_way(b"gone")
        named = {name.decode(): value for name, value in found.items()}
        shown = {name: int(named.get(name, 0)) for name in COUNTERS}
        return shown | {n: int(v) for n, v in named.items() if n.startswith(BY_KIND)}

    # --- side records and journal ------------------------------------------------------------

    async def side(self, table: str, key: str) -> str | None:
        value = await self._link.ask("HGET", f"{self._link.prefix}:side:{table}", key)
        return None if value is None else rows.open_side(self._cipher, table, key, *kid_of(value))

    async def sides(self, table: str) -> dict[str, str]:
        found = await self._link.ask("HGETALL", f"{self._link.prefix}:side:{table}")
        named = sorted((key.decode(), value) for key, value in found.items())
        return {k: rows.open_side(self._cipher, table, k, *kid_of(v)) for k, v in named}

    async def journal(self, after: int, limit: int) -> list[tuple[int, JournalRecord]]:
        key = f"{self._link.prefix}:journal"
        found = await self._link.ask("XRANGE", key, max(after, 0) + 1, "+", "COUNT", limit)
        return [(int(id_.partition(b"-")[0]), _record(values)) for id_, values in found]

    async def heads(self) -> dict[str, tuple[int, str]]:
        heads: dict[str, tuple[int, str]] = {}
        for writer, head in await self._look("heads"):
            k, _, hash_ = head.decode().partition(" ")
            heads[writer.decode()] = (int(k), hash_)
        return heads

    # --- inbox and blobs ---------------------------------------------------------------------

    async def capture(self, capture: Capture) -> None:
        sealed = self._cipher.seal(capture.id, "capture", "body", capture.data)
        uses = json.dumps(sorted(set(rows.captured_attachments(capture.data))))
        await self._write("capture", capture.id, capture.at, with_kid(*sealed), uses)

    async def captures(self, limit: int) -> list[Capture]:
        found: list[tuple[str, int, str, bytes]] = []
        after = "-inf"
        while (left := limit - len(found)) > 0:
            some = await self._look("captures", after=after, limit=min(left, _AT_ONCE))
            for number, id_, at, value in some:
                found.append((id_.decode(), int(at), *kid_of(value)))
                after = number.decode()
            if len(some) < _AT_ONCE:
                break
        return rows.open_captures(self._cipher, found)

    async def put_part(self, attachment_id: str, n: int, data: bytes) -> None:
        if n < 1:
            raise ValueError("parts are numbered from 1")
        sealed = self._cipher.seal(attachment_id, "attachment", str(n), data)
        made = rows.made_at(attachment_id)
        at = "" if made is None else made
        await self._write("blob", attachment_id, n, with_kid(*sealed), at)

    async def put_manifest(self, manifest: Manifest) -> None:
        sealed = rows.seal_manifest(self._cipher, manifest)
        await self._write("blob", manifest.id, 0, with_kid(*sealed), manifest.at)

    async def manifest(self, attachment_id: str) -> Manifest | None:
        key = f"{self._link.prefix}:b:{attachment_id}"
        value, at = await self._link.ask("HMGET", key, 0, "at")
        if value is None:
            return None
        return rows.open_manifest(self._cipher, attachment_id, int(at), *kid_of(value))

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        if n < 1:
            return None  # the manifest is kept as number 0
        value = await self._link.ask("HGET", f"{self._link.prefix}:b:{attachment_id}", n)
        if value is None:
            return None
        kid, sealed = kid_of(value)
        return self._cipher.open(kid, attachment_id, "attachment", str(n), sealed)

    async def orphans(self, before: int, limit: int) -> list[str]:
        key, until = f"{self._link.prefix}:loose", f"({before}"
        found = await self._link.ask("ZRANGEBYSCORE", key, "-inf", until, "LIMIT", 0, limit)
        return [id_.decode() for id_ in found]


def _known(parts: Sequence[str]) -> list[str]:
    return [part for part in PARTS if part in parts]


def _record(values: dict[bytes, bytes]) -> JournalRecord:
    writer, k, hash_, text = (values[name].decode() for name in (b"w", b"k", b"h", b"t"))
    return JournalRecord(writer, int(k), hash_, text)


def _in_the_way(what: bytes) -> DatabaseError | ConfigError:
    """Why a script wrote nothing."""
    if what == b"newer":
        return SchemaTooNew()
    if what == b"other keys":
        return ConfigError(fields={"keys": "are not those that this queue was sealed with"})
    return DatabaseError("This queue is no longer in the Redis server; nothing was written.")

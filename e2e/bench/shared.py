"""The store on Redis beside plain redis-py: new rows, claims and settlements, depth.

By hand (``raw``) means the same columns in a hash a row and the same indexes, in one MULTI of the
same client to the same server: parts in clear, no preconditions, no counters, no journal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from tools.servers import RedisServer

from fieldpost.engine.model import Item, item_to_columns
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Put
from fieldpost.stores.redis_store import RedisStore

from .rows import Row, median, paired, rate
from .work import HISTORY, INTENT, claim_and_settle, commit_all, ms_since, puts

_SIZES = (1, 100)
_DEPTHS = (1_000, 100_000)
_FILL = 1_000
_HOW = (
    "store; ours AES-256-GCM, HMAC marks, preconditions, counters, one script a commit; raw: same "
    "columns and indexes, parts in clear, one MULTI; redis-server on loopback, appendfsync=always"
)


async def measure(folder: Path, rounds: int, *, quick: bool) -> list[Row]:
    # A rewrite of the log in the middle of a measurement would be measured.
    server = RedisServer(folder / "redis", **{"auto-aof-rewrite-percentage": "0"}).start()
    try:
        n = 200 if quick else 1_000
        rows = [await _put(server, size, n, rounds) for size in _SIZES]
        rows += [await _claims(server, size, n, rounds) for size in _SIZES]
        return [*rows, await _deep(server, (100, 400) if quick else _DEPTHS, rounds)]
    finally:
        server.stop()


class _Raw:
    """What anybody would write with redis-py."""

    def __init__(self, url: str, prefix: str) -> None:
        self._client: Any = Redis.from_url(url.partition("?")[0], protocol=2)
        self._prefix = f"{{{prefix}}}"
        self._sequence = 0

    async def commit_all(self, rows: Sequence[Put], size: int) -> float:
        started = time.perf_counter()
        for at in range(0, len(rows), size):
            async with self._client.pipeline(transaction=True) as pipe:
                for put in rows[at : at + size]:
                    self._sequence += 1
                    self._insert(pipe, put, self._sequence)
                await pipe.execute()
        return ms_since(started)

    def _insert(self, pipe: Any, put: Put, sequence: int) -> None:
        item, p = put.item, self._prefix
        row = _flat(item) | {"sequence": sequence, "revision": 1, **put.marks, **put.parts}
        member = f"{sequence:016d}{item.id}"
        pipe.hset(f"{p}:i:{item.id}", mapping=row)
        pipe.zadd(f"{p}:s:{item.state}", {member: sequence})
        pipe.zadd(f"{p}:r:{item.lane}", {member: item.level})
        mark = put.marks["fingerprint"]
        pipe.zadd(f"{p}:m:fingerprint:{mark}", {member: item.created_at})

    async def claim_and_settle(self, n: int, size: int) -> float:
        started = time.perf_counter()
        p = self._prefix
        for _ in range(n // size):
            members = await self._client.zrange(f"{p}:r:gateway", 0, size - 1)
            ids = [member[16:].decode() for member in members]
            async with self._client.pipeline(transaction=False) as pipe:
                for id_ in ids:
                    pipe.hgetall(f"{p}:i:{id_}")
                found = await pipe.execute()
            assert len(found) == size
            async with self._client.pipeline(transaction=True) as pipe:
                for id_, member, row in zip(ids, members, found, strict=True):
                    now = {"state": "in_progress", "ready": 0, "attempt": 1, "intent": INTENT}
                    lease = {"lease_owner": "bench", "lease_until": 1, "sent_at": 1}
                    pipe.hset(f"{p}:i:{id_}", mapping=now | lease | {"revision": 2})
                    pipe.zrem(f"{p}:r:gateway", member)
                    pipe.zrem(f"{p}:s:pending", member)
                    pipe.zadd(f"{p}:s:in_progress", {member: int(row[b"sequence"])})
                await pipe.execute()
            async with self._client.pipeline(transaction=True) as pipe:
                for id_, member, row in zip(ids, members, found, strict=True):
                    end = {"state": "completed", "history": HISTORY, "revision": 3}
                    pipe.hset(f"{p}:i:{id_}", mapping=end)
                    pipe.hdel(f"{p}:i:{id_}", "intent", "lease_owner", "lease_until", "sent_at")
                    pipe.zrem(f"{p}:s:in_progress", member)
                    pipe.zadd(f"{p}:s:completed", {member: int(row[b"sequence"])})
                await pipe.execute()
        return ms_since(started)

    async def close(self) -> None:
        await self._client.aclose()


def _flat(item: Item) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int | str) and not isinstance(value, bool) else str(value)
        for name, value in item_to_columns(item).items()
    }


async def _put(server: RedisServer, size: int, n: int, rounds: int) -> Row:
    samples: dict[str, list[float]] = {"Fieldpost": [], "raw redis-py": []}
    for turn in range(rounds):
        name = f"put{size}-{turn}"
        rows = puts(n)
        raw = _Raw(server.url(), f"raw-{name}")
        samples["raw redis-py"].append(await raw.commit_all(rows, size))
        await raw.close()
        store = await RedisStore.open(server.url(name), KeyRing.ephemeral())
        samples["Fieldpost"].append(await commit_all(store, rows, size))
        await store.close()
    return Row(
        f"CPython, Redis: put, {_together(size)}",
        _HOW,
        {name: rate(n, took) for name, took in samples.items()},
        paired(samples["Fieldpost"], samples["raw redis-py"]),
        "× raw",
        0.6 if size == 1 else None,  # DESIGN section 10 has a bar for the single put only
    )


async def _claims(server: RedisServer, size: int, n: int, rounds: int) -> Row:
    samples: dict[str, list[float]] = {"Fieldpost": [], "raw redis-py": []}
    for turn in range(rounds):
        name = f"claim{size}-{turn}"
        rows = puts(n)
        raw = _Raw(server.url(), f"raw-{name}")
        await raw.commit_all(rows, _FILL)
        samples["raw redis-py"].append(await raw.claim_and_settle(n, size))
        await raw.close()
        store = await RedisStore.open(server.url(name), KeyRing.ephemeral())
        await commit_all(store, rows, _FILL)
        samples["Fieldpost"].append(await claim_and_settle(store, n, size))
        await store.close()
    return Row(
        f"CPython, Redis: claim and settle, {_together(size)}",
        f"{_HOW}; read with all parts, commit lease and intent, commit the answer; raw reads the "
        "index, then the rows, and fences nothing",
        {name: rate(n, took) for name, took in samples.items()},
        paired(samples["Fieldpost"], samples["raw redis-py"]),
        "× raw",
    )


async def _deep(server: RedisServer, depths: tuple[int, int], rounds: int) -> Row:
    each: dict[int, list[float]] = {}
    n = min(500, depths[0])
    for depth in depths:
        store = await RedisStore.open(server.url(f"deep{depth}"), KeyRing.ephemeral())
        for at in range(0, depth, _FILL):
            await commit_all(store, puts(min(_FILL, depth - at)), _FILL)
        each[depth] = []
        for _ in range(rounds):
            each[depth].append(await claim_and_settle(store, n, 100) / n)
            await commit_all(store, puts(n), _FILL)
        await store.close()
    shallow, deep = depths
    return Row(
        "CPython, Redis: a batch from a deep queue against a shallow one",
        "store; claim and settle 100 at a time",
        {f"{d:,} deep": f"{median(took) * 1000:,.0f} µs an item" for d, took in each.items()},
        median(each[deep]) / median(each[shallow]),
        "× the time",
        1.5,
        at_least=False,
    )


def _together(size: int) -> str:
    return "one a commit" if size == 1 else f"{size} a commit"

"""The same engine on CPython: memory, SQLite, claims, and what the gateway takes in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from e2e.machines import Gateway

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.canonical import canonical, sha256_hex
from fieldpost.engine.model import Item
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.system import AlwaysOnline, SystemClock, SystemEntropy
from fieldpost.ports import Commit, Put, Store
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.stores.sqlite_schema import _DDL  # the same table, by hand
from fieldpost.testing.fakes import FakeGateway, LocalTabs

from .rows import Row, median, milliseconds, paired, percentile, rate

_BATCH = 100
_DEVICE = "00000000-0000-7000-8000-00000000000d"
_ENTROPY = SystemEntropy()
_SEALED = "AES-256-GCM, HMAC marks"


def ticket(n: int) -> dict[str, Any]:
    """600 bytes of canonical JSON."""
    made = {"summary": f"Ticket {n:06d}", "description": "", "severity": "medium"}
    made["user"] = {"name": "Ada Example", "email": "ada@example.org"}  # type: ignore[assignment]
    made["description"] = "d" * (600 - len(json.dumps(made, separators=(",", ":"))))
    return made


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000


@contextlib.asynccontextmanager
async def queue_on(store: Store) -> AsyncIterator[Queue]:
    """A queue whose gateway is a function call away; not started, so that nothing drains."""
    host = Host(store, FakeGateway(), SystemClock(), _ENTROPY, AlwaysOnline(), LocalTabs())
    host.transport.store = store  # type: ignore[attr-defined]
    yield Queue(host, GatewayDestination("https://post.example/", _DEVICE), owner="bench")
    await store.close()


async def _stores(folder: Path, which: str) -> Store:
    if which == "memory":
        return MemoryStore(KeyRing.ephemeral())
    return await SqliteStore.open(folder / f"{uuid.uuid4()}.db", KeyRing.ephemeral())


async def measure(folder: Path, rounds: int, *, quick: bool) -> list[Row]:
    n = 200 if quick else 5_000
    rows = [await _enqueue(folder, which, n, rounds) for which in ("memory", "SQLite")]
    rows.append(await _store_memory(n, rounds))
    rows.append(await _store_sqlite(folder, n, 1, rounds))
    rows.append(await _store_sqlite(folder, n, _BATCH, rounds))
    rows.append(await _drain(folder, n, rounds))
    rows.append(await _ingest(folder, n, rounds))
    return rows


async def _enqueue(folder: Path, which: str, n: int, rounds: int) -> Row:
    each: list[float] = []
    bulk: list[float] = []
    for _ in range(rounds):
        async with queue_on(await _stores(folder, which)) as queue:
            for i in range(min(n, 500)):
                started = time.perf_counter()
                await queue.enqueue("ticket", ticket(i))
                each.append(_ms(started))
            payloads = [ticket(i) for i in range(n)]
            started = time.perf_counter()
            await queue.enqueue_many("ticket", payloads)
            bulk.append(_ms(started))
    durable = "nothing durable" if which == "memory" else "WAL, synchronous=FULL"
    return Row(
        f"CPython, {which}: enqueue",
        f"public API; single: awaited one by one; bulk: {n:,} in one commit; {_SEALED}, journal; "
        f"{durable}",
        {
            "single": rate(1, each),
            "p50": milliseconds([percentile(each, 0.5)]),
            "p99": milliseconds([percentile(each, 0.99)]),
            "bulk": rate(n, bulk),
        },
        percentile(each, 0.99),
        "ms at p99",
        1.0 if which == "memory" else 5.0,
        at_least=False,
    )


def _puts(n: int) -> list[Put]:
    def put(i: int) -> Put:
        now = 1_750_000_000_000 + i
        body = json.dumps(ticket(i)).encode()
        id_, send = _ENTROPY.uuid7(now), _ENTROPY.uuid7(now)
        item = Item(id_, "ticket", "create", "gateway", send, now, now, size=600, body_bytes=600)
        return Put(item, {"head": b'{"t":"Ticket"}', "body": body}, {"fingerprint": id_}, True)

    return [put(i) for i in range(n)]


async def _commit_all(store: Store, puts: Sequence[Put], size: int) -> float:
    started = time.perf_counter()
    for at in range(0, len(puts), size):
        await store.commit(Commit(puts=tuple(puts[at : at + size])))
    return _ms(started)


async def _store_memory(n: int, rounds: int) -> Row:
    put, take = [], []
    for _ in range(rounds):
        store = MemoryStore(KeyRing.ephemeral())
        put.append(await _commit_all(store, _puts(n), _BATCH))
        started = time.perf_counter()
        for _ in range(n // _BATCH):
            await store.ready("gateway", _BATCH, ("head", "body"))
        take.append(_ms(started))
    both = [a + b for a, b in zip(put, take, strict=True)]
    return Row(
        "CPython, memory store: put and take",
        f"commits of {_BATCH} rows, then reads of {_BATCH} with head and body; {_SEALED}",
        {"put": rate(n, put), "take": rate(n, take), "both": rate(n, both)},
        n / median(both) * 1000,
        "put and taken a second",
        100_000,
    )


def _raw(path: Path, puts: Sequence[Put], size: int) -> float:
    """The same columns and indexes by hand, parts in clear, no preconditions, no counters."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(_DDL)
    names = (
        "id, kind, operation, lane, send_id, created_at, updated_at, state, priority, revision, "
        "ready, rank, attempts, attempt, step, size, body_bytes, schema, fingerprint, kid, head, "
        "body"
    )
    sql = f"INSERT INTO items ({names}) VALUES ({', '.join('?' * 22)})"
    started = time.perf_counter()
    for at in range(0, len(puts), size):
        values = [
            (
                *(p.item.id, "ticket", "create", "gateway", p.item.send_id, p.item.created_at),
                *(p.item.updated_at, "pending", 5, 1, True, 5, 0, 0, 0, 600, 600, 1, p.item.id),
                *("d1-00000000", p.parts["head"], p.parts["body"]),
            )
            for p in puts[at : at + size]
        ]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(sql, values)
        connection.execute("COMMIT")
    took = _ms(started)
    connection.close()
    return took


async def _store_sqlite(folder: Path, n: int, size: int, rounds: int) -> Row:
    n = n if size > 1 else min(n, 1_000)
    ours, raw = [], []
    for _ in range(rounds):
        store = await SqliteStore.open(folder / f"{uuid.uuid4()}.db", KeyRing.ephemeral())
        puts = _puts(n)
        raw.append(_raw(folder / f"{uuid.uuid4()}.db", puts, size))
        ours.append(await _commit_all(store, puts, size))
        await store.close()
    return Row(
        f"CPython, SQLite store: {'one row' if size == 1 else f'{size} rows'} a commit",
        f"WAL, synchronous=FULL; ours {_SEALED}, preconditions, counters, from asyncio; raw: the "
        "same table and indexes, parts in clear, sqlite3 in the calling thread",
        {"Fieldpost": rate(n, ours), "raw sqlite3": rate(n, raw)},
        paired(ours, raw),
        "× raw",
        0.6 if size == 1 else 0.5,
    )


async def _drain(folder: Path, n: int, rounds: int) -> Row:
    found: dict[str, list[float]] = {"memory": [], "SQLite": []}
    for _ in range(rounds):
        for which, samples in found.items():
            async with queue_on(await _stores(folder, which)) as queue:
                await queue.enqueue_many("ticket", [ticket(i) for i in range(n)])
                started = time.perf_counter()
                status = await queue.sync()
                samples.append(_ms(started))
                assert status["counts"]["completed"] == n, status
    return Row(
        "CPython: claim, settle",
        f"{n:,} items in batches of {_BATCH} to a gateway that is a function call (its own JSON "
        "and bookkeeping counted in); intent durable before, answer after",
        {which: rate(n, samples) for which, samples in found.items()},
    )


def _bodies(n: int) -> list[bytes]:
    def operation(i: int) -> bytes:
        payload = canonical(ticket(i))
        now = int(time.time() * 1000)
        head = {
            "id": _ENTROPY.uuid7(now),
            "send_id": _ENTROPY.uuid7(now),
            "kind": "ticket",
            "operation": "create",
            "captured_at": now,
            "payload_sha256": sha256_hex(payload),
        }
        return json.dumps(head).encode()[:-1] + b',"payload":' + payload + b"}"

    starts = range(0, n, _BATCH)
    return [
        b'{"protocol":1,"ack":[],"operations":[%b]}'
        % b",".join(operation(i) for i in range(at, min(n, at + _BATCH)))
        for at in starts
    ]


async def _ingest(folder: Path, n: int, rounds: int) -> Row:
    gateway = Gateway(folder / "ingest").start()
    headers = {"Content-Type": "application/json", "Fieldpost-Device": _DEVICE}
    samples: list[float] = []
    try:
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
            for _ in range(rounds):
                bodies = _bodies(n)
                started = time.perf_counter()
                for body in bodies:
                    answer = await client.post("api/v1/operations", content=body)
                    assert answer.json()["results"][-1]["status"] == "delivered"
                samples.append(_ms(started))
    finally:
        await asyncio.to_thread(gateway.stop)
    return Row(
        "gateway: operations taken in",
        f"{n:,} tickets of 600 bytes, {_BATCH} a request, one device, one after another; ledger "
        "and inbox sealed in SQLite, synchronous=FULL; the client's time counted in",
        {"taken in": rate(n, samples)},
    )

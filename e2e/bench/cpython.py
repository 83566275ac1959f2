"""The same engine on CPython: memory, SQLite, claims, and what the gateway takes in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from e2e.machines import Gateway

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.canonical import canonical, sha256_hex
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.system import AlwaysOnline, SystemClock
from fieldpost.ports import Store
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeGateway, LocalTabs

from . import deep
from .rows import Row, median, milliseconds, percentile, rate
from .work import ENTROPY, commit_all, ms_since, open_sqlite, puts, ticket

BATCH = 100
_DEVICE = "00000000-0000-7000-8000-00000000000d"
_SEALED = "AES-256-GCM, HMAC marks"


@contextlib.asynccontextmanager
async def queue_on(store: Store) -> AsyncIterator[Queue]:
    """A queue whose gateway is a function call away; not started, so that nothing drains."""
    host = Host(store, FakeGateway(), SystemClock(), ENTROPY, AlwaysOnline(), LocalTabs())
    host.transport.store = store  # type: ignore[attr-defined]
    yield Queue(host, GatewayDestination("https://post.example/", _DEVICE), owner="bench")
    await store.close()


async def _stores(folder: Path, which: str) -> Store:
    if which == "memory":
        return MemoryStore(KeyRing.ephemeral())
    level = which.partition(" ")[2] or "FULL"
    return await open_sqlite(folder / f"{uuid.uuid4()}.db", level)


async def measure(folder: Path, rounds: int, *, quick: bool) -> list[Row]:
    n = 200 if quick else 5_000
    rows = [
        await _enqueue(folder, which, n, rounds) for which in ("memory", "SQLite", "SQLite NORMAL")
    ]
    rows.append(await _store_memory(n, rounds))
    rows.append(await _drain(folder, n, rounds))
    rows.append(await _ingest(folder, n, rounds))
    return rows + await deep.measure(folder, rounds, quick=quick)


async def _enqueue(folder: Path, which: str, n: int, rounds: int) -> Row:
    each: list[float] = []
    bulk: list[float] = []
    for _ in range(rounds):
        async with queue_on(await _stores(folder, which)) as queue:
            for i in range(min(n, 500)):
                started = time.perf_counter()
                await queue.enqueue("ticket", ticket(i))
                each.append(ms_since(started))
            payloads = [ticket(i) for i in range(n)]
            started = time.perf_counter()
            await queue.enqueue_many("ticket", payloads)
            bulk.append(ms_since(started))
    level = which.partition(" ")[2] or "FULL"
    durable = "nothing durable" if which == "memory" else f"WAL, synchronous={level}"
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


async def _store_memory(n: int, rounds: int) -> Row:
    put, take = [], []
    for _ in range(rounds):
        store = MemoryStore(KeyRing.ephemeral())
        put.append(await commit_all(store, puts(n), BATCH))
        started = time.perf_counter()
        for _ in range(n // BATCH):
            await store.ready("gateway", BATCH, ("head", "body"))
        take.append(ms_since(started))
    both = [a + b for a, b in zip(put, take, strict=True)]
    return Row(
        "CPython, memory store: put and take",
        f"commits of {BATCH} rows, then reads of {BATCH} with head and body; {_SEALED}",
        {"put": rate(n, put), "take": rate(n, take), "both": rate(n, both)},
        n / median(both) * 1000,
        "put and taken a second",
        100_000,
    )


async def _drain(folder: Path, n: int, rounds: int) -> Row:
    found: dict[str, list[float]] = {"memory": [], "SQLite": []}
    for _ in range(rounds):
        for which, samples in found.items():
            async with queue_on(await _stores(folder, which)) as queue:
                await queue.enqueue_many("ticket", [ticket(i) for i in range(n)])
                started = time.perf_counter()
                status = await queue.sync()
                samples.append(ms_since(started))
                assert status["counts"]["completed"] == n, status
    return Row(
        "CPython: claim, settle",
        f"{n:,} items in batches of {BATCH} to a gateway that is a function call (its own JSON "
        "and bookkeeping counted in); intent durable before, answer after",
        {which: rate(n, samples) for which, samples in found.items()},
    )


def bodies(n: int) -> list[bytes]:
    """Requests that bring ``n`` new tickets."""

    def operation(i: int) -> bytes:
        payload = canonical(ticket(i))
        now = int(time.time() * 1000)
        head = {
            "id": ENTROPY.uuid7(now),
            "send_id": ENTROPY.uuid7(now),
            "kind": "ticket",
            "operation": "create",
            "captured_at": now,
            "payload_sha256": sha256_hex(payload),
        }
        return json.dumps(head).encode()[:-1] + b',"payload":' + payload + b"}"

    starts = range(0, n, BATCH)
    return [
        b'{"protocol":1,"ack":[],"operations":[%b]}'
        % b",".join(operation(i) for i in range(at, min(n, at + BATCH)))
        for at in starts
    ]


async def _ingest(folder: Path, n: int, rounds: int) -> Row:
    gateway = Gateway(folder / "ingest").start()
    headers = {"Content-Type": "application/json", "Fieldpost-Device": _DEVICE}
    samples: list[float] = []
    try:
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
            for _ in range(rounds):
                requests = bodies(n)
                started = time.perf_counter()
                for body in requests:
                    answer = await client.post("api/v1/operations", content=body)
                    assert answer.json()["results"][-1]["status"] == "delivered"
                samples.append(ms_since(started))
    finally:
        await asyncio.to_thread(gateway.stop)
    return Row(
        "gateway: operations taken in",
        f"{n:,} tickets of 600 bytes, {BATCH} a request, one device, one after another; ledger "
        "and inbox sealed in SQLite, synchronous=FULL; the client's time counted in",
        {"taken in": rate(n, samples)},
    )

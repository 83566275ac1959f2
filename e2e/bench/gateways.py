"""What gateways take in: one on SQLite, and one, two and four that share a Redis server."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from pathlib import Path

import httpx
from e2e.machines import Gateway
from tools.servers import RedisServer

from .cpython import BATCH, bodies
from .rows import Row, median, rate
from .work import ms_since

#: Devices that send at once, each to one gateway; each request waits for its answer.
_DEVICES = 8
_COUNTS = (1, 2, 4)


async def measure(folder: Path, rounds: int, *, quick: bool) -> list[Row]:
    n = 800 if quick else 8_000
    # A rewrite of the log in the middle of a measurement would be measured.
    server = RedisServer(folder / "redis", **{"auto-aof-rewrite-percentage": "0"}).start()
    try:
        rows = [await _taken_in("one gateway on SQLite", [Gateway(folder / "one")], n, rounds)]
        for count in _COUNTS:
            store = ("--store", server.url(f"bench{count}"), "--keys", str(folder / "keys.json"))
            gateways = [Gateway(folder / f"{count}-{at}", more=store) for at in range(count)]
            name = f"gateways on Redis, {count}"
            rows.append(await _taken_in(name, gateways, n, rounds))
        return rows
    finally:
        server.stop()


async def _taken_in(name: str, gateways: list[Gateway], n: int, rounds: int) -> Row:
    samples: list[float] = []
    for each in gateways:
        each.start()
    try:
        for _ in range(rounds):
            shares = [bodies(n // _DEVICES) for _ in range(_DEVICES)]
            to = itertools.cycle(gateways)
            started = time.perf_counter()
            await asyncio.gather(*(_send(next(to).url, share) for share in shares))
            samples.append(ms_since(started))
        resident = [_resident_mib(each) for each in gateways]
    finally:
        for each in gateways:
            await asyncio.to_thread(each.stop)
    return Row(
        f"{name}: operations taken in",
        f"{n:,} tickets of 600 bytes, {BATCH} a request, {_DEVICES} devices at once; ledger and "
        "inbox sealed; SQLite synchronous=FULL, Redis appendfsync=always, all on this machine; the "
        "client's time counted in",
        {"taken in": rate(n, samples), "memory of each": f"{median(resident):.0f} MiB"},
    )


async def _send(url: str, share: list[bytes]) -> None:
    headers = {"Content-Type": "application/json", "Fieldpost-Device": str(uuid.uuid4())}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        for body in share:
            answer = await client.post("api/v1/operations", content=body)
            assert answer.json()["results"][-1]["status"] == "delivered"


def _resident_mib(gateway: Gateway) -> float:
    assert gateway.process is not None
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024

"""The mobile queue's unit, integration and performance tests by their names (REQUIREMENTS C68 to
C70), on this queue's own API."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.process import environment
from tests.gateway.wires import client_of
from tests.runtime.worlds import DEVICE, RING, World
from tests.sources.still import StillClock

import fieldpost
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.ports import Request, Response
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.fakes import FakeGateway, answers
from gateway.gateway import Gateway
from gateway.settings import Settings

URL = "http://127.0.0.1/"
TICKET = {"summary": "Missed call from the depot"}


class Busy(FakeGateway):
    busy = True

    def _operation(self, op: dict[str, Any]) -> dict[str, Any]:
        if not self.busy:
            return FakeGateway._operation(self, op)
        return {"id": op["id"], "send_id": op["send_id"], "status": "busy"}


# --- unit


async def test_queue_item_serialization_deserialization(tmp_path: Path) -> None:
    payload = {
        "summary": 'Grüße 🙂 \u0000 " \\',
        "nested": {"list": [1, -2.5, 1e21, True, None, [], {}], "": "empty name"},
        "text": "again and again " * 500,
    }
    world = World(store=await SqliteStore.open(tmp_path / "q.db", RING))
    item = await world.queue.enqueue(
        "ticket", payload, priority=7, not_before=5, operation="update"
    )
    await world.store.close()
    world.store = await SqliteStore.open(tmp_path / "q.db", RING)
    world.restart()
    assert await world.queue.get(item.id) == item
    assert (await world.queue.detail(item.id))["payload"] == payload
    await world.store.close()


async def test_offline_storage_crud_operations() -> None:
    world = World()
    item = await world.queue.enqueue("ticket", TICKET)
    assert (await world.queue.detail(item.id))["payload"] == TICKET
    with pytest.raises(InvalidItem):  # one of several is wrong: none is written
        await world.queue.enqueue_many("ticket", [TICKET, {"summary": ""}])
    await world.queue.enqueue_many("ticket", [TICKET] * 3)
    assert len((await world.queue.list())["rows"]) == 4
    assert (await world.queue.cancel(item.id)).state is State.CANCELLED
    assert len((await world.queue.list())["rows"]) == 3


async def test_network_detector_state_transitions() -> None:
    world = World()
    seen = []
    portal = answers(302, location="https://portal.example/")
    for online, fault in [(False, None), (True, None), (True, portal), (False, None), (True, None)]:
        world.link.set(online)
        world.gateway.faults = [fault] if fault else []
        await world.queue.enqueue("ticket", TICKET)
        seen.append((await world.queue.sync())["connection"])
    assert seen == ["offline", "online", "sign_in_page", "offline", "online"]
    assert len(world.gateway.inbox) == 5


async def test_queue_manager_priority_processing() -> None:
    world = World()
    severities = ("low", "medium", "high", "critical", "medium", "high")
    tickets = [{**TICKET, "severity": severity} for severity in severities]
    ids = [(await world.queue.enqueue("ticket", ticket)).id for ticket in tickets]
    await world.queue.sync()
    assert world.gateway.inbox == [ids[n] for n in (3, 2, 5, 1, 4, 0)]


# --- integration


async def test_end_to_end_sync_flow(tmp_path: Path) -> None:
    """The real gateway application, and a queue in a file that is closed in between."""
    gateway = Gateway(Settings(data=tmp_path / "gateway"))
    try:
        async with client_of(gateway) as client:
            down = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(502)))
            async with await fieldpost.open(URL, path=tmp_path / "q", client=down) as queue:
                items = await queue.enqueue_many("ticket", [TICKET] * 120)
            async with await fieldpost.open(URL, path=tmp_path / "q", client=client) as queue:
                status = await queue.sync()
                assert (status["sent"], status["waiting"]) == (120, 0)
                numbers = {(await queue.detail(i.id))["remote_id"] for i in items}
                assert len(numbers) == 120
    finally:
        gateway.close()


async def test_network_transition_scenarios() -> None:
    """On, off in the middle of a batch, a sign-in page, on again: once each, none missing."""
    world = World()
    ids = [item.id for item in await world.queue.enqueue_many("ticket", [TICKET] * 150)]

    def cut(_gateway: Any, _request: Request, route: Any) -> Response:
        response: Response = route()
        world.link.set(False)
        return response

    world.gateway.faults = [cut]
    await world.queue.sync()
    assert 0 < len(world.gateway.inbox) < 150
    world.gateway.faults = [answers(200, b"<html>Pay here", content_type="text/html")]
    world.link.set(True)
    await world.queue.sync()
    await world.settle()
    assert sorted(world.gateway.inbox) == sorted(ids)


@pytest.mark.parametrize("n", [1_000, pytest.param(10_000, marks=pytest.mark.full)])
async def test_large_dataset_processing(n: int, tmp_path: Path) -> None:
    world = World(store=await SqliteStore.open(tmp_path / "q.db", RING))
    await world.queue.enqueue_many("ticket", [TICKET] * n)
    status = await world.queue.sync()
    assert (status["sent"], status["waiting"]) == (n, 0)
    assert len(set(world.gateway.inbox)) == len(world.gateway.inbox) == n
    await world.store.close()


async def test_error_recovery_and_retry_logic() -> None:
    """1, 2, 4, 8 s and up to half a second of jitter, then a dead letter that can be revived."""
    world = World(clock=StillClock(), gateway=Busy())
    host = Host(world.store, world.gateway, world.clock, world.entropy, world.link, world.tabs)
    destination = GatewayDestination("https://post.example/", DEVICE)
    queue = Queue(host, destination, owner="app", policy=PRESETS["interactive"])
    item = await queue.enqueue("ticket", TICKET)
    for expected in (1_000, 2_000, 4_000, 8_000):
        await queue.sync()
        wait = ((await queue.get(item.id)).due_at or 0) - world.clock.now()
        assert expected <= wait < expected + 500
    await queue.sync()
    assert (await queue.get(item.id)).state is State.FAILED
    world.gateway.busy = False
    await queue.retry(item.id)
    await queue.sync()
    assert world.gateway.inbox == [item.id]


# --- performance


@pytest.mark.full
async def test_10000_item_queue_processing(tmp_path: Path) -> None:
    """Less than 100 ms an item, saved one by one and drained."""
    world = World(store=await SqliteStore.open(tmp_path / "q.db", RING))
    started = time.perf_counter()
    await asyncio.gather(*(world.queue.enqueue("ticket", TICKET) for _ in range(10_000)))
    status = await world.queue.sync()
    assert status["sent"] == 10_000
    assert (time.perf_counter() - started) / 10_000 < 0.1
    await world.store.close()


MEMORY = """
import asyncio, sys
from pathlib import Path
from e2e.bench.peak import peak_mb
from tests.runtime.worlds import RING, World
from fieldpost.stores.sqlite import SqliteStore

async def main():
    world = World(store=await SqliteStore.open(Path(sys.argv[1]) / "q.db", RING))
    await world.queue.enqueue("ticket", {"summary": "x"})
    await world.queue.sync()
    before = peak_mb()
    for n in range(100):
        ticket = {"summary": "x", "description": str(n) * 300}
        await world.queue.enqueue_many("ticket", [ticket] * 100)
    await world.queue.sync()
    await world.store.close()
    print(before, peak_mb())

asyncio.run(main())
"""


@pytest.mark.full
def test_memory_usage_under_load(tmp_path: Path) -> None:
    """10,000 items in and out grow a process by less than 50 MB. (The fake gateway remembers each
    operation, which counts against it here.)"""
    made = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=120,
    )
    before, after = map(float, made.stdout.split())
    assert 0 < after - before < 50, (before, after)


async def test_storage_compression_efficiency(tmp_path: Path) -> None:
    """Text over 1 KB takes at most 40 % of its size, and what does not shrink stays as it is."""
    words = "The pump in hall 3 has been leaking since the early shift; the valve was closed. "
    world = World(store=await SqliteStore.open(tmp_path / "q.db", RING))
    texts = [{"summary": "x", "description": (words * 60)[:size]} for size in (2_000, 4_000)]
    await world.queue.enqueue_many("ticket", texts)
    with sqlite3.connect(tmp_path / "q.db") as other:
        stored = other.execute("SELECT length(body), body_bytes FROM items").fetchall()
    other.close()
    assert all(held < 0.4 * plain for held, plain in stored), stored
    await world.store.close()


async def test_network_sync_throughput(tmp_path: Path) -> None:
    """More than 1,000 items a minute through the real gateway application, both on a disk."""
    gateway = Gateway(Settings(data=tmp_path / "gateway"))
    try:
        async with (
            client_of(gateway) as client,
            await fieldpost.open(URL, path=tmp_path / "q", client=client) as queue,
        ):
            await queue.pause("to be timed")
            await queue.enqueue_many("ticket", [TICKET] * 300)
            started = time.perf_counter()
            await queue.resume()
            status = await queue.sync()
            took = time.perf_counter() - started
            assert status["sent"] == 300
            assert 300 / took * 60 > 1_000
    finally:
        gateway.close()


async def test_background_processing_impact() -> None:
    """A save in the middle of a drain is durable before the drain goes on."""
    during: list[str] = []

    class Gateway(FakeGateway):
        async def send(self, request: Request) -> Response:
            if request.url.endswith("/operations") and len(during) < 3:
                item = await world.queue.enqueue("ticket", {"summary": "meanwhile"})
                assert (await world.store.durable_copy().get([item.id])) != []  # type: ignore[attr-defined]
                during.append(item.id)
            return await FakeGateway.send(self, request)

    world = World(gateway=Gateway())
    ids = [item.id for item in await world.queue.enqueue_many("ticket", [TICKET] * 250)]
    await world.queue.sync()
    assert len(during) == 3
    assert sorted(world.gateway.inbox) == sorted(ids + during)

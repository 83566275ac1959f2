"""The evidence queue's tests by their names (REQUIREMENTS D24), on this queue's own API.

Their ``mark_uploaded`` and ``mark_failed`` are answers of the server here: nobody but a classified
answer says that an item has arrived (invariant 1).
"""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.worlds import DEVICE, RING, World
from tests.sources.still import StillClock

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.errors import DuplicateItem, ItemNotFound
from fieldpost.engine.kinds import Kind, Kinds
from fieldpost.engine.model import Item
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.fakes import FakeGateway

EVIDENCE = Kind("evidence", title="bundle_id", required=("bundle_id", "bundle_path"))
MINUTE = 60_000


class Server(FakeGateway):
    """Answers ``busy`` while it is, with a waiting time of its own if it has one."""

    busy = False
    retry_after_ms: int | None = None

    def _operation(self, op: dict[str, Any]) -> dict[str, Any]:
        if not self.busy:
            return FakeGateway._operation(self, op)
        words = {"status": "busy", "retry_after_ms": self.retry_after_ms}
        return {"id": op["id"], "send_id": op["send_id"], **words}


class Evidence(World):
    """A world with the evidence kind and the evidence schedule."""

    gateway: Server

    def open(self, owner: str = "agent") -> Queue:
        host = Host(self.store, self.gateway, self.clock, self.entropy, self.link, self.tabs)
        destination = GatewayDestination("https://post.example/", DEVICE)
        kinds = Kinds(EVIDENCE)
        return Queue(host, destination, owner=owner, policy=PRESETS["evidence"], kinds=kinds)

    async def add(self, bundle_id: str = "bundle-1") -> Item:
        paths = {"bundle_path": f"/e/{bundle_id}.json", "signature_path": f"/e/{bundle_id}.sig"}
        payload = {"bundle_id": bundle_id, **paths}
        return await self.queue.enqueue("evidence", payload, unique_key=bundle_id)

    async def waiting(self, **options: Any) -> list[str]:
        return [row["id"] for row in (await self.queue.list("waiting", **options))["rows"]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "evidence.db"


@pytest.fixture
async def world(path: Path) -> AsyncIterator[Evidence]:
    store = await SqliteStore.open(path, RING)
    world = Evidence(store=store, clock=StillClock(), gateway=Server())
    yield world
    await world.store.close()


async def test_queue_initialization(world: Evidence, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        names = {name for (name,) in other.execute("SELECT name FROM sqlite_master")}
    other.close()
    assert {"items", "items_ready", "items_due"} <= names
    status = await world.queue.status()
    assert (status["waiting"], status["sent"], status["attention"]) == (0, 0, 0)


async def test_enqueue_evidence(world: Evidence) -> None:
    item = await world.add()
    assert (item.state, item.attempts) == (State.PENDING, 0)
    detail = await world.queue.detail(item.id)
    assert detail["payload"]["signature_path"] == "/e/bundle-1.sig"


async def test_enqueue_duplicate(world: Evidence) -> None:
    item = await world.add()
    with pytest.raises(DuplicateItem) as error:
        await world.add()
    assert error.value.existing_id == item.id
    assert len(await world.waiting()) == 1


async def test_list_pending(world: Evidence) -> None:
    ids = [(await world.add(f"bundle-{n}")).id for n in range(3)]
    assert await world.waiting() == ids[::-1]


async def test_list_pending_with_limit(world: Evidence) -> None:
    ids = [(await world.add(f"bundle-{n}")).id for n in range(5)]
    page = await world.queue.list("waiting", limit=3)
    rest = await world.queue.list("waiting", limit=3, cursor=page["next"])
    assert [row["id"] for row in page["rows"] + rest["rows"]] == ids[::-1]
    assert rest["next"] is None


async def test_mark_uploaded(world: Evidence) -> None:
    item = await world.add()
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.COMPLETED
    assert await world.waiting() == []
    assert [row["id"] for row in (await world.queue.list("sent"))["rows"]] == [item.id]


async def test_mark_failed(world: Evidence) -> None:
    item = await world.add()
    world.gateway.busy = True
    await world.queue.sync()
    failed = await world.queue.get(item.id)
    assert (failed.state, failed.attempts) == (State.PENDING, 1)
    assert failed.due_at == world.clock.now() + 2 * MINUTE
    assert len((await world.queue.detail(item.id))["history"]) == 1
    assert await world.waiting() == [item.id]
    world.gateway.retry_after_ms = 5_000  # who refuses may say for how long
    await world.queue.sync()
    assert (await world.queue.get(item.id)).due_at == world.clock.now() + 5_000


async def test_exponential_backoff(world: Evidence) -> None:
    item = await world.add()
    world.gateway.busy = True
    waits = []
    for _ in range(8):
        await world.queue.sync()
        waits.append(((await world.queue.get(item.id)).due_at or 0) - world.clock.now())
    assert [wait / MINUTE for wait in waits] == [2, 4, 8, 16, 32, 60, 60, 60]


async def test_max_retries(world: Evidence) -> None:
    item = await world.add()
    world.gateway.busy = True
    for _ in range(12):
        await world.queue.sync()
    failed = await world.queue.get(item.id)
    assert (failed.state, failed.attempts) == (State.FAILED, 10)
    asked = [r for r in world.gateway.requests if r.url.endswith("/operations")]
    assert len(asked) == 10
    status = await world.queue.status()
    assert (status["waiting"], status["attention"]) == (0, 1)


async def test_queue_stats(world: Evidence) -> None:
    world.gateway.busy = True
    await world.add("never")
    for _ in range(10):
        await world.queue.sync()
    world.gateway.busy = False
    for n in range(2):
        await world.add(f"sent-{n}")
    await world.queue.sync()
    for n in range(3):
        await world.add(f"waits-{n}")
    status = await world.queue.status()
    assert (status["waiting"], status["sent"], status["attention"]) == (3, 2, 1)
    counts = {state: n for state, n in status["counts"].items() if n}
    assert counts == {"pending": 3, "completed": 2, "failed": 1}


async def test_get_by_bundle_id(world: Evidence) -> None:
    await world.add("other")
    item = await world.add("wanted")
    (found,) = await world.queue.find("natural_key", "evidence|wanted")
    assert await world.queue.get(found) == item


async def test_get_by_bundle_id_not_found(world: Evidence) -> None:
    await world.add("other")
    assert list(await world.queue.find("natural_key", "evidence|wanted")) == []
    with pytest.raises(ItemNotFound):
        await world.queue.get("00000000-0000-7000-8000-000000000000")


async def test_queue_persistence(world: Evidence, path: Path) -> None:
    item = await world.add()
    await world.queue.pause("restart")
    await world.store.close()
    world.store = await SqliteStore.open(path, RING)
    world.restart()
    assert await world.queue.get(item.id) == item
    await world.queue.resume()
    await world.queue.sync()
    assert world.gateway.inbox == [item.id]


async def test_concurrent_operations(world: Evidence, path: Path) -> None:
    """Tasks of one loop, and threads with a loop and a store of their own on the same file."""

    async def elsewhere(thread: int) -> None:
        other = Evidence(store=await SqliteStore.open(path, RING), gateway=Server())
        other.entropy.__init__(thread + 1)  # type: ignore[misc]
        for n in range(10):
            await other.add(f"thread-{thread}-{n}")
        await other.store.close()

    threads = [asyncio.to_thread(asyncio.run, elsewhere(n)) for n in range(3)]
    await asyncio.gather(*threads, *(world.add(f"task-{n}") for n in range(30)))
    assert (await world.queue.status())["waiting"] == 60
    await world.queue.sync()
    assert len(world.gateway.inbox) == len(set(world.gateway.inbox)) == 60
    assert (await world.queue.verify())["ok"]


async def test_ready_only_filter(world: Evidence) -> None:
    """A turn of the background loop, unlike one by hand, sends only what is due."""
    item = await world.add()
    world.gateway.busy = True
    await world.queue.sync()
    world.gateway.busy = False
    fresh = await world.add("fresh")
    world.clock.advance(MINUTE)
    await world.queue._loop.turn()
    assert world.gateway.inbox == [fresh.id]
    world.clock.advance(MINUTE)
    await world.queue._loop.turn()
    assert world.gateway.inbox == [fresh.id, item.id]

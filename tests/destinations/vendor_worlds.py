"""A queue with one vendor's adapter and its fake, for the tests of destinations."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import Any

from fieldpost.destinations.adapter import Adapter
from fieldpost.engine.model import Item
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Manifest, Transport
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeClock, FakeLink, LocalTabs, SeededEntropy
from fieldpost.testing.surroundings import FakeSurroundings
from fieldpost.testing.vendors.base import Vendor, VendorTransport

RING = KeyRing.ephemeral()
MINUTE = 60_000
MIB = 1024 * 1024

Bench = Callable[[Any], tuple[Adapter, Vendor, dict[str, dict[str, str]]]]


class SteadyClock(FakeClock):
    """Of a test with a disk or a server in it: time moves when the test says so, not while a
    heartbeat sleeps through what the machine really does."""

    async def sleep(self, ms: float) -> None:
        await asyncio.sleep(ms / 1000)


class DestinationWorld:
    """One device; ``adapter`` and ``vendor`` as the vendor's own ``bench`` makes them."""

    def __init__(self, bench: Bench, *, requests: int = 1, clock: FakeClock | None = None):
        self.store = MemoryStore(RING)
        self.clock = clock or FakeClock()
        self.entropy = SeededEntropy()
        self.adapter, self.vendor, credentials = bench(self.clock)
        self.transport = VendorTransport(self.store, [self.vendor], credentials)
        self.queue = self.open(self.transport, requests=requests)

    def open(self, transport: Transport, *, requests: int = 1) -> Queue:
        around = FakeSurroundings()
        ports = (self.store, transport, self.clock, self.entropy, FakeLink(), LocalTabs(), around)
        lane = Lane(self.adapter, requests=requests)
        return Queue(Host(*ports), [lane], owner="tab", policy=PRESETS["itsm"])

    async def file(self, name: str = "pump.jpg", data: bytes = b"picture") -> dict[str, object]:
        """An attachment, stored, as `Queue.enqueue` takes it."""
        return await stored_file(self.store, self.entropy.uuid7(self.clock.now()), name, data)

    async def settle(self, minutes: int = 240) -> None:
        """Sync and let time pass until nothing is open, or the time is over."""
        for _ in range(minutes):
            if not (await self.store.counters()).get("open"):
                return
            await self.queue.sync()
            self.clock.advance(MINUTE)

    async def get(self, item: Item) -> Item:
        return await self.queue.get(item.id)

    async def state(self, item: Item) -> State:
        return (await self.get(item)).state

    async def detail(self, item: Item) -> dict[str, Any]:
        return await self.queue.detail(item.id)

    def posts(self, path: str) -> int:
        """How many POST requests came for URLs that end so."""
        return sum(r.method == "POST" and r.url.endswith(path) for r in self.vendor.requests)


async def stored_file(store: MemoryStore, id_: str, name: str, data: bytes) -> dict[str, object]:
    digests = []
    parts = [data[at : at + MIB] for at in range(0, len(data), MIB)] or [b""]
    for n, part in enumerate(parts, 1):
        await store.put_part(id_, n, part)
        digests.append(base64.b64encode(hashlib.sha256(part).digest()).decode())
    await store.put_manifest(Manifest(id_, name, "image/jpeg", len(data), tuple(digests)))
    return {"id": id_, "size": len(data), "parts": len(parts)}

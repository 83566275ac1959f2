"""A queue on fakes, for the tests of the runtime."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.retry import PRESETS
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Manifest, Store
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeClock, FakeGateway, FakeLink, LocalTabs, SeededEntropy
from fieldpost.testing.surroundings import FakeSurroundings

DEVICE = "00000000-0000-7000-8000-00000000000d"
RING = KeyRing.ephemeral()


@dataclass
class World:
    """One device with one gateway; `restart` is a browser that was killed and opened again."""

    store: Store = field(default_factory=lambda: MemoryStore(RING))
    clock: FakeClock = field(default_factory=FakeClock)
    link: FakeLink = field(default_factory=FakeLink)
    tabs: LocalTabs = field(default_factory=LocalTabs)
    entropy: SeededEntropy = field(default_factory=SeededEntropy)
    gateway: FakeGateway = field(default_factory=FakeGateway)
    around: FakeSurroundings = field(default_factory=FakeSurroundings)
    #: Beside the gateway's own.
    lanes: list[Lane] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gateway.store = self.store
        self.queue = self.open()

    def open(self, owner: str = "tab") -> Queue:
        ports = (self.store, self.gateway, self.clock, self.entropy, self.link, self.tabs)
        host = Host(*ports, self.around)
        destination = GatewayDestination("https://post.example/", DEVICE)
        lanes = [Lane(destination), *self.lanes]
        return Queue(host, lanes, owner=owner, policy=PRESETS["itsm"])

    def restart(self) -> None:
        if isinstance(self.store, MemoryStore):
            self.store = self.store.durable_copy()
        self.tabs = LocalTabs()
        self.gateway.store = self.store
        self.queue = self.open()

    async def settle(self, hours: int = 24) -> None:
        """Let time pass and sync until nothing is open or the time is over."""
        for _ in range(hours * 12):
            if not (await self.store.counters()).get("open") and not await self.store.captures(1):
                return
            await self.queue.sync()
            self.clock.advance(5 * 60_000)

    async def attach(self, parts: int = 3, size: int = 10) -> dict[str, object]:
        attachment_id = self.entropy.uuid7(self.clock.now())
        digests = []
        for n in range(1, parts + 1):
            data = bytes([n]) * size
            await self.store.put_part(attachment_id, n, data)
            digests.append(base64.b64encode(hashlib.sha256(data).digest()).decode())
        manifest = Manifest(attachment_id, "pump.jpg", "image/jpeg", parts * size, tuple(digests))
        await self.store.put_manifest(manifest)
        return {"id": attachment_id, "size": parts * size, "parts": parts}

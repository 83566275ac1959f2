"""A real queue in front of one vendor's fake, for the tests of its adapter."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from tests.runtime.worlds import RING

from fieldpost.destinations.adapter import Adapter
from fieldpost.engine.limits import PART_BYTES
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.ports import Manifest, Request
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeClock, FakeLink, LocalTabs, SeededEntropy
from fieldpost.testing.vendors.base import Vendor, VendorTransport

TICKET = {
    "summary": "Pump 3 is leaking",
    "description": "Since this morning.\nAt the *second* seal.",
    "severity": "high",
    "category": "hardware",
    "user": {"id": "u7", "name": "Ada Byron", "email": "ada@example.org"},
}
HOUR = 3_600_000


class Site:
    """One device; `vendor` is the system that its only lane delivers to."""

    def __init__(self, adapter: Adapter, vendor: Vendor, credentials: dict[str, dict[str, str]]):
        self.adapter, self.vendor = adapter, vendor
        self.clock = FakeClock()
        vendor.now = self.clock.now
        self.store = MemoryStore(RING)
        self.entropy = SeededEntropy()
        self.wire = VendorTransport(self.store, [vendor], credentials)
        host = Host(self.store, self.wire, self.clock, self.entropy, FakeLink(), LocalTabs())
        self.queue = Queue(host, adapter, owner="tab", policy=PRESETS["itsm"])

    async def add(self, payload: dict[str, Any] | None = None, **options: Any) -> str:
        kind = options.pop("kind", "ticket")
        return (await self.queue.enqueue(kind, payload or TICKET, **options)).id

    async def file(
        self, data: bytes, name: str = "pump.jpg", type: str = "image/jpeg"
    ) -> dict[str, Any]:
        """Save a file on the device; what `add` takes as an attachment."""
        attachment_id = self.entropy.uuid7(self.clock.now())
        pieces = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
        digests = []
        for n, piece in enumerate(pieces, 1):
            await self.store.put_part(attachment_id, n, piece)
            digests.append(base64.b64encode(hashlib.sha256(piece).digest()).decode())
        manifest = Manifest(attachment_id, name, type, len(data), tuple(digests))
        await self.store.put_manifest(manifest)
        return {"id": attachment_id, "size": len(data), "parts": len(pieces)}

    async def turn(self) -> None:
        """What the loop does by itself; `Queue.sync` is a person who will not wait."""
        await self.queue._loop.turn()

    async def settle(self, hours: float = 12) -> None:
        """A turn every half minute until nothing is open or the time is over."""
        for _ in range(int(hours * 120)):
            if not (await self.store.counters()).get("open"):
                return
            await self.turn()
            self.clock.advance(30_000)

    async def state(self, item_id: str) -> State:
        return (await self.queue.get(item_id)).state

    async def detail(self, item_id: str) -> dict[str, Any]:
        return await self.queue.detail(item_id)

    async def last(self, item_id: str) -> dict[str, Any]:
        """The newest line of the item's timeline."""
        return (await self.detail(item_id))["history"][-1]

    async def kind(self, kind: str) -> list[dict[str, Any]]:
        """The rows of one kind, wherever they are."""
        views = [await self.queue.list(view) for view in ("waiting", "attention", "sent", "ended")]
        return [row for view in views for row in view["rows"] if row["kind"] == kind]

    def sent(self, method: str, path: str) -> list[Request]:
        """The requests of a method whose URL has ``path`` in it."""
        return [r for r in self.vendor.requests if r.method == method and path in r.url]

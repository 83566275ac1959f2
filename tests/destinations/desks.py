"""A real queue in front of the fake of one help desk."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.runtime.worlds import RING

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.base import Contact, Discovered, Reading
from fieldpost.engine.limits import PART_BYTES
from fieldpost.engine.model import Attachment, Item
from fieldpost.engine.outcome import Outcome
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.ports import Manifest, Request, Response
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeClock, FakeLink, LocalTabs, SeededEntropy
from fieldpost.testing.vendors.base import Vendor, VendorTransport

MINUTE = 60_000
HOUR = 60 * MINUTE
TICKET = {
    "summary": "Pump 3 is leaking",
    "description": "Since this morning.",
    "severity": "critical",
    "category": "Water & pumps",
    "user": {"name": "Ada Byron", "email": "ada@example.org"},
    "systemInfo": {"osVersion": "15.1", "deviceName": "north-7"},
}


class Desk:
    """One device whose only lane goes to ``vendor``; made by the fake's ``bench``."""

    def __init__(self, bench: Callable[[Any], tuple[Adapter, Vendor, dict[str, dict[str, str]]]]):
        self.clock = FakeClock()
        self.adapter, self.vendor, self.credentials = bench(self.clock)
        self.entropy = SeededEntropy()
        self.store = MemoryStore(RING)
        self.open()

    def open(self) -> None:
        wire = VendorTransport(self.store, [self.vendor], self.credentials)
        host = Host(self.store, wire, self.clock, self.entropy, FakeLink(), LocalTabs())
        self.queue = Queue(host, self.adapter, owner="tab", policy=PRESETS["itsm"])

    def restart(self) -> None:
        """The process was killed; what is durable is there again."""
        self.store = self.store.durable_copy()
        self.open()

    async def add(self, *files: dict[str, Any], **changed: Any) -> str:
        item = await self.queue.enqueue("ticket", {**TICKET, **changed}, attachments=list(files))
        return item.id

    async def file(self, data: bytes, name: str = "pump.jpg", type_: str = "image/jpeg") -> Any:
        """Saved on the device; what `add` takes."""
        id_ = self.entropy.uuid7(self.clock.now())
        pieces = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)] or [b""]
        digests = []
        for n, piece in enumerate(pieces, 1):
            await self.store.put_part(id_, n, piece)
            digests.append(base64.b64encode(hashlib.sha256(piece).digest()).decode())
        await self.store.put_manifest(Manifest(id_, name, type_, len(data), tuple(digests)))
        return {"id": id_, "size": len(data), "parts": len(pieces)}

    async def settle(self, hours: int = 6) -> None:
        """Sync and let time pass until nothing is open or the time is over."""
        for _ in range(hours * 60):
            if not (await self.store.counters()).get("open"):
                return
            await self.queue.sync()
            self.clock.advance(MINUTE)

    async def state(self, item_id: str) -> State:
        return (await self.queue.get(item_id)).state

    async def detail(self, item_id: str) -> dict[str, Any]:
        return await self.queue.detail(item_id)

    async def attention(self) -> list[dict[str, Any]]:
        return (await self.queue.list("attention"))["rows"]

    def sent(self, method: str, path: str = "") -> list[Request]:
        """The requests of a method with ``path`` in their address."""
        return [r for r in self.vendor.requests if r.method == method and path in r.url]


def an_item(*, files: int = 0, kind: str = "ticket") -> Item:
    ids = [f"0190a000-0000-7000-8000-00000000000{n}" for n in range(3 + files)]
    return Item(
        id=ids[0],
        kind=kind,
        operation="create",
        lane="desk",
        send_id=ids[1],
        created_at=1,
        updated_at=1,
        attachments=tuple(Attachment(id_, 10, 1) for id_ in ids[3:]),
    )


def body_of(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def said(status: int, body: Any = None, **headers: str) -> Response:
    """An answer; ``body`` as JSON, or as it is where it is bytes."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    if isinstance(body, bytes):
        return Response(status, {"content-type": "text/html", **named}, body)
    given = json.dumps(body).encode()
    return Response(status, {"content-type": "application/json", **named}, given)


def one(reading: Reading) -> tuple[Contact, Outcome]:
    (outcome,) = reading.outcomes
    return reading.contact, outcome


def goes_through(_vendor: Vendor, _request: Request, go: Callable[[], Response]) -> Response:
    """No fault: for a request before the one that a test is about."""
    return go()


def discovered(adapter: Adapter, vendor: Vendor, credential: dict[str, str]) -> Discovered | None:
    """What `Adapter.discover` comes to with this vendor."""
    script = adapter.discover()
    try:
        asked = next(script)
        while True:
            assert isinstance(asked, Request)
            headers = {**asked.headers, **credential}
            asked = script.send(vendor.answer(replace(asked, headers=headers)))
    except StopIteration as end:
        return end.value

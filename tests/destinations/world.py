"""One device in front of the fake of one vendor, for the tests of its adapter."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.runtime.worlds import RING

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.base import Script
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.ports import Request, Response, Transport
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.adaptercontract import SteadyClock
from fieldpost.testing.fakes import FakeClock, FakeLink, LocalTabs, SeededEntropy
from fieldpost.testing.surroundings import FakeSurroundings
from fieldpost.testing.vendors.base import Record, Vendor, VendorTransport

MINUTE = 60_000
HOUR = 60 * MINUTE
MIB = 1024 * 1024
TICKET = {
    "summary": "Pump 3 is leaking",
    "description": "Since this morning.\nAt the *second* seal.",
    "severity": "high",
    "category": "hardware",
    "user": {"id": "u7", "name": "Ada Byron", "email": "ada@example.org"},
    "systemInfo": {"osVersion": "15.1", "deviceName": "north-7"},
}
#: Two parts, and an end that looks like that of a form.
PHOTO = random.Random(1).randbytes(1_300_000) + b"\r\n--"
#: Name of a credential -> the headers that the host adds for it.
Credentials = dict[str, dict[str, str]]
#: As each module of `fieldpost.testing.vendors` has one.
Bench = Callable[[FakeClock], tuple[Adapter, Vendor, Credentials]]


class World:
    """Its only lane goes to ``vendor``. Time moves when a test says so and at no other time."""

    def __init__(self, bench: Bench, *, requests: int = 1):
        self.clock = SteadyClock()
        self.adapter, self.vendor, self.credentials = bench(self.clock)
        self.store = MemoryStore(RING)
        self.entropy = SeededEntropy()
        self.requests = requests
        self.open()

    def open(self, transport: Transport | None = None) -> None:
        """A queue over the rows that are there; ``transport``: where it is not to the fake."""
        transport = transport or VendorTransport(self.store, [self.vendor], self.credentials)
        around = FakeSurroundings()
        ports = (self.store, transport, self.clock, self.entropy, FakeLink(), LocalTabs(), around)
        lane = Lane(self.adapter, requests=self.requests)
        self.queue = Queue(Host(*ports), [lane], owner="tab", policy=PRESETS["itsm"])

    def restart(self) -> None:
        """The process was killed; what is durable is there again."""
        self.store = self.store.durable_copy()
        self.open()

    async def add(self, *files: dict[str, Any], **changed: Any) -> str:
        """The id of a new ticket; ``changed``: of `TICKET`."""
        item = await self.queue.enqueue("ticket", {**TICKET, **changed}, attachments=list(files))
        return item.id

    async def file(
        self, data: bytes = b"picture", name: str = "pump.jpg", media_type: str = "image/jpeg"
    ) -> dict[str, Any]:
        """Saved on the device; what `add` takes."""
        return await self.queue.attach(name, data, media_type)

    async def turn(self) -> None:
        """What the loop does by itself; `Queue.sync` is a person who will not wait."""
        await self.queue._loop.turn()

    async def settle(self, ms: float = 12 * HOUR) -> None:
        """A turn every half minute until nothing is open or the time is over."""
        end = self.clock.monotonic() + ms
        while self.clock.monotonic() < end and (await self.store.counters()).get("open"):
            await self.turn()
            self.clock.advance(MINUTE / 2)

    async def delivered(self, item_id: str) -> Record:
        """Settles; the record of the item, which arrived and is the only one there."""
        await self.settle()
        assert await self.state(item_id) is State.COMPLETED
        (record,) = self.vendor.records
        assert self.vendor.with_op(item_id) == [record]
        return record

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

    async def attention(self) -> list[dict[str, Any]]:
        """The rows that a person has to look at."""
        return (await self.queue.list("attention"))["rows"]

    def sent(self, method: str, path: str = "") -> list[Request]:
        """The requests of a method whose URL has ``path`` in it."""
        return [r for r in self.vendor.requests if r.method == method and path in r.url]

    def talk(self, script: Script[Any]) -> Any:
        return talk(script, self.vendor, self.credentials)


def talk(script: Script[Any], vendor: Vendor, credentials: Credentials) -> Any:
    """What the script comes to, spoken with the fake."""
    try:
        asked = next(script)
        while True:
            assert isinstance(asked, Request)
            headers = {**asked.headers, **credentials.get(asked.credential, {})}
            asked = script.send(vendor.answer(replace(asked, headers=headers)))
    except StopIteration as end:
        return end.value


def goes_through(_vendor: Vendor, _request: Request, go: Callable[[], Response]) -> Response:
    """No fault: for a request before the one that a test is about."""
    return go()

"""What no request can be made of is a dead letter with its fields; the lane goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from tests.runtime.worlds import RING

from fieldpost.destinations.adapter import ONE_BY_ONE, Adapter
from fieldpost.destinations.answers import ONLINE
from fieldpost.destinations.base import Declaration, Reading
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.transitions import State
from fieldpost.ports import Manifest, Request, Response
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeClock, FakeLink, LocalTabs, SeededEntropy
from fieldpost.testing.vendors.base import VendorTransport

TEN_A_REQUEST = replace(ONE_BY_ONE, batch_items=10)


@dataclass
class Picky(Adapter):
    """Needs a category, which nobody else does."""

    lane: str = "picky"
    declaration: Declaration = TEN_A_REQUEST

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:
        if not json.loads(body).get("category"):
            raise InvalidItem(fields={"category": "is required by the destination"})
        return body

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:
        return Request("POST", "https://picky.example/", body=b"\n".join(intents))

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        return Reading(ONLINE, [Outcome(Class.DELIVERED) for _ in items])


class Wire(VendorTransport):
    """Takes all."""

    def __init__(self, store: MemoryStore):
        super().__init__(store, [])
        self.bodies: list[bytes] = []

    async def send(self, request: Request) -> Response:
        self.bodies.append(request.body)
        return Response(200, {}, b"")


class Site:
    def __init__(self) -> None:
        self.store = MemoryStore(RING)
        self.clock, self.wire = FakeClock(), Wire(self.store)
        host = Host(self.store, self.wire, self.clock, SeededEntropy(), FakeLink(), LocalTabs())
        self.queue = Queue(host, Picky(), owner="tab")

    async def add(self, category: str = "", **options: object) -> str:
        payload = {"summary": f"Pump {self.clock.now()}", "category": category}
        self.clock.advance(1)
        return (await self.queue.enqueue("ticket", payload, **options)).id

    async def state(self, item_id: str) -> State:
        return (await self.queue.get(item_id)).state


@pytest.mark.parametrize("first", [True, False])
async def test_it_is_a_dead_letter_with_its_fields_and_the_others_go(first: bool) -> None:
    site = Site()
    bad = await site.add() if first else None
    good = [await site.add("pumps") for _ in range(2)]
    bad = bad or await site.add()
    await site.queue.sync()
    assert [await site.state(i) for i in (bad, *good)] == [
        State.FAILED,
        State.COMPLETED,
        State.COMPLETED,
    ]
    detail = await site.queue.detail(bad)
    assert detail["error_code"] == "INVALID_FIELDS"
    assert detail["history"][-1]["fields"] == {"category": "is required by the destination"}
    assert detail["why"].startswith("It is not as the server needs it.")
    assert len(site.wire.bodies) == 1
    assert b'""' not in site.wire.bodies[0]
    assert (await site.store.counters())["open"] == 0


async def test_a_crowd_of_them_ends_and_nothing_is_asked_of_the_server() -> None:
    site = Site()
    for _ in range(30):
        await site.add()
    status = await site.queue.sync()
    assert (await site.store.counters())["state:failed"] == 30
    assert site.wire.bodies == []
    assert status["lanes"]["picky"]["waiting"] == 0


async def test_corrected_it_is_sent_and_its_children_wait_until_then() -> None:
    site = Site()
    bad = await site.add()
    child = await site.add("pumps", depends_on=[bad])
    await site.queue.sync()
    assert await site.state(child) is State.BLOCKED
    await site.queue.edit(bad, {"summary": "Pump", "category": "valves"})
    await site.queue.sync()
    assert [await site.state(i) for i in (bad, child)] == [State.COMPLETED] * 2

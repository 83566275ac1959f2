"""From a device, through the gateway, to a system behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.desk import SECRET, Desk, DeskAdapter

from fieldpost.destinations.base import Script
from fieldpost.engine.model import Item
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.credentials import Headers
from fieldpost.hosts.cpython.open import open_queue
from fieldpost.runtime.queue import Queue
from fieldpost.testing.vendors.base import VendorTransport, cut_before, lose_answer
from gateway.app import create_app
from gateway.gateway import Gateway
from gateway.settings import Settings
from gateway.systems import System

TICKET = {"summary": "Pump is leaking", "category": "building"}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@asynccontextmanager
async def gateway_of(
    data: Path, desk: Desk, store: str | None, secret: str = SECRET
) -> AsyncIterator[Gateway]:
    """A gateway that relays, until the block ends."""
    credential = Headers({"Authorization": secret})
    system = System("desk", "The desk", DeskAdapter("desk", credential="desk"), credential, 1)
    settings = Settings(data=data, store=store)
    gateway = Gateway(
        settings, systems=[system], outward=lambda store: VendorTransport(store, [desk])
    )
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
        gateway.close()


@asynccontextmanager
async def device_of(gateway: Gateway) -> AsyncIterator[Queue]:
    transport = httpx.ASGITransport(app=create_app(gateway))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport) as client:
        queue = await open_queue("http://localhost/", client=client)
        try:
            yield queue
        finally:
            await queue.close()


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Waits for others, who tell nobody."""
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def ended(queue: Queue, item_id: str) -> None:
    async def is_over() -> bool:
        await queue.sync()
        return not (await queue.get(item_id)).is_open

    await until(is_over)


async def attached(queue: Queue, name: str, data: bytes) -> dict[str, Any]:
    return await queue.attach(name, data, "image/jpeg")


async def test_a_ticket_with_a_file_ends_where_it_belongs(
    tmp_path: Path, store: str | None, desk: Desk
) -> None:
    photo = bytes(range(256)) * 10_000
    async with gateway_of(tmp_path, desk, store) as gateway, device_of(gateway) as queue:
        attachment = await attached(queue, "pump.jpg", photo)
        item = await queue.enqueue("ticket", TICKET, attachments=[attachment], destination="desk")
        await queue.sync()
        await ended(queue, item.id)
        detail = await queue.detail(item.id)
        assert (detail["state"], detail["remote_id"]) == ("completed", "D-1")
        assert detail["remote_url"] == "https://desk.example/show/D-1"
        [record] = desk.records
        assert record.op == item.id
        assert record.files == [("pump.jpg", "image/jpeg", photo)]

        async def gone() -> bool:
            return not any((tmp_path / "parts").glob("*/*/*"))

        await until(gone)  # the gateway keeps no copy; it tells the end first
        kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        assert b"desk-secret" not in kept
        assert b"leaking" not in kept


async def test_what_people_there_call_it_reaches_the_device(
    tmp_path: Path, store: str | None, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(_adapter: DeskAdapter, _item: Item, remote_id: str) -> Script[str | None]:
        return f"Ticket {remote_id}"
        yield

    monkeypatch.setattr(DeskAdapter, "called", called)
    async with gateway_of(tmp_path, desk, store) as gateway, device_of(gateway) as queue:
        item = await queue.enqueue("ticket", TICKET, destination="desk")
        await ended(queue, item.id)
        detail = await queue.detail(item.id)
        assert (detail["remote_id"], detail["remote_name"]) == ("D-1", "Ticket D-1")


async def test_what_it_requires_reaches_the_form(
    tmp_path: Path, store: str | None, desk: Desk
) -> None:
    async with gateway_of(tmp_path, desk, store) as gateway, device_of(gateway) as queue:

        async def known() -> bool:
            await queue.refresh_catalogue()
            given = await queue.catalogue() or {}
            names = {one["name"]: one for one in given["destinations"]}
            return names["desk"]["fields"]["ticket"]["required"] == ["summary", "category"]

        await until(known)
        catalogue = json.dumps(await queue.catalogue())
        assert "secret" not in catalogue
    desk.wants = None  # it is away when the gateway starts again
    async with gateway_of(tmp_path, desk, store) as gateway:

        async def known_still() -> bool:
            return gateway.destinations["desk"].describe()["fields"]["ticket"]["required"] == [
                "summary",
                "category",
            ]

        await until(known_still)


async def test_what_it_refuses_comes_back_and_goes_again_corrected(
    tmp_path: Path, store: str | None, desk: Desk
) -> None:
    desk.refuses["bad"] = "says too little"
    async with gateway_of(tmp_path, desk, store) as gateway, device_of(gateway) as queue:
        item = await queue.enqueue("ticket", {**TICKET, "summary": "bad"}, destination="desk")
        await ended(queue, item.id)
        failed = await queue.get(item.id)
        assert failed.state is State.FAILED
        [row] = (await queue.list("attention"))["rows"]
        assert row["answer"]["fields"] == {"summary": "says too little"}
        await queue.edit(item.id, {**TICKET, "summary": "good"})
        await ended(queue, item.id)
        assert (await queue.get(item.id)).state is State.COMPLETED
        assert [record.fields["summary"] for record in desk.records] == ["good"]


@pytest.mark.parametrize("fault", [lose_answer, cut_before])
async def test_answers_lost_behind_the_gateway_double_nothing(
    tmp_path: Path, store: str | None, desk: Desk, fault: Any
) -> None:
    desk.faults = [fault, fault]
    async with gateway_of(tmp_path, desk, store) as gateway, device_of(gateway) as queue:
        attachment = await attached(queue, "a.jpg", b"a" * 100)
        item = await queue.enqueue("ticket", TICKET, attachments=[attachment], destination="desk")
        await ended(queue, item.id)
        assert (await queue.get(item.id)).state is State.COMPLETED
        [record] = desk.records
        assert [data for _, _, data in record.files] == [b"a" * 100]


async def test_a_file_too_large_is_a_dead_letter_of_its_own(
    tmp_path: Path, store: str | None, desk: Desk
) -> None:
    desk.largest = 1_000
    async with gateway_of(tmp_path, desk, store) as gateway, device_of(gateway) as queue:
        small, large = b"s" * 900, b"l" * 1_100
        files = [await attached(queue, "s.jpg", small), await attached(queue, "l.jpg", large)]
        item = await queue.enqueue("ticket", TICKET, attachments=files, destination="desk")
        await ended(queue, item.id)
        assert (await queue.get(item.id)).state is State.COMPLETED
        [record] = desk.records
        assert [name for name, _, _ in record.files] == ["s.jpg"]
        [row] = (await queue.list("attention"))["rows"]
        assert (row["kind"], row["title"]) == ("attachment", "l.jpg")
        # The administrator allows larger files, and the person tries again.
        desk.largest = 10_000
        await queue.retry(row["id"])
        await ended(queue, row["id"])
        assert (await queue.get(row["id"])).state is State.COMPLETED
        assert [data for _, _, data in record.files] == [small, large]


async def test_a_gateway_that_is_stopped_at_any_time_goes_on(
    tmp_path: Path, store: str | None, desk: Desk
) -> None:
    async with (
        gateway_of(tmp_path, desk, store, "Bearer wrong") as gateway,
        device_of(gateway) as queue,
    ):
        items = [
            await queue.enqueue("ticket", {**TICKET, "summary": f"n {n}"}, destination="desk")
            for n in range(5)
        ]
        await queue.sync()
        assert {(await queue.get(x.id)).state for x in items} == {State.HANDED_OVER}
        assert gateway.relay is not None

        async def queued() -> bool:
            assert gateway.relay is not None
            assert gateway.relay.queue is not None
            status = await gateway.relay.queue.status()
            return bool(status["waiting"] == 5 and status["connection"] == "signed_out")

        await until(queued)
    assert desk.records == []
    async with gateway_of(tmp_path, desk, store):
        await until(lambda: _count(desk, 5))
    assert len({record.op for record in desk.records}) == 5


async def _count(desk: Desk, count: int) -> bool:
    return len(desk.records) >= count

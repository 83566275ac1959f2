"""Destinations that deliver later: handed over now, the end by receipt."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.gateway.wires import DEVICE, OTHER_DEVICE, client_of, operation, post, put, receipts

from gateway.destinations import Entry, Inbox
from gateway.gateway import Gateway
from gateway.ledger import Answer
from gateway.tables import Tx
from gateway.wire import Operation


class Slow:
    """Takes work; says `first` until it is settled."""

    name = "slow"

    def __init__(self, first: str = "handed_over") -> None:
        self.first = first

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def refuse(self, _: Operation) -> Answer | None:
        return None

    def take(self, tx: Tx, entry: Entry) -> None:
        """The ledger's row is enough."""

    def complete(self, tx: Tx, n: int) -> Answer:
        return Answer(self.first)


@pytest.fixture
def gateway(open_gateway: Callable[..., Gateway]) -> Gateway:
    return open_gateway(destinations=lambda cipher: [Inbox(cipher), Slow()])


def slow(**more: Any) -> dict[str, Any]:
    return operation(destination="slow", **more)


DONE = Answer("delivered", remote_id="INC0010001", remote_url="https://desk.example/INC0010001")


async def test_handed_over_until_it_is_settled(gateway: Gateway, client: httpx.AsyncClient) -> None:
    op = slow()
    [first] = await post(client, op)
    assert first == {"id": op["id"], "send_id": op["send_id"], "status": "handed_over"}
    assert await post(client, op) == [{**first, "replayed": True}]
    assert await receipts(client) == {"protocol": 1, "cursor": 0, "receipts": []}
    assert await gateway.settle("default", op["send_id"], DONE)
    found = await receipts(client)
    assert found == {
        "protocol": 1,
        "cursor": 1,
        "receipts": [
            {
                "cursor": 1,
                "id": op["id"],
                "send_id": op["send_id"],
                "status": "delivered",
                "remote_id": DONE.remote_id,
                "remote_url": DONE.remote_url,
                "code": None,
                "detail": None,
            }
        ],
    }
    [again] = await post(client, op)
    assert (again["status"], again["remote_id"]) == ("delivered", DONE.remote_id)


async def test_an_end_is_an_end(gateway: Gateway, client: httpx.AsyncClient) -> None:
    op = slow()
    await post(client, op)
    assert await gateway.settle("default", op["send_id"], DONE)
    assert not await gateway.settle("default", op["send_id"], Answer("rejected", code="NO"))
    assert not await gateway.settle("default", str(uuid.uuid4()), DONE)
    assert len((await receipts(client))["receipts"]) == 1


async def test_the_cursor_goes_on_and_belongs_to_the_device(
    open_gateway: Callable[..., Gateway],
) -> None:
    gateway = open_gateway(destinations=lambda _: [Slow()])
    async with client_of(gateway) as client:
        mine, other = [slow() for _ in range(5)], slow()
        await post(client, *mine)
        await post(client, other, device=OTHER_DEVICE)
        for op in (*mine[:2], other, *mine[2:]):
            await gateway.settle("default", op["send_id"], DONE)
        everything = await receipts(client)
        assert [each["send_id"] for each in everything["receipts"]] == [
            each["send_id"] for each in mine
        ]
        after = everything["receipts"][2]["cursor"]
        rest = await receipts(client, after)
        assert [each["send_id"] for each in rest["receipts"]] == [
            each["send_id"] for each in mine[3:]
        ]
        assert rest["cursor"] == everything["cursor"]
        assert await receipts(client, rest["cursor"]) == {
            "protocol": 1,
            "cursor": rest["cursor"],
            "receipts": [],
        }
        [theirs] = (await receipts(client, device=OTHER_DEVICE))["receipts"]
        assert theirs["send_id"] == other["send_id"]
        response = await client.post(
            "/api/v1/operations",
            json={"protocol": 1, "operations": []},
            headers={"Fieldpost-Device": DEVICE},
        )
        assert response.json()["cursor"] == everything["cursor"]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 19])
async def test_a_cursor_that_is_none_is_refused(client: httpx.AsyncClient, after: str) -> None:
    response = await client.get(
        f"/api/v1/receipts?after={after}", headers={"Fieldpost-Device": DEVICE}
    )
    assert response.status_code == 400


async def test_receipts_come_in_pages(open_gateway: Callable[..., Gateway]) -> None:
    from gateway.settings import Limits  # noqa: PLC0415

    gateway = open_gateway(destinations=lambda _: [Slow()], limits=Limits(receipts=2))
    async with client_of(gateway) as client:
        operations = [slow() for _ in range(5)]
        await post(client, *operations)
        for op in operations:
            await gateway.settle("default", op["send_id"], DONE)
        seen, cursor = [], 0
        while page := (await receipts(client, cursor))["receipts"]:
            assert len(page) <= 2
            seen += [each["send_id"] for each in page]
            cursor = page[-1]["cursor"]
        assert seen == [each["send_id"] for each in operations]


async def test_every_device_that_holds_the_item_gets_the_receipt(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    op = slow()
    await post(client, op)
    await post(client, op, device=OTHER_DEVICE)
    restored = {**op, "send_id": str(uuid.uuid4())}
    [result] = await post(client, restored, device=OTHER_DEVICE)
    assert (result["status"], result["send_id"]) == ("handed_over", restored["send_id"])
    await gateway.settle("default", op["send_id"], DONE)
    assert len((await receipts(client))["receipts"]) == 1
    theirs = (await receipts(client, device=OTHER_DEVICE))["receipts"]
    assert {each["send_id"] for each in theirs} == {op["send_id"], restored["send_id"]}


async def test_after_a_rejection_a_new_key_starts_afresh(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    op = slow()
    await post(client, op)
    await gateway.settle("default", op["send_id"], Answer("rejected", code="CLOSED", detail="No."))
    [receipt] = (await receipts(client))["receipts"]
    assert (receipt["status"], receipt["code"], receipt["detail"]) == ("rejected", "CLOSED", "No.")
    [again] = await post(client, op)
    assert (again["status"], again["code"], again["replayed"]) == ("rejected", "CLOSED", True)
    edited = slow(payload={"summary": "Edited"}, id=op["id"])
    [result] = await post(client, edited)
    assert (result["status"], "replayed" in result) == ("handed_over", False)


async def test_with_attachments_it_is_handed_over_with_the_last_part(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    op = slow(files=[("note.txt", "text/plain", b"falls")])
    [first] = await post(client, op)
    assert first["status"] == "accepted"
    assert (await put(client, op, 1, b"falls")).json()["status"] == "handed_over"
    await gateway.settle("default", op["send_id"], DONE)
    [receipt] = (await receipts(client))["receipts"]
    assert receipt["status"] == "delivered"


async def test_busy_is_asked_again_with_the_same_key(
    open_gateway: Callable[..., Gateway],
) -> None:
    gateway = open_gateway(destinations=lambda _: [Slow("busy")])
    async with client_of(gateway) as client:
        op = slow()
        for _ in range(2):
            [result] = await post(client, op)
            assert (result["status"], "replayed" in result) == ("busy", False)
        await gateway.settle("default", op["send_id"], DONE)
        [result] = await post(client, op)
        assert (result["status"], result["replayed"]) == ("delivered", True)

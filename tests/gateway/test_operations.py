"""POST and GET operations: what a key gets, the first time and every time after."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from tests.gateway.wires import DEVICE, OTHER_DEVICE, code_of, envelope, operation, post, ticket

from fieldpost.engine.kinds import STANDARD
from fieldpost.engine.limits import PAYLOAD_BYTES_MAX
from gateway.gateway import Gateway

HEADERS = {"Content-Type": "application/json", "Fieldpost-Device": DEVICE}


async def arrived(gateway: Gateway) -> int:
    return sum(await gateway.database.read(lambda tx: tx.totals()))


async def test_a_ticket_is_delivered_with_its_number(client: httpx.AsyncClient) -> None:
    op = operation()
    [result] = await post(client, op)
    assert result == {
        "id": op["id"],
        "send_id": op["send_id"],
        "status": "delivered",
        "remote_id": "FP-000001",
        "remote_url": "inbox/FP-000001",
    }


async def test_the_answer_has_the_form_of_the_contract(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/operations", content=envelope(), headers=HEADERS)
    assert response.json() == {"protocol": 1, "cursor": 0, "results": [], "pause_until": None}
    assert response.headers["cache-control"] == "no-store"


async def test_the_same_key_again_gets_the_same_answer(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    op = operation()
    [first] = await post(client, op)
    [second] = await post(client, op)
    assert second == {**first, "replayed": True}
    assert await arrived(gateway) == 1


async def test_the_same_key_twice_in_one_request_arrives_once(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    op = operation()
    first, second = await post(client, op, op)
    assert second == {**first, "replayed": True}
    assert await arrived(gateway) == 1


async def test_two_requests_at_once_with_the_same_key_arrive_once(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    op = operation()
    answers = await asyncio.gather(*(post(client, op) for _ in range(20)))
    assert sum("replayed" in result for [result] in answers) == 19
    assert {result["remote_id"] for [result] in answers} == {"FP-000001"}
    assert await arrived(gateway) == 1


@pytest.mark.parametrize(
    "change",
    [{"payload": ticket(summary="Other")}, {"kind": "feedback"}, {"destination": "elsewhere"}],
)
async def test_the_same_key_with_other_content_is_a_mismatch(
    gateway: Gateway, client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    op = operation()
    change = dict(change)
    changed = operation(change.pop("payload", None), id=op["id"], send_id=op["send_id"], **change)
    await post(client, op)
    [result] = await post(client, changed)
    assert (result["status"], result["code"]) == ("mismatch", "SEND_ID_REUSED")
    [again] = await post(client, op)
    assert again["status"] == "delivered"
    assert await arrived(gateway) == 1


async def test_a_new_key_for_an_item_that_is_here_arrives_once(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    op = operation()
    again = {**op, "send_id": str(uuid.uuid4())}
    await post(client, op)
    [result] = await post(client, again)
    assert (result["status"], result["remote_id"]) == ("delivered", "FP-000001")
    assert result["send_id"] == again["send_id"]
    [other] = await post(
        client, operation(ticket(summary="Other"), id=op["id"], send_id=str(uuid.uuid4()))
    )
    assert (other["status"], other["code"]) == ("rejected", "ID_REUSED")
    assert await arrived(gateway) == 1


async def test_a_refused_operation_does_not_hold_up_the_others(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    good, bad = operation(), operation(ticket(summary=" ", severity="urgent"))
    refused, taken = await post(client, bad, good)
    assert taken["status"] == "delivered"
    assert refused["status"] == "rejected"
    assert refused["code"] == "INVALID_FIELDS"
    assert set(refused["fields"]) == {"summary", "severity"}
    assert "remote_id" not in refused
    assert await arrived(gateway) == 1


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        ("ticket", {}, "summary"),
        ("ticket", {"summary": None}, "summary"),
        ("ticket", {"summary": 7}, "summary"),
        ("ticket", {"summary": "x" * 201}, "summary"),
        ("ticket", ticket(description="x" * 20_001), "description"),
        ("ticket", ticket(category="x" * 101), "category"),
        ("ticket", ticket(severity=["high"]), "severity"),
        ("ticket", ticket(user={"name": "x" * 201}), "user.name"),
        ("feedback", {"comment": "Nice"}, "rating"),
        ("feedback", {"rating": 6, "comment": "Nice"}, "rating"),
        ("feedback", {"rating": 4.5, "comment": "Nice"}, "rating"),
        ("feedback", {"rating": True, "comment": "Nice"}, "rating"),
        ("feedback", {"rating": 4, "comment": " "}, "comment"),
    ],
)
async def test_fields_are_refused_by_name(
    client: httpx.AsyncClient, kind: str, payload: dict[str, Any], field: str
) -> None:
    [result] = await post(client, operation(payload, kind=kind))
    assert result["status"] == "rejected"
    assert list(result["fields"]) == [field]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "song"}, "UNKNOWN_KIND"),
        ({"operation": "delete"}, "UNSUPPORTED_OPERATION"),
        ({"destination": "moon"}, "UNKNOWN_DESTINATION"),
        ({"payload_sha256": "0" * 64}, "PAYLOAD_DIGEST_MISMATCH"),
        ({"payload_sha256": "0"}, "BAD_OPERATION"),
        ({"payload": []}, "BAD_OPERATION"),
        ({"kind": None}, "BAD_OPERATION"),
        ({"entity": 5}, "BAD_OPERATION"),
        ({"base_version": 2**60}, "BAD_OPERATION"),
        ({"depends_on": ["x"]}, "BAD_OPERATION"),
        ({"captured_at": -1}, "BAD_OPERATION"),
        ({"captured_at": "now"}, "BAD_OPERATION"),
        ({"payload": {"n": 2**60}}, "BAD_OPERATION"),
        ({"payload": {"\ud800": 1}}, "BAD_OPERATION"),
        ({"payload": {"summary": "\udfff"}}, "BAD_OPERATION"),
        ({"attachments": [{"id": "x"}]}, "BAD_OPERATION"),
    ],
)
async def test_a_malformed_operation_is_refused_alone(
    client: httpx.AsyncClient, change: dict[str, Any], code: str
) -> None:
    result, good = await post(client, {**operation(), **change}, operation())
    assert (result["status"], result["code"]) == ("rejected", code)
    assert good["status"] == "delivered"


async def test_a_payload_that_is_too_large_is_refused(client: httpx.AsyncClient) -> None:
    [result] = await post(client, operation(ticket(more="x" * PAYLOAD_BYTES_MAX)))
    assert (result["status"], result["code"]) == ("rejected", "TOO_LARGE")


async def test_a_refusal_is_not_kept(client: httpx.AsyncClient) -> None:
    op = operation(ticket(summary=""))
    [first] = await post(client, op)
    [second] = await post(client, op)
    assert first == second
    assert (await client.get(f"/api/v1/operations/{op['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "BAD_REQUEST"),
        (b"{", 400, "BAD_REQUEST"),
        (b"\xff", 400, "BAD_REQUEST"),
        (b"[]", 400, "BAD_REQUEST"),
        (b'{"protocol": true}', 400, "BAD_REQUEST"),
        (b'{"protocol": 1, "protocol": 1}', 400, "BAD_REQUEST"),
        (b'{"protocol": 1, "operations": [NaN]}', 400, "BAD_REQUEST"),
        (b'{"protocol": 1, "operations": [{}]}', 400, "BAD_REQUEST"),
        (b'{"protocol": 1, "operations": {}}', 400, "BAD_REQUEST"),
        (b'{"protocol": 1, "ack": ["x"]}', 400, "BAD_REQUEST"),
        (b"[" * 100_000, 400, "BAD_REQUEST"),
        (b'{"protocol": 0}', 426, "UPDATE_REQUIRED"),
        (b'{"protocol": 2}', 426, "UPDATE_REQUIRED"),
    ],
)
async def test_a_request_that_cannot_be_read_is_refused_whole(
    client: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    response = await client.post("/api/v1/operations", content=body, headers=HEADERS)
    assert (response.status_code, code_of(response)) == (status, code)


async def test_more_than_a_hundred_operations_are_refused(client: httpx.AsyncClient) -> None:
    body = envelope(*(operation() for _ in range(101)))
    response = await client.post("/api/v1/operations", content=body, headers=HEADERS)
    assert code_of(response) == "BAD_REQUEST"


async def test_another_content_type_is_refused(client: httpx.AsyncClient) -> None:
    headers = {**HEADERS, "Content-Type": "text/plain"}
    response = await client.post("/api/v1/operations", content=envelope(), headers=headers)
    assert (response.status_code, code_of(response)) == (415, "UNSUPPORTED_TYPE")
    headers = {**HEADERS, "Content-Encoding": "gzip"}
    response = await client.post("/api/v1/operations", content=envelope(), headers=headers)
    assert (response.status_code, code_of(response)) == (415, "UNSUPPORTED_TYPE")


async def test_a_device_has_to_say_which_it_is(client: httpx.AsyncClient) -> None:
    for device in ("", "van-3"):
        headers = {**HEADERS, "Fieldpost-Device": device}
        response = await client.post("/api/v1/operations", content=envelope(), headers=headers)
        assert code_of(response) == "BAD_REQUEST"


async def test_an_operation_can_be_looked_up(client: httpx.AsyncClient) -> None:
    op = operation()
    [delivered] = await post(client, op)
    response = await client.get(f"/api/v1/operations/{op['id']}")
    assert response.json() == {"protocol": 1, **delivered}
    missing = await client.get(f"/api/v1/operations/{uuid.uuid4()}")
    assert code_of(missing) == "UNKNOWN_OPERATION"


async def test_a_rescue_file_on_another_device_arrives_once(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    op = operation()
    await post(client, op)
    [result] = await post(client, op, device=OTHER_DEVICE)
    assert (result["status"], result["replayed"]) == ("delivered", True)
    assert await arrived(gateway) == 1


async def test_the_catalogue_says_what_is_checked(client: httpx.AsyncClient) -> None:
    catalogue = (await client.get("/api/v1/destinations")).json()
    [inbox] = catalogue["destinations"]
    assert catalogue["protocol"] == 1
    assert inbox["name"] == "inbox"
    assert inbox["guarantee"] == "strong"
    assert inbox["kinds"] == [kind.name for kind in STANDARD]
    assert {"ticket", "feedback", "log"} <= set(inbox["kinds"])
    assert inbox["fields"]["ticket"]["required"] == ["summary"]
    assert inbox["fields"]["ticket"]["choices"]["severity"] == ["low", "medium", "high", "critical"]
    assert inbox["limits"]["payload_bytes"] == PAYLOAD_BYTES_MAX


async def test_what_the_form_lets_through_offline_is_taken(client: httpx.AsyncClient) -> None:
    odd = ticket(category="long gone", user="Ann", systemInfo=[1], more={"deep": [None]})
    feedback = operation({"rating": 5, "comment": "Nice", "context": {}}, kind="feedback")
    results = await post(client, operation(odd), feedback)
    assert [each["status"] for each in results] == ["delivered", "delivered"]

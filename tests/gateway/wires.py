"""Requests as a device makes them."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import Any

import httpx
import rfc8785

from fieldpost.engine.limits import PART_BYTES
from gateway.app import create_app
from gateway.gateway import Gateway

HOST = "http://127.0.0.1:8000"
DEVICE = "11111111-1111-4111-8111-111111111111"
OTHER_DEVICE = "22222222-2222-4222-8222-222222222222"


def client_of(gateway: Gateway, **more: Any) -> httpx.AsyncClient:
    """A client of the application without a server in between."""
    transport = httpx.ASGITransport(create_app(gateway), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=HOST, **more)


def ticket(**more: Any) -> dict[str, Any]:
    return {"summary": "Pump 3 leaks", "severity": "high", "user": {"name": "Ann"}, **more}


def operation(payload: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """One ticket to create; ``files`` = [(name, type, bytes)] become attachments."""
    payload = ticket() if payload is None else payload
    files = more.pop("files", [])
    return {
        "id": str(uuid.uuid4()),
        "send_id": str(uuid.uuid4()),
        "kind": "ticket",
        "operation": "create",
        "entity": None,
        "base_version": None,
        "depends_on": [],
        "destination": "inbox",
        "captured_at": 1_700_000_000_000,
        "attachments": [attachment(*each) for each in files],
        "payload_sha256": hashlib.sha256(rfc8785.dumps(payload)).hexdigest(),
        "payload": payload,
        **more,
    }


def attachment(name: str, type_: str, data: bytes) -> dict[str, Any]:
    digests = [base64.b64encode(hashlib.sha256(part).digest()).decode() for part in parts_of(data)]
    return {
        "id": str(uuid.uuid4()),
        "name": name,
        "type": type_,
        "size": len(data),
        "parts": len(digests),
        "sha256": digests,
    }


def parts_of(data: bytes) -> list[bytes]:
    return [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]


def envelope(*operations: dict[str, Any], ack: list[str] | None = None, protocol: int = 1) -> bytes:
    return json.dumps(
        {"protocol": protocol, "ack": ack or [], "operations": list(operations)}
    ).encode()


async def post(
    client: httpx.AsyncClient,
    *operations: dict[str, Any],
    ack: list[str] | None = None,
    device: str = DEVICE,
) -> list[dict[str, Any]]:
    """Deliver, and return the results of a request that has to go through."""
    response = await client.post(
        "/api/v1/operations",
        content=envelope(*operations, ack=ack),
        headers={"Content-Type": "application/json", "Fieldpost-Device": device},
    )
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    assert [each["id"] for each in results] == [each["id"] for each in operations]
    return results


def digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


async def put(
    client: httpx.AsyncClient,
    op: dict[str, Any],
    n: int,
    data: bytes,
    *,
    which: int = 0,
    device: str = DEVICE,
    **headers: str,
) -> httpx.Response:
    """Send one part."""
    path = f"/api/v1/operations/{op['id']}/attachments/{op['attachments'][which]['id']}/{n}"
    return await client.put(
        path,
        content=data,
        headers={
            "Fieldpost-Device": device,
            "Fieldpost-Send-Id": op["send_id"],
            "Content-Digest": digest(data),
            **headers,
        },
    )


async def receipts(
    client: httpx.AsyncClient, after: int = 0, device: str = DEVICE
) -> dict[str, Any]:
    response = await client.get(
        f"/api/v1/receipts?after={after}", headers={"Fieldpost-Device": device}
    )
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def code_of(response: httpx.Response) -> str:
    """The code of a refusal, whose form is checked on the way (RFC 9457)."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert {"type", "title", "detail", "code"} <= set(body)
    return str(body["code"])

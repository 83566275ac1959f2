"""Attachments by part: text first, bytes after, resumed at the first part not acknowledged."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import in_a_folder
from tests.gateway.wires import (
    OTHER_DEVICE,
    attachment,
    client_of,
    code_of,
    digest,
    operation,
    parts_of,
    post,
    put,
    receipts,
)

from fieldpost.engine.limits import ATTACHMENT_BYTES_MAX, PART_BYTES
from gateway.gateway import Gateway

PHOTO = random.Random(7).randbytes(2 * PART_BYTES + 1000)
NOTE = b"pressure falls"


async def test_delivered_with_the_last_part(client: httpx.AsyncClient) -> None:
    op = operation(files=[("pump.jpg", "image/jpeg", PHOTO), ("note.txt", "text/plain", NOTE)])
    first, second = (each["id"] for each in op["attachments"])
    [accepted] = await post(client, op)
    assert accepted["status"] == "accepted"
    assert accepted["acked"] == {first: 0, second: 0}
    assert "remote_id" not in accepted
    for n, part in enumerate(parts_of(PHOTO), 1):
        answer = (await put(client, op, n, part)).json()
        assert (answer["acked"], answer["status"]) == (n, "accepted")
    last = (await put(client, op, 1, NOTE, which=1)).json()
    assert last == {
        "protocol": 1,
        "id": op["id"],
        "send_id": op["send_id"],
        "attachment_id": second,
        "acked": 1,
        "status": "delivered",
        "remote_id": "FP-000001",
        "remote_url": "inbox/FP-000001",
    }
    [replayed] = await post(client, op)
    assert (replayed["status"], replayed["remote_id"]) == ("delivered", "FP-000001")
    assert replayed["acked"] == {first: 3, second: 1}
    assert replayed["replayed"] is True
    [receipt] = (await receipts(client))["receipts"]
    assert (receipt["id"], receipt["send_id"]) == (op["id"], op["send_id"])
    assert (receipt["status"], receipt["remote_id"]) == ("delivered", "FP-000001")


async def test_a_restart_resumes_at_the_first_missing_part(
    open_gateway: Any, tmp_path: Path
) -> None:
    op = operation(files=[("pump.jpg", "image/jpeg", PHOTO)])
    parts = parts_of(PHOTO)
    async with client_of(open_gateway()) as client:
        await post(client, op)
        await put(client, op, 1, parts[0])
    async with client_of(open_gateway()) as client:
        [again] = await post(client, op)
        assert again["acked"] == {op["attachments"][0]["id"]: 1}
        assert again["status"] == "accepted"
        await put(client, op, 2, parts[1])
        last = await put(client, op, 3, parts[2])
        assert last.json()["status"] == "delivered"


async def test_numbers_follow_the_order_of_the_texts(client: httpx.AsyncClient) -> None:
    slow = operation(files=[("note.txt", "text/plain", NOTE)])
    await post(client, slow)
    [quick] = await post(client, operation())
    assert quick["remote_id"] == "FP-000002"
    assert (await put(client, slow, 1, NOTE)).json()["remote_id"] == "FP-000001"


async def test_a_part_held_already_is_acknowledged_again(client: httpx.AsyncClient) -> None:
    op = operation(files=[("pump.jpg", "image/jpeg", PHOTO)])
    await post(client, op)
    parts = parts_of(PHOTO)
    for n, part in enumerate(parts, 1):
        await put(client, op, n, part)
    again = (await put(client, op, 1, parts[0])).json()
    assert (again["acked"], again["status"], again["remote_id"]) == (3, "delivered", "FP-000001")


async def test_the_same_part_twice_at_once_counts_once(client: httpx.AsyncClient) -> None:
    op = operation(files=[("pump.jpg", "image/jpeg", PHOTO)])
    await post(client, op)
    part = parts_of(PHOTO)[0]
    answers = await asyncio.gather(*(put(client, op, 1, part) for _ in range(4)))
    assert [each.json()["acked"] for each in answers] == [1, 1, 1, 1]


async def test_a_gap_is_refused_and_says_what_is_held(client: httpx.AsyncClient) -> None:
    op = operation(files=[("pump.jpg", "image/jpeg", PHOTO)])
    await post(client, op)
    response = await put(client, op, 2, parts_of(PHOTO)[1])
    assert (response.status_code, code_of(response)) == (409, "PART_GAP")
    assert response.json()["acked"] == 0


async def test_bytes_that_changed_on_the_way_are_refused(client: httpx.AsyncClient) -> None:
    op = operation(files=[("note.txt", "text/plain", NOTE)])
    await post(client, op)
    cut = await put(client, op, 1, NOTE[:-1], **{"Content-Digest": digest(NOTE)})
    assert (cut.status_code, code_of(cut)) == (422, "DIGEST_MISMATCH")
    other = await put(client, op, 1, b"pressure rises")
    assert (other.status_code, code_of(other)) == (422, "DIGEST_MISMATCH")
    assert other.json()["detail"] != cut.json()["detail"]
    none = await put(client, op, 1, NOTE, **{"Content-Digest": "md5=:AAAA:"})
    assert (none.status_code, code_of(none)) == (400, "BAD_REQUEST")
    assert (await put(client, op, 1, NOTE)).json()["status"] == "delivered"


async def test_unknown_things_are_not_found(client: httpx.AsyncClient) -> None:
    op = operation(files=[("note.txt", "text/plain", NOTE)])
    assert code_of(await put(client, op, 1, NOTE)) == "UNKNOWN_OPERATION"
    await post(client, op)
    stranger = operation(files=[("note.txt", "text/plain", NOTE)])
    wrong_key = {**op, "send_id": stranger["send_id"]}
    assert code_of(await put(client, wrong_key, 1, NOTE)) == "UNKNOWN_OPERATION"
    wrong_file = {**op, "attachments": stranger["attachments"]}
    assert code_of(await put(client, wrong_file, 1, NOTE)) == "UNKNOWN_ATTACHMENT"
    for n in (0, 2):
        assert code_of(await put(client, op, n, NOTE)) == "NOT_FOUND"


async def test_a_part_that_is_too_large_is_refused(client: httpx.AsyncClient) -> None:
    op = operation(files=[("pump.jpg", "image/jpeg", PHOTO)])
    await post(client, op)
    response = await put(client, op, 1, PHOTO[: PART_BYTES + 2000])
    assert (response.status_code, code_of(response)) == (413, "TOO_LARGE")


async def test_an_empty_file_is_no_part_or_one(client: httpx.AsyncClient) -> None:
    none = operation(files=[("empty.txt", "text/plain", b"")])
    [result] = await post(client, none)
    assert result["status"] == "delivered"
    one = operation(files=[("empty.txt", "text/plain", b"")])
    one["attachments"][0] |= {
        "parts": 1,
        "sha256": ["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="],
    }
    [result] = await post(client, one)
    assert result["status"] == "accepted"
    assert (await put(client, one, 1, b"")).json()["status"] == "delivered"


@pytest.mark.parametrize(
    "change",
    [
        {"size": ATTACHMENT_BYTES_MAX + 1},
        {"size": -1},
        {"size": True},
        {"parts": 2},
        {"sha256": ["AAAA"]},
        {"sha256": "AAAA"},
        {"sha256": [7]},
        {"name": ""},
        {"name": "x" * 256},
        {"name": "\ud800"},
        {"type": "no type"},
        {"id": "../../etc/passwd"},
    ],
)
async def test_a_manifest_that_does_not_hold_is_refused(
    client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    op = operation(files=[("note.txt", "text/plain", NOTE)])
    op["attachments"][0] |= change
    [result] = await post(client, op)
    assert (result["status"], result["code"]) == ("rejected", "BAD_OPERATION")
    assert set(result["fields"]) == {"attachments"}


async def test_too_many_or_equal_attachments_are_refused(client: httpx.AsyncClient) -> None:
    many = operation(files=[("note.txt", "text/plain", NOTE)] * 21)
    [result] = await post(client, many)
    assert result["status"] == "rejected"
    twice = operation()
    twice["attachments"] = [attachment("a", "", NOTE)] * 2
    [result] = await post(client, twice)
    assert result["status"] == "rejected"


@in_a_folder
async def test_parts_lie_sealed_and_private(
    gateway: Gateway, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    op = operation(files=[("note.txt", "text/plain", NOTE)])
    await post(client, op)
    await put(client, op, 1, NOTE)
    files = [each for each in (tmp_path / "data" / "parts").rglob("*") if each.is_file()]
    assert [each.name for each in files] == ["1"]
    assert NOTE not in files[0].read_bytes()
    assert files[0].stat().st_mode & 0o777 == 0o600


@in_a_folder
async def test_a_disk_that_is_full_loses_nothing(
    gateway: Gateway, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    op = operation(files=[("note.txt", "text/plain", NOTE)])
    await post(client, op)
    with monkeypatch.context() as full:

        def no_space(_: int) -> None:
            raise OSError(28, "No space left on device")

        full.setattr(os, "fsync", no_space)
        response = await put(client, op, 1, NOTE)
        assert (response.status_code, code_of(response)) == (503, "UNAVAILABLE")
        assert response.headers["retry-after"]
    leftovers = [each for each in (tmp_path / "data" / "parts").rglob(".*") if each.is_file()]
    assert leftovers == []
    assert (await put(client, op, 1, NOTE)).json()["status"] == "delivered"


async def test_another_device_may_finish_what_one_began(client: httpx.AsyncClient) -> None:
    op = operation(files=[("pump.jpg", "image/jpeg", PHOTO)])
    parts = parts_of(PHOTO)
    await post(client, op)
    await put(client, op, 1, parts[0])
    [again] = await post(client, op, device=OTHER_DEVICE)
    assert again["acked"] == {op["attachments"][0]["id"]: 1}
    await put(client, op, 2, parts[1], device=OTHER_DEVICE)
    last = await put(client, op, 3, parts[2], device=OTHER_DEVICE)
    assert last.json()["status"] == "delivered"
    for device in (None, OTHER_DEVICE):
        found = await (receipts(client, device=device) if device else receipts(client))
        assert [each["send_id"] for each in found["receipts"]] == [op["send_id"]]

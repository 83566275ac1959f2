"""What is said of a Redis server that cannot be used, and what becomes of a lost answer."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.gateway.process import start
from tests.gateway.test_process import refused
from tests.gateway.wires import DEVICE, client_of, code_of, envelope, operation, post, put
from tests.redis.cutting import Cutting
from tools.servers import RedisServer

from gateway.gateway import Gateway
from gateway.settings import CannotStart, Settings
from gateway.shared_database import RedisDatabase
from gateway.shared_parts import SharedDevices
from gateway.shared_rows import pack, unpack

HEADERS = {"Content-Type": "application/json", "Fieldpost-Device": DEVICE}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may kill."""
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.stop()


def test_packed_columns_and_blobs_come_back() -> None:
    packed = pack(["a\nb", None, 7], b"x\ny", None, b"")
    assert unpack(packed) == (["a\nb", None, 7], [b"x\ny", None, b""])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1/", "must begin with redis://"),
        ("redis://127.0.0.1/0?queue=a/b", "queue must be 1 to 64"),
        ("redis://127.0.0.1/0?ack_loss=1h", "ack_loss must be 1s"),
        ("redis://127.0.0.1:1/0", "127.0.0.1:1: The Redis server gave no answer"),
        ("redis://user:secret@[::1]:1/0", "[::1]:1: The Redis server gave no answer"),
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(CannotStart) as refusal:
        Gateway(Settings(data=tmp_path, store=url))
    assert said in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.full
def test_a_server_that_may_lose_what_it_acknowledged_is_refused(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", appendfsync="everysec").start()
    try:
        said = refused(tmp_path / "data", "--store", server.url())
        assert "appendfsync must be always, is everysec" in said
        lax = start(tmp_path / "data", "--store", server.url(more="&ack_loss=1s"))
        assert httpx.get(f"{lax.url}/healthz").json()["durability"] == "everysec"
        lax.end()
    finally:
        server.stop()


@pytest.mark.full
def test_other_keys_and_no_keys_are_refused(tmp_path: Path, redis_server: RedisServer) -> None:
    url = redis_server.url("keys")
    Gateway(Settings(data=tmp_path / "first", store=url)).close()
    with pytest.raises(CannotStart, match=r"copy keys\.json to"):
        Gateway(Settings(data=tmp_path / "second", store=url))
    assert not (tmp_path / "second" / "keys.json").exists()
    Gateway(Settings(data=tmp_path / "third")).close()
    with pytest.raises(CannotStart, match="keys are not those"):
        Gateway(Settings(data=tmp_path / "third", store=url))
    given = tmp_path / "given.json"
    shutil.copy(tmp_path / "first" / "keys.json", given)
    given.chmod(0o600)
    Gateway(Settings(data=tmp_path / "second", store=url, keys=given)).close()


@pytest.mark.full
async def test_a_commit_without_an_answer_is_asked_again_with_the_same_key(
    tmp_path: Path, own: RedisServer
) -> None:
    async with Cutting(own.port) as line:
        settings = Settings(data=tmp_path / "data", store=line.url(own))
        gateway = await asyncio.to_thread(Gateway, settings)  # the line is in this loop
        database = gateway.database
        assert isinstance(database, RedisDatabase)
        try:
            async with client_of(gateway) as client:
                await post(client, operation())  # the scripts are known by now
                for at, fault in enumerate(("cut_answers", "cut_requests")):
                    op = operation()
                    # Numbers come first, by a script of their own: there are some left.
                    await asyncio.to_thread(database.foresee, 5)
                    database._numbers["number"] = [90 + at]
                    setattr(line, fault, True)
                    body = envelope(op)
                    said = await client.post("/api/v1/operations", content=body, headers=HEADERS)
                    setattr(line, fault, False)
                    assert (said.status_code, code_of(said)) == (503, "UNAVAILABLE")
                    assert line.cut == 1
                    line.cut = 0
                    [result] = await post(client, op)
                    assert result["status"] == "delivered"
                    assert result.get("replayed", False) == (fault == "cut_answers")
            assert sum(await gateway.database.read(lambda tx: tx.totals())) == 3
        finally:
            gateway.close()


@pytest.mark.full
async def test_a_server_that_dies_and_comes_back_has_all_it_acknowledged(
    tmp_path: Path, own: RedisServer
) -> None:
    gateway = Gateway(Settings(data=tmp_path / "data", store=own.url()))
    try:
        async with client_of(gateway) as client:
            op = operation(files=[("note.txt", "text/plain", b"falls")])
            await post(client, op)
            own.kill()
            said = await put(client, op, 1, b"falls")
            assert (said.status_code, code_of(said)) == (503, "UNAVAILABLE")
            own.start()
            assert (await put(client, op, 1, b"falls")).json()["status"] == "delivered"
            own.kill()
            own.start()
            [again] = await post(client, op)
            assert (again["status"], again["remote_id"]) == ("delivered", "FP-000001")
    finally:
        gateway.close()


@pytest.mark.full
async def test_a_device_unpaired_at_one_gateway_is_refused_at_another(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    settings = Settings(data=tmp_path, store=redis_server.url("devices"))
    one, other = Gateway(settings), Gateway(settings)
    now = [0.0]
    assert isinstance(other.devices, SharedDevices)
    other.devices._monotonic = lambda: now[0]
    try:
        token = one.devices.pair("Van 3")
        one.devices.pair("Office", role="reader")
        headers = {"Authorization": f"Bearer {token}"}
        async with client_of(other, headers=headers) as client:
            now[0] += 1e9
            await post(client, operation())
            assert one.devices.unpair("Van 3") == 1
            now[0] += 1.0
            said = await client.post("/api/v1/operations", content=envelope(), headers=HEADERS)
            assert (said.status_code, code_of(said)) == (401, "UNAUTHORISED")
    finally:
        one.close()
        other.close()


@pytest.mark.full
async def test_redis_sees_no_content(tmp_path: Path, own: RedisServer) -> None:
    gateway = Gateway(Settings(data=tmp_path / "data", store=own.url()))
    try:
        async with client_of(gateway) as client:
            op = operation(files=[("pump-name.txt", "text/plain", b"pressure falls")])
            await post(client, op)
            await put(client, op, 1, b"pressure falls")
    finally:
        gateway.close()
    kept = b"".join(each.read_bytes() for each in own.folder.rglob("*") if each.is_file())
    assert op["id"].encode() in kept
    for clear in (b"Pump 3 leaks", b"Ann", b"pump-name", b"pressure falls"):
        assert clear not in kept

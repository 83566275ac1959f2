"""The real process: start, refusals to start, signals, and kill -9 at the worst moments."""

from __future__ import annotations

import asyncio
import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.process import ROOT, Running, command, environment, start
from tests.gateway.wires import DEVICE, envelope, operation, parts_of, post, put, receipts, ticket

from fieldpost.engine.limits import PART_BYTES
from fieldpost.testing.faultproxy import Fault, FaultProxy
from gateway.server import TimedProtocol

Run = Callable[..., Running]


def client_for(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=20)


def refused(data: Path, *arguments: str) -> str:
    """What a gateway says that does not start."""
    done = subprocess.run(
        command(data, *arguments),
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=30,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_it_says_where_it_is_and_ends_when_asked(run: Run) -> None:
    running = run()
    assert running.first_line == (f"Fieldpost is at {running.url}/ (inbox: {running.url}/inbox)\n")
    assert httpx.get(f"{running.url}/healthz").json()["status"] == "ok"
    status, errors = running.end()
    assert (status, errors) == (0, "")


def test_a_second_start_on_the_same_data_is_refused(run: Run, tmp_path: Path) -> None:
    run()
    assert "Another gateway is running" in refused(tmp_path / "data", "--port", "0")


def test_a_taken_port_is_named(run: Run, tmp_path: Path) -> None:
    port = run().url.rpartition(":")[2]
    said = refused(tmp_path / "other", "--port", port)
    assert f"127.0.0.1:{port}" in said
    assert "--port" in said


def test_beyond_loopback_it_needs_paired_devices(tmp_path: Path, run: Run) -> None:
    data = tmp_path / "data"
    said = refused(data, "--host", "0.0.0.0", "--port", "0")
    assert "no device is paired" in said
    subprocess.run(
        [*command(data, module=("-m", "gateway", "pair")), "--name", "Van 3"],
        check=True,
        capture_output=True,
        env=environment(),
    )
    running = run("--host", "0.0.0.0", "--allow-host", "desk.example")
    url = running.url.replace("0.0.0.0", "127.0.0.1")
    assert httpx.get(f"{url}/api/v1/destinations").status_code == 401
    named = httpx.get(f"{url}/healthz", headers={"Host": "desk.example"})
    assert named.status_code == 200
    assert httpx.get(f"{url}/healthz", headers={"Host": "0.0.0.1"}).status_code == 403


def test_readable_keys_stop_the_start(run: Run, tmp_path: Path) -> None:
    run().end()
    (tmp_path / "data" / "keys.json").chmod(0o644)
    assert "chmod 600" in refused(tmp_path / "data", "--port", "0")


async def test_killed_between_commit_and_answer_it_arrives_once(run: Run, tmp_path: Path) -> None:
    script = (str(ROOT / "tests" / "gateway" / "die_before_answer.py"),)
    dying = run(module=script)
    op = operation()
    async with client_for(dying.url) as client:
        with pytest.raises(httpx.TransportError):
            await post(client, op)
    assert dying.process.wait(10) == -9
    dying.kill()
    async with client_for(run().url) as client:
        [again] = await post(client, op)
        assert (again["status"], again["remote_id"]) == ("delivered", "FP-000001")
        assert again["replayed"] is True
        assert "1 arrived" in (await client.get("/inbox")).text


async def test_a_lost_answer_and_a_kill_arrive_once(run: Run) -> None:
    first = run()
    op = operation()
    with FaultProxy(first.address) as proxy:
        proxy.fault = Fault("cut_after", times=1, methods=("POST",))
        async with client_for(proxy.url) as client:
            with pytest.raises(httpx.TransportError):
                await post(client, op)
        proxy.wait_for("cut_after")
    first.kill()
    second = run()
    with FaultProxy(second.address) as proxy:
        async with client_for(proxy.url) as client:
            [again] = await post(client, op)
    assert (again["status"], again["replayed"]) == ("delivered", True)


async def test_killed_with_the_last_part_durable_it_is_delivered(run: Run) -> None:
    photo = bytes(PART_BYTES + 5)
    op = operation(files=[("pump.jpg", "image/jpeg", photo)])
    parts = parts_of(photo)
    first = run()
    with FaultProxy(first.address) as proxy:
        async with client_for(proxy.url) as client:
            await post(client, op)
            await put(client, op, 1, parts[0])
            proxy.fault = Fault("cut_after", times=1, methods=("PUT",))
            with pytest.raises(httpx.TransportError):
                await put(client, op, 2, parts[1])
            proxy.wait_for("cut_after")
    first.kill()
    async with client_for(run().url) as client:
        [again] = await post(client, op)
        assert (again["status"], again["remote_id"]) == ("delivered", "FP-000001")
        [receipt] = (await receipts(client))["receipts"]
        assert receipt["send_id"] == op["send_id"]
        last = await put(client, op, 2, parts[1])
        assert last.json()["status"] == "delivered"
        photo_back = await client.get("/inbox/FP-000001/attachments/0")
        assert photo_back.content == photo


@pytest.mark.parametrize("mode", ["cut_before", "cut_during"])
async def test_a_request_cut_short_has_no_effect(run: Run, mode: str) -> None:
    running = run()
    op = operation(ticket(description="x" * 10_000))
    with FaultProxy(running.address) as proxy:
        proxy.fault = Fault(mode, times=1)
        async with client_for(proxy.url) as client:
            with pytest.raises(httpx.TransportError):
                await post(client, op)
            [result] = await post(client, op)
    assert (result["status"], "replayed" in result) == ("delivered", False)


@pytest.mark.full
async def test_kill_9_in_the_middle_of_many_senders_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    """Ten rounds of four senders; the process is killed while they send."""
    await storm(tmp_path / "data", rounds=10)


async def test_kill_9_while_sending(tmp_path: Path) -> None:
    await storm(tmp_path / "data", rounds=2)


async def storm(data: Path, rounds: int) -> None:
    answered: dict[str, str] = {}
    everything: list[dict[str, Any]] = []

    async def send_until_dead(url: str) -> None:
        async with client_for(url) as client:
            while True:
                batch = [operation() for _ in range(5)]
                everything.extend(batch)
                for result in await post(client, *batch):
                    answered[result["id"]] = result["remote_id"]

    for _ in range(rounds):
        running = start(data)
        before = len(answered)
        senders = [asyncio.create_task(send_until_dead(running.url)) for _ in range(4)]
        async with asyncio.timeout(30):
            while len(answered) < before + 40:
                await asyncio.wait(senders, timeout=0.01)
        running.kill()
        died = await asyncio.gather(*senders, return_exceptions=True)
        assert all(isinstance(each, httpx.TransportError) for each in died), died
    last = start(data)
    async with client_for(last.url) as client:
        for first in range(0, len(everything), 50):
            for result in await post(client, *everything[first : first + 50]):
                assert result["status"] == "delivered"
                # An answer once given is the answer for ever.
                assert answered.setdefault(result["id"], result["remote_id"]) == result["remote_id"]
        assert len(set(answered.values())) == len(everything)
        page = (await client.get("/inbox")).text
        assert f"{len(everything)} arrived" in page
    last.end()


def test_sigterm_lets_a_request_finish(run: Run) -> None:
    running = run()
    body = envelope(operation())
    host, port = running.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.putrequest("POST", "/api/v1/operations")
    for name, value in {
        "Content-Type": "application/json",
        "Fieldpost-Device": DEVICE,
        "Content-Length": str(len(body)),
        "Expect": "100-continue",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock is not None
    assert connection.sock.recv(4096).startswith(b"HTTP/1.1 100")  # it has begun
    running.process.terminate()
    connection.send(body)
    response = connection.getresponse()
    assert response.status == 200
    assert b"delivered" in response.read()
    connection.close()
    assert running.end() == (0, "")


def test_a_head_that_never_ends_is_cut(run: Run, tmp_path: Path) -> None:
    script = ROOT / "tests" / "gateway" / "impatient.py"
    running = run(module=(str(script),))
    host, port = running.address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert slow.recv(100) == b""
    with socket.create_connection((host, int(port)), timeout=20) as silent:
        assert silent.recv(100) == b""
    assert TimedProtocol.__doc__


def test_small_answers_are_not_held_back(run: Run) -> None:
    """Nagle's algorithm with delayed acknowledgements costs 40 ms a request."""
    running = run()
    with httpx.Client(base_url=running.url) as client:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            client.post(
                "/api/v1/operations",
                content=envelope(),
                headers={"Content-Type": "application/json", "Fieldpost-Device": DEVICE},
            )
            took.append(time.perf_counter() - began)
    assert min(took) < 0.03


def test_threads_that_read_and_write_at_once(run: Run) -> None:
    """Connections of many clients at a time, each seeing what it wrote."""
    running = run()
    failed: list[object] = []

    def work() -> None:
        with httpx.Client(base_url=running.url, timeout=20) as client:
            for _ in range(5):
                op = operation()
                headers = {"Content-Type": "application/json", "Fieldpost-Device": DEVICE}
                client.post("/api/v1/operations", content=envelope(op), headers=headers)
                seen = client.get(f"/api/v1/operations/{op['id']}").json()
                if seen.get("status") != "delivered":
                    failed.append(seen)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []

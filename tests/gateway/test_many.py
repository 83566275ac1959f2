"""Any number of gateways behind one Redis: killed, suspended and added while devices send to any
of them, nothing is lost and nothing doubled; and no device holds up another one."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.desk import SECRET, Desk
from tests.gateway.process import Running, start
from tests.gateway.test_relay import TICKET, gateway_of, until
from tests.gateway.wires import client_of, envelope, operation, post
from tools.servers import RedisServer

from fieldpost.ports import Request

ROUNDS = 10
DEVICES = 4
GATEWAYS = 3


class DeskServer:
    """The desk over HTTP, which takes its time, so that processes die and stop while it does."""

    def __init__(self) -> None:
        self.desk = Desk()
        desk, one_at_a_time, slow = self.desk, threading.Lock(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                request = Request(self.command, desk.url + self.path, dict(self.headers), body)
                slow.wait(0.02)
                with one_at_a_time:
                    said = desk.answer(request)
                slow.wait(0.02)
                self.send_response(said.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

            do_GET = do_POST = _answer  # noqa: N815 - what http.server calls

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Its clients are killed."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Fleet:
    """Gateways with one queue and one key file, each with a folder of its own, as on machines of
    their own."""

    def __init__(self, folder: Path, store: str, desk: str) -> None:
        self._folder = folder
        self._born = 0
        self.running: list[Running] = []
        self._settings = folder / "destinations.toml"
        self._settings.write_text(
            '[destinations.desk]\ntype = "desk"\nrequests = 2\n'
            f'settings = {{url = "{desk}"}}\n'
            f'credential = {{type = "headers", headers = {{Authorization = "{SECRET}"}}}}\n'
        )
        self._settings.chmod(0o600)
        self._words = ["--store", store, "--keys", str(folder / "keys.json")]
        self._words += ["--destinations", str(self._settings)]

    def add(self) -> None:
        self._born += 1
        data = self._folder / f"gateway-{self._born}"
        module = ("-m", "tests.gateway.desk_gateway")
        self.running.append(start(data, *self._words, module=module))

    def suspend(self, running: Running) -> None:
        running.process.send_signal(signal.SIGSTOP)

    def resume(self, running: Running) -> None:
        running.process.send_signal(signal.SIGCONT)

    def kill(self, running: Running) -> None:
        self.running.remove(running)
        running.kill()

    def end(self, running: Running) -> None:
        self.running.remove(running)
        running.end()


@pytest.fixture
def desk_server() -> Iterator[DeskServer]:
    server = DeskServer()
    yield server
    server.close()


@pytest.fixture
def fleet(tmp_path: Path, redis_server: RedisServer, desk_server: DeskServer) -> Iterator[Fleet]:
    store = redis_server.url(f"many-{uuid.uuid4().hex[:8]}")
    fleet = Fleet(tmp_path, store, desk_server.url)
    yield fleet
    for each in fleet.running:
        each.kill()


class Sender:
    """A device: sends what it has to any gateway until one of them has it."""

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self.id = str(uuid.uuid4())
        self._fleet, self._chance = fleet, chance
        self.operations: list[dict[str, Any]] = []
        self.failures = 0

    async def send(self, count: int) -> None:
        for n in range(count):
            place = self._chance.choice(PLACES)
            some = [
                operation({**TICKET, "summary": f"n {n}"}, destination=place)
                for _ in range(self._chance.randint(1, 3))
            ]
            self.operations += some
            await self.ask(some)

    async def ask(self, some: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of the first gateway that answers."""
        while True:
            url = self._chance.choice(self._fleet.running).url
            headers = {"Content-Type": "application/json", "Fieldpost-Device": self.id}
            try:
                async with httpx.AsyncClient(base_url=url, timeout=1) as client:
                    content = envelope(*some)
                    said = await client.post("/api/v1/operations", content=content, headers=headers)
            except httpx.TransportError:
                self.failures += 1
                continue  # killed, suspended: another one
            if said.status_code == 200:
                results: list[dict[str, Any]] = said.json()["results"]
                assert {each["status"] for each in results} <= {"delivered", "handed_over"}
                return results
            assert said.status_code == 503, said.text
            self.failures += 1


PLACES = ("desk", "desk", "inbox")


@pytest.mark.full
async def test_killed_suspended_and_added_they_lose_and_double_nothing(
    fleet: Fleet, desk_server: DeskServer
) -> None:
    chance = random.Random(4)
    for _ in range(GATEWAYS):
        fleet.add()
    devices = [Sender(fleet, chance) for _ in range(DEVICES)]
    for n in range(ROUNDS):
        sending = asyncio.gather(*(each.send(chance.randint(1, 8)) for each in devices))
        await asyncio.sleep(0.02)  # they are in the middle of it
        victim = chance.choice(fleet.running)
        match n % 3:
            case 0:
                await asyncio.to_thread(fleet.kill, victim)
                await asyncio.to_thread(fleet.add)
            case 1:
                fleet.suspend(victim)
                await asyncio.sleep(2)  # the fault itself: nothing is waited for
                fleet.resume(victim)
            case 2:
                await asyncio.to_thread(fleet.add)
                await asyncio.to_thread(fleet.end, victim)
        await sending
    every = [each for device in devices for each in device.operations]
    wanted = {each["id"] for each in every if each["destination"] == "desk"}
    desk = desk_server.desk

    async def over() -> bool:
        for device in devices:
            for at in range(0, len(device.operations), 50):
                results = await device.ask(device.operations[at : at + 50])
                if any(each["status"] != "delivered" for each in results):
                    await asyncio.sleep(0.5)
                    return False
        return True

    await until(over, 180)
    assert Counter(record.op for record in desk.records) == Counter(wanted)
    numbers = {record.op: record.number for record in desk.records}
    told: dict[str, str] = {}
    for device in devices:
        for at in range(0, len(device.operations), 50):
            results = await device.ask(device.operations[at : at + 50])
            told |= {each["id"]: each["remote_id"] for each in results}
    assert {id_: told[id_] for id_ in wanted} == numbers
    inbox = [told[each["id"]] for each in every if each["destination"] == "inbox"]
    assert len(set(inbox)) == len(inbox)
    assert sum(device.failures for device in devices) > 0, "no request met a fault"
    async with httpx.AsyncClient(base_url=fleet.running[0].url) as client:
        shown = (await client.get("/metrics")).text
    assert f'ledger_rows{{state="delivered"}} {len(every)}' in shown


async def test_a_device_with_many_items_does_not_hold_up_one_with_few(
    tmp_path: Path, store: str | None
) -> None:
    desk = Desk()
    few, many = str(uuid.uuid4()), str(uuid.uuid4())
    async with gateway_of(tmp_path, desk, store, "Bearer wrong") as gateway:
        async with client_of(gateway) as client:
            for _ in range(5):
                some = [operation(TICKET, destination="desk") for _ in range(100)]
                await post(client, *some, device=many)
            theirs = [operation(TICKET, destination="desk") for _ in range(5)]
            await post(client, *theirs, device=few)

        async def queued() -> bool:
            assert gateway.relay is not None
            assert gateway.relay.queue is not None
            return bool((await gateway.relay.queue.status())["waiting"] == 64)

        await until(queued, 60)
    assert desk.records == []
    async with gateway_of(tmp_path, desk, store):

        async def there() -> bool:
            return len(desk.records) == 505

        await until(there, 60)
    # What the queue already had of the first one goes before; what comes in with them may (in the
    # middle of a full queue owners do not take turns), but no more than a queue full of it.
    first = [record.op for record in desk.records[: 2 * 64]]
    assert {each["id"] for each in theirs} <= set(first)
    assert len({record.op for record in desk.records}) == 505

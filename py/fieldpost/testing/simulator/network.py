"""What lies between a device and its gateway: links, proxies, portals, and the gateway's processes.

A request goes through `Network.send`: its bytes leave (the monitor looks), a fault may be drawn for
it, it arrives at some time at some process, and an answer may come back. What is under way belongs
to nobody: the sender's death does not stop it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

from fieldpost.engine.errors import AttachmentUnreadable
from fieldpost.ports import NoAnswer, Request, Response, Upload
from fieldpost.testing.fakes import whole_body

from .disk import Connection
from .gateway import Backend, problem
from .loop import Place, SimLoop
from .trace import Trace

_HTML = {"content-type": "text/html"}
_PORTAL = b"<!doctype html><title>Welcome</title><h1>Free Wi-Fi</h1><form><button>Accept</button>"

#: What can happen to one request; `Weather` says how likely each is.
FAULTS = (
    "lose request",
    "lose answer",
    "cut before",
    "cut after",
    "delay",
    "double",
    "reorder",
    "portal page",
    "redirect",
    "limited 429",
    "busy 503",
    "error 500 before",
    "error 500 after",
    "bad gateway 502",
    "wrong ids",
    "cut answer json",
    "gateway killed before",
    "gateway killed after",
)

#: What can be wrong with one destination while the others are well: nothing comes back, it takes
#: ever so long, a sign-in page or a refusal of whoever asks stands before it.
TROUBLES = ("away", "slow", "captive", "locked")
#: What a slow one takes for a request, seconds one way. Some come in time, some do not.
_CRAWL_S = (3.0, 18.0)

#: Seconds until a killed process is up again.
_RESTART_S = (1.0, 90.0)


class Watcher(Protocol):
    def sending(self, place: Place, request: Request) -> None: ...

    def answered(self, request: Request) -> None: ...

    def effects(self) -> None: ...


@dataclass(slots=True)
class Weather:
    """``chance`` that a request meets one of ``kinds``; ``portal``: every answer is a sign-in page
    of the network; ``online``: whether there is a network at all."""

    chance: float = 0.0
    kinds: tuple[str, ...] = FAULTS
    portal: bool = False
    online: bool = True
    #: Seconds one way.
    latency: float = 0.05


@dataclass(slots=True)
class Process:
    """One gateway process over the shared ledger."""

    up: bool = True


@dataclass(slots=True)
class Network:
    loop: SimLoop
    rng: random.Random
    trace: Trace
    #: Host of the address -> what answers there.
    gateways: Mapping[str, Backend]
    watcher: Watcher
    clock: Callable[[], int]
    weather: Weather = field(default_factory=Weather)
    #: Host -> its processes, and what is wrong there (`TROUBLES`).
    processes: dict[str, list[Process]] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    #: Requests under way beyond their sender's knowledge (late, doubled).
    under_way: int = 0

    async def send(self, place: Place, request: Request) -> Response:
        weather, rng = self.weather, self.rng
        if not weather.online:
            self._say(place, "no network")
            await asyncio.sleep(0.01)
            raise NoAnswer("network", sent=False)
        self.watcher.sending(place, request)
        fault = self._trouble(urlsplit(request.url).netloc)
        if weather.portal:
            fault = "portal page"
        elif not fault and rng.random() < weather.chance:
            fault = weather.kinds[int(rng.random() * len(weather.kinds))]
        if fault:
            self._say(place, fault, _path(request))
        answer: asyncio.Future[Response] = self.loop.create_future()
        self.loop.outside(request.timeout_ms / 1000, _fail, answer, "timeout")
        self._begin(place, request, fault, answer)
        try:
            return await answer
        finally:
            self.watcher.answered(request)

    def all_processes(self) -> list[Process]:
        return [process for processes in self.processes.values() for process in processes]

    def kill(self, process: Process) -> None:
        if process.up:
            process.up = False
            self.trace.add(self.loop.time(), "gateway", "gateway killed")
            least, most = _RESTART_S
            self.loop.outside(least + self.rng.random() * (most - least), self.restart, process)

    def restart(self, process: Process) -> None:
        if not process.up:
            process.up = True
            self.trace.add(self.loop.time(), "gateway", "gateway up")

    # --- one request -----------------------------------------------------------------------------

    def _trouble(self, host: str) -> str:
        """The fault that a request meets because of what is wrong at its destination."""
        match self.troubles.get(host):
            case "away":
                return "lose request" if self.rng.random() < 0.5 else "cut before"
            case "slow":
                return "crawl"
            case "captive":
                return "portal page"
            case "locked":
                return "unauthorised 401"
        return ""

    def _crawl(self) -> float:
        least, most = _CRAWL_S
        return least + self.rng.random() * (most - least)

    def _begin(
        self, place: Place, request: Request, fault: str, answer: asyncio.Future[Response]
    ) -> None:
        way = self.weather.latency * (0.5 + self.rng.random())
        instead = self._instead(fault)
        if instead is not None:
            self.loop.outside(2 * way, _succeed, answer, instead)
        elif fault == "cut before":
            self.loop.outside(way, _fail, answer, "network")
        elif fault != "lose request":
            if fault == "crawl":
                way += self._crawl()
            if fault in ("delay", "reorder"):
                way += self.rng.random() * (60 if fault == "delay" else 5)
            if fault == "double":
                self.under_way += 1
                late = way + self.rng.random() * 120
                self.loop.outside(late, self._arrive, place, request, "again", answer)
            self.loop.outside(way, self._arrive, place, request, fault, answer)

    def _instead(self, fault: str) -> Response | None:
        """Answers that come from something before the gateway."""
        match fault:
            case "portal page":
                return Response(200, _HTML, _PORTAL)
            case "redirect":
                return Response(302, {"location": "https://login.example/"}, b"", redirected=True)
            case "unauthorised 401":
                return problem(401, "UNAUTHORISED")
            case "limited 429":
                return problem(429, "RATE_LIMITED", retry_after=str(int(self.rng.random() * 60)))
            case "busy 503":
                return problem(503, "UNAVAILABLE", retry_after="5")
            case "error 500 before":
                return Response(500, _HTML, b"<h1>Error</h1>")
            case "bad gateway 502":
                return Response(502, _HTML, b"<h1>Bad gateway</h1>")
        return None

    def _arrive(
        self, place: Place, request: Request, fault: str, answer: asyncio.Future[Response]
    ) -> None:
        if fault == "again":
            self.under_way -= 1
        host = urlsplit(request.url).netloc
        up = [process for process in self.processes[host] if process.up]
        if not up:
            _fail(answer, "network")
            return
        process = up[int(self.rng.random() * len(up))]
        if fault == "gateway killed before":
            self.kill(process)
            _fail(answer, "network")
            return
        gateway = self.gateways[host]
        response = gateway.route(request, self.clock())
        self._say(place, "answered" if fault != "again" else "answered twice", _told(response))
        self.watcher.effects()
        back = self.weather.latency * (0.5 + self.rng.random())
        match fault:
            case "gateway killed after":
                self.kill(process)
                self.loop.outside(back, _fail, answer, "network")
            case "cut after":
                self.loop.outside(back, _fail, answer, "network")
            case "lose answer" | "again":
                pass
            case "error 500 after":
                self.loop.outside(back, _succeed, answer, Response(500, _HTML, b"<h1>Error</h1>"))
            case "wrong ids":
                self.loop.outside(back, _succeed, answer, _misnamed(response))
            case "cut answer json":
                half = response.body[: len(response.body) // 2]
                cut = Response(response.status, response.headers, half)
                self.loop.outside(back, _succeed, answer, cut)
            case _:
                if fault == "crawl":
                    back += self._crawl()
                elif fault == "delay":
                    back += self.rng.random() * 40
                self.loop.outside(back, _succeed, answer, response)

    def _say(self, place: Place, what: str, detail: str = "") -> None:
        self.trace.add(self.loop.time(), place.name, what, detail)


class SimTransport:
    """`ports.Transport` of one context."""

    def __init__(self, network: Network, place: Place, store: Connection) -> None:
        self._network = network
        self._place = place
        self._store = store

    async def send(self, request: Request) -> Response:
        return await self._network.send(self._place, request)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        data = await self._store.part(attachment_id, n)
        if data is None:
            raise AttachmentUnreadable
        whole = Request(request.method, request.url, request.headers, data, request.timeout_ms)
        return await self._network.send(self._place, whole)

    async def send_file(self, upload: Upload) -> Response:
        body = await whole_body(self._store, upload)
        return await self._network.send(self._place, replace(upload.request, body=body))


def _succeed(answer: asyncio.Future[Response], response: Response) -> None:
    if not answer.done():
        answer.set_result(response)


def _fail(answer: asyncio.Future[Response], reason: str) -> None:
    if not answer.done():
        answer.set_exception(NoAnswer(reason))


def _path(request: Request) -> str:
    path = request.url.partition("://")[2].partition("/")[2]
    return f"{request.method} {path[:60]}"


def _told(response: Response) -> str:
    """The statuses of an answer, in short."""
    try:
        value = json.loads(response.body)
    except ValueError:
        return str(response.status)
    results = value.get("results") or value.get("receipts") or [value]
    said = [f"{str(r.get('id', ''))[-4:]} {r.get('status', '')}".strip() for r in results[:6]]
    return f"{response.status} " + ", ".join(said)


def _misnamed(response: Response) -> Response:
    """A valid answer that names other items."""
    value = json.loads(response.body)
    for result in value.get("results") or [value]:
        result["id"] = "00000000-0000-7000-8000-000000000000"
    return Response(response.status, response.headers, json.dumps(value).encode())

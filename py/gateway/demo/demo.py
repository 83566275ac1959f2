"""The demo put together: systems, gateway, people, and the lines between them, which one breaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.testing.faultproxy import Fault, FaultProxy
from fieldpost.testing.vendors.server import run, serving
from gateway.gateway import Gateway
from gateway.server import server_of
from gateway.settings import Settings
from gateway.systems import read_systems
from gateway.types import TYPES

from . import tally
from .behind import Bench, benches, write_config
from .technicians import Sent, Technician, at_work, technicians

#: The line that all devices have in common; the others are named like their destinations.
DEVICES = "devices"
#: What a switch can do to a line, and how people call it.
FAULTS = {
    "pass": "Works",
    "mixed": "A bit of everything",
    "cut_after": "Loses the answer",
    "cut_before": "Cut before the request arrives",
    "cut_during": "Cut in the middle",
    "http_503_retry_after": "503, come back later",
    "http_500_after": "500, although it was done",
    "captive_portal": "A captive portal's page",
    "redirect_login": "Sent to a sign-in page",
    "slow": "Slow by three seconds",
    "down": "Nobody there",
}
STORM_PERCENT = 30
STORM_SECONDS = 30.0
_SLOW_SECONDS = 3.0


@dataclass(slots=True)
class Line:
    """One switch. ``prefix``: of the paths that suffer."""

    name: str
    title: str
    proxy: FaultProxy
    prefix: str
    mode: str = "pass"
    percent: int = STORM_PERCENT

    def turn(self, mode: str, percent: int) -> None:
        """Raises `ValueError` for what is no switch, `KeyError` for no fault of the page's."""
        FAULTS[mode]
        seconds = _SLOW_SECONDS if mode == "slow" else 1.0
        self.proxy.fault = Fault(mode, prefix=self.prefix, percent=percent, seconds=seconds)
        self.mode, self.percent = mode, percent

    def shown(self) -> dict[str, Any]:
        """For the page. ``hit``: requests that suffered."""
        counts = dict(self.proxy.counts)
        requests = sum(counts.values())
        return {
            "mode": self.mode,
            "percent": self.percent,
            "requests": requests,
            "hit": requests - counts.get("pass", 0),
        }


@dataclass
class Demo:
    """Running. ``url``: of the app, behind the devices' line."""

    url: str
    gateway: Gateway
    benches: dict[str, Bench]
    lines: dict[str, Line]
    people: list[Technician]
    every: float
    sent: list[Sent] = field(default_factory=list)
    _work: asyncio.Task[None] | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _storm: asyncio.Task[None] | None = None
    _storm_until: float = 0.0

    def begin(self) -> None:
        """The people write tickets."""
        if self._work is None:
            self._stop.clear()
            work = at_work(self.people, self.every, self.sent, self._stop)
            self._work = asyncio.create_task(work)

    async def rest(self) -> None:
        """They stop. Raises what kept them from writing, if anything did."""
        work, self._work = self._work, None
        if work is not None:
            self._stop.set()
            await work

    def storm(self, seconds: float = STORM_SECONDS) -> None:
        """Every line fails at `STORM_PERCENT` in every way, until the time is over."""
        self._end_storm()
        for line in self.lines.values():
            line.turn("mixed", STORM_PERCENT)
        self._storm_until = time.monotonic() + seconds
        self._storm = asyncio.create_task(self._blow_over(seconds))

    def calm(self) -> None:
        """Every line works again, and everybody tries at once, as people do when they see that."""
        self._end_storm()
        for line in self.lines.values():
            line.turn("pass", STORM_PERCENT)
        for person in self.people:
            person.queue.sync_soon()
        relay = self.gateway.relay
        if relay is not None and relay.queue is not None:
            relay.queue.sync_soon()

    async def state(self) -> dict[str, Any]:
        """All that the page shows."""
        await tally.look(self.sent)
        vendors = {name: bench.vendor for name, bench in self.benches.items()}
        left = max(0.0, self._storm_until - time.monotonic())
        return {
            "counts": tally.count(self.sent, vendors),
            "lines": {name: line.shown() for name, line in self.lines.items()},
            "storm": round(left),
            "working": self._work is not None,
        }

    async def close(self) -> None:
        self._end_storm()
        await self.rest()

    async def _blow_over(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._storm = None  # it ends by itself: nobody cancels it
        self.calm()

    def _end_storm(self) -> None:
        self._storm_until = 0.0
        if self._storm is not None:
            self._storm.cancel()
            self._storm = None


@contextlib.asynccontextmanager
async def running(
    *,
    site: Path | None = None,
    port: int = 0,
    names: Collection[str] | None = None,
    people: int = 4,
    every: float = 0.5,
) -> AsyncIterator[Demo]:
    """A demo until the block ends. ``site``: the built app; ``port``: of the app (0: a free one);
    ``names``: of the systems (None: all); ``every``: seconds between two tickets."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fieldpost-demo-")))
        found = benches(names)
        places = await stack.enter_async_context(serving([each.vendor for each in found]))
        environ = {**os.environ, **write_config(folder / "destinations.toml", found)}
        systems = read_systems(folder / "destinations.toml", TYPES, environ)
        client = await stack.enter_async_context(httpx.AsyncClient(follow_redirects=False))
        gateway = Gateway(
            Settings(data=folder / "data", site=site),
            systems=systems,
            outward=lambda store: HttpTransport(store, client),
        )
        stack.callback(gateway.close)
        upstream = await stack.enter_async_context(run(server_of(gateway, 1)))
        front = stack.enter_context(FaultProxy(upstream, port=port))
        lines = {DEVICES: Line(DEVICES, "Devices to the gateway", front, "/api/")}
        for each, place in zip(found, places, strict=True):
            title = f"Gateway to {each.title}"
            lines[each.name] = Line(each.name, title, place.line, "/")
        files = {each.name: each.adapter.declaration.attachments for each in found}
        team = await stack.enter_async_context(technicians(front.url, people, files))
        demo = Demo(front.url, gateway, {each.name: each for each in found}, lines, team, every)
        stack.push_async_callback(demo.close)
        demo.begin()
        yield demo

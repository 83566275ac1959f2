"""Many tickets through every adapter, with a file each where files are taken, over a line that
fails three times in ten.

Nothing is lost anywhere; nothing is doubled at `strong` and `checked` destinations; at `repaired`
ones what is doubled was found and closed, or a person was asked. The counts are printed.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.destinations.benches import FACTORIES

from fieldpost.engine.config import QueueConfig
from fieldpost.engine.duplicates import Duplicates
from fieldpost.engine.kinds import standard_kinds
from fieldpost.engine.retry import RetryPolicy
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import NoAnswer, Request, Response, Transport, Upload
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.adaptercontract import Bench, maker
from fieldpost.testing.fakes import FakeClock, FakeLink, LocalTabs, SeededEntropy

PORTAL = b"<html><body>Please sign in to the network.</body></html>"
HTML = {"content-type": "text/html"}
#: As long as it takes: what is counted is what arrives, not how patient a preset is.
POLICY = RetryPolicy(30_000, 2, cap_ms=600_000, jitter_ms=5_000, max_attempts=1_000_000)
RING = KeyRing.ephemeral()
FAULTS = 0.3


class Line:
    """`ports.Transport` before another one. Fails at the given rate, before and after the other
    side has acted."""

    def __init__(self, inner: Transport, seed: int) -> None:
        self.rate = FAULTS
        self.seen: Counter[str] = Counter()
        self._inner = inner
        self._chance = random.Random(seed)

    async def send(self, request: Request) -> Response:
        return await self._through(lambda: self._inner.send(request))

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        return await self._through(lambda: self._inner.send_part(request, attachment_id, n))

    async def send_file(self, upload: Upload) -> Response:
        return await self._through(lambda: self._inner.send_file(upload))

    async def _through(self, go: Callable[[], Awaitable[Response]]) -> Response:
        if self._chance.random() >= self.rate:
            return await go()
        fault = self._chance.choice(
            ["lost", "cut", "refused", "503", "500 after", "502 after", "portal", "redirect"]
        )
        self.seen[fault] += 1
        if fault in ("lost", "500 after", "502 after"):
            await go()
        match fault:
            case "lost" | "cut":
                raise NoAnswer("network")
            case "refused":
                raise NoAnswer("network", sent=False)
            case "503":
                return Response(503, {**HTML, "retry-after": "20"}, b"<h1>Busy</h1>")
            case "portal":
                return Response(200, HTML, PORTAL)
            case "redirect":
                return Response(302, {**HTML, "location": "/login"}, b"", redirected=True)
        return Response(int(fault[:3]), HTML, b"<h1>Error</h1>")


def file_of(n: int) -> bytes:
    return hashlib.sha256(str(n).encode()).digest() * (1 + n % 40)


def payload_of(n: int) -> dict[str, Any]:
    user = {"name": f"Person {n % 7}", "email": f"person{n % 7}@example.org"}
    return {"summary": f"Pump {n} is leaking", "description": "Since today.", "user": user}


async def storm(bench: Bench, count: int, seed: int) -> Counter[str]:
    """Send ``count`` items, then calm the line and wait for the end."""
    clock, store, adapter = bench.clock, MemoryStore(RING), bench.adapter
    line = Line(bench.transport(store), seed)
    host = Host(store, line, clock, SeededEntropy(seed), FakeLink(), LocalTabs())
    config = QueueConfig(duplicates=Duplicates("allow"))
    kinds = standard_kinds(*bench.kinds)
    queue = Queue(host, adapter, owner="tab", policy=POLICY, config=config, kinds=kinds)
    items = []
    for n in range(count):
        payload = payload_of(n) if bench.kind == "ticket" else dict(bench.payload or {})
        files = []
        if adapter.declaration.attachments:
            files = [await queue.attach(f"photo-{n}.jpg", file_of(n), "image/jpeg")]
        items.append(await queue.enqueue(bench.kind, payload, attachments=files))
    for turn in range(count * 40):
        if not (await store.counters()).get("open"):
            break
        if turn > count * 20:
            line.rate = 0.0
        await queue.sync()
        clock.advance(10_000)
    result: Counter[str] = Counter(faults=line.seen.total())
    records = bench.remote.records
    for n, item in enumerate(items):
        state = (await queue.get(item.id)).state
        there = [each for each in records if each.open and each.op in (item.id, item.send_id)]
        result["delivered"] += bool(there)
        result["lost"] += state is State.COMPLETED and not there
        result["stuck"] += state is not State.COMPLETED
        result["doubled"] += len(there) > 1
        result["asked"] += state is State.UNKNOWN
        if there and adapter.declaration.attachments:
            held = [data for _, _, data in there[0].files]
            result["files wrong"] += held != [file_of(n)]
    result["swept"] = sum(not record.open for record in records)
    return result


@pytest.mark.parametrize("name", sorted(FACTORIES))
@pytest.mark.parametrize(
    "count", [40, pytest.param(1_000, marks=pytest.mark.full, id="1000")], ids=str
)
async def test_a_storm(name: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    result = await storm(maker(FACTORIES[name], FakeClock)(), count, seed=7)
    with capsys.disabled():
        print(f"\n{name}: {dict(result)}")
    assert result["faults"] > count / 4
    assert (result["lost"], result["files wrong"], result["doubled"]) == (0, 0, 0)
    assert (result["delivered"], result["stuck"]) == (count, 0)

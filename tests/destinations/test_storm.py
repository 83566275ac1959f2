"""Many tickets with a file each, through every adapter, over a line that fails three times in ten.

Nothing is lost anywhere; nothing is doubled at `strong` and `checked` destinations; at `repaired`
ones what is doubled was found and closed, or a person was asked. The counts are printed.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from fieldpost.engine.config import QueueConfig
from fieldpost.engine.duplicates import Duplicates
from fieldpost.engine.retry import RetryPolicy
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import NoAnswer, Request, Response
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing import vendors
from fieldpost.testing.fakes import FakeClock, FakeLink, LocalTabs, SeededEntropy
from fieldpost.testing.vendors.base import Vendor, VendorTransport

BENCHES: dict[str, Any] = {
    name: module.bench
    for _, name, _ in pkgutil.iter_modules(vendors.__path__)
    if hasattr(module := importlib.import_module(f"{vendors.__name__}.{name}"), "bench")
}
PORTAL = b"<html><body>Please sign in to the network.</body></html>"
HTML = {"content-type": "text/html"}
#: As long as it takes: what is counted is what arrives, not how patient a preset is.
POLICY = RetryPolicy(30_000, 2, cap_ms=600_000, jitter_ms=5_000, max_attempts=1_000_000)
RING = KeyRing.ephemeral()
FAULTS = 0.3


class Line(VendorTransport):
    """Fails at the given rate, before and after the other side has acted."""

    def __init__(self, store: MemoryStore, vendor: Vendor, credentials: Any, seed: int) -> None:
        super().__init__(store, [vendor], credentials)
        self.rate = FAULTS
        self.seen: Counter[str] = Counter()
        self._chance = random.Random(seed)

    async def send(self, request: Request) -> Response:
        if self._chance.random() >= self.rate:
            return await super().send(request)
        fault = self._chance.choice(
            ["lost", "cut", "refused", "503", "500 after", "502 after", "portal", "redirect"]
        )
        self.seen[fault] += 1
        if fault in ("lost", "500 after", "502 after"):
            await super().send(request)
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


async def storm(bench: Callable[[Any], Any], count: int, seed: int) -> tuple[Counter[str], Vendor]:
    """Send ``count`` items, then calm the line and wait for the end."""
    clock, store = FakeClock(), MemoryStore(RING)
    adapter, vendor, credentials = bench(clock)
    line = Line(store, vendor, credentials, seed)
    host = Host(store, line, clock, SeededEntropy(seed), FakeLink(), LocalTabs())
    config = QueueConfig(duplicates=Duplicates("allow"))
    queue = Queue(host, adapter, owner="tab", policy=POLICY, config=config)
    kind = "ticket" if "ticket" in (adapter.declaration.kinds or {"ticket"}) else "log"
    ids = []
    for n in range(count):
        files = []
        if adapter.declaration.attachments:
            files = [await queue.attach(f"photo-{n}.jpg", file_of(n), "image/jpeg")]
        ids.append((await queue.enqueue(kind, payload_of(n), attachments=files)).id)
    for turn in range(count * 40):
        if not (await store.counters()).get("open"):
            break
        if turn > count * 20:
            line.rate = 0.0
        await queue.sync()
        clock.advance(10_000)
    result: Counter[str] = Counter(faults=line.seen.total())
    for n, id_ in enumerate(ids):
        state = (await queue.get(id_)).state
        there = vendor.with_op(id_)
        result["lost"] += state is State.COMPLETED and not there
        result["stuck"] += state is not State.COMPLETED
        result["doubled"] += len(there) > 1
        result["asked"] += state is State.UNKNOWN
        if there and adapter.declaration.attachments:
            held = [data for _, _, data in there[0].files]
            result["files wrong"] += held != [file_of(n)]
    result["delivered"] = len({record.op for record in vendor.records} & set(ids))
    result["swept"] = sum(not record.open for record in vendor.records)
    return result, vendor


@pytest.mark.parametrize("name", sorted(BENCHES))
@pytest.mark.parametrize(
    "count", [40, pytest.param(1_000, marks=pytest.mark.full, id="1000")], ids=str
)
async def test_a_storm(name: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    result, _vendor = await storm(BENCHES[name], count, seed=7)
    with capsys.disabled():
        print(f"\n{name}: {dict(result)}")
    assert result["faults"] > count / 4
    assert (result["lost"], result["files wrong"], result["doubled"]) == (0, 0, 0)
    assert (result["delivered"], result["stuck"]) == (count, 0)

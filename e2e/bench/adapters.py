"""Each adapter's deliveries beside bare httpx, which makes the very same requests to the same fake
over loopback, one after another, and looks at nothing that comes back."""

from __future__ import annotations

import importlib
import pkgutil
import time
from dataclasses import replace
from types import ModuleType
from typing import Any

import httpx

from fieldpost.engine.config import QueueConfig
from fieldpost.engine.duplicates import Duplicates
from fieldpost.hosts.cpython.credentials import CredentialTransport, Headers
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.system import (
    AlwaysOnline,
    FileLockTabs,
    SystemClock,
    SystemEntropy,
)
from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.ports import Request, Response
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing import vendors
from fieldpost.testing.vendors.server import VendorApp, listening

from .rows import Row, paired, rate

_HOW = (
    "texts only, one request under way; ours: queue in memory, sealed, intent before effect, "
    "answers proved; httpx: the same requests, answers not read"
)


async def measure(rounds: int, *, quick: bool) -> list[Row]:
    n = 20 if quick else 300
    return [await _adapter(name, module, n, rounds) for name, module in _modules()]


def _modules() -> list[tuple[str, ModuleType]]:
    """Those whose fakes speak HTTP."""
    found = []
    for info in pkgutil.iter_modules(vendors.__path__):
        module = importlib.import_module(f"{vendors.__name__}.{info.name}")
        if hasattr(module, "bench") and module.bench(SystemClock())[1].url.startswith("http"):
            found.append((info.name, module))
    return found


async def _adapter(name: str, module: ModuleType, n: int, rounds: int) -> Row:
    ours, bare, asked = [], [], 0
    for _ in range(rounds):
        took, requests = await _deliver(module, n)
        ours.append(took)
        asked = len(requests)
        bare.append(await _repeat(module, requests))
    values = {"fieldpost": rate(n, ours), "httpx": rate(n, bare)}
    raw = {"ours_ms": ours, "httpx_ms": bare, "items": n, "requests": asked}
    return Row(f"deliver to {name}", _HOW, values, paired(ours, bare), "httpx", raw=raw)


class _Moved(HttpTransport):
    """Requests go to where the fake is now, and are noted."""

    def __init__(self, store: MemoryStore, old: str, new: str) -> None:
        super().__init__(store)
        self._old, self._new = old, new
        self.noted: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.noted.append(request)
        moved = replace(request, url=request.url.replace(self._old, self._new, 1))
        return await super().send(moved)


async def _deliver(module: ModuleType, n: int) -> tuple[float, list[Request]]:
    """How many ms it took to deliver ``n`` items, and the requests that did it."""
    clock = SystemClock()
    adapter, vendor, credentials = module.bench(clock)
    store, old = MemoryStore(KeyRing.ephemeral()), vendor.url
    async with listening(VendorApp(vendor)) as address:
        wire = _Moved(store, old, f"http://{address}")
        named = {name: Headers(headers) for name, headers in credentials.items()}
        transport = CredentialTransport(wire, named)
        host = Host(store, transport, clock, SystemEntropy(), AlwaysOnline(), FileLockTabs(None))
        config = QueueConfig(duplicates=Duplicates("allow"))
        queue = Queue(host, adapter, owner="bench", config=config)
        await queue.enqueue_many("ticket", [_ticket(each) for each in range(n)])
        began = time.perf_counter()
        await queue.sync()
        took = (time.perf_counter() - began) * 1000
        await wire.close()
    open_items = (await store.counters())["open"]
    assert not open_items, f"{open_items} of {n} were not delivered"
    return took, wire.noted


async def _repeat(module: ModuleType, requests: list[Request]) -> float:
    _, vendor, credentials = module.bench(SystemClock())
    old = vendor.url
    async with listening(VendorApp(vendor)) as address, httpx.AsyncClient() as client:
        began = time.perf_counter()
        for each in requests:
            await client.request(
                each.method,
                each.url.replace(old, f"http://{address}", 1),
                headers={**each.headers, **credentials.get(each.credential, {})},
                content=each.body,
            )
        return (time.perf_counter() - began) * 1000


def _ticket(n: int) -> dict[str, Any]:
    user = {"name": "Ann Example", "email": "ann@example.org"}
    return {"summary": f"Pump {n} is leaking", "description": "Since today. " * 20, "user": user}

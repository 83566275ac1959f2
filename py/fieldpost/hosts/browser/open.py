"""The composition root of a browser: IndexedDB, fetch, Web Locks, and a queue over them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.config import QueueConfig, as_config
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.kinds import Kind, standard_kinds
from fieldpost.engine.limits import STEAL_AFTER_MS
from fieldpost.engine.retry import RetryPolicy
from fieldpost.runtime.bridge import Bridge
from fieldpost.runtime.device import device_id, device_token
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue

from .interop import Device, js_global
from .link import BrowserLink
from .rescue import BrowserRescueBox
from .store_indexeddb import IndexedDBStore
from .surroundings import BrowserSurroundings
from .system import BrowserClock, BrowserEntropy
from .tabs import BrowserTabs
from .transport_fetch import FetchTransport

#: Method and arguments as JSON text -> JSON text (docs/interfaces.md, "The worker: one call").
Call = Callable[[str, str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Opened:
    queue: Queue
    link: BrowserLink


async def open_queue(
    gateway: str = "./",
    *,
    name: str = "fieldpost",
    token: str | None = None,
    policy: RetryPolicy | None = None,
    steal_after_ms: int = STEAL_AFTER_MS,
    config: QueueConfig | Mapping[str, Any] | None = None,
    kinds: Iterable[Kind] = (),
) -> Queue:
    """A queue in the IndexedDB database ``name``, not started.

    ``gateway``: its base URL, relative to the page where this context knows the page's address.
    ``steal_after_ms``: how long a tab that holds the drain lock may stand still before another one
    takes it over. ``config``: a `QueueConfig`, or the mapping of one (``durability`` is always
    ``full`` here, and no file is written); ``policy``: in place of its retry policy. ``kinds``:
    kinds of work besides the standard ones.
    Raises `ConfigError`, `StorageMissing`, `StorageBlocked`, `InsecureContext`, `SchemaTooNew`,
    `InvalidItem`.
    """
    settings = as_config(config)
    return (await _open(gateway, name, token, policy, steal_after_ms, settings, kinds)).queue


async def serve(
    gateway: str = "./",
    *,
    name: str = "fieldpost",
    token: str | None = None,
    policy: RetryPolicy | None = None,
    steal_after_ms: int = STEAL_AFTER_MS,
    config: QueueConfig | Mapping[str, Any] | None = None,
    kinds: Iterable[Kind] = (),
) -> Call:
    """For a worker: open and start a queue, and give the one function a page calls
    (`Bridge.call`). Arguments and errors are those of `open_queue`."""
    settings = as_config(config)
    opened = await _open(gateway, name, token, policy, steal_after_ms, settings, kinds)
    await opened.queue.start()
    return Bridge(opened.queue, opened.link.report).call


async def _open(
    gateway: str,
    name: str,
    token: str | None,
    policy: RetryPolicy | None,
    steal_after_ms: int,
    config: QueueConfig,
    kinds: Iterable[Kind],
) -> Opened:
    url = _absolute(gateway)
    device = await Device.open(name)
    store, clock, entropy = IndexedDBStore(device), BrowserClock(), BrowserEntropy()
    tabs = BrowserTabs(device)
    link = BrowserLink(tabs)
    host = Host(store, FetchTransport(device), clock, entropy, link, tabs, BrowserSurroundings())
    token = token or await device_token(store)
    destination = GatewayDestination(url, await device_id(store, tabs, clock, entropy), token)

    async def close() -> None:
        link.close()

    queue = Queue(
        host,
        destination,
        owner="worker",
        policy=policy or config.retry,
        kinds=standard_kinds(*kinds),
        config=config,
        rescue_box=BrowserRescueBox(device),
        on_close=close,
        steal_after_ms=steal_after_ms,
    )
    return Opened(queue, link)


def _absolute(gateway: str) -> str:
    """PyScript starts workers from blob URLs, whose own address says nothing of the page's; the
    app's interpreter module leaves the page's folder in ``fieldpostHome``."""
    if "://" in gateway:
        return gateway
    scope = js_global()
    home = getattr(scope, "fieldpostHome", None) or scope.location.href
    if not str(home).startswith("http"):
        raise InvalidItem(fields={"gateway": "must be a full address here (https://…)"})
    return urljoin(str(home), gateway)

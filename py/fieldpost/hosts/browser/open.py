"""The composition root of a browser: IndexedDB, fetch, Web Locks, and a queue over them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.breaker import RulesLike, rules_of
from fieldpost.engine.config import QueueConfig, as_config
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.kinds import Kind, standard_kinds
from fieldpost.engine.limits import STEAL_AFTER_MS
from fieldpost.engine.retry import PolicyLike, policy_of
from fieldpost.runtime.bridge import Bridge
from fieldpost.runtime.device import device_id, device_token
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane

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
    around: BrowserSurroundings


@dataclass(frozen=True, slots=True)
class Manner:
    """What `open_queue` was told of how the queue is to behave."""

    policy: PolicyLike | None
    breaker: RulesLike
    steal_after_ms: int
    config: QueueConfig
    kinds: tuple[Kind, ...]
    lanes: tuple[Lane, ...]
    requests: int


async def open_queue(
    gateway: str | None = "./",
    *,
    name: str = "fieldpost",
    token: str | None = None,
    policy: PolicyLike | None = None,
    breaker: RulesLike = None,
    steal_after_ms: int = STEAL_AFTER_MS,
    config: QueueConfig | Mapping[str, Any] | None = None,
    kinds: Iterable[Kind] = (),
    lanes: Iterable[Lane] = (),
    requests: int = 1,
) -> Queue:
    """A queue in the IndexedDB database ``name``, not started.

    ``gateway``: its base URL, relative to the page where this context knows the page's address.
    ``steal_after_ms``: how long a tab that holds the drain lock may stand still before another one
    takes it over. ``config``: a `QueueConfig`, or the mapping of one (``durability`` is always
    ``full`` here, and no file is written); ``policy``: in place of its retry policy; ``breaker``:
    presets by name, or fields of one's own (`ValueError` out of bounds). ``kinds``: kinds of work
    besides the standard ones. ``lanes``: destinations of your own (`runtime.routes.Lane`), and the
    kinds that go there, beside the gateway or, where that is None, instead of it; ``requests``:
    how many the gateway's lane may have under way at once.
    Raises `ConfigError`, `StorageMissing`, `StorageBlocked`, `InsecureContext`, `SchemaTooNew`,
    `InvalidItem`.
    """
    how = Manner(
        policy, breaker, steal_after_ms, as_config(config), tuple(kinds), tuple(lanes), requests
    )
    return (await _open(gateway, name, token, how)).queue


async def serve(
    gateway: str | None = "./",
    *,
    name: str = "fieldpost",
    token: str | None = None,
    policy: PolicyLike | None = None,
    breaker: RulesLike = None,
    steal_after_ms: int = STEAL_AFTER_MS,
    config: QueueConfig | Mapping[str, Any] | None = None,
    kinds: Iterable[Kind] = (),
    lanes: Iterable[Lane] = (),
    requests: int = 1,
) -> Call:
    """For a worker: open and start a queue, and give the one function a page calls
    (`Bridge.call`). Arguments and errors are those of `open_queue`."""
    how = Manner(
        policy, breaker, steal_after_ms, as_config(config), tuple(kinds), tuple(lanes), requests
    )
    opened = await _open(gateway, name, token, how)
    await opened.queue.start()
    return Bridge(opened.queue, opened.link.report, opened.around.report).call


async def _open(gateway: str | None, name: str, token: str | None, how: Manner) -> Opened:
    # Before anything is open: these are what a caller may have got wrong.
    policy = how.config.retry if how.policy is None else policy_of(how.policy)
    breaker = rules_of(how.breaker)
    url = None if gateway is None else _absolute(gateway)
    device = await Device.open(name)
    store, clock, entropy = IndexedDBStore(device), BrowserClock(), BrowserEntropy()
    tabs = BrowserTabs(device)
    link, around = BrowserLink(tabs), BrowserSurroundings()
    host = Host(store, FetchTransport(device), clock, entropy, link, tabs, around)
    # The page saves without the engine: it has to know what still fits.
    limits = json.dumps(how.config.limits.for_captures(), separators=(",", ":"))
    await device.call("keepLimits", limits)
    token = token or await device_token(store)
    id_ = await device_id(store, tabs, clock, entropy)
    home = [] if url is None else [GatewayDestination(url, id_, token)]
    routes = [*(Lane(destination, requests=how.requests) for destination in home), *how.lanes]

    async def close() -> None:
        link.close()

    queue = Queue(
        host,
        routes,
        owner="worker",
        policy=policy,
        breaker=breaker,
        kinds=standard_kinds(*how.kinds),
        config=how.config,
        rescue_box=BrowserRescueBox(device),
        on_close=close,
        steal_after_ms=how.steal_after_ms,
    )
    return Opened(queue, link, around)


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

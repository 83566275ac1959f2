"""The composition root of a browser: IndexedDB, fetch, Web Locks, and a queue over them."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from fieldpost.destinations.direct import Direct
from fieldpost.destinations.direct import load as load_direct
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.breaker import RulesLike, rules_of
from fieldpost.engine.config import QueueConfig, as_config
from fieldpost.engine.errors import ConfigError, InvalidItem
from fieldpost.engine.kinds import Kind, standard_kinds
from fieldpost.engine.limits import STEAL_AFTER_MS
from fieldpost.engine.retry import PolicyLike, policy_of
from fieldpost.ports import NoAnswer, Request
from fieldpost.runtime.account import Account, Ports
from fieldpost.runtime.accounts import Accounts, Own
from fieldpost.runtime.bridge import Bridge
from fieldpost.runtime.credentials import CredentialTransport
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

log = logging.getLogger("fieldpost")

#: The file lies in the app's own precache, or beside it.
_FILE_MS = 10_000

#: Method and arguments as JSON text -> JSON text (docs/interfaces.md, "The worker: one call").
Call = Callable[[str, str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Opened:
    queue: Queue
    link: BrowserLink
    around: BrowserSurroundings
    accounts: Accounts


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
    direct: str | None = None


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
    direct: str | None = None,
) -> Call:
    """For a worker: open and start a queue, and give the one function a page calls
    (`Bridge.call`). Arguments and errors are those of `open_queue`. ``direct``: the address of a
    file of destinations that this device delivers to by itself, as their users sign in
    (docs/destinations.md), relative as ``gateway`` may be; where nothing is there, there are
    none."""
    how = Manner(
        policy,
        breaker,
        steal_after_ms,
        as_config(config),
        tuple(kinds),
        tuple(lanes),
        requests,
        direct,
    )
    opened = await _open(gateway, name, token, how)
    queue, accounts = opened.queue, opened.accounts
    accounts.follow(queue.adopt, lambda: queue.nudge(ask_now=True))
    await queue.start()
    return Bridge(queue, opened.link.report, opened.around.report, accounts).call


async def _open(gateway: str | None, name: str, token: str | None, how: Manner) -> Opened:
    # Before anything is open: these are what a caller may have got wrong.
    policy = how.config.retry if how.policy is None else policy_of(how.policy)
    breaker = rules_of(how.breaker)
    url = None if gateway is None else _absolute(gateway)
    device = await Device.open(name)
    store, clock, entropy = IndexedDBStore(device), BrowserClock(), BrowserEntropy()
    tabs = BrowserTabs(device)
    link, around = BrowserLink(tabs), BrowserSurroundings()
    fetch = FetchTransport(device)
    found = await _direct(how.direct, fetch)
    ports = Ports(store, fetch, clock, entropy, tabs)
    by_name = {one.name: Account(one.name, one.title, one.provider, ports) for one in found}
    for account in by_name.values():
        await account.load()
    transport = CredentialTransport(fetch, by_name) if by_name else fetch
    host = Host(store, transport, clock, entropy, link, tabs, around)
    # The page saves without the engine: it has to know what still fits.
    limits = json.dumps(how.config.limits.for_captures(), separators=(",", ":"))
    await device.call("keepLimits", limits)
    token = token or await device_token(store)
    id_ = await device_id(store, tabs, clock, entropy)
    home = [] if url is None else [GatewayDestination(url, id_, token)]
    mine = [
        Lane(Own(one.adapter, by_name[one.name]), one.name, requests=one.requests, title=one.title)
        for one in found
    ]
    # The first one is taken by whatever names no other: what people choose comes last.
    routes = [*(Lane(each, requests=how.requests) for each in home), *how.lanes, *mine]

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
    return Opened(queue, link, around, Accounts(list(by_name.values())))


async def _direct(place: str | None, transport: FetchTransport) -> list[Direct]:
    """What an administrator set up, as the app's own server has it (offline: its precache). A file
    that is not understood stops nothing else."""
    if place is None:
        return []
    request = Request("GET", _absolute(place), {"Accept": "application/json"}, b"", _FILE_MS)
    try:
        response = await transport.send(request)
        return load_direct(response.body) if response.status == 200 else []
    except NoAnswer:
        return []
    except ConfigError as error:
        log.warning("direct destinations: %s %s", error.code, error.fields)
        return []


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

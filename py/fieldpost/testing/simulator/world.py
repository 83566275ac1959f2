"""One seeded world: a device with its tabs, its storage, a network, a gateway; and its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from fieldpost.engine.errors import QueueError
from fieldpost.engine.limits import BATCH_ITEMS_MAX, STEAL_AFTER_MS
from fieldpost.engine.retry import PRESETS, RetryPolicy
from fieldpost.hosts.cpython.keyring import Key, KeyRing
from fieldpost.ports import NoAnswer, Refused
from fieldpost.runtime.device import device_token
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.upkeep import BARE
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeLink, SeededEntropy

from . import sites
from .disk import Connection, Disk
from .gateway import Backend, ModelGateway
from .loop import Place, SimLoop
from .monitor import Monitor
from .network import Network, Process, SimTransport
from .sites import ARCHIVE, HOME, Site
from .tabs import Locks, SimTabs
from .trace import Trace, Violation
from .wishes import Expected

#: Wall clock at the beginning, ms.
START_MS = 1_750_000_000_000
#: Share by which a context's clock goes too fast or too slow, at most.
DRIFT_MOST = 1e-4
#: In every title and text; must be found nowhere in clear.
MARKER = "Zaphod-42"

#: Errors that the product's tasks may end with: each is told to whoever asked.
_KNOWN = (QueueError, Refused, NoAnswer, TimeoutError)


@dataclass(slots=True)
class Config:
    """``gateways``: processes over one ledger; ``later``: they hand over, receipts tell the end;
    ``token``: the device is paired with this one; ``related``: people save items that have to do
    with one another, and change settings; ``lanes``: there is a second destination; ``wide``:
    requests that the first and the second lane may have under way, ``requests``: all together;
    ``batch``: items that a destination takes at once."""

    tabs: int = 2
    gateways: int = 1
    policy: RetryPolicy = PRESETS["itsm"]
    steal_after_ms: int = STEAL_AFTER_MS
    later: bool = False
    token: str | None = None
    related: bool = False
    lanes: bool = False
    wide: tuple[int, int] = (1, 1)
    requests: int = 8
    batch: int = BATCH_ITEMS_MAX


class SimClock:
    """`ports.Clock` of one context: the wall drifts and jumps, monotonic time does not."""

    def __init__(self, loop: SimLoop, drift: float = 0.0, offset_ms: int = 0) -> None:
        self._loop = loop
        self.drift = drift
        self.offset_ms = offset_ms

    def now(self) -> int:
        return START_MS + self.offset_ms + int(self._loop.time() * 1000 * (1 + self.drift))

    def monotonic(self) -> float:
        return self._loop.time() * 1000

    async def sleep(self, ms: float) -> None:
        await asyncio.sleep(ms / 1000)


@dataclass(slots=True, eq=False)
class Tab:
    """A context with a queue: a tab's worker, or the courier."""

    place: Place
    clock: SimClock
    link: FakeLink
    tabs: SimTabs
    store: Connection
    queue: Queue
    courier: bool = False

    @property
    def alive(self) -> bool:
        return not self.place.dead

    @property
    def awake(self) -> bool:
        return not self.place.dead and not self.place.frozen


class World:
    def __init__(
        self,
        seed: int,
        config: Config | None = None,
        *,
        scenario: str = "chaos",
        gateway: Callable[[], Backend] = ModelGateway,
        watch: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.scenario = scenario
        self.rng = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self.config = config or Config()
        self.trace = Trace(watch)
        self.loop = SimLoop(self.rng)
        nonces = random.Random(seed)  # noqa: S311 - so that rows are the same bytes each run
        keys = (Key("d1-00000001", "data", bytes(32), 0), Key("i1-00000001", "index", bytes(32), 0))
        self.ring = KeyRing(keys, nonces=nonces.randbytes)
        self.disk = Disk(self.loop, self.rng, self.trace, MemoryStore(self.ring))
        self.locks = Locks(self.loop, self.say)
        self.gateway = gateway()
        self.gateway.later = self.config.later
        self.gateway.token = self.config.token
        #: By lane.
        self.sites: dict[str, Site] = self._sites(gateway)
        self.expected = Expected()
        #: What the contexts' wall clocks are off by, ms; a jump moves it for all of a device.
        self.offset_ms = 0
        self._offset_most = 0
        self.monitor = Monitor(
            self.disk,
            self.sites,
            self.config.requests,
            self.locks,
            MARKER,
            self.expected,
            self.violated,
            self.say,
            self.latest_clock,
            self.config.policy.max_attempts,
        )
        self.disk.watcher = self.monitor
        backends = {site.host: site.backend for site in self.sites.values()}
        self.network = Network(
            self.loop, self.rng, self.trace, backends, self.monitor, self.gateway_clock
        )
        for host in backends:
            self.network.processes[host] = [Process() for _ in range(self.config.gateways)]
        self.tabs: list[Tab] = []
        self._opened = 0

    def _sites(self, gateway: Callable[[], Backend]) -> dict[str, Site]:
        first, second = self.config.wide
        found = {HOME: sites.home(self.gateway, first, self.config.batch)}
        if self.config.lanes:
            found[ARCHIVE] = sites.archive(gateway(), second, self.config.batch)
            found[ARCHIVE].backend.later = self.config.later
        return found

    # --- running ---------------------------------------------------------------------------------

    def gateway_clock(self) -> int:
        return START_MS + int(self.loop.time() * 1000)

    def latest_clock(self) -> int:
        """The latest that any clock of the device can have shown (ms)."""
        return START_MS + self._offset_most + int(self.loop.time() * 1000 * (1 + DRIFT_MOST))

    def effects(self, item_id: str) -> int:
        """How often the item took effect, wherever."""
        return sum(site.backend.effects[item_id] for site in self.sites.values())

    def hopeless(self, item_id: str) -> bool:
        """To try it again leads to nothing: it is not taken there, its files are gone, or it has
        arrived with what an edit then said otherwise."""
        known = self.expected
        edited = len(known.wishes[item_id].versions) > 1 and self.effects(item_id) > 0
        return edited or item_id in known.poison | known.refused | known.broken

    def deliver_later(self) -> None:
        """What lies behind the destinations takes what was handed over."""
        for site in self.sites.values():
            site.backend.deliver_later(self.gateway_clock())
        self.monitor.effects()

    def say(self, place: Place | None, what: str, detail: str = "") -> None:
        self.trace.add(self.loop.time(), place.name if place else "world", what, detail)

    def violated(self, invariant: str, text: str) -> NoReturn:
        """Ends the run, whatever the code that runs now does with the error."""
        error = Violation(
            invariant,
            text,
            seed=self.seed,
            scenario=self.scenario,
            step=self.loop.steps,
            events=self.trace.last(),
        )
        self.loop.failure = self.loop.failure or error
        raise error

    def look_for_errors(self) -> None:
        """No task of the product may end with what nobody was told."""
        for error in self.loop.errors():
            if isinstance(error, Violation):
                raise error
            if not isinstance(error, _KNOWN):
                self.violated("no-crash", f"{type(error).__name__}: {error}")

    # --- contexts --------------------------------------------------------------------------------

    async def open(self, *, courier: bool = False, start: bool = True) -> Tab:
        """Open a tab (or the courier) as a composition root does."""
        self._opened += 1
        place = Place(f"{'courier' if courier else 'tab'}-{self._opened}")
        self.say(place, "opened")
        tab = await self.loop.spawn(place, self._open(place, courier=courier, start=start))
        self.tabs.append(tab)
        return tab

    async def _open(self, place: Place, *, courier: bool, start: bool) -> Tab:
        drift = (self.rng.random() - 0.5) * 2 * DRIFT_MOST
        clock = SimClock(self.loop, drift, self.offset_ms)
        link = FakeLink(online=self.network.weather.online)
        tabs = SimTabs(place, self.locks, self._spread)
        store = Connection(self.disk, place)
        transport = SimTransport(self.network, place, store)
        entropy = SeededEntropy(self.rng.getrandbits(32))
        host = Host(store, transport, clock, entropy, link, tabs)
        try:
            token = await device_token(store)
        except QueueError:
            token = None  # opening fails: the page would say so; here it goes on unpaired
        queue = Queue(
            host,
            sites.lanes(self.sites, token or self.config.token),
            owner=place.name,
            policy=self.config.policy,
            steal_after_ms=self.config.steal_after_ms,
            config=replace(BARE, requests=self.config.requests),
        )
        if start:
            try:
                await queue.start()
            except QueueError:
                self.say(place, "start failed")
                place.dead = True
        return Tab(place, clock, link, tabs, store, queue, courier)

    def kill(self, tab: Tab) -> None:
        """-9: nothing of it runs again, and only what is durable stays."""
        if tab.alive:
            self.loop.kill(tab.place)
            self.say(tab.place, "killed")
            self.locks.died(tab.place)
            if tab in self.tabs:
                self.tabs.remove(tab)

    def freeze(self, tab: Tab) -> None:
        if tab.awake:
            self.loop.freeze(tab.place)
            self.say(tab.place, "frozen")

    def thaw(self, tab: Tab) -> None:
        if tab.place.frozen:
            self.say(tab.place, "thawed")
            tab.tabs.slept()
            self.loop.thaw(tab.place)

    def power_loss(self) -> None:
        self.say(None, "power lost")
        for tab in list(self.tabs):
            self.kill(tab)
        self.disk.power_loss()

    def set_online(self, online: bool) -> None:
        self.network.weather.online = online
        self.say(None, "online" if online else "offline")
        for tab in self.tabs:
            # What it finds when it comes to it: events of one kind do not overtake each other.
            self.loop.in_place(tab.place, self._tell_link, tab)

    def _tell_link(self, tab: Tab) -> None:
        tab.link.set(self.network.weather.online)

    def jump(self, ms: int) -> None:
        """The device's wall clock is set."""
        self.say(None, "clock jumps", f"{ms} ms")
        self.offset_ms += ms
        self._offset_most = max(self._offset_most, self.offset_ms)
        for tab in self.tabs:
            tab.clock.offset_ms += ms

    def awake(self) -> Tab | None:
        """Any context that runs."""
        found = [tab for tab in self.tabs if tab.awake and not tab.courier]
        return found[int(self.rng.random() * len(found))] if found else None

    def _spread(self, place: Place, revision: int) -> None:
        for tab in self.tabs:
            if tab.place is not place:
                for callback in tab.tabs.callbacks:
                    message = {"type": "changed", "revision": revision}
                    self.loop.in_place(tab.place, callback, message)

"""The relay: the same engine as on a device, with a store of its own, that takes onward what was
handed over.

Two commits bring an item from the ledger into the queue, and each can be repeated: the ledger
keeps what arrived (`relayed`), the queue takes it under an id that follows from it, the ledger
notes that.
On the way back the queue notes each end in the commit that makes it (`committer.ENDED`), the ledger
takes it, the note goes. So a process that dies between two of them loses and doubles nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fieldpost.engine.config import QueueConfig
from fieldpost.engine.duplicates import Duplicates
from fieldpost.engine.errors import QueueError, QueueFull
from fieldpost.engine.retry import RetryPolicy
from fieldpost.hosts.cpython.credentials import Credential, CredentialTransport
from fieldpost.hosts.cpython.system import AlwaysOnline, FileLockTabs, SystemClock, SystemEntropy
from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.ports import Leadership, Store, Transport
from fieldpost.runtime.committer import ENDED
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue

from . import relayed
from .checks import fails, test_connection
from .passage import Passage, Ports
from .relay_store import Attachments, RelayStore
from .relayed import Relayable, Relayed
from .systems import System
from .tables import Tx
from .tokens import follow_tokens

if TYPE_CHECKING:
    from fieldpost.hosts.cpython.redis_tabs import RedisTabs

_log = logging.getLogger("gateway.relay")

#: A gateway gives nothing up by itself: what a destination refuses goes back to the device, what it
#: may take later is tried for as long as it takes.
POLICY = RetryPolicy(5_000, 2, cap_ms=15 * 60_000, jitter_ratio=0.2, max_attempts=1_000_000_000)
#: Ends told in one go.
_BATCH = 100
#: Of a destination so many entries are in the queue and could be sent at once; the others wait
#: where devices take turns. When half of them have gone, others come.
_WINDOW = 64
#: When the queue is full, or its storage fails, this long before the next attempt.
_AGAIN_SECONDS = 5.0
#: What another process left behind is looked for this often; one's own is told at once.
_LOOK_SECONDS = 5.0
#: One process at a time brings in, and one tells: for so long it may be silent, and for so long the
#: others wait for it before they look again whether there is anything left for them.
_LEASE_MS, _LEASE_WAIT_MS = 15_000, 10_000
#: How often it is looked what another gateway has heard.
_LOOK_SAID_SECONDS = 60.0
#: How often destinations are asked what they require and offer.
_DISCOVER_MS = 3_600_000


class Relay:
    """Of one gateway process. ``known``: the same destinations, as the intake knows them."""

    def __init__(
        self,
        ports: Ports,
        systems: Sequence[System],
        known: Sequence[Relayed],
        transport: Callable[[Store], Transport] = HttpTransport,
    ) -> None:
        self._ports = ports
        self.systems = {system.name: system for system in systems}
        self._known = {each.name: each for each in known}
        self._credentials: Mapping[str, Credential] = {
            system.name: system.credential for system in systems if system.credential is not None
        }
        self._transport_of = transport
        self._store: RelayStore | None = None
        self._tabs: FileLockTabs | RedisTabs | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._arrived = asyncio.Event()
        self._ended = asyncio.Event()
        self._more = False  # waits for room in the queue
        self._passage: Passage | None = None
        self.transport: Transport | None = None
        self.queue: Queue | None = None

    async def start(self) -> None:
        """Open the queue and begin to relay. Raises `QueueError` when its storage cannot be used,
        `ConfigError` when the lanes cannot be."""
        ports = self._ports
        attachments = Attachments(ports.database, ports.ledger, ports.parts)
        store, tabs = await ports.open_queue(attachments)
        self._store, self._tabs = store, tabs
        self.transport = CredentialTransport(self._transport_of(store), self._credentials)
        host = Host(
            store,
            self.transport,
            SystemClock(),
            SystemEntropy(),
            AlwaysOnline(),
            tabs,
        )
        # What arrives was admitted, and asked for its doubles, where it was captured.
        config = QueueConfig(retry=POLICY, duplicates=Duplicates("allow", window_ms=0))
        self.queue = Queue(
            host,
            [each.lane for each in self.systems.values()],
            owner=f"relay-{os.getpid()}-{secrets.token_hex(4)}",  # others have that number, too
            policy=POLICY,
            config=config,
        )
        self._passage = Passage(ports, store, self.queue)
        self.queue.tell_ends()
        follow_tokens(self.queue, store, tabs, self._ports.cipher, self._credentials)
        await self.queue.start()
        await self.queue.configure(share_by_owner=True)  # no device holds up another one
        self._unsubscribe = self.queue.subscribe(lambda _message: self._changed())
        self._ended.set()  # what ended before the process did
        self._arrived.set()
        self._tasks = [
            asyncio.create_task(self._moves("in", self._arrived, self._any_ready, self._take_in)),
            asyncio.create_task(self._moves("ends", self._ended, self._any_ended, self._tell)),
            asyncio.create_task(self._discover()),
        ]

    async def note_states(self) -> None:
        """How each destination is now, for the catalogue."""
        if self.queue is not None:
            lanes = (await self.queue.status())["lanes"]
            for name, known in self._known.items():
                known.state = lanes[name]["connection"]

    async def stop(self) -> None:
        """Finish what runs. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self.queue is not None:
            self._unsubscribe()
            await self.queue.close()
            self.queue = None
        if self._tabs is not None:
            await self._tabs.close()
            self._tabs = None

    def _changed(self) -> None:
        """In the queue: something may have ended, and made room."""
        self._ended.set()
        if self._more:
            self._arrived.set()

    async def while_nothing_comes_in(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do this while no process brings anything into the queue; False when one did all along."""
        assert self._tabs is not None

        async def alone(_held: Leadership) -> None:
            await work()

        return await self._tabs.lead(
            alone, lane="relay-in", wait_ms=_LEASE_WAIT_MS, steal_after_ms=_LEASE_MS
        )

    def nudge(self) -> None:
        """Something may have arrived."""
        self._arrived.set()

    async def _moves(
        self,
        name: str,
        event: asyncio.Event,
        some: Callable[[], Awaitable[bool]],
        move: Callable[[Leadership], Awaitable[bool]],
    ) -> None:
        """Whenever there is something to move, move it, alone of all processes: each step can be
        repeated, but two that do it at once would do everything twice."""
        tabs = self._tabs
        assert tabs is not None

        async def work(held: Leadership) -> None:
            while not held.lost and await move(held):
                held.beat()

        while True:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it may forget a cancellation.
                async with asyncio.timeout(_LOOK_SECONDS):
                    await event.wait()
            event.clear()
            try:
                while await some() and not await tabs.lead(
                    work, lane=f"relay-{name}", wait_ms=_LEASE_WAIT_MS, steal_after_ms=_LEASE_MS
                ):
                    pass
            except (QueueError, sqlite3.Error, OSError) as error:
                _log.error("Relaying waits: %s", type(error).__name__)
                await asyncio.sleep(_AGAIN_SECONDS)  # the storage's trouble, not a race
                event.set()

    async def _discover(self) -> None:
        """Ask each destination what it requires and offers, now and then: an administrator there
        may change it any time. What it said is kept for when it is away, and for all gateways on
        one store. At the start each is asked whether it lets us in."""
        assert self.transport is not None
        await self._hear(None)
        for system in self.systems.values():
            contact = await test_connection(system.adapter, self.transport)
            if fails(contact):
                _log.warning("%s: %s. %s", system.name, contact.state, contact.text)
        asked_at = -math.inf
        while True:
            ask = time.monotonic() - asked_at >= _DISCOVER_MS / 1000
            asked_at = time.monotonic() if ask else asked_at
            await self._hear(_DISCOVER_MS if ask else None)
            await asyncio.sleep(_LOOK_SAID_SECONDS)

    async def _hear(self, every_ms: int | None) -> None:
        """What each said; it is asked where that is older."""
        assert self.queue is not None
        for name, known in self._known.items():
            try:
                known.said = await self.queue.discovered(name, every_ms) or known.said
            except (QueueError, sqlite3.Error, OSError) as error:
                _log.error("%s was not asked what it wants: %s", name, type(error).__name__)

    # --- in --------------------------------------------------------------------------------------

    async def _any_ready(self) -> bool:
        return bool(await self._rooms())

    async def _rooms(self) -> dict[str, int]:
        """Destination -> entries that may come in, where some wait."""
        store = self._store
        assert store is not None
        waiting = await self._ports.database.read(lambda tx: tx.waiting(list(self.systems)))
        self._more = bool(waiting)
        taken = {name: len(await store.ready_keys(name, _WINDOW)) for name in waiting}
        return {name: _WINDOW - n for name, n in taken.items() if n <= _WINDOW // 2}

    async def _take_in(self, held: Leadership) -> bool:
        """Bring what is whole into the queue, of each device in turn; True when there may be
        more."""
        database, cipher, passage = self._ports.database, self._ports.cipher, self._passage
        assert passage is not None
        rooms = await self._rooms()

        def job(tx: Tx) -> list[Relayable]:
            return [
                each
                for name, room in rooms.items()
                for each in relayed.ready(tx, cipher, name, room)
            ]

        found = await database.read(job)
        # Of one that was suspended meanwhile, others have done the work, and gone on from there.
        if held.lost:
            return False
        taken = await asyncio.gather(*(passage.take(each) for each in found))
        done = [each.entry for each, fed in zip(found, taken, strict=True) if fed]
        if done:
            await database.write(lambda tx: relayed.queued(tx, done))
        if found and not done:
            raise QueueFull  # none of them could come in: later
        return bool(found)

    # --- and back --------------------------------------------------------------------------------

    async def _any_ended(self) -> bool:
        assert self._store is not None
        return bool(await self._store.sides(ENDED))

    async def _tell(self, held: Leadership) -> bool:
        """Pass on how items ended."""
        passage = self._passage
        assert self._store is not None
        assert self.queue is not None
        assert passage is not None
        ended = sorted(await self._store.sides(ENDED))
        for at in range(0, len(ended), _BATCH):
            if held.lost:
                break
            held.beat()
            notes = ended[at : at + _BATCH]
            ids = sorted({note.partition(":")[0] for note in notes})
            for row in await passage.rows(ids, ("head", "history")):
                await passage.end(row)
            await self.queue.keep_notes({(ENDED, note): None for note in notes})
        return False

"""The composition root: one storage, opened, with everything that works on it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldpost.engine.errors import QueueError
from fieldpost.hosts.cpython.transport_file import FileSink
from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.hosts.cpython.transport_scheme import BySchemeTransport
from fieldpost.ports import Store, Transport
from fieldpost.security.cipher import Cipher

from .destinations import Destination, Inbox
from .devices import Device
from .intake import Intake
from .ledger import Answer, Ledger
from .metrics import Metrics
from .passage import Ports
from .ratelimit import RateLimit
from .relay import Relay
from .settings import Settings
from .storage import open_storage
from .systems import System

_log = logging.getLogger("gateway")

#: Acknowledged rows are looked through at start and then no more often than this.
PRUNE_EVERY_MS = 24 * 3600 * 1000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Gateway:
    """Raises `CannotStart` as `storage.open_storage`."""

    def __init__(
        self,
        settings: Settings,
        *,
        destinations: Callable[[Cipher], Sequence[Destination]] = lambda cipher: [Inbox(cipher)],
        systems: Sequence[System] = (),
        outward: Callable[[Store], Transport] | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._storage = opened = open_storage(settings)
        self.cipher, self.database = opened.cipher, opened.database
        self.devices, self.parts = opened.devices, opened.parts
        relayed = [each.relayed(self.cipher) for each in systems]
        known = (*destinations(self.cipher), *relayed)
        self.destinations = {each.name: each for each in known}
        self.ledger = Ledger(self.cipher)
        self.intake = Intake(self.ledger, self.destinations)
        self._ways = Ways(settings.data)
        ports = Ports(
            self.database,
            self.ledger,
            self.intake,
            self.parts,
            self.cipher,
            clock,
            opened.open_queue,
        )
        self.relay = Relay(ports, systems, relayed, outward or self._ways) if systems else None
        self.metrics = Metrics()
        limits = settings.limits
        self.rate = RateLimit(limits.burst_requests, limits.requests_per_second)
        self._pruned_at = 0

    @property
    def tokens_required(self) -> bool:
        """On loopback nobody needs a token until the first device is paired."""
        return not self.settings.loopback or bool(self.devices.all())

    async def start(self) -> None:
        """Begin to relay, in this event loop. Raises `QueueError` when the queue cannot be
        opened."""
        if self.relay is not None:
            await self.relay.start()

    async def stop(self) -> None:
        """Finish what the relay has under way. Idempotent."""
        await self._write_seen()
        if self.relay is not None:
            await self.relay.stop()
            await self._ways.close()

    def arrived(self) -> None:
        """Something was committed that may be for a destination behind this gateway."""
        if self.relay is not None:
            self.relay.nudge()

    async def heard(self, device: Device) -> None:
        """This token was used; written down once a minute."""
        if self.devices.heard(device, self.clock()):
            await self._write_seen()

    async def _write_seen(self) -> None:
        try:
            await asyncio.to_thread(self.devices.write_seen)
        except (OSError, QueueError) as error:
            # No delivery is refused for it.
            _log.error("When devices were last heard is not kept: %s", type(error).__name__)

    async def settle(self, workspace: str, send_id: str, answer: Answer) -> bool:
        """A later destination tells how an operation ended (see `Intake.settle`)."""
        now = self.clock()
        return await self.database.write(
            lambda tx: self.intake.settle(tx, workspace, send_id, answer, now)
        )

    async def prune_when_due(self) -> None:
        """Forget what was acknowledged 400 days ago; called after acknowledgements."""
        now = self.clock()
        if now - self._pruned_at >= PRUNE_EVERY_MS:
            self._pruned_at = now
            while await self.database.write(lambda tx: self.ledger.prune(tx, now)):
                pass

    def close(self) -> None:
        """Finish what runs and let go of the storage. Idempotent."""
        self._storage.close()


class Ways:
    """To the destinations: HTTP, and files in ``out`` below the folder ``data``; None: to no
    files."""

    def __init__(self, data: Path | None) -> None:
        self._files = None if data is None else data / "out"
        self._http: HttpTransport | None = None

    def __call__(self, store: Store | None) -> Transport:
        """``store``: where attachments are read from, None where there are none. Raises `OSError`
        when the folder cannot be made."""
        self._http = http = HttpTransport(store)
        ways: dict[str, Transport] = {"http": http, "https": http}
        if self._files is not None:
            self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
            ways["file"] = FileSink(store, self._files)
        return BySchemeTransport(ways)

    async def close(self) -> None:
        """Idempotent."""
        if self._http is not None:
            await self._http.close()

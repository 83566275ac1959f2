"""The composition root: one data directory, opened, with everything that works on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldpost.engine.errors import EncryptionError
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.transport_file import FileSink
from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.hosts.cpython.transport_scheme import BySchemeTransport
from fieldpost.ports import Transport
from fieldpost.security.cipher import Cipher

from .database import Database
from .destinations import Destination, Inbox
from .devices import Devices
from .intake import Intake
from .ledger import SCHEMA, Answer, Ledger
from .metrics import Metrics
from .parts import Parts
from .ratelimit import RateLimit
from .relay import Ports, Relay, RelayStore
from .settings import CannotStart, Settings
from .systems import System

#: Acknowledged rows are looked through at start and then no more often than this.
PRUNE_EVERY_MS = 24 * 3600 * 1000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Gateway:
    """Raises `CannotStart` when the data directory is in use, open to others or unreadable."""

    def __init__(
        self,
        settings: Settings,
        *,
        destinations: Callable[[Cipher], Sequence[Destination]] = lambda cipher: [Inbox(cipher)],
        systems: Sequence[System] = (),
        outward: Callable[[RelayStore], Transport] | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.devices = Devices(settings.data / "devices.json")
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, _own(settings.data))
            self.cipher = cipher = open_keys(settings.data)
            relayed = [each.relayed(cipher) for each in systems]
            self.destinations = {each.name: each for each in (*destinations(cipher), *relayed)}
            schemas = dict.fromkeys(each.schema for each in self.destinations.values())
            schema = SCHEMA + "".join(schemas)
            self.database = _open_database(settings.data / "gateway.sqlite3", schema)
            opened.callback(self.database.close)
            self._opened = opened.pop_all()
        self.ledger = Ledger(cipher)
        self.intake = Intake(self.ledger, self.destinations)
        self.parts = Parts(settings.data / "parts", cipher)
        outward = outward or (lambda store: outward_of(store, settings.data / "out"))
        ports = Ports(self.database, self.ledger, self.intake, self.parts, cipher, clock)
        self.relay = Relay(settings.data, ports, systems, relayed, outward) if systems else None
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
        if self.relay is not None:
            await self.relay.stop()

    def arrived(self) -> None:
        """Something was committed that may be for a destination behind this gateway."""
        if self.relay is not None:
            self.relay.nudge()

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
            await self.database.write(lambda tx: self.ledger.prune(tx, now))

    def close(self) -> None:
        """Finish what runs and let go of the directory. Idempotent."""
        self._opened.close()


def outward_of(store: RelayStore, files: Path) -> Transport:
    """The ways to the destinations: HTTP, and files below ``files``."""
    http = HttpTransport(store)
    files.mkdir(mode=0o700, exist_ok=True)
    return BySchemeTransport({"http": http, "https": http, "file": FileSink(store, files)})


def open_keys(data: Path) -> KeyRing:
    """The key file, made at the first start. Raises `CannotStart` when others can read it."""
    path = data / "keys.json"
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CannotStart(f"Others can read {path}. Run `chmod 600 {path}`, then start again.")
    try:
        return KeyRing.load_or_create(path)
    except EncryptionError as error:
        raise CannotStart(f"{error.message} It is {path}; restore it from a backup.") from error


def _open_database(path: Path, schema: str) -> Database:
    try:
        return Database(path, schema)
    except sqlite3.Error as error:
        raise CannotStart(
            f"{path} cannot be opened ({error}). Leave it as it is, and restore a backup beside it."
        ) from error


def prepare(data: Path) -> None:
    """Make the data directory, for its owner only, and everything later made in it likewise."""
    os.umask(0o077)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)


def _own(data: Path) -> int:
    """Hold the directory until the process ends, however it ends; returns the descriptor."""
    prepare(data)
    lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CannotStart(
            f"Another gateway is running on {data}. Stop it, or name another folder with --data."
        ) from None
    return lock

"""Where a gateway keeps what it has: a folder of its own, or a Redis server it shares."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from fieldpost.engine.errors import EncryptionError, QueueError
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.system import FileLockTabs
from fieldpost.security.cipher import Cipher

from .database import SqlDatabase
from .devices import Devices, DevicesFile
from .parts import Parts
from .relay_store import Attachments, RelayStore, SqliteRelayStore
from .settings import CannotStart, Settings
from .tables import Database, PartStore

if TYPE_CHECKING:
    from fieldpost.hosts.cpython.redis_tabs import RedisTabs

    from .shared_database import Link

T = TypeVar("T")

#: The relay's queue and the locks of its lanes, once there is an event loop.
OpenQueue = Callable[[Attachments], Awaitable[tuple[RelayStore, "FileLockTabs | RedisTabs"]]]


@dataclass(frozen=True, slots=True)
class Storage:
    cipher: Cipher
    database: Database
    parts: PartStore
    devices: Devices
    open_queue: OpenQueue
    #: Idempotent.
    close: Callable[[], None]


def open_storage(settings: Settings) -> Storage:
    """Raises `CannotStart` when the folder is in use, open to others or unreadable, or the server
    cannot be used."""
    return _shared(settings) if settings.store else _own_folder(settings)


def open_devices(settings: Settings) -> Devices:
    """What pairing needs, also while gateways run. Raises `CannotStart`."""
    prepare(settings.data)
    if settings.store:
        link, _ = _open_link(settings)
        return _said(lambda: _devices(link), "")
    open_keys(settings.key_file)
    return DevicesFile(settings.data / "devices.json")


def open_keys(path: Path) -> KeyRing:
    """The key file, made at the first start. Raises `CannotStart` when others can read it."""
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CannotStart(f"Others can read {path}. Run `chmod 600 {path}`, then start again.")
    try:
        return KeyRing.load_or_create(path)
    except EncryptionError as error:
        if path.exists():
            told = f"{error.message} It is {path}; restore it from a backup."
        else:
            told = f"There is no key file, and none can be made at {path}. {error.message}"
        raise CannotStart(told) from error
    except OSError as error:
        raise CannotStart(f"{path} cannot be read or made ({error.strerror}).") from error


def prepare(data: Path) -> None:
    """Make the data directory, for its owner only, and everything later made in it likewise."""
    os.umask(0o077)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)


# --- a folder -----------------------------------------------------------------------------------


def _own_folder(settings: Settings) -> Storage:
    data = settings.data
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, _own(data))
        cipher = open_keys(settings.key_file)
        database = _open_database(data / "gateway.sqlite3")
        opened.callback(database.close)
        parts, devices = Parts(data / "parts", cipher), DevicesFile(data / "devices.json")
        folder = data / "relay"

        async def open_queue(attachments: Attachments) -> tuple[RelayStore, FileLockTabs]:
            folder.mkdir(mode=0o700, exist_ok=True)
            store = await SqliteRelayStore.open(folder / "queue.db", cipher)
            assert isinstance(store, SqliteRelayStore)
            store.attachments = attachments
            return store, FileLockTabs(folder)

        close = opened.pop_all().close
        return Storage(cipher, database, parts, devices, open_queue, close)


def _open_database(path: Path) -> SqlDatabase:
    try:
        return SqlDatabase(path)
    except sqlite3.Error as error:
        raise CannotStart(
            f"{path} cannot be opened ({error}). Leave it as it is, and restore a backup beside it."
        ) from error


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


# --- a Redis server -----------------------------------------------------------------------------


def _shared(settings: Settings) -> Storage:
    prepare(settings.data)
    link, cipher = _open_link(settings)
    from .shared_database import RedisDatabase  # noqa: PLC0415 - redis-py is an extra
    from .shared_parts import RedisParts  # noqa: PLC0415

    devices = _said(lambda: _devices(link), "")
    database, parts = RedisDatabase(link), RedisParts(link, cipher)
    url = settings.store or ""

    async def open_queue(attachments: Attachments) -> tuple[RelayStore, RedisTabs]:
        from fieldpost.hosts.cpython.redis_tabs import RedisTabs  # noqa: PLC0415
        from fieldpost.stores.redis_link import Place  # noqa: PLC0415

        from .relay_redis import RedisRelayStore  # noqa: PLC0415

        store = await RedisRelayStore.open(url, cipher)
        assert isinstance(store, RedisRelayStore)
        store.attachments = attachments
        return store, RedisTabs(Place.of(url))

    return Storage(cipher, database, parts, devices, open_queue, database.close)


def _open_link(settings: Settings) -> tuple[Link, Cipher]:
    try:
        from fieldpost.stores.redis_link import Place  # noqa: PLC0415

        from .shared_database import Link  # noqa: PLC0415
    except ImportError as error:
        raise CannotStart(
            'A store in Redis needs redis-py: pip install "fieldpost[redis]".'
        ) from error
    link = _said(lambda: Link(Place.of(settings.store or "")), "--store (or STORE): ")
    where = _address(settings.store or "")
    path = settings.key_file
    if not path.exists() and not _said(link.empty, where):
        link.close()
        raise CannotStart(
            f"This queue was sealed with keys that are not here: copy keys.json to {path}, or name"
            " it with --keys."
        )
    cipher = open_keys(path)
    _said(lambda: link.begin(cipher), where)
    return link, cipher


def _address(url: str) -> str:
    """Which server is spoken of: its host and port only, as there may be a password beside."""
    split = urlsplit(url)
    if split.scheme == "unix":
        return f"{split.path}: "
    name = split.hostname or "localhost"
    host = f"[{name}]" if ":" in name else name
    return f"{host}:{split.port or 6379}: "


def _devices(link: Link) -> Devices:
    from .shared_parts import SharedDevices  # noqa: PLC0415

    return SharedDevices(link)


def _said(work: Callable[[], T], where: str) -> T:
    """Raises `CannotStart` with what a `QueueError` says."""
    try:
        return work()
    except QueueError as error:
        wrong = "; ".join(f"{name} {why}" for name, why in getattr(error, "fields", {}).items())
        said = error.message if wrong in error.message else f"{error.message} {wrong}."
        raise CannotStart(f"{where}{said}") from error

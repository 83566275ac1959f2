"""The composition root of CPython: a queue in a SQLite file, or in memory, and its ports."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.breaker import RulesLike, rules_of
from fieldpost.engine.config import QueueConfig, as_config
from fieldpost.engine.kinds import Kind, standard_kinds
from fieldpost.engine.retry import PolicyLike, policy_of
from fieldpost.ports import Store
from fieldpost.runtime.device import device_id, device_token
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane
from fieldpost.stores.memory import MemoryStore
from fieldpost.stores.sqlite import SqliteStore

from .keyring import KeyRing
from .logfile import log_to_file
from .rescue import RescueFiles
from .system import (
    AlwaysOnline,
    FileLockTabs,
    SystemClock,
    SystemEntropy,
    SystemSurroundings,
)
from .transport_http import HttpTransport

if TYPE_CHECKING:
    from .redis_tabs import RedisTabs


async def open_queue(
    gateway: str | None,
    *,
    path: str | Path | None = None,
    store: str | None = None,
    keys: str | Path | None = None,
    token: str | None = None,
    policy: PolicyLike | None = None,
    breaker: RulesLike = None,
    client: httpx.AsyncClient | None = None,
    config: QueueConfig | Mapping[str, Any] | None = None,
    kinds: Iterable[Kind] = (),
    lanes: Iterable[Lane] = (),
    requests: int = 1,
    rescue_folder: str | Path | None = None,
) -> Queue:
    """A queue that delivers to ``gateway`` (its base URL), or, where that is None, by ``lanes``
    only. Not started: use ``async with``.

    ``path``: a folder (made with mode 0700) for ``queue.db`` and ``keys.json``; None keeps all in
    memory, and then nothing survives the process. ``store``: a queue in a Redis server instead,
    ``redis://host:port/db?queue=name`` (docs/redis.md; needs ``fieldpost[redis]``), which any
    number of processes on any machines may share, each with the same ``keys.json``; ``keys``: that
    file, when it is not in ``path``. ``token``: this device's bearer token.
    ``config``: a `QueueConfig`, or the mapping of one; None: the default preset with what the
    environment says (`QueueConfig.from_env`); ``policy``: in place of its retry policy;
    ``breaker``: presets by name, or fields of one's own. ``kinds``: kinds of work besides the
    standard ones. ``lanes``: destinations of your own (`runtime.routes.Lane`), and the kinds that
    go there; ``requests``: how many the gateway's lane may have under way at once.
    ``rescue_folder``: an existing folder for rescue files, best on another disk than ``path``,
    which is where they go otherwise. Raises `ConfigError`, `DatabaseError`, `SchemaTooNew`,
    `EncryptionError` (a key file that others can read), `ValueError` for a policy or a breaker out
    of bounds.
    """
    settings = QueueConfig.from_env(os.environ) if config is None else as_config(config)
    # Before anything is open: these are what a caller may have got wrong.
    retry = settings.retry if policy is None else policy_of(policy)
    breaker = rules_of(breaker)
    folder = None if path is None else _made(Path(path))
    rescue = rescue_folder or folder
    opened, tabs = await _open_store(folder, store, keys, settings)
    owner = f"process-{os.getpid()}"
    if store is not None:  # other machines have that process number, too
        owner += f"-{secrets.token_hex(4)}"
    clock, entropy = SystemClock(), SystemEntropy()
    transport = HttpTransport(opened, client)
    host = Host(opened, transport, clock, entropy, AlwaysOnline(), tabs, SystemSurroundings())
    token = token or await device_token(opened)
    device = await device_id(opened, tabs, clock, entropy)
    home = [] if gateway is None else [GatewayDestination(gateway, device, token)]
    routes = [*(Lane(destination, requests=requests) for destination in home), *lanes]
    end_log = log_to_file(settings.logging)

    async def close() -> None:
        await transport.close()
        await tabs.close()
        end_log()

    return Queue(
        host,
        routes,
        owner=owner,
        policy=retry,
        breaker=breaker,
        kinds=standard_kinds(*kinds),
        config=settings,
        rescue_box=None if rescue is None else RescueFiles(opened, Path(rescue)),
        on_close=close,
    )


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


async def _open_store(
    folder: Path | None, url: str | None, keys: str | Path | None, settings: QueueConfig
) -> tuple[Store, FileLockTabs | RedisTabs]:
    """The rows and the lanes' locks."""
    key_file = None if keys is None else Path(keys)
    if folder is not None:
        key_file = key_file or folder / "keys.json"
    if url is not None:
        from .redis_open import open_redis  # noqa: PLC0415 - redis-py is an extra

        return await open_redis(url, key_file)
    if folder is None or key_file is None:
        return MemoryStore(KeyRing.ephemeral()), FileLockTabs(None)
    ring = KeyRing.load_or_create(key_file)
    store = await SqliteStore.open(folder / "queue.db", ring, durability=settings.durability)
    return store, FileLockTabs(folder)

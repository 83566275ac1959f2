"""A queue in a Redis server, and its locks."""

from __future__ import annotations

from pathlib import Path

from fieldpost.engine.errors import ConfigError
from fieldpost.stores.redis_link import Place
from fieldpost.stores.redis_store import RedisStore

from .keyring import KeyRing
from .redis_tabs import RedisTabs


async def open_redis(url: str, key_file: Path | None) -> tuple[RedisStore, RedisTabs]:
    """``key_file``: made when it is not there; each process of the queue needs the same one.

    Raises `ConfigError` (no key file, other keys than the queue's, a server that may lose what it
    acknowledges), `DatabaseError`, `SchemaTooNew`, `EncryptionError`.
    """
    if key_file is None:
        raise ConfigError(fields={"keys": "is needed with a store: where keys.json is, or path"})
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = await RedisStore.open(url, KeyRing.load_or_create(key_file))
    return store, RedisTabs(Place.of(url))

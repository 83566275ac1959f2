"""The way to a Redis server: where it is, whether it is durable, scripts, and errors.

Nothing is ever sent twice. A command whose answer is lost may have happened, and the caller is told
so (`DatabaseError`); only a script that the server says it does not know is sent again, whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from fieldpost.engine.errors import ConfigError, DatabaseError, QueueError, StorageFull
from fieldpost.engine.transitions import OPEN_STATES

from .rows import HEADS_MAX

#: Version of what the keys hold; docs/redis.md.
SCHEMA = 1

T = TypeVar("T")
Durability = Literal["always", "everysec", "unknown"]

#: An answer that takes longer is taken for lost. The largest commits take a second.
ANSWER_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
#: Commits of one process share the server's disk syncs, so some are under way at once.
CONNECTIONS = 16

_SCHEMES = ("redis", "rediss", "unix")
_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: What the server must be set to, and what a loss of one second allows besides.
NEEDED = {
    "appendonly": {"yes"},
    "appendfsync": {"always"},
    "no-appendfsync-on-rewrite": {"no"},
    "maxmemory-policy": {"noeviction"},
}
_ALLOWED_1S = {"appendfsync": {"always", "everysec"}, "no-appendfsync-on-rewrite": {"no", "yes"}}


@dataclass(frozen=True, slots=True)
class Place:
    """A queue in a Redis server. ``url`` may hold a password, so it is never shown."""

    url: str = field(repr=False)
    queue: str = "fieldpost"
    ack_loss: str | None = None

    @classmethod
    def of(cls, url: str, ack_loss: str | None = None) -> Place:
        """From ``redis://host:port/db?queue=name``, also ``&ack_loss=1s``; what else is in the
        query is the client's (redis-py). Raises `ConfigError`."""
        split = urlsplit(url)
        query = dict(parse_qsl(split.query))
        queue = query.pop("queue", "fieldpost")
        ack_loss = query.pop("ack_loss", None) or ack_loss
        wrong = {}
        if split.scheme not in _SCHEMES:
            wrong["store"] = f"must begin with {', '.join(f'{s}://' for s in _SCHEMES)}"
        if not _QUEUE.fullmatch(queue):
            wrong["queue"] = "must be 1 to 64 of a-z, A-Z, 0-9, _ . -"
        if ack_loss not in (None, "1s"):
            wrong["ack_loss"] = "must be 1s, or left out"
        if wrong:
            raise ConfigError(fields=wrong)
        return cls(urlunsplit(split._replace(query=urlencode(query))), queue, ack_loss)

    @property
    def prefix(self) -> str:
        """What every key of the queue begins with. The braces make it one slot of a cluster."""
        return f"{{fieldpost:{self.queue}}}"


class Script:
    """A Lua script. It gets the queue's prefix as its only key."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def store_script(name: str) -> Script:
    """One of this folder, behind what all of them share."""
    folder = Path(__file__).parent
    opened = ", ".join(f"{state} = true" for state in sorted(OPEN_STATES))
    head = f"local SCHEMA, HEADS_MAX, OPEN = {SCHEMA}, {HEADS_MAX}, {{{opened}}}\n"
    return Script(head + "".join((folder / f"redis_{n}.lua").read_text() for n in ("common", name)))


class _NotDurable(RedisError):
    """``fields``: setting -> what is wrong with it."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("not durable")
        self.fields = fields


def durability_of(found: Mapping[str, str], ack_loss: str | None) -> Durability:
    """What a server promises that is set like this (the names of `NEEDED`; nothing: it does not
    tell). Raises `RedisError`, which `storage_error` explains, when it may lose more than
    ``ack_loss``."""
    lax = ack_loss is not None
    if not found:
        if lax:
            return "unknown"
        raise _NotDurable({"CONFIG GET": "is not allowed, so nobody knows"})
    demands = {**NEEDED, **(_ALLOWED_1S if lax else {})}
    wrong = {
        name: f"must be {' or '.join(sorted(good))}, is {found[name] or 'not known'}"
        for name, good in demands.items()
        if found[name] not in good
    }
    if wrong:
        raise _NotDurable(wrong)
    strict = all(found[name] in good for name, good in NEEDED.items())
    return "always" if strict else "everysec"


def storage_error(error: Exception) -> QueueError:
    """What the caller is told. The server's own words stay out: they may quote what was sent."""
    failed: QueueError
    if isinstance(error, _NotDurable):
        failed = ConfigError(
            "This Redis may lose what it has acknowledged: "
            + "; ".join(f"{name} {said}" for name, said in error.fields.items())
            + ". Set it so in redis.conf, or accept the loss of a second knowingly: ack_loss=1s.",
            fields=error.fields,
        )
    elif isinstance(error, OutOfMemoryError):
        failed = StorageFull("The Redis server is full (maxmemory), so this was not saved.")
    elif isinstance(error, AuthenticationError):
        failed = DatabaseError("The Redis server does not accept the user or the password.")
    elif isinstance(error, MovedError):
        failed = ConfigError(
            fields={"store": f"must be the node that has this queue: {error.host}:{error.port}"}
        )
    elif isinstance(error, ResponseError):
        failed = DatabaseError("The Redis server did not take the change.")
    else:
        failed = DatabaseError("The Redis server gave no answer; what was under way is not known.")
    failed.__cause__ = error
    return failed


def pool_of(pool: Any, place: Place, retry: Any, connected: Callable[..., Any]) -> Any:
    """Connections of the kind ``pool`` (redis-py's, for a loop or for threads): nothing is sent
    twice by itself, and each is shown to ``connected`` when it is made. Raises `ConfigError`."""
    try:
        return pool.from_url(
            place.url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_keepalive=True,
            protocol=2,
            retry=retry,
            redis_connect_func=connected,
        )
    except ValueError as error:
        raise ConfigError(fields={"store": "is not the URL of a Redis server"}) from error


async def cancellable(work: Awaitable[T]) -> T:
    """What ``work`` of redis-py comes to, unless this task is cancelled meanwhile.

    redis-py writes each command in `asyncio.wait_for`, and that of Python 3.11 forgets a
    cancellation which comes just as the bytes have gone: the task then goes on as if nobody had
    asked it to end. But the task itself has counted the request.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        return await work
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


class RedisLink:
    """Connections to the server of a place. Each is checked for durability when it is made, so a
    server that comes back set otherwise is not written to."""

    def __init__(self, place: Place) -> None:
        self.prefix = place.prefix
        self.durability: Durability = "unknown"
        self._ack_loss = place.ack_loss
        self._closed = False
        pool = pool_of(BlockingConnectionPool, place, Retry(NoBackoff(), 0), self._connected)
        self.client: Any = Redis.from_pool(pool)

    async def _connected(self, connection: Any) -> None:
        await connection.on_connect()
        found: dict[str, str] = {}
        for name in NEEDED:
            await connection.send_command("CONFIG", "GET", name)
            try:
                said = await connection.read_response()
            except ResponseError:  # a managed server that tells nobody
                found = {}
                break
            found[name] = said[1].decode() if said else ""
        self.durability = durability_of(found, self._ack_loss)

    async def ask(self, *words: Any) -> Any:
        """One command's answer. Raises `DatabaseError`, `StorageFull`, `ConfigError`."""
        if self._closed:
            raise DatabaseError("The store is closed.")
        try:
            return await cancellable(self.client.execute_command(*words))
        except NoScriptError:
            raise
        except (RedisError, OSError) as error:
            raise storage_error(error) from error

    async def run(self, script: Script, *words: Any) -> Any:
        """A script's answer on this queue's keys. Raises as `ask`."""
        try:
            return await self.ask("EVALSHA", script.sha, 1, self.prefix, *words)
        except NoScriptError:  # an answer: it has not run
            return await self.ask("EVAL", script.text, 1, self.prefix, *words)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self.client.aclose()
            await self.client.connection_pool.aclose()

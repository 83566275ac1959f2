"""One Redis server, any number of gateways: connections, the commit, and the jobs.

A commit is one script, and one of the server's disk syncs. What a process is told to do again, it
does again with what is there now: it means that another one has committed, so one of them always
gets on. Nothing is sent twice: when an answer is lost, the request fails, and the device asks again
with the same key, which the ledger knows or does not.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import BlockingConnectionPool
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from fieldpost.engine.errors import ConfigError, DatabaseError, QueueError, SchemaTooNew
from fieldpost.security.cipher import Cipher
from fieldpost.stores.redis_link import (
    NEEDED,
    Durability,
    Place,
    Script,
    durability_of,
    pool_of,
    storage_error,
    store_script,
)
from fieldpost.stores.rows import COUNTERS

from .grouped import Grouped, Job
from .problems import Problem
from .shared import RedisTx
from .tables import Tx

T = TypeVar("T")

#: Version of what the gateway's keys hold (docs/redis.md).
SCHEMA = 1
READERS = 4
CONNECTIONS = 16

_OPEN = store_script("write")

# What all of the gateway's scripts begin with.
_HEAD = """
local G, call = KEYS[1] .. ':g:', redis.call
if call('EXISTS', KEYS[1] .. ':meta') == 0 then
  return {'gone'}
end
"""

_BEGIN = Script(
    _HEAD
    + """
local schema = call('HGET', G .. 'meta', 'schema')
if schema and tonumber(schema) > tonumber(ARGV[1]) then
  return {'newer'}
end
call('HSETNX', G .. 'meta', 'schema', ARGV[1])
return {'done'}
"""
)

_NUMBERS = Script(
    _HEAD
    + """
return {'done', call('HINCRBY', G .. 'meta', ARGV[1], ARGV[2])}
"""
)

# ARGV[1]: what was read (key, SHA-1 of it; '': nothing), what is to be (key, place among ARGV; 0:
# gone), what moves.
_COMMIT = Script(
    _HEAD
    + """
local function text(number)
  return string.format('%.0f', number)
end
local job = cjson.decode(ARGV[1])
for _, read in ipairs(job.reads) do
  local value = call('GET', G .. read[1])
  if (value and redis.sha1hex(value) or '') ~= read[2] then
    return {'again'}
  end
end
for _, put in ipairs(job.writes) do
  if put[2] == 0 then
    call('UNLINK', G .. put[1])
  else
    call('SET', G .. put[1], ARGV[put[2]])
  end
end
for _, move in ipairs(job.moves) do
  if move[1] == 'receipt' then
    local cursor = call('HINCRBY', G .. 'meta', 'cursor', 1)
    call('ZADD', G .. move[2], cursor, move[3])
  elseif move[1] == 'queue' or move[1] == 'leave' then
    -- A line of entries for each device, and the lines by their first entries.
    local line, entry = G .. move[3], text(move[4])
    if move[1] == 'queue' then
      call('ZADD', line, entry, entry)
    else
      call('ZREM', line, entry)
    end
    local head = call('ZRANGE', line, 0, 0)[1]
    if head then
      call('ZADD', G .. move[2], head, move[3])
    else
      call('ZREM', G .. move[2], move[3])
    end
  else
    call(move[1], G .. move[2], unpack(move, 3))
  end
end
return {'done'}
"""
)


class Link:
    """Connections for threads; as `fieldpost.stores.redis_link.RedisLink`, which is for a loop."""

    def __init__(self, place: Place) -> None:
        """Raises `ConfigError`."""
        self.prefix = place.prefix
        self._ack_loss = place.ack_loss
        self.durability: Durability = "unknown"
        pool = pool_of(BlockingConnectionPool, place, Retry(NoBackoff(), 0), self._connected)
        self._client: Any = Redis(connection_pool=pool)

    def _connected(self, connection: Any) -> None:
        connection.on_connect()
        found: dict[str, str] = {}
        for name in NEEDED:
            connection.send_command("CONFIG", "GET", name)
            try:
                said = connection.read_response()
            except ResponseError:  # a managed server that tells nobody
                found = {}
                break
            found[name] = said[1].decode() if said else ""
        self.durability = durability_of(found, self._ack_loss)

    def ask(self, *words: Any) -> Any:
        """One command's answer. Raises `DatabaseError`, `StorageFull`, `ConfigError`."""
        try:
            return self._client.execute_command(*words)
        except NoScriptError:
            raise
        except (RedisError, OSError) as error:
            raise storage_error(error) from error

    def run(self, script: Script, *words: Any) -> list[Any]:
        """A script's answer, when it did something or was refused ('again'). Raises as `ask`, and
        `SchemaTooNew`, `ConfigError` for other keys, `DatabaseError` when the queue is gone."""
        try:
            answer = self.ask("EVALSHA", script.sha, 1, self.prefix, *words)
        except NoScriptError:  # an answer: it has not run
            answer = self.ask("EVAL", script.text, 1, self.prefix, *words)
        said: list[Any] = answer
        if said[0] == b"newer":
            raise SchemaTooNew
        if said[0] == b"other keys":
            raise ConfigError(fields={"keys": "are not those that this queue was sealed with"})
        if said[0] == b"gone":
            raise DatabaseError("This queue is no longer in the Redis server.")
        return said

    def empty(self) -> bool:
        """Whether there is no such queue yet."""
        return not self.ask("EXISTS", f"{self.prefix}:meta")

    def begin(self, cipher: Cipher) -> None:
        """Make the queue where there is none. Raises as `run`."""
        # As the store of the relay does: one ring for all that is under this name.
        self.run(_OPEN, "open", cipher.mark("keys", "fieldpost"), *COUNTERS)
        self.run(_BEGIN, SCHEMA)

    def close(self) -> None:
        self._client.close()
        self._client.connection_pool.disconnect()


class RedisDatabase(Grouped):
    """`tables.Database`. ``again``: how often another process had been faster."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="gateway-reader")
        #: Numbers given to this process and not yet to anything, the smallest last.
        self._numbers: dict[str, list[int]] = {"n": [], "number": []}
        self._given: list[tuple[str, int]] = []
        self._left = 1
        self.again = 0

    @property
    def durability(self) -> str:
        return self._link.durability

    async def read(self, job: Callable[[Tx], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: job(RedisTx(self))
        )

    def close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._link.close()

    def _one_broke_it(self, error: BaseException) -> bool:
        # What the server did with a commit without an answer is not known: it is not sent again.
        return not isinstance(error, QueueError)

    def _commit(self, jobs: list[Job]) -> list[Any]:
        while True:
            self._given = []
            tx = RedisTx(self)
            try:
                results = []
                for at, job in enumerate(jobs):
                    self._left = len(jobs) - at
                    results.append(_refusable(job, tx))
            except BaseException:
                self._take_back()
                raise
            if self._kept(tx):
                self.commits += 1
                return results
            self.again += 1
            self._take_back()

    def _take_back(self) -> None:
        """Numbers of what was not kept: people would miss them."""
        for of, number in reversed(self._given):
            self._numbers[of].append(number)

    def _kept(self, tx: RedisTx) -> bool:
        blobs: list[bytes] = []
        writes: list[tuple[str, int]] = []
        for key, value in tx.writes.items():
            if value is not None:
                blobs.append(value)
            writes.append((key, 0 if value is None else len(blobs) + 1))
        reads = [(key, "" if value is None else _sha1(value)) for key, value in tx.reads.items()]
        job = json.dumps({"reads": reads, "writes": writes, "moves": _summed(tx.moves)})
        return bool(self._link.run(_COMMIT, job, *blobs)[0] == b"done")

    # --- what a transaction asks (`shared.Server`) -----------------------------------------------

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = self._link.ask(
            "MGET", *(f"{self._link.prefix}:g:{key}" for key in keys)
        )
        return found

    def ask(self, command: str, key: str, *words: Any) -> Any:
        return self._link.ask(command, f"{self._link.prefix}:g:{key}", *words)

    def number(self, of: str) -> int:
        if not self._numbers[of]:
            # An arrival has an entry first, so no more of them come than there are entries left.
            self._draw(of, 1 + (len(self._numbers["n"]) if of == "number" else 0))
        number = self._numbers[of].pop()
        self._given.append((of, number))
        return number

    def foresee(self, count: int) -> None:
        if (short := count - len(self._numbers["n"])) > 0:
            self._draw("n", short + self._left - 1)  # those that wait bring one each, mostly

    def _draw(self, of: str, count: int) -> None:
        _, last = self._link.run(_NUMBERS, of, count)
        # Later numbers are given later.
        self._numbers[of] = [*range(last, last - count, -1), *self._numbers[of]]


def _refusable(job: Job, tx: RedisTx) -> Any:
    writes, moves = dict(tx.writes), len(tx.moves)
    try:
        return job(tx)
    except Problem as refusal:
        tx.back_to(writes, moves)
        return refusal


def _summed(moves: list[list[Any]]) -> list[list[Any]]:
    """A hundred operations count the same few states."""
    counts: Counter[tuple[str, str]] = Counter()
    rest = []
    for move in moves:
        if move[0] == "HINCRBY":
            counts[move[1], move[2]] += move[3]
        else:
            rest.append(move)
    return [*rest, *(["HINCRBY", *where, by] for where, by in counts.items() if by)]


def _sha1(value: bytes) -> str:
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()

"""The lanes' locks and the "changed" message over Redis: for processes on any number of machines.

A lock saves double work only; the authority is the row's revision (invariant 5). It is a lease: a
key that expires unless its holder beats. A fence counts the holders, so that one that has been
silent finds out whether there was another since; the server's clock may jump, so whoever waits also
takes a lock whose beat stood still by its own monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from fieldpost.engine.errors import QueueError
from fieldpost.ports import Leadership
from fieldpost.stores.redis_link import Place, RedisLink, Script, cancellable

_ANNOUNCE_EVERY_S = 0.1
#: A gap between two looks at a beat counts at most this much: after a machine slept both sides wake
#: together, and the holder must get the time to beat again.
_GAP_MS_MAX = 5_000.0
_AGAIN_S = 1.0
_IDLE_S = 15.0

# Value of a lock: fence:owner:beat. A lane's fence is the latest number given out; what is freed of
# it is the latest that was given back.
_LOCK = Script("""
local what, lane, mine, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local call, key = redis.call, KEYS[1] .. ':lead:' .. lane
local fence, freed = KEYS[1] .. ':fence', KEYS[1] .. ':freed'
local held = call('GET', key)
if what == 'take' then
  if held and held ~= ARGV[5] then
    return {0, held, call('PTTL', key)}
  end
  local n = call('HINCRBY', fence, lane, 1)
  local free = tonumber(call('HGET', freed, lane) or 0)
  call('SET', key, string.format('%.0f', n) .. ':' .. mine .. ':0', 'PX', ttl)
  return {n, (held or free ~= n - 1) and 1 or 0}
end
local number = string.match(mine, '^%d+')
local ours = held and string.sub(held, 1, #mine + 1) == mine .. ':'
if not held then
  ours = call('HGET', fence, lane) == number and call('HGET', freed, lane) ~= number
end
if not ours then
  return {0}
end
if what == 'beat' then
  call('SET', key, mine .. ':' .. ARGV[5], 'PX', ttl)
else
  call('DEL', key)
  call('HSET', freed, lane, number)
  call('PUBLISH', KEYS[1] .. ':changed', cjson.encode({type = 'free', lane = lane}))
end
return {1}
""")


def _monotonic() -> float:
    return time.monotonic() * 1000


@dataclass(slots=True)
class _Watch:
    """A lock that others hold: its value, since when it is the same, as far as it was looked at."""

    value: bytes
    looked: float
    still: float = 0.0


class _Held:
    """The lease of a lane while it is ours."""

    def __init__(self, tabs: RedisTabs, lane: str, owner: str, ttl_ms: int, asked: float) -> None:
        self._tabs, self._lane, self._owner, self._ttl = tabs, lane, owner, ttl_ms
        self._until = asked + ttl_ms  # by our clock, from before the server's began to run
        self._beats = 0
        self._gone = False
        self._beating: asyncio.Task[None] | None = None
        self.stolen = False
        self.stealable = True

    @property
    def lost(self) -> bool:
        """Another has it; or it was not renewed in time, so another may have it."""
        self._gone = self._gone or self._tabs.monotonic() >= self._until
        return self._gone

    def beat(self) -> None:
        if not self.lost and (self._beating is None or self._beating.done()):
            self._beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        asked = self._tabs.monotonic()
        self._beats += 1
        # Without an answer the lease runs out by itself.
        with contextlib.suppress(QueueError):
            if await self._tabs.lock("beat", self._lane, self._owner, self._ttl, self._beats):
                self._until = asked + self._ttl
            else:
                self._gone = True

    async def release(self) -> None:
        self._gone = True
        if self._beating is not None:
            await self._beating
        with contextlib.suppress(QueueError):  # it runs out by itself
            await self._tabs.lock("free", self._lane, self._owner, self._ttl)


class RedisTabs:
    """`ports.Tabs` over a Redis server. ``close`` it: it holds connections of its own."""

    def __init__(self, place: Place, monotonic: Callable[[], float] = _monotonic) -> None:
        """``monotonic``: milliseconds that never go back."""
        self.monotonic = monotonic
        self._link = RedisLink(place)
        self._channel = f"{place.prefix}:changed"
        self._me = secrets.token_hex(8)
        self._callbacks: list[Callable[[dict[str, Any]], None]] = []
        self._freed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._watches: dict[str, _Watch] = {}
        self._hearing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._revision = 0
        self._announced_at = -_ANNOUNCE_EVERY_S
        self._timer: asyncio.TimerHandle | None = None

    # --- locks -------------------------------------------------------------------------------

    async def lead(
        self,
        work: Callable[[Leadership], Awaitable[None]],
        *,
        lane: str,
        wait_ms: int,
        steal_after_ms: int,
    ) -> bool:
        """Raises `DatabaseError` when the server does not answer."""
        self._hear()
        until = self.monotonic() + wait_ms
        while True:
            freed = self._freed[lane]
            freed.clear()
            held, free_in_ms = await self._ask(lane, steal_after_ms)
            if held is not None:
                break
            left = until - self.monotonic()
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it may forget a cancellation.
                async with asyncio.timeout(min(left, max(free_in_ms, 1)) / 1000):
                    await freed.wait()
        try:
            await work(held)
        finally:
            await held.release()
        return True

    async def _ask(self, lane: str, steal_after_ms: int) -> tuple[_Held | None, int]:
        """(the lease, 0), or (None, ms until the present one runs out)."""
        asking = asyncio.create_task(self._take(lane, steal_after_ms))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._keep(self._give_back(asking))  # it may still be granted
            raise

    async def _give_back(self, asking: asyncio.Task[tuple[_Held | None, int]]) -> None:
        with contextlib.suppress(QueueError):
            held, _ = await asking
            if held is not None:
                await held.release()

    async def _take(self, lane: str, ttl_ms: int) -> tuple[_Held | None, int]:
        asked, owner = self.monotonic(), f"{self._me}-{secrets.token_hex(4)}"
        watch = self._watches.get(lane)
        stood = watch is not None and self._still(watch, asked) >= ttl_ms
        still = watch.value if watch is not None and stood else b""
        number, *rest = await self._link.run(_LOCK, "take", lane, owner, ttl_ms, still)
        if number:
            self._watches.pop(lane, None)
            held = _Held(self, lane, f"{number}:{owner}", ttl_ms, asked)
            held.stolen = bool(rest[0])
            return held, 0
        value, free_in_ms = rest
        if watch is None or watch.value != value:
            self._watches[lane] = _Watch(value, self.monotonic())
        return None, free_in_ms

    def _still(self, watch: _Watch, now: float) -> float:
        """How long the beat stood still while somebody was here to look."""
        watch.still += min(now - watch.looked, _GAP_MS_MAX)
        watch.looked = now
        return watch.still

    async def lock(self, what: str, lane: str, owner: str, ttl_ms: int, beat: int = 0) -> bool:
        """Whether the lock was still ours."""
        answer = await self._link.run(_LOCK, what, lane, owner, ttl_ms, beat)
        return bool(answer[0])

    # --- messages ----------------------------------------------------------------------------

    def announce(self, revision: int) -> None:
        self._tell({"type": "changed", "revision": revision})
        self._revision = revision
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._announced_at + _ANNOUNCE_EVERY_S, self._send)

    def _send(self) -> None:
        self._timer = None
        self._announced_at = asyncio.get_running_loop().time()
        self._keep(self._publish())

    async def _publish(self) -> None:
        message = {"type": "changed", "revision": self._revision, "from": self._me}
        with contextlib.suppress(QueueError):  # those who missed it look by themselves
            await self._link.ask("PUBLISH", self._channel, json.dumps(message))

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        self._hear()
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def _tell(self, message: dict[str, Any]) -> None:
        for callback in list(self._callbacks):
            callback(message)

    def _hear(self) -> None:
        if self._hearing is None:
            self._hearing = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            line = self._link.client.pubsub()
            try:
                await cancellable(line.subscribe(self._channel))
                while True:
                    said = await line.get_message(timeout=_IDLE_S)
                    if said is None:
                        await cancellable(line.ping())  # finds out whether anybody is there
                    elif said["type"] == "subscribe":
                        self._listens()
                    elif said["type"] == "message":
                        self._heard(said["data"])
            except (RedisError, OSError):
                pass  # what is missed until the line stands again: `_listens`
            finally:
                await line.aclose()
            await asyncio.sleep(_AGAIN_S)

    def _listens(self) -> None:
        """From here on nothing is missed; what was said before was: it is time to look."""
        for freed in self._freed.values():
            freed.set()
        self._tell({"type": "changed", "revision": 0})

    def _heard(self, data: bytes) -> None:
        try:
            message = json.loads(data)
        except ValueError:
            return  # not one of ours
        if message.get("type") == "free":
            self._freed[message["lane"]].set()
        elif message.pop("from", None) != self._me:
            self._tell(message)

    # --- the end -----------------------------------------------------------------------------

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """The last announcement is sent first."""
        if self._timer is not None:
            self._timer.cancel()
            self._send()
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.wait({self._hearing})  # a cancellation of ours is not taken for its own
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._link.close()

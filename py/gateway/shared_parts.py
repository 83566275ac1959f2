"""Attachment parts and paired devices in the Redis server that gateways share."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

from fieldpost.engine.errors import DecryptionError
from fieldpost.security.cipher import Cipher
from fieldpost.stores.redis_link import Script

from .devices import Device, Devices
from .ledger import Progress
from .shared_database import Link

#: A device that was unpaired elsewhere is refused after this, at the latest.
_FRESH_S = 1.0

# ARGV: entry, position, n, sealed. A part that counts already is left alone: a process that was
# suspended may bring it when the entry was relayed, and its parts removed.
_WRITE = Script("""
local G, call = KEYS[1] .. ':g:', redis.call
local held = call('GET', G .. 'h:' .. ARGV[1])
if not held then
  return {'gone'}
end
if cjson.decode(held)[tonumber(ARGV[2]) + 1] < tonumber(ARGV[3]) then
  call('HSET', G .. 'p:' .. ARGV[1], ARGV[2] .. '/' .. ARGV[3], ARGV[4])
end
return {'done'}
""")


class RedisParts:
    """`tables.PartStore`: a hash for each entry."""

    def __init__(self, link: Link, cipher: Cipher) -> None:
        self._link = link
        self._cipher = cipher

    def write(self, progress: Progress, n: int, data: bytes) -> None:
        kid, sealed = self._cipher.seal(progress.attachment_id, "attachment", str(n), data)
        part = kid.encode() + b"\n" + sealed
        self._link.run(_WRITE, progress.entry, progress.position, n, part)

    def read(self, progress: Progress, n: int) -> bytes:
        found = self._link.ask("HGET", self._key(progress.entry), f"{progress.position}/{n}")
        if found is None:
            raise FileNotFoundError
        kid, newline, sealed = found.partition(b"\n")
        if not newline:
            raise DecryptionError
        return self._cipher.open(
            kid.decode(errors="replace"), progress.attachment_id, "attachment", str(n), sealed
        )

    def remove(self, entry: int) -> None:
        self._link.ask("UNLINK", self._key(entry))

    def _key(self, entry: int) -> str:
        return f"{self._link.prefix}:g:p:{entry}"


class SharedDevices(Devices):
    """As of the last look, which `fresh` repeats once a second at most."""

    def __init__(self, link: Link, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises as `Link.ask`."""
        super().__init__(monotonic)
        self._link = link
        self._key, self._seen_key = f"{link.prefix}:g:devices", f"{link.prefix}:g:seen"
        self._looking = asyncio.Lock()
        self._devices: list[Device] = []
        self._look()

    def all(self) -> list[Device]:
        return self._devices

    async def fresh(self) -> None:
        if self._monotonic() - self._looked_at < _FRESH_S:
            return
        async with self._looking:
            if self._monotonic() - self._looked_at >= _FRESH_S:
                await asyncio.to_thread(self._look)

    def _look(self) -> None:
        looked_at = self._monotonic()
        found = self._link.ask("HVALS", self._key)
        devices = [Device(**json.loads(each)) for each in found]
        self._devices = sorted(devices, key=lambda each: each.paired_at)
        self._looked_at = looked_at

    def _add(self, device: Device) -> None:
        self._link.ask("HSET", self._key, device.id, json.dumps(asdict(device)))
        self._look()

    def _forget(self, gone: Callable[[Device], bool]) -> int:
        self._look()
        ids = [each.id for each in self._devices if gone(each)]
        if ids:
            self._link.ask("HDEL", self._key, *ids)
            self._link.ask("HDEL", self._seen_key, *ids)
        self._look()
        return len(ids)

    def _keep_seen(self, seen: Mapping[str, int]) -> None:
        known = {each.id for each in self._devices}
        words = [word for id_, at in seen.items() if id_ in known for word in (id_, at)]
        if words:
            self._link.ask("HSET", self._seen_key, *words)

    def _kept_seen(self) -> dict[str, int]:
        return {
            id_.decode(): int(at) for id_, at in self._link.ask("HGETALL", self._seen_key).items()
        }

"""Attachment parts and paired devices in the Redis server that gateways share."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
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
        self._link = link
        self._monotonic = monotonic
        self._key = f"{link.prefix}:g:devices"
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

    def _forget(self, name: str) -> int:
        self._look()
        gone = [each.id for each in self._devices if each.name == name]
        if gone:
            self._link.ask("HDEL", self._key, *gone)
        self._look()
        return len(gone)

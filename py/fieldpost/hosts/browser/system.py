"""Clock and entropy of a browser."""

from __future__ import annotations

import asyncio
import time

from fieldpost.engine.ids import uuid7

from .interop import js_global

#: setTimeout counts in 32 bits: a longer wait would end at once.
_SLEEP_MS_MAX = 2**31 - 1
#: Random bytes fetched at a time, so that an id does not cost a crossing.
_POOL_BYTES = 8 * 1024


class BrowserClock:
    """Emscripten's clocks are ``Date.now`` and ``performance.now``: no crossing into JavaScript."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic() * 1000

    async def sleep(self, ms: float) -> None:
        await asyncio.sleep(min(ms, _SLEEP_MS_MAX) / 1000)


class BrowserEntropy:
    """From ``crypto.getRandomValues``. Python's own generator is the same in every interpreter that
    was restored from one memory snapshot, so make this after the restore."""

    def __init__(self) -> None:
        self._pool = b""
        self._used = 0

    def _bytes(self, n: int) -> bytes:
        if self._used + n > len(self._pool):
            scope = js_global()
            fresh = scope.Uint8Array.new(_POOL_BYTES)
            scope.crypto.getRandomValues(fresh)
            self._pool, self._used = fresh.to_bytes(), 0
        start, self._used = self._used, self._used + n
        return self._pool[start : self._used]

    def uuid7(self, now: int) -> str:
        return uuid7(now, self._bytes(10))

    def fraction(self) -> float:
        return (int.from_bytes(self._bytes(8), "big") >> 11) / (1 << 53)

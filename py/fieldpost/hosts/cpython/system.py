"""Clock, entropy, link and locks of a CPython process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from fieldpost.engine.ids import uuid7
from fieldpost.engine.network import Hints
from fieldpost.engine.power import Device
from fieldpost.ports import Leadership

#: Where Linux tells of batteries and mains.
_POWER = Path("/sys/class/power_supply")
_POWER_EVERY_S = 60
#: Whether a battery in that state is on a charger; any other word says nothing.
_CHARGING = {"Charging": True, "Full": True, "Not charging": True, "Discharging": False}


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic() * 1000

    async def sleep(self, ms: float) -> None:
        await asyncio.sleep(ms / 1000)


class SystemEntropy:
    def uuid7(self, now: int) -> str:
        return uuid7(now, secrets.token_bytes(10))

    def fraction(self) -> float:
        return secrets.randbits(53) / (1 << 53)


class SystemSurroundings:
    """The machine's time zone, and its battery where Linux tells of one. It does not say what its
    network costs, nor whether anybody looks."""

    def __init__(self, power: Path = _POWER):
        self._power = power
        self._read_at: float | None = None
        self._device = Device()

    def utc_offset_ms(self, at: int) -> int:
        return time.localtime(at / 1000).tm_gmtoff * 1000

    def hints(self) -> Hints:
        return Hints()

    def device(self) -> Device:
        """As read within the last minute: some machines take long to look at their battery."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at >= _POWER_EVERY_S:
            self._read_at = now
            self._device = _battery(self._power)
        return self._device


def _battery(folder: Path) -> Device:
    """Of the machine's batteries the fullest (the kernel's sysfs-class-power): a laptop may have
    two, and drains one after the other. Those of a mouse or a keyboard are not the machine's."""
    levels, says = [], []
    for supply in sorted(folder.glob("*")):
        if _word(supply / "scope") == "Device":
            continue
        if _word(supply / "type") == "Battery":
            capacity = _word(supply / "capacity")
            if capacity.isdigit():
                levels.append(min(int(capacity), 100) / 100)
            says.append(_CHARGING.get(_word(supply / "status")))
        elif _word(supply / "online") == "1":
            says.append(True)
    charging = None if None in says and True not in says else True in says
    return Device(battery=max(levels), charging=charging) if levels else Device()


def _word(path: Path) -> str:
    """The file's one word, empty where it is not there or cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip()
    return ""


class AlwaysOnline:
    """A server or an agent cannot ask its host for a network; requests find out."""

    online = True

    def subscribe(self, callback: Callable[[bool], None]) -> Callable[[], None]:  # noqa: ARG002
        return lambda: None


class _Held:
    stolen = False
    stealable = False
    lost = False

    def beat(self) -> None:
        """The lock ends with the process: nobody has to watch for a beat."""


class FileLockTabs:
    """The lanes' locks over processes: advisory locks on files beside the store (flock(2)).

    The kernel frees them when the process dies, so they are never stolen. ``folder`` None: this
    process only.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._mine: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._callbacks: list[Callable[[dict[str, Any]], None]] = []

    async def lead(
        self,
        work: Callable[[Leadership], Awaitable[None]],
        *,
        lane: str,
        wait_ms: int,  # noqa: ARG002 - a lock held elsewhere is tried again with the next turn
        steal_after_ms: int,  # noqa: ARG002
    ) -> bool:
        path = None if self._folder is None else self._folder / f"drain-{lane}.lock"
        async with self._mine[lane]:
            with _flock(path) as held:
                if held:
                    await work(_Held())
                return held

    def announce(self, revision: int) -> None:
        for callback in list(self._callbacks):
            callback({"type": "changed", "revision": revision})

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def close(self) -> None:
        """The kernel has nothing of ours beyond the work it was held for."""


@contextlib.contextmanager
def _flock(path: Path | None) -> Iterator[bool]:
    if path is None:
        yield True
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)

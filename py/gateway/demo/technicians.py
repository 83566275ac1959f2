"""Simulated people: each with a real queue in memory, who writes tickets with photos."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import fieldpost
from fieldpost.runtime.queue import Queue

#: People do not give up; the line does, now and then.
_POLICY = {"base_ms": 1_000, "cap_ms": 8_000, "jitter_ratio": 0.2, "max_attempts": 1_000_000}
_BREAKER = {"failures": 10, "successes": 2, "wait_ms": 3_000}
_CONFIG = {"sync_every_ms": 2_000, "logging.level": "off"}
_WHAT = ("Pump", "Lift", "Door", "Router", "Boiler", "Lamp", "Gate", "Valve", "Printer", "Fan")
_WRONG = ("is leaking", "makes a noise", "does not start", "is stuck", "smells of smoke")
_WHERE = ("in hall 3", "on the roof", "in the cellar", "at the north gate", "in room 214")


@dataclass(slots=True)
class Sent:
    """One ticket that somebody was told is saved. ``photo``: its bytes, b"" without one."""

    id: str
    destination: str
    photo: bytes
    queue: Queue
    state: fieldpost.State


class Technician:
    """``destinations``: name -> whether it takes files; tickets go to one after the other."""

    def __init__(self, n: int, queue: Queue, destinations: dict[str, bool]) -> None:
        self._queue = queue
        self._n = n
        self._count = 0
        self._destinations = list(destinations.items())
        self._chance = random.Random(n)  # noqa: S311 - words on tickets

    @property
    def queue(self) -> Queue:
        return self._queue

    async def capture(self) -> Sent:
        """Write one ticket; returns when it is saved. Raises `fieldpost.QueueError`."""
        draw = self._chance.choice
        name, files = self._destinations[(self._n + self._count) % len(self._destinations)]
        self._count += 1
        number = f"{self._n + 1}-{self._count}"
        photo = picture(self._chance) if files else b""
        attachments = []
        if photo:
            attachments.append(await self._queue.attach(f"photo-{number}.png", photo, "image/png"))
        ticket = {
            "summary": f"{draw(_WHAT)} {draw(_WRONG)} {draw(_WHERE)} ({number})",
            "description": "Seen on the morning round. Nobody was hurt.",
            "category": "building",
            "severity": draw(("low", "medium", "high")),
        }
        item = await self._queue.enqueue(
            "ticket", ticket, attachments=attachments, destination=name
        )
        return Sent(item.id, name, photo, self._queue, item.state)


@contextlib.asynccontextmanager
async def technicians(
    gateway: str, count: int, destinations: dict[str, bool]
) -> AsyncIterator[list[Technician]]:
    """Open their queues until the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for n in range(count):
            queue = await fieldpost.open(gateway, policy=_POLICY, breaker=_BREAKER, config=_CONFIG)
            stack.push_async_callback(queue.close)
            made.append(Technician(n, queue, destinations))
        yield made


async def at_work(
    people: Sequence[Technician], every: float, sent: list[Sent], stop: asyncio.Event
) -> None:
    """One ticket each ``every`` seconds over all of them, until ``stop``: what is under way then is
    still written and counted. Raises `fieldpost.QueueError`."""
    while not stop.is_set():
        sent.append(await people[len(sent) % len(people)].capture())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)


def picture(chance: random.Random, width: int = 96, height: int = 72) -> bytes:
    """A PNG of some coloured bars, no two alike."""
    bars = [chance.randbytes(3) for _ in range(8)]
    row = b"\0" + b"".join(bars[x * len(bars) // width] for x in range(width))
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(row * height)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )

"""Fakes of vendors with their lines, over HTTP, in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fieldpost.testing.vendors.base import Vendor
from fieldpost.testing.vendors.server import Place, serving


@contextmanager
def vendors(*fakes: Vendor) -> Iterator[Sequence[Place]]:
    """Served until the block ends; each one's ``url`` is where it is."""
    places: list[Place] = []
    up, done = threading.Event(), []

    async def serve() -> None:
        async with serving(list(fakes)) as found:
            places.extend(found)
            end = asyncio.Event()
            done.append((asyncio.get_running_loop(), end))
            up.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(30), "the fakes did not start"
    try:
        yield places
    finally:
        loop, end = done[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(30)

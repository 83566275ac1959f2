"""A clock that only the test moves: nobody's sleep ends by itself."""

from __future__ import annotations

import asyncio

from fieldpost.testing.fakes import FakeClock


class StillClock(FakeClock):
    async def sleep(self, ms: float) -> None:
        await asyncio.Event().wait()

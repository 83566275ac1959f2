"""`ports.Tabs` over the glue: Web Lock, beats and the channel are all in js/tabs.mjs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fieldpost.ports import Leadership

from .interop import Device


class _Held:
    """The lock of a lane while it is ours."""

    def __init__(self, proxy: Any):
        self._proxy = proxy
        self.stolen = bool(proxy.stolen)
        self.stealable = True

    @property
    def lost(self) -> bool:
        return bool(self._proxy.lost)

    def beat(self) -> None:
        self._proxy.beat()


class BrowserTabs:
    def __init__(self, device: Device):
        self._device = device

    async def lead(
        self,
        work: Callable[[Leadership], Awaitable[None]],
        *,
        lane: str,
        wait_ms: int,
        steal_after_ms: int,
    ) -> bool:
        asking = asyncio.ensure_future(self._device.call("lead", lane, wait_ms, steal_after_ms))
        try:
            proxy = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(_give_back)  # it may still be granted: nobody would release it
            raise
        if not proxy:
            return False
        try:
            await work(_Held(proxy))
        finally:
            proxy.release()
        return True

    def announce(self, revision: int) -> None:
        self._device.tell("announce", revision)

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        return self._device.subscribe(callback)


def _give_back(asking: asyncio.Future[Any]) -> None:
    if not asking.cancelled() and asking.exception() is None and asking.result():
        asking.result().release()

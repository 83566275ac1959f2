"""`ports.Link`: what the browser says of the network, here or forwarded by the page.

A worker sees ``navigator.onLine`` change but gets no event in Chromium: the page forwards it, by a
call (`BrowserLink.report`) or over the channel ({"type": "link", "online": bool}).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldpost.ports import Tabs

from .interop import js_global, listen


class BrowserLink:
    def __init__(self, tabs: Tabs):
        scope = js_global()
        self._online = bool(scope.navigator.onLine)
        self._callbacks: list[Callable[[bool], None]] = []
        self._leave = [
            tabs.subscribe(self._heard),
            listen(scope, "online", lambda: self.report(True)),
            listen(scope, "offline", lambda: self.report(False)),
        ]

    @property
    def online(self) -> bool:
        return self._online

    def report(self, online: bool) -> None:
        """The network came or went; subscribers hear of a change only."""
        if online == self._online:
            return
        self._online = online
        for callback in list(self._callbacks):
            callback(online)

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("type") == "link":
            self.report(bool(message.get("online")))

    def subscribe(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def close(self) -> None:
        """Free the listeners and their proxies."""
        for leave in self._leave:
            leave()
        self._leave.clear()

"""`ports.Surroundings`: the browser's time zone, its hints about the network, the page's state.

Only Chromium has ``navigator.connection``, in workers too; what is not there is None. Whether
somebody looks, and how the battery is, only a page can tell: it says so to its worker (`report`).
"""

from __future__ import annotations

from typing import Any

from fieldpost.engine.network import Hints
from fieldpost.engine.power import Device

from .interop import js_global


class BrowserSurroundings:
    def __init__(self) -> None:
        self._device = Device()

    def utc_offset_ms(self, at: int) -> int:
        # JavaScript counts the minutes from local time to UTC.
        return -int(js_global().Date.new(at).getTimezoneOffset()) * 60_000

    def hints(self) -> Hints:
        connection = getattr(js_global().navigator, "connection", None)
        if not connection:
            return Hints()
        save_data = getattr(connection, "saveData", None)
        return Hints(
            type=_text(getattr(connection, "type", None)),
            save_data=save_data if isinstance(save_data, bool) else None,
            downlink_mbps=_number(getattr(connection, "downlink", None)),
            rtt_ms=_number(getattr(connection, "rtt", None)),
        )

    def device(self) -> Device:
        return self._device

    def report(self, device: Device) -> None:
        """What the page of this worker says; the latest word counts."""
        self._device = device


def _text(value: Any) -> str | None:
    """``unknown`` says nothing."""
    return value if isinstance(value, str) and value != "unknown" else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None

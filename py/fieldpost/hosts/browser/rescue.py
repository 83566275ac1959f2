"""`runtime.rescue.RescueBox` over the glue; the file is a blob URL of this context."""

from __future__ import annotations

from .interop import Device, js_global


class BrowserRescueBox:
    def __init__(self, device: Device):
        self._device = device

    async def write(self, passphrase: str, lines: list[str]) -> str:
        blob = await self._device.call("rescueOut", passphrase, "\n".join(lines))
        url = js_global().URL.createObjectURL(blob)
        return str(url)

    async def read(self, passphrase: str, url: str) -> list[str]:
        text: str = await self._device.call("rescueIn", passphrase, url)
        return text.split("\n") if text else []

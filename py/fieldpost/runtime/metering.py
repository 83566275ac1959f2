"""A transport that tells the meter how long each request took."""

from __future__ import annotations

from collections.abc import Awaitable

from fieldpost.engine.limits import PART_BYTES
from fieldpost.ports import Clock, NoAnswer, Request, Response, Transport, Upload

from .pacing import Pacing


class MeteredTransport:
    """`ports.Transport` around another one."""

    def __init__(self, inner: Transport, clock: Clock, pacing: Pacing):
        self._inner = inner
        self._clock = clock
        self._pacing = pacing

    async def send(self, request: Request) -> Response:
        return await self._timed(self._inner.send(request), len(request.body))

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        # A last part may be shorter than this; its request then looks faster than it was, by less
        # than the next whole part corrects.
        sending = self._inner.send_part(request, attachment_id, n)
        return await self._timed(sending, len(request.body) or PART_BYTES)

    async def send_file(self, upload: Upload) -> Response:
        return await self._timed(self._inner.send_file(upload), upload.length)

    async def _timed(self, sending: Awaitable[Response], size: int) -> Response:
        began = self._clock.monotonic()
        try:
            response = await sending
        except NoAnswer:
            self._pacing.meter.unanswered(self._pacing.hints)
            raise
        elapsed = self._clock.monotonic() - began
        self._pacing.answered(size + len(response.body), elapsed)
        return response

"""`ports.Transport` over the glue's fetch, which knows whether it was we who stopped a request."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

from fieldpost.ports import NoAnswer, Request, Response, Upload

from .interop import Device

_KEYS = count(1)


class FetchTransport:
    """Redirects are not followed: one comes back as ``redirected`` (the browser hides its target).

    URLs must be absolute: a worker started from a blob has no base for others.
    """

    def __init__(self, device: Device):
        self._device = device

    async def send(self, request: Request) -> Response:
        return await self._exchange("send", request, (request.body,))

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        return await self._exchange("sendPart", request, (), attachment_id=attachment_id, n=n)

    async def send_file(self, upload: Upload) -> Response:
        if upload.base64:  # no destination that a browser may call asks for it
            raise NotImplementedError("files in base64 are sent by the gateway")
        return await self._exchange(
            "sendFile",
            upload.request,
            (upload.before + upload.after,),
            attachment_id=upload.attachment_id,
            parts=upload.parts,
            before=len(upload.before),
        )

    async def _exchange(
        self, method: str, request: Request, body: tuple[bytes, ...], **more: Any
    ) -> Response:
        key = next(_KEYS)
        asked = {
            "key": key,
            "method": request.method,
            "url": request.url,
            "headers": request.headers,
            "timeout_ms": request.timeout_ms,
            **more,
        }
        try:
            frame = await self._device.frame(method, json.dumps(asked), *body)
        except asyncio.CancelledError:
            self._device.tell("abort", key)  # the promise would go on without us
            raise
        answer = frame.value
        if reason := answer.get("no_answer"):
            raise NoAnswer(reason)
        return Response(
            status=answer["status"],
            headers=answer["headers"],
            body=frame.bytes_at(answer["body"]),
            url=answer["url"],
            redirected=answer["redirected"],
        )

"""The transport of CPython: httpx, redirects not followed, one pool of connections."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator

import httpx

from fieldpost.engine.errors import AttachmentUnreadable
from fieldpost.ports import NoAnswer, Request, Response, Store, Upload

#: Failures before a connection stood: certainly no byte of the request left.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpTransport:
    """``store``: where files are read from, None where there are none; ``client``: given in tests;
    certificates are verified unless the given client says otherwise."""

    def __init__(self, store: Store | None, client: httpx.AsyncClient | None = None):
        self._store = store
        self._client = client or httpx.AsyncClient(follow_redirects=False)
        self._owns_client = client is None

    async def send(self, request: Request) -> Response:
        return await self._send(request, request.body)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        data = await self._part(attachment_id, n)
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        request.headers["Content-Digest"] = f"sha-256=:{digest}:"  # RFC 9530
        return await self._send(request, data)

    async def send_file(self, upload: Upload) -> Response:
        # Looked at before anything is sent: a file that cannot be read whole must not leave in
        # part, and only then is it known that no byte of the request left.
        for n in range(1, upload.parts + 1):
            await self._part(upload.attachment_id, n)
        upload.request.headers["Content-Length"] = str(upload.length)
        return await self._send(upload.request, self._body(upload))

    async def _part(self, attachment_id: str, n: int) -> bytes:
        data = None if self._store is None else await self._store.part(attachment_id, n)
        if data is None:
            raise AttachmentUnreadable
        return data

    async def _body(self, upload: Upload) -> AsyncIterator[bytes]:
        yield upload.before
        rest = b""
        for n in range(1, upload.parts + 1):
            data = await self._part(upload.attachment_id, n)
            if not upload.base64:
                yield data
                continue
            data = rest + data  # base64 is of three bytes at a time, over the parts' borders
            whole = len(data) - len(data) % 3
            rest = data[whole:]
            yield base64.b64encode(data[:whole])
        if rest:
            yield base64.b64encode(rest)
        yield upload.after

    async def _send(self, request: Request, body: bytes | AsyncIterator[bytes]) -> Response:
        try:
            # httpx limits each read, not the whole: a slow drip must end too.
            async with asyncio.timeout(request.timeout_ms / 1000):
                answer = await self._client.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    content=body,
                    timeout=request.timeout_ms / 1000,
                )
        except _NOT_SENT as error:
            raise NoAnswer("network", sent=False) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise NoAnswer("timeout") from error
        except httpx.TransportError as error:
            raise NoAnswer("network") from error
        return Response(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            answer.content,
            str(answer.url),
        )

    async def close(self) -> None:
        if self._owns_client:
            await self._client.aclose()

"""The transport of CPython: httpx, redirects not followed, one pool of connections."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import httpx

from fieldpost.engine.errors import AttachmentUnreadable
from fieldpost.ports import NoAnswer, Request, Response, Store

#: Failures before a connection stood: certainly no byte of the request left.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpTransport:
    """``client``: given in tests; certificates are verified unless the given client says
    otherwise."""

    def __init__(self, store: Store, client: httpx.AsyncClient | None = None):
        self._store = store
        self._client = client or httpx.AsyncClient(follow_redirects=False)
        self._owns_client = client is None

    async def send(self, request: Request) -> Response:
        return await self._send(request, request.body)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        data = await self._store.part(attachment_id, n)
        if data is None:
            raise AttachmentUnreadable
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        request.headers["Content-Digest"] = f"sha-256=:{digest}:"  # RFC 9530
        return await self._send(request, data)

    async def _send(self, request: Request, body: bytes) -> Response:
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

"""Fakes of vendors over HTTP: each on a loopback port of its own, behind a line that can be broken
while it runs.

    async with serving([desk, other]) as places:
        places[0].line.fault = Fault("mixed", prefix="/", percent=30)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn

from fieldpost.ports import NoAnswer, Request, Response
from fieldpost.testing.faultproxy import FaultProxy

from .base import Vendor

#: What one request may bring; more is a 413.
BODY_BYTES_MAX = 100 * 1024 * 1024
#: Requests that a fake remembers while it serves: their files would fill the memory.
_REMEMBERED = 100
#: Of the connection and of the server: not the fake's to say again.
_NOT_KEPT = frozenset({"content-length", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fake is: ``line.url``, which is its ``url`` now, leads through what may break."""

    vendor: Vendor
    line: FaultProxy


class VendorApp:
    """One fake as an ASGI application. A body is taken as it comes, up to `BODY_BYTES_MAX`."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return  # cut on the way: the system never had the request
            if len(body) <= BODY_BYTES_MAX:
                body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if len(body) > BODY_BYTES_MAX:
            await _say(send, Response(413, {}, b""))
            return
        try:
            response = self._vendor.answer(self._request(scope, bytes(body)))
        except NoAnswer:
            # An answer that is begun and not ended is cut by the server.
            head = {"type": "http.response.start", "status": 200}
            await send({**head, "headers": [(b"content-length", b"1")]})
            return
        finally:
            del self._vendor.requests[:-_REMEMBERED]
        await _say(send, response)

    def _request(self, scope: Any, body: bytes) -> Request:
        query = scope["query_string"].decode()
        path = scope["raw_path"].decode()
        url = f"{self._vendor.url}{path}" + (f"?{query}" if query else "")
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        return Request(scope["method"], url, headers, body)


async def _say(send: Any, response: Response) -> None:
    kept = {k: v for k, v in response.headers.items() if k.lower() not in _NOT_KEPT}
    headers = [(name.encode(), text.encode("latin-1")) for name, text in kept.items()]
    if response.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    body = b"" if response.status in (204, 304) else response.body
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def serving(vendors: Sequence[Vendor]) -> AsyncIterator[list[Place]]:
    """Serve until the block ends; each vendor's ``url`` becomes that of its line."""
    async with contextlib.AsyncExitStack() as stack:
        places = []
        for vendor in vendors:
            upstream = await stack.enter_async_context(listening(VendorApp(vendor)))
            line = stack.enter_context(FaultProxy(upstream))
            vendor.url = line.url
            places.append(Place(vendor, line))
        yield places


@contextlib.asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a free loopback port, ``host:port``, until the block ends."""
    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    async with run(uvicorn.Server(config)) as address:
        yield address


@contextlib.asynccontextmanager
async def run(server: uvicorn.Server, port: int = 0) -> AsyncIterator[str]:
    """One of several servers of a process, on a loopback port (0: a free one), ``host:port``.
    Signals are left to whoever runs the process."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)  # from here on, whoever connects waits until it is served
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task

"""One request through the fault proxy: forwarded, broken or answered in the server's place."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

import h11

_READ_BYTES = 65_536
#: Belong to one connection and are not passed on (RFC 9110 section 7.6.1). Expect is answered here.
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect"}
)
_LOGIN = b"<!doctype html><title>Sign in</title><h1>Sign in</h1><form><input></form>"
_PORTAL = b"<!doctype html><title>Welcome</title><h1>Free Wi-Fi</h1><form><button>Accept</button>"
_ERROR = b"<!doctype html><title>Error</title><h1>Something went wrong</h1>"


class Peer:
    """One end of an HTTP/1.1 connection. Methods raise `OSError`, `h11.ProtocolError`."""

    def __init__(
        self,
        role: type[h11.CLIENT | h11.SERVER],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._h11 = h11.Connection(role)

    async def next_event(self) -> Any:
        """The next h11 event; `ConnectionClosed` at the end."""
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self._h11.receive_data(await self._reader.read(_READ_BYTES))

    async def send(self, event: Any) -> None:
        data = self._h11.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def read_body(self) -> bytes:
        """The rest of the message that has begun."""
        body = bytearray()
        while isinstance(event := await self.next_event(), h11.Data):
            body += event.data
        return bytes(body)

    async def respond(self, status: int, body: bytes, media_type: bytes, *more: Any) -> None:
        """A whole answer."""
        length = str(len(body)).encode()
        headers = [(b"content-type", media_type), (b"content-length", length), *more]
        await self.send(h11.Response(status_code=status, headers=headers))
        await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())

    def next_cycle(self) -> bool:
        """Whether the connection takes another request."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    def abort(self) -> None:
        """Reset: the other side gets nothing that is still on its way."""
        self._writer.transport.abort()


class Exchange:
    """``server``: (host, port) where requests go. ``record`` is told the bytes of the request's
    body and the status the client gets (0: none), before the client can know how it ended."""

    def __init__(
        self,
        client: Peer,
        request: h11.Request,
        server: tuple[str, int],
        record: Callable[[int, int], None],
    ) -> None:
        self._client, self._request, self._server = client, request, server
        self._record: Callable[[int, int], None] | None = record
        self._received = 0

    def settle(self, status: int) -> None:
        """This is how it ends; what is said later does not count."""
        if self._record is not None:
            self._record(self._received, status)
            self._record = None

    def cut(self) -> None:
        """Reset the client's connection."""
        self.settle(0)
        self._client.abort()

    async def forward(
        self,
        *,
        deliver: bool = True,
        wrong_id: bool = False,
        instead: int | None = None,
        pause: Any = None,
    ) -> None:
        """Pass the request on and the answer back.

        ``deliver=False`` reads the whole answer and gives the client a reset instead; ``instead``:
        an error page with that status. ``pause``: an awaitable factory, awaited when the server has
        answered.
        """
        try:
            reader, writer = await asyncio.open_connection(*self._server)
        except OSError:
            self._received = len(await self._client.read_body())
            await self._answer(502, b"The server is not there.", b"text/plain")
            return
        try:
            server = Peer(h11.CLIENT, reader, writer)
            await self._send_request(server)
            answer = await _final_response(server)
            if pause is not None:
                await pause()
            if not deliver:
                await server.read_body()
                self.cut()
            elif instead is not None:
                await server.read_body()
                await self._answer(instead, _ERROR, b"text/html; charset=utf-8")
            elif wrong_id:
                body = with_other_ids(await server.read_body())
                await self._answer(answer.status_code, body, b"application/json")
            else:
                await self._relay(server, answer)
        finally:
            writer.close()

    async def cut_during(self, share: float) -> None:
        """Let the head and ``share`` of the body through, then reset both sides."""
        total = int(dict(self._request.headers).get(b"content-length", b"0"))
        most = int(total * share)
        if total:
            reader, writer = await asyncio.open_connection(*self._server)
            server = Peer(h11.CLIENT, reader, writer)
            await server.send(self._upstream_request())
            while self._received < most:
                event = await self._client.next_event()
                if not isinstance(event, h11.Data):
                    break
                data = bytes(event.data)[: most - self._received]
                self._received += len(data)
                await server.send(h11.Data(data=data))
            server.abort()
        self.cut()

    async def instead(self, mode: str, retry_after: int) -> None:
        """Answer in the server's place."""
        self._received = len(await self._client.read_body())
        html, after = b"text/html; charset=utf-8", str(retry_after).encode()
        if mode == "http_500":
            await self._answer(500, _ERROR, html)
        elif mode == "http_503_retry_after":
            await self._answer(503, b"", b"text/plain", (b"retry-after", after))
        elif mode == "html_200":
            await self._answer(200, _ERROR, html)
        elif mode == "redirect_login":
            await self._answer(302, _LOGIN, html, (b"location", b"/login"))
        else:
            await self._answer(200, _PORTAL, html)

    async def _answer(self, status: int, body: bytes, media_type: bytes, *more: Any) -> None:
        self.settle(status)
        await self._client.respond(status, body, media_type, *more)

    async def _send_request(self, server: Peer) -> None:
        await server.send(self._upstream_request())
        listening = True
        while isinstance(event := await self._client.next_event(), h11.Data):
            self._received += len(event.data)
            if listening:
                try:
                    await server.send(h11.Data(data=event.data))
                except OSError:
                    listening = False  # it has refused already; its answer is waiting
        if listening:
            await server.send(h11.EndOfMessage())

    def _upstream_request(self) -> h11.Request:
        headers = [each for each in self._request.headers if each[0].lower() not in _HOP_BY_HOP]
        headers.append((b"connection", b"close"))
        if b"chunked" in dict(self._request.headers).get(b"transfer-encoding", b""):
            headers.append((b"transfer-encoding", b"chunked"))
        return h11.Request(
            method=self._request.method, target=self._request.target, headers=headers
        )

    async def _relay(self, server: Peer, answer: h11.Response) -> None:
        headers = [each for each in answer.headers if each[0].lower() not in _HOP_BY_HOP]
        self.settle(answer.status_code)
        await self._client.send(h11.Response(status_code=answer.status_code, headers=headers))
        while isinstance(event := await server.next_event(), h11.Data):
            await self._client.send(event)
        await self._client.send(h11.EndOfMessage())


async def _final_response(server: Peer) -> h11.Response:
    while True:
        event = await server.next_event()
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise ConnectionResetError("the server closed without an answer")


def with_other_ids(body: bytes) -> bytes:
    """JSON with every ``id`` and ``send_id`` in it replaced by another UUID."""

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: str(uuid.uuid4()) if name in ("id", "send_id") else changed(each)
            for name, each in value.items()
        }

    return json.dumps(changed(json.loads(body))).encode()

"""A line to a Redis server that can be cut, for what a commit's caller is told then."""

from __future__ import annotations

import asyncio
from typing import Any

from tools.servers import RedisServer


class Cutting:
    """Passes bytes on. ``cut_answers``: the next answer to a script is thrown away, with its line,
    once the server has given it; ``cut_requests``: the next script does not reach the server."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server
        self.cut_answers = self.cut_requests = False
        self.cut = 0

    async def __aenter__(self) -> Cutting:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._server.close()

    def url(self, server: RedisServer) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return server.url().replace(f":{server.port}/", f":{port}/")

    async def _serve(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        far, to = await asyncio.open_connection("127.0.0.1", self._to)
        asked = [b""]
        back = asyncio.create_task(self._answers(far, out, asked))
        try:
            while data := await near.read(1 << 20):
                asked[0] += data
                if self.cut_requests and b"EVALSHA" in data:
                    self.cut += 1
                    break
                to.write(data)
                await to.drain()
        except ConnectionError:
            pass
        finally:
            to.close()
            out.close()
            await back

    async def _answers(
        self, far: asyncio.StreamReader, out: asyncio.StreamWriter, asked: list[bytes]
    ) -> None:
        try:
            while data := await far.read(1 << 20):
                if self.cut_answers and b"EVALSHA" in asked[0]:
                    self.cut += 1
                    break
                asked[0] = b""
                out.write(data)
                await out.drain()
        except ConnectionError:
            pass
        finally:
            out.transport.abort()

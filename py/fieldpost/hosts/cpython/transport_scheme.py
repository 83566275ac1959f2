"""One transport for several ways out, by the scheme of the URL."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from fieldpost.ports import NoAnswer, Request, Response, Transport, Upload


class BySchemeTransport:
    """``ways``: scheme ("https", "file") -> the transport for it. There is no way for any other:
    `NoAnswer`, nothing having been sent."""

    def __init__(self, ways: Mapping[str, Transport]):
        self._ways = dict(ways)

    async def send(self, request: Request) -> Response:
        return await self._way(request).send(request)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        return await self._way(request).send_part(request, attachment_id, n)

    async def send_file(self, upload: Upload) -> Response:
        return await self._way(upload.request).send_file(upload)

    def _way(self, request: Request) -> Transport:
        way = self._ways.get(urlsplit(request.url).scheme)
        if way is None:
            raise NoAnswer("network", sent=False)
        return way

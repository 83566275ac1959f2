"""What the fakes of vendors have in common: records with their files, faults in front of a request,
and a transport that answers from them in this process."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fieldpost.engine.errors import AttachmentUnreadable
from fieldpost.ports import NoAnswer, Request, Response, Store, Upload
from fieldpost.testing.fakes import whole_body


@dataclass(slots=True)
class Record:
    """One ticket, issue, case or row. ``id``: the vendor's key; ``number``: what people call it;
    ``op``: the operation id that it carries; ``at``: ms of the vendor's clock when it was made."""

    id: str
    number: str
    op: str
    fields: dict[str, Any]
    at: int
    files: list[tuple[str, str, bytes]] = field(default_factory=list)  # (name, media type, bytes)
    open: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, taken apart. Header names in lower case; ``query``: the first value of each."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


#: What becomes of one request: told the vendor, the request and what would answer it.
Fault = Callable[["Vendor", Request, Callable[[], Response]], Response]


class Vendor:
    """A fake system at ``url`` (scheme and host, no slash at the end). Subclasses write `route`.

    ``records``: in the order they were made; ``requests``: all that came; ``faults``: taken from
    the front, one for each request that changes something (POST, PUT, PATCH); ``now``: ms, its
    clock. `authorised` decides over the credential.
    """

    def __init__(self, url: str, *, now: Callable[[], int] | None = None):
        self.url = url
        self.now = now or (lambda: time.time_ns() // 1_000_000)
        self.records: list[Record] = []
        self.requests: list[Request] = []
        self.faults: list[Fault] = []

    def route(self, ask: Ask) -> Response:
        raise NotImplementedError

    def authorised(self, ask: Ask) -> bool:  # noqa: ARG002
        return True

    def unauthorised(self) -> Response:
        """In the vendor's own words."""
        return answer({"error": "unauthorized"}, 401)

    def answer(self, request: Request) -> Response:
        """Raises `NoAnswer` where a fault says so."""
        self.requests.append(request)
        parts = urlsplit(request.url)
        query = {name: found[0] for name, found in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in request.headers.items()}
        ask = Ask(request.method, unquote(parts.path), query, headers, request.body)

        def go() -> Response:
            return self.route(ask) if self.authorised(ask) else self.unauthorised()

        if self.faults and request.method != "GET":
            return self.faults.pop(0)(self, request, go)
        return go()

    def with_op(self, op: str) -> list[Record]:
        """The open records of one operation: more than one are doubles."""
        return [record for record in self.records if record.op == op and record.open]


def answer(value: Any, status: int = 200, **headers: str) -> Response:
    """``value`` as JSON; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(status, {"content-type": "application/json", **named}, _dump(value))


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


class VendorTransport:
    """`ports.Transport` that answers from fakes, by the origin of the URL; nothing else is there.

    ``credentials``: name (`Request.credential`) -> headers, as a host adds them.
    """

    def __init__(
        self,
        store: Store,
        vendors: Sequence[Vendor],
        credentials: dict[str, dict[str, str]] | None = None,
    ):
        self._store = store
        self._vendors = {vendor.url: vendor for vendor in vendors}
        self.credentials = credentials or {}

    async def send(self, request: Request) -> Response:
        await asyncio.sleep(0)
        parts = urlsplit(request.url)
        vendor = self._vendors.get(f"{parts.scheme}://{parts.netloc}")
        if vendor is None:
            raise NoAnswer("network", sent=False)
        headers = {**request.headers, **self.credentials.get(request.credential, {})}
        return replace(vendor.answer(replace(request, headers=headers)), url=request.url)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        data = await self._store.part(attachment_id, n)
        if data is None:
            raise AttachmentUnreadable
        return await self.send(replace(request, body=data))

    async def send_file(self, upload: Upload) -> Response:
        body = await whole_body(self._store, upload)
        headers = {**upload.request.headers, "Content-Length": str(len(body))}
        return await self.send(replace(upload.request, body=body, headers=headers))


# --- faults --------------------------------------------------------------------------------------


def lose_answer(_vendor: Vendor, _request: Request, go: Callable[[], Response]) -> Response:
    """The system acts, its answer never arrives."""
    go()
    raise NoAnswer("network")


def cut_before(_vendor: Vendor, _request: Request, _go: Callable[[], Response]) -> Response:
    """The line is cut before the system has the request; the sender cannot know."""
    raise NoAnswer("network")


def says(status: int, body: bytes = b"", **headers: str) -> Fault:
    """The system does not act; this comes instead."""

    def fault(_vendor: Vendor, _request: Request, _go: Callable[[], Response]) -> Response:
        return Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)

    return fault


def says_after(status: int, body: bytes = b"", **headers: str) -> Fault:
    """The system acts, and this is what comes back."""

    def fault(_vendor: Vendor, _request: Request, go: Callable[[], Response]) -> Response:
        go()
        return Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)

    return fault


def basic(user: str, password: str) -> str:
    """The value of ``Authorization`` (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

"""/inbox: what arrived, for people. Server-rendered, without scripts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from fieldpost.engine.errors import DecryptionError

from . import templates
from .destinations import arrival_place, reference_of
from .gateway import Gateway
from .ledger import Progress
from .problems import Problem
from .tables import Arrived, Tx

PAGE_ROWS = 50
_REFERENCE = re.compile(r"FP-([0-9]{6,15})\Z")
_STYLE = Path(__file__).with_name("inbox.css")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
#: Shown as pictures; everything else is only ever downloaded.
_PICTURES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})


@dataclass(frozen=True, slots=True)
class Arrival:
    """One row of the inbox, its head opened. ``progress``: its attachments."""

    number: int
    entry: int
    kind: str
    captured_at: int
    arrived_at: int
    head: dict[str, str]
    progress: list[Progress]

    @property
    def reference(self) -> str:
        return reference_of(self.number)


class Pages:
    #: Raises `Problem` for whoever may not look.
    admit: Callable[[Request], Awaitable[None]]

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._style = _STYLE.read_text()

    async def list(self, request: Request) -> Response:
        await self.admit(request)
        text = request.query_params.get("before", "")
        before = int(text) if text.isdecimal() and len(text) < 16 else 2**53

        # What devices log of themselves is nobody's work: it has a list of its own.
        of_logs = request.query_params.get("kind") == "log"

        def job(tx: Tx) -> tuple[list[Arrival], int, int]:
            rows = tx.arrivals(before, PAGE_ROWS + 1, logs=of_logs)
            return [self._arrival(tx, row) for row in rows], *tx.totals()

        arrivals, total, logs = await self._gateway.database.read(job)
        more = arrivals[PAGE_ROWS - 1].number if len(arrivals) > PAGE_ROWS else None
        shown = templates.Shown(total, logs, more, first=before == 2**53, of_logs=of_logs)
        page = templates.inbox(arrivals[:PAGE_ROWS], shown)
        return HTMLResponse(page, headers=_HEADERS)

    async def detail(self, request: Request) -> Response:
        await self.admit(request)
        number = _number(request)

        def job(tx: Tx) -> tuple[Arrival, dict[str, Any] | None]:
            arrival = self._find(tx, number)
            kid, body = tx.body(number)
            try:
                opened = self._gateway.cipher.open(
                    kid, arrival_place(arrival.entry), "arrival", "body", body
                )
            except DecryptionError:
                return arrival, None
            payload: dict[str, Any] = json.loads(opened)
            return arrival, payload

        arrival, payload = await self._gateway.database.read(job)
        return HTMLResponse(templates.arrival(arrival, payload, _PICTURES), headers=_HEADERS)

    async def attachment(self, request: Request) -> Response:
        await self.admit(request)
        number, position = _number(request), request.path_params["position"]
        arrival = await self._gateway.database.read(lambda tx: self._find(tx, number))
        if position >= len(arrival.progress):
            raise Problem("NOT_FOUND", "There is no such attachment.")
        progress = arrival.progress[position]
        file = progress.attachment
        if progress.held < file.parts:
            raise Problem("NOT_FOUND", "The attachment has not arrived whole yet.")
        headers = {
            **_HEADERS,
            # sandbox: a browser that opens it anyway runs nothing of it.
            "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
            "Content-Disposition": _disposition(file.name),
            "Content-Length": str(file.size),
        }
        media_type = file.type if file.type in _PICTURES else "application/octet-stream"
        return StreamingResponse(self._stream(progress), headers=headers, media_type=media_type)

    async def style(self, request: Request) -> Response:  # noqa: ARG002
        headers = {"Cache-Control": "no-cache"}
        return Response(self._style, headers=headers, media_type="text/css")

    async def _stream(self, progress: Progress) -> AsyncIterator[bytes]:
        # One part in memory at a time; a damaged one cuts the download, which the length shows.
        for n in range(1, progress.attachment.parts + 1):
            yield await asyncio.to_thread(self._gateway.parts.read, progress, n)

    def _find(self, tx: Tx, number: int) -> Arrival:
        row = tx.arrival(number)
        if row is None:
            raise Problem("NOT_FOUND", "Nothing with this number has arrived.")
        return self._arrival(tx, row)

    def _arrival(self, tx: Tx, row: Arrived) -> Arrival:
        try:
            head = json.loads(
                self._gateway.cipher.open(
                    row.kid, arrival_place(row.entry), "arrival", "head", row.head
                )
            )
        except DecryptionError:
            # Shown, not skipped: somebody has to restore a backup.
            head = {"summary": "This row does not open with its key", "damaged": "yes"}
        progress = self._gateway.ledger.progress(tx, row.entry)
        return Arrival(
            row.number, row.entry, row.kind, row.captured_at, row.arrived_at, head, progress
        )


def _number(request: Request) -> int:
    found = _REFERENCE.match(request.path_params["reference"])
    if found is None:
        raise Problem("NOT_FOUND", "Numbers look like FP-000001.")
    return int(found[1])


def _disposition(name: str) -> str:
    """``attachment`` with the name in both forms of RFC 6266, free of paths and controls."""
    name = re.sub(r'[\x00-\x1f\x7f/\\"]', "_", name)
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"

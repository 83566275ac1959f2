"""The endpoints of the wire (docs/formats.md section 6)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fieldpost import __version__

from . import openapi
from .body import read_body
from .devices import DEFAULT_WORKSPACE, PEOPLE, Device, token_of
from .gateway import Gateway
from .intake import Identity, part_gap
from .ledger import Answer, Progress
from .problems import Problem
from .settings import PROTOCOL
from .wire import is_uuid, parse

#: RFC 9530 section 2, a dictionary (RFC 8941) of which only sha-256 is read.
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|;|$)")
_PARSE_INLINE_BYTES = 8 * 1024
_NO_STORE = {"Cache-Control": "no-store"}


class Api:
    """One method for each route; each raises `Problem` for what it refuses."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def operations(self, request: Request) -> Response:
        who = await self._identify(request)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Problem("UNSUPPORTED_TYPE", "Send operations as application/json.")
        gateway, limits = self._gateway, self._gateway.settings.limits
        body = await read_body(request, limits.operations_bytes, limits)
        # A large body would hold up the loop; for a small one the hop costs more than the work.
        inline = len(body) <= _PARSE_INLINE_BYTES
        batch = parse(body) if inline else await asyncio.to_thread(parse, body)
        now = gateway.clock()

        def job(tx: Any) -> tuple[list[dict[str, Any]], int]:
            results = gateway.intake.submit(tx, who, batch, now)
            return results, gateway.ledger.cursor(tx, who.workspace, who.device)

        results, cursor = await gateway.database.write(job)
        gateway.metrics.operations.update(result["status"] for result in results)
        gateway.arrived()
        if batch.ack:
            await gateway.prune_when_due()
        return _json(cursor=cursor, results=results, pause_until=None)

    async def operation(self, request: Request) -> Response:
        who = await self._identify(request, device_needed=False)
        id_ = request.path_params["id"]
        gateway = self._gateway
        return _json(
            **await gateway.database.read(lambda tx: gateway.intake.find(tx, who.workspace, id_))
        )

    async def part(self, request: Request) -> Response:
        who = await self._identify(request)
        gateway, limits, path = self._gateway, self._gateway.settings.limits, request.path_params
        send_id, n = request.headers.get("fieldpost-send-id", ""), int(path["n"])
        # Read before anything is refused: a browser still sending shows a reset, not the answer.
        body = await read_body(request, limits.part_bytes, limits)
        progress, answer = await gateway.database.read(
            lambda tx: gateway.intake.target(
                tx, who.workspace, path["id"], send_id, path["attachment_id"]
            )
        )
        if not 1 <= n <= progress.attachment.parts:
            raise Problem("NOT_FOUND", f"The attachment has {progress.attachment.parts} parts.")
        await asyncio.to_thread(_check_digest, request, progress, n, body)
        acked = progress.held
        if n > acked + 1:
            raise part_gap(acked)
        if n == acked + 1:
            await asyncio.to_thread(gateway.parts.write, progress, n, body)
            now = gateway.clock()
            held = await gateway.database.write(
                lambda tx: gateway.intake.part(tx, progress, n, now)
            )
            acked, answer = held.acked, held.answer
            gateway.arrived()
            gateway.metrics.part_bytes += len(body)
        return _part_answer(path, send_id, acked, answer)

    async def receipts(self, request: Request) -> Response:
        who = await self._identify(request)
        text = request.query_params.get("after", "0")
        if not text.isdecimal() or len(text) > 18:
            raise Problem("BAD_REQUEST", "after has to be a cursor.")
        gateway, after = self._gateway, int(text)

        def job(tx: Any) -> list[dict[str, Any]]:
            found = gateway.ledger.receipts(
                tx, who.workspace, who.device, after, gateway.settings.limits.receipts
            )
            return [
                {
                    "cursor": cursor,
                    "id": row.operation_id,
                    "send_id": send_id,
                    **_receipt(gateway.ledger.answer(row)),
                }
                for cursor, send_id, row in found
            ]

        receipts = await gateway.database.read(job)
        return _json(cursor=receipts[-1]["cursor"] if receipts else after, receipts=receipts)

    async def destinations(self, request: Request) -> Response:
        await self._identify(request, device_needed=False)
        if self._gateway.relay is not None:
            await self._gateway.relay.note_states()
        described = [each.describe() for each in self._gateway.destinations.values()]
        return _json(version=__version__, destinations=described)

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002
        await self._gateway.database.read(lambda tx: tx.states())
        body = {"status": "ok", "service": "fieldpost", "protocol": PROTOCOL}
        more = {"version": __version__, "durability": self._gateway.database.durability}
        return JSONResponse({**body, **more}, headers=_NO_STORE)

    async def metrics(self, request: Request) -> Response:
        await self.person(request)
        gateway = self._gateway
        rows = await gateway.database.read(lambda tx: tx.states())
        text = gateway.metrics.render(gateway.database.commits, rows)
        return Response(text, headers=_NO_STORE, media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002
        return JSONResponse(openapi.DOCUMENT)

    async def person(self, request: Request) -> Device | None:
        """Let pass whoever may look at what arrived, and say who: None is anybody here; elsewhere
        it is the reader or operator of the token."""
        await self._gateway.devices.fresh()
        if not self._gateway.tokens_required:
            return None
        device = self._device(request)
        if device is None or device.role not in PEOPLE:
            raise Problem(
                "UNAUTHORISED",
                "Sign in with a reader's or an operator's token (python -m gateway pair --reader).",
                headers={"WWW-Authenticate": 'Basic realm="Fieldpost", charset="UTF-8"'},
            )
        await self._gateway.heard(device)
        return device

    async def _identify(self, request: Request, *, device_needed: bool = True) -> Identity:
        header = request.headers.get("fieldpost-device", "")
        if (device_needed or header) and not is_uuid(header):
            raise Problem("BAD_REQUEST", "Fieldpost-Device has to be a UUID.")
        await self._gateway.devices.fresh()
        if not self._gateway.tokens_required:
            who, key = Identity(DEFAULT_WORKSPACE, header), header
        else:
            device = self._device(request)
            if device is None:
                raise Problem(
                    "UNAUTHORISED",
                    "This gateway takes paired devices only.",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            if device.role != "device":
                raise Problem("FORBIDDEN", "A person's token does not deliver.")
            # The token's own id in front: no device can ask for another's receipts.
            who, key = Identity(device.workspace, f"{device.id}/{header}"), device.id
            await self._gateway.heard(device)
        wait = self._gateway.rate.take(key)
        if wait:
            raise Problem(
                "RATE_LIMITED",
                "Too many requests from this device.",
                headers={"Retry-After": str(math.ceil(wait))},
            )
        return who

    def _device(self, request: Request) -> Device | None:
        token = token_of(request.headers.get("authorization"))
        return None if token is None else self._gateway.devices.find(token)


def _check_digest(request: Request, progress: Progress, n: int, body: bytes) -> None:
    """Against the header (what was sent) and the manifest (what was promised)."""
    digest = hashlib.sha256(body).digest()
    found = _SHA256.search(request.headers.get("content-digest", ""))
    if found is None:
        raise Problem("BAD_REQUEST", "Content-Digest with sha-256 is missing (RFC 9530).")
    if base64.b64decode(found[1]) != digest:
        raise Problem("DIGEST_MISMATCH", "The part did not arrive as it was sent.")
    if progress.attachment.sha256[n - 1] != digest:
        raise Problem("DIGEST_MISMATCH", "The part is not the one announced with the operation.")


def _part_answer(path: dict[str, Any], send_id: str, acked: int, answer: Answer) -> Response:
    return _json(
        id=path["id"],
        send_id=send_id,
        attachment_id=path["attachment_id"],
        acked=acked,
        **answer.wire(),
    )


def _receipt(answer: Answer) -> dict[str, Any]:
    names = ("status", "remote_id", "remote_url", "code", "detail")
    more = {
        "fields": answer.fields,
        "refused": answer.refused,
        "remote_name": answer.remote_name,
    }
    named = {name: getattr(answer, name) for name in names}
    return named | {name: value for name, value in more.items() if value}


def _json(**members: Any) -> Response:
    text = json.dumps({"protocol": PROTOCOL, **members}, ensure_ascii=False, separators=(",", ":"))
    return Response(text, headers=_NO_STORE, media_type="application/json")

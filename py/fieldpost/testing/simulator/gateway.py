"""The gateway as a world needs it: a ledger that outlives its processes, and effects that are
counted. Any class with the members of `Backend` can stand in for `ModelGateway`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fieldpost.ports import Request, Response
from fieldpost.testing.fakes import FakeGateway

from .order import Arrival

#: In a payload's text: the gateway never gets done with it, or refuses it for good.
POISON, REFUSED = "poison", "refused"

#: What a paired device begins with.
TOKEN = "token-1"  # noqa: S105 - of a gateway that does not exist


class Backend(Protocol):
    """A gateway's durable side. All of it is synchronous: a commit cannot be half done."""

    #: Operation id -> how often it took effect.
    effects: Counter[str]
    #: The same one after the other, with what arrived and what it is called here.
    arrivals: list[Arrival]
    #: The bearer token that is valid now; None: nobody needs one.
    token: str | None
    #: Deliveries are handed over and end with `deliver_later`.
    later: bool

    def route(self, request: Request, now: int) -> Response:
        """Act and answer. ``now``: ms, the gateway's own clock."""

    def deliver_later(self, now: int) -> None: ...

    def has(self, operation_id: str) -> bool:
        """Whether the ledger holds this operation: text and all parts."""


@dataclass(slots=True)
class ModelGateway(FakeGateway):
    """docs/formats.md section 6 in memory, with the pruning of acknowledged rows."""

    effects: Counter[str] = field(default_factory=Counter)
    arrivals: list[Arrival] = field(default_factory=list)
    token: str | None = None
    retention_ms: int = 400 * 24 * 3600 * 1000
    acked_at: dict[str, int] = field(default_factory=dict)
    _now: int = 0

    def route(self, request: Request, now: int) -> Response:
        self._now = now
        path = request.url.partition("://")[2].partition("/")[2]
        paired = not self.token or request.headers.get("Authorization") == f"Bearer {self.token}"
        if not paired and path.startswith(("api/v1/op", "api/v1/re")):
            return problem(401, "UNAUTHORISED")
        return self._route(request, path)

    def deliver_later(self, now: int = 0) -> None:
        self._now = now or self._now
        FakeGateway.deliver_later(self)

    def has(self, operation_id: str) -> bool:
        return any(
            op["id"] == operation_id
            and all(len(self.files[a["id"]]) == a["parts"] for a in op["attachments"])
            for op in self.ledger.values()
        )

    def prune(self) -> None:
        """Forget what was acknowledged long ago."""
        for send_id, at in list(self.acked_at.items()):
            if at < self._now - self.retention_ms:
                del self.ledger[send_id], self.acked_at[send_id]

    def _operations(self, body: dict[str, Any]) -> Response:
        for send_id in body["ack"]:
            op = self.ledger.get(send_id)
            if op is not None and op["status"] == "delivered":
                self.acked_at.setdefault(send_id, self._now)
        if body["ack"]:
            self.prune()
        return FakeGateway._operations(self, body)

    def _operation(self, op: dict[str, Any]) -> dict[str, Any]:
        summary = text_of(op["payload"])
        echo = {"id": op["id"], "send_id": op["send_id"]}
        if op["send_id"] not in self.ledger and REFUSED in summary:
            return {**echo, "status": "rejected", "code": "INVALID_FIELDS"}
        if POISON in summary:
            return {**echo, "status": "busy"}
        if op["send_id"] not in self.ledger:
            earlier = next((e for e in self.ledger.values() if e["id"] == op["id"]), None)
            if earlier is not None:  # a new key for what is here already
                if earlier["payload_sha256"] != op["payload_sha256"]:
                    return {**echo, "status": "rejected", "code": "ID_REUSED"}
                return {**self._result(earlier), **echo, "replayed": True}
        return FakeGateway._operation(self, op)

    def _deliver(self, op: dict[str, Any]) -> None:
        FakeGateway._deliver(self, op)
        self.effects[op["id"]] += 1
        self.arrivals.append(Arrival(op["id"], op["payload"], op["remote_id"]))


def text_of(payload: Mapping[str, Any]) -> str:
    """What people wrote, of a ticket or of feedback."""
    return str(payload.get("summary") or payload.get("comment") or "")


def problem(status: int, code: str, **headers: str) -> Response:
    body = json.dumps({"type": "about:blank", "title": code, "status": status, "code": code})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status, {"content-type": "application/problem+json", **named}, body.encode(), ""
    )

"""Where operations go. The gateway's own inbox is the first destination; relays come later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from fieldpost.engine.kinds import lookup
from fieldpost.engine.limits import (
    ATTACHMENT_BYTES_MAX,
    ATTACHMENTS_PER_ITEM_MAX,
    PAYLOAD_BYTES_MAX,
)
from fieldpost.security.cipher import Cipher

from . import kinds
from .ledger import Answer
from .tables import Arrived, Tx
from .wire import Operation


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation under the number of its ledger row. ``at``: ms since the epoch."""

    n: int
    workspace: str
    device: str
    operation: Operation
    at: int


class Destination(Protocol):
    """Runs on the writing thread inside the ledger's transaction: no waiting, no network; what it
    writes, it writes to that."""

    name: str

    def describe(self) -> dict[str, Any]:
        """Its entry in the catalogue (docs/formats.md section 6)."""

    def refuse(self, operation: Operation) -> Answer | None:
        """A `rejected` answer when it can never take this, before anything is written. Pure."""

    def take(self, tx: Tx, entry: Entry) -> None:
        """Make the text durable in this commit; attachment parts may still be to come."""

    def complete(self, tx: Tx, n: int) -> Answer:
        """Entry ``n`` is here whole: `delivered`, or `handed_over` (or `busy`: asked again with
        the same key) until `Intake.settle` tells the end."""


class Inbox:
    """The gateway's own inbox: delivered means durable here, for people to read."""

    name = "inbox"

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": "Fieldpost inbox",
            "kinds": list(kinds.NAMES),
            "guarantee": "strong",
            "limits": {
                "payload_bytes": PAYLOAD_BYTES_MAX,
                "attachment_bytes": ATTACHMENT_BYTES_MAX,
                "attachments": ATTACHMENTS_PER_ITEM_MAX,
            },
            "fields": kinds.describe(),
        }

    def refuse(self, operation: Operation) -> Answer | None:
        if operation.kind not in kinds.NAMES:
            return Answer(
                "rejected",
                code="UNKNOWN_KIND",
                detail=f"The inbox takes {' and '.join(kinds.NAMES)}.",
                fields={"kind": "Not a kind this destination takes."},
            )
        if operation.operation != "create":
            return Answer(
                "rejected",
                code="UNSUPPORTED_OPERATION",
                detail="The inbox only takes new things.",
                fields={"operation": "Only create."},
            )
        wrong = kinds.wrong_fields(operation.kind, operation.payload)
        if wrong:
            detail = "Some fields are missing or not allowed."
            return Answer("rejected", code="INVALID_FIELDS", detail=detail, fields=wrong)
        return None

    def take(self, tx: Tx, entry: Entry) -> None:
        operation, place = entry.operation, arrival_place(entry.n)
        head = json.dumps(_head(operation), ensure_ascii=False).encode()
        kid, sealed_head = self._cipher.seal(place, "arrival", "head", head)
        body_kid, body = self._cipher.seal(place, "arrival", "body", operation.canonical)
        arrival = Arrived(
            0,
            entry.n,
            operation.id,
            operation.kind,
            operation.captured_at,
            entry.at,
            kid,
            sealed_head,
        )
        tx.arrive(arrival, body_kid, body)

    def complete(self, tx: Tx, n: int) -> Answer:
        reference = reference_of(tx.number_of(n))
        # Relative to the gateway's root: the same answer behind any proxy and sub-path.
        return Answer("delivered", remote_id=reference, remote_url=f"inbox/{reference}")


def arrival_place(n: int) -> str:
    """The id an arrival's parts are sealed under."""
    return f"arrival/{n}"


def reference_of(number: int) -> str:
    """The number people see and say: FP-000001."""
    return f"FP-{number:06d}"


def _head(operation: Operation) -> dict[str, str]:
    """What the list shows of an arrival, so that a page of it opens no bodies."""
    payload = operation.payload
    if operation.kind == "feedback":
        rating = lookup(payload, "rating")
        comment = str(lookup(payload, "comment") or "")
        summary, severity = f"{rating} of 5: {comment}" if comment else f"{rating} of 5", ""
        requester = lookup(payload, "userName")
    else:
        summary = str(lookup(payload, "summary") or kinds.title(operation.kind, payload))
        severity = str(lookup(payload, "severity") or "")
        requester = lookup(payload, "user.name")
    return {"summary": summary[:200], "severity": severity, "requester": str(requester or "")}

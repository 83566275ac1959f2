"""Signed webhooks, as the Standard Webhooks specification (version 1) has them.

*What is sent*: one item a request, ``{"type", "timestamp", "id", "data"}``, with ``webhook-id`` and
an ``Idempotency-Key`` (both the item's key, the same in every attempt), ``webhook-timestamp`` and
``webhook-signature``: HMAC-SHA-256 over ``<id>.<timestamp>.<body>``. The last two are made by the
host when a request leaves (`fieldpost.hosts.cpython.credentials.WebhookSecret`, by the name of the
credential), so no secret is here, and none in what is stored.

*How sure*: as sure as the receiver is. One that keeps ``webhook-id`` and takes each once is
``strong``: say so with ``deduplicates``, and for how long it keeps them. Of any other one nothing
is known, so what it did not answer is not sent again by itself: a person looks (``repaired``).

*What counts as delivered*: a 2xx that is no page; and, where `echo` names a field of the answer,
only when that holds the item's key or id. A receiver behind plain HTTP should echo: whoever stands
in between can say 200.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from fieldpost.engine.canonical import canonical
from fieldpost.engine.duplicates import value_at
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.limits import BATCH_BYTES_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Manifest, Request, Response

from .adapter import Adapter
from .answers import ONLINE, problem, read_json, retry_after_ms, whole_failure
from .base import Contact, Declaration, Reading
from .fieldmap import FieldMap, render

DECLARATION = Declaration(
    guarantee="repaired",
    replay_window_ms=0,
    batch_items=1,
    batch_bytes=BATCH_BYTES_MAX,
    attachments=False,
)


@dataclass
class Webhook(Adapter):
    """``url``: the receiver; ``fields``: what of a payload goes where in ``data``, by kind (empty:
    the payload as it is); ``echo``: the field of the answer that names the item; ``remote``: the
    one that names what was made of it; ``prefix``: in front of the kind in ``type``.

    ``deduplicates``: it takes each ``webhook-id`` once; ``remembers_ms``: for how long it knows
    them (0: for ever). What stayed unanswered for longer is a person's to look at.
    """

    lane: str = "webhook"
    declaration: Declaration = DECLARATION
    url: str = ""
    fields: FieldMap = field(default_factory=dict)
    echo: str = ""
    remote: str = ""
    prefix: str = ""
    deduplicates: bool = False
    remembers_ms: int = 0

    def __post_init__(self) -> None:
        if self.declaration is not DECLARATION:
            return
        kinds = frozenset(self.fields) or None
        self.declaration = replace(DECLARATION, kinds=kinds)
        if self.deduplicates:
            window = self.remembers_ms or None
            self.declaration = replace(
                self.declaration, guarantee="strong", replay_window_ms=window
            )

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """The event. Raises `InvalidItem` with the fields that are missing."""
        data = json.loads(body)
        if self.fields:
            if item.kind not in self.fields:
                raise InvalidItem(fields={"kind": "has no field map"})
            data = render(self.fields[item.kind], item, data)
        written = datetime.fromtimestamp(item.created_at / 1000, UTC)
        event = {
            "type": f"{self.prefix}{item.kind}.{item.operation}",
            "timestamp": written.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "id": item.id,
            "data": data,
        }
        return canonical({"key": item.send_id, "event": event})

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:  # noqa: ARG002
        intent = json.loads(intents[0])
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "webhook-id": intent["key"],
            "Idempotency-Key": f'"{intent["key"]}"',  # a structured field: its quotes belong to it
        }
        return self.signed(Request("POST", self.url, headers, canonical(intent["event"])))

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        (item,) = items
        answer = read_json(response)
        if self._taken(item, response, answer):
            named = value_at(answer, self.remote) if answer and self.remote else None
            remote_id = str(named) if type(named) in (str, int) and named != "" else None
            return Reading(ONLINE, [Outcome(Class.DELIVERED, status=200, remote_id=remote_id)])
        contact, outcome = self._refused(response, answer)
        return Reading(contact, [outcome])

    def _taken(self, item: Item, response: Response, answer: dict[str, Any] | None) -> bool:
        if not 200 <= response.status < 300 or response.redirected or _is_page(response):
            return False
        if not self.echo:
            return True
        return answer is not None and value_at(answer, self.echo) in (item.send_id, item.id)

    def _refused(
        self, response: Response, answer: dict[str, Any] | None
    ) -> tuple[Contact, Outcome]:
        status = response.status
        text = problem(answer, "detail") or problem(answer, "message") or ""
        if 200 <= status < 300 and not _is_page(response):
            said = "It was answered, but not for this item."
            return ONLINE, Outcome(Class.UNKNOWN, "QUEUE_SYNC_FAILED", said, status)
        if status == 410:  # the receiver wants no more of these, of any item
            said = text or "The receiver is gone for good."
            return Contact("no_gateway", said), Outcome(
                Class.TRANSIENT, "GONE", said, status, lane=True
            )
        if status == 503:
            # Nothing says that it did not act before it gave up.
            wait, said = retry_after_ms(response.headers), text or "The receiver asks to wait."
            return Contact("limited", said, wait or 30_000), Outcome(
                Class.UNKNOWN, None, said, status, retry_after_ms=wait, lane=True
            )
        if status == 409:  # the same key is being worked on
            said = text or "The receiver is still at it."
            return ONLINE, Outcome(Class.UNKNOWN, "CONFLICT", said, status)
        if status in _REFUSALS and not _is_page(response):
            said = text or f"The receiver refused it ({status})."
            fields = answer.get("fields") if answer else None
            named = {str(k): str(v) for k, v in fields.items()} if isinstance(fields, dict) else {}
            return ONLINE, Outcome(
                _REFUSALS[status], problem(answer, "code"), said, status, fields=named
            )
        return whole_failure(response, answer, coded=False)


#: What a receiver says of an item, in JSON or with no words at all.
_REFUSALS = {
    400: Class.PERMANENT,
    403: Class.PERMISSION,
    404: Class.PERMANENT,
    405: Class.PERMANENT,
    413: Class.TOO_LARGE,
    415: Class.PERMANENT,
    422: Class.PERMANENT,
}


def _is_page(response: Response) -> bool:
    """Whether it is made for people, as the pages of networks and proxies are."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") or response.body.lstrip()[:1] == b"<"

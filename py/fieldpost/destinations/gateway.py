"""Fieldpost's own gateway: the wire of docs/formats.md section 6, the device's side.

``strong``: the gateway's ledger answers the same ``send_id`` the same way for ever, so the same
bytes may always be sent again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin

from fieldpost.engine.canonical import sha256_hex
from fieldpost.engine.limits import BATCH_BYTES_MAX, BATCH_ITEMS_MAX, REQUEST_TIMEOUT_MS
from fieldpost.engine.model import Attachment, Item
from fieldpost.engine.outcome import Class, Outcome, RefusedFile
from fieldpost.engine.record import dump
from fieldpost.ports import Manifest, NoAnswer, Request, Response

from .adapter import Adapter
from .answers import ONLINE, pause_ms, problem, read_json, whole_failure
from .base import Contact, Declaration, Finding, Lookup, Reading, Receipt

PROTOCOL = 1

_STATUS = {
    "delivered": Class.DELIVERED,
    "accepted": Class.ACCEPTED,
    "handed_over": Class.HANDED_OVER,
    "rejected": Class.PERMANENT,
    "conflict": Class.CONFLICT,
    "busy": Class.TRANSIENT,
    "mismatch": Class.PERMANENT,
    "limited": Class.RATE_LIMITED,
}


DECLARATION = Declaration(
    guarantee="strong",
    replay_window_ms=None,
    batch_items=BATCH_ITEMS_MAX,
    batch_bytes=BATCH_BYTES_MAX,
    lookup=Lookup(),
)


class GatewayDestination(Adapter):
    """Delivers to ``{url}api/v1/…``. ``device``: this device's UUID; ``token``: bearer, if
    paired."""

    declaration: Declaration = DECLARATION

    def __init__(self, url: str, device: str, token: str | None = None):
        super().__init__("gateway", type(self).declaration, token)
        self.url = url if url.endswith("/") else url + "/"
        self._device = device

    # --- operations ------------------------------------------------------------------------------

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:
        head = {
            "id": item.id,
            "send_id": item.send_id,
            "kind": item.kind,
            "operation": item.operation,
            "entity": None,
            "base_version": None,
            "depends_on": [],
            "captured_at": item.created_at,
            "attachments": [
                {
                    "id": m.id,
                    "name": m.name,
                    "type": m.type,
                    "size": m.size,
                    "parts": len(m.sha256),
                    "sha256": list(m.sha256),
                }
                for m in manifests
            ],
            "payload_sha256": sha256_hex(body),
        }
        if item.handed_to is not None:  # else the gateway's own inbox, as it always was
            head["destination"] = item.handed_to
        # The payload is already canonical JSON: it goes in as it is, not parsed and dumped again.
        return dump(head)[:-1] + b',"payload":' + body + b"}"

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:
        ack = dump(list(acknowledge))
        body = b'{"protocol":%d,"ack":%b,"operations":[%b]}' % (PROTOCOL, ack, b",".join(intents))
        return self._request("POST", "api/v1/operations", body)

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        answer = read_json(response)
        if answer is None or response.status != 200 or answer.get("protocol") != PROTOCOL:
            return self._failed(response, answer, len(items))
        results = answer.get("results")
        by_key = {(r["id"], r["send_id"]): r for r in _keyed(results)}
        outcomes = [_outcome(by_key.get((item.id, item.send_id)), self.url, item) for item in items]
        pause = pause_ms(answer, response)
        contact = Contact("limited", "The server asks to wait.", pause) if pause else ONLINE
        return Reading(contact, outcomes)

    def find(self, item: Item) -> Request:
        return self._request("GET", f"api/v1/operations/{item.id}")

    def read_find(self, item: Item, response: Response) -> Finding:
        answer = read_json(response)
        if response.status == 404 and answer and answer.get("code") == "UNKNOWN_OPERATION":
            return Finding(ONLINE, absent=True)
        if answer is None or response.status != 200 or answer.get("protocol") != PROTOCOL:
            return Finding(whole_failure(response, answer)[0])
        if (answer.get("id"), answer.get("send_id")) != (item.id, item.send_id):
            return Finding(ONLINE)
        return Finding(ONLINE, _outcome({**answer, "replayed": True}, self.url, item))

    # --- attachments -----------------------------------------------------------------------------

    def part_request(self, item: Item, attachment: Attachment, n: int) -> Request:
        path = f"api/v1/operations/{item.id}/attachments/{attachment.id}/{n}"
        request = self._request("PUT", path)
        request.headers["Fieldpost-Send-Id"] = item.send_id
        request.headers["Content-Type"] = "application/octet-stream"
        return request

    def read_part(
        self,
        item: Item,
        attachment: Attachment,
        n: int,  # noqa: ARG002 - the answer names it
        response: Response,
    ) -> Reading:
        answer = read_json(response)
        if answer is None or answer.get("protocol", PROTOCOL) != PROTOCOL:
            return self._failed(response, answer, 1)
        acked = answer.get("acked")
        if response.status == 409 and type(acked) is int:  # PART_GAP: it tells where to go on
            gap = Outcome(Class.TRANSIENT, "PART_GAP", acked={attachment.id: acked}, resume=True)
            return Reading(ONLINE, [gap])
        if response.status == 404 and answer.get("code") == "UNKNOWN_OPERATION":
            nothing = {a.id: 0 for a in item.attachments}
            again = Outcome(
                Class.TRANSIENT,
                "UNKNOWN_OPERATION",
                "The server does not know this item any more.",
                404,
                acked=nothing,
                resume=True,
                restart=True,
            )
            return Reading(ONLINE, [again])
        if response.status == 422:  # DIGEST_MISMATCH: the line damaged the part; it goes again
            return Reading(ONLINE, [Outcome(Class.TRANSIENT, problem(answer, "code"), "", 422)])
        if response.status != 200:
            return self._failed(response, answer, 1)
        echoed = (answer.get("id"), answer.get("send_id"), answer.get("attachment_id"))
        if echoed != (item.id, item.send_id, attachment.id) or type(acked) is not int:
            return Reading(ONLINE, [_WRONG_ANSWER])
        outcome = _outcome({**answer, "acked": {attachment.id: acked}}, self.url)
        return Reading(ONLINE, [outcome])

    # --- the lane --------------------------------------------------------------------------------

    def probe(self) -> Request:
        return self._request("GET", "healthz", timeout_ms=10_000)

    def read_probe(self, response: Response, *, known: bool) -> Contact:
        answer = read_json(response)
        if response.status == 200 and answer and answer.get("service") == "fieldpost":
            if answer.get("protocol") != PROTOCOL:
                return Contact("update_required", "The server needs a newer version of this app.")
            return ONLINE
        if not known and response.status in (200, 404, 405):
            return Contact(
                "no_gateway", "This address has no gateway, so nothing can be sent from here."
            )
        return whole_failure(response, answer)[0]

    def receipts(self, after: int) -> Request:
        return self._request("GET", f"api/v1/receipts?after={after}")

    def read_receipts(self, response: Response) -> tuple[Contact, list[Receipt], int]:
        answer = read_json(response)
        if answer is None or response.status != 200 or answer.get("protocol") != PROTOCOL:
            return whole_failure(response, answer)[0], [], 0
        told = _keyed(answer.get("receipts"))
        receipts = [Receipt(r["id"], r["send_id"], _outcome(r, self.url)) for r in told]
        cursor = answer.get("cursor")
        return ONLINE, receipts, cursor if type(cursor) is int else 0

    def catalogue(self) -> Request:
        return self._request("GET", "api/v1/destinations")

    def read_catalogue(self, response: Response) -> str | None:
        answer = read_json(response)
        if response.status != 200 or not answer or answer.get("protocol") != PROTOCOL:
            return None
        return json.dumps(answer, ensure_ascii=False)

    def no_answer(self, failure: NoAnswer) -> Reading:
        text = {
            "timeout": "The server is not answering in time.",
            "aborted": "Sending was stopped.",
        }.get(failure.reason, "The server is not answering.")
        cls = Class.UNKNOWN if failure.sent else Class.TRANSIENT
        outcome = Outcome(cls, "QUEUE_CONNECTION_ERROR", text, lane=True)
        return Reading(Contact("unreachable", text), [outcome], whole=True)

    # --- helpers ---------------------------------------------------------------------------------

    def _request(
        self, method: str, path: str, body: bytes = b"", timeout_ms: int = REQUEST_TIMEOUT_MS
    ) -> Request:
        headers = {"Accept": "application/json", "Fieldpost-Device": self._device}
        if body:
            headers["Content-Type"] = "application/json"
        url = urljoin(self.url, path)
        return self.signed(Request(method, url, headers, body, timeout_ms))

    @staticmethod
    def _failed(response: Response, answer: dict[str, Any] | None, count: int) -> Reading:
        contact, outcome = whole_failure(response, answer)
        return Reading(contact, [outcome] * count, whole=True)


_WRONG_ANSWER = Outcome(
    Class.UNKNOWN, "QUEUE_SYNC_FAILED", "The server's answer does not name this item."
)


def _keyed(results: Any) -> list[dict[str, Any]]:
    """Those that name an item and its attempt."""
    return [
        result
        for result in (results if isinstance(results, list) else [])
        if isinstance(result, dict)
        and isinstance(result.get("id"), str)
        and isinstance(result.get("send_id"), str)
    ]


def _outcome(result: dict[str, Any] | None, base: str, item: Item | None = None) -> Outcome:
    """One result of the wire as an outcome; anything not understood is `Class.UNKNOWN`."""
    cls = _STATUS.get(str(result.get("status"))) if result else None
    if result is None or cls is None:
        return _WRONG_ANSWER
    if cls is Class.ACCEPTED and item is not None and not item.attachments:
        return _WRONG_ANSWER  # nothing is to come: the item would wait for ever
    if cls is Class.DELIVERED and result.get("replayed"):
        cls = Class.DUPLICATE
    remote_url = problem(result, "remote_url")  # relative to the gateway's root
    acked = result.get("acked")
    fields = result.get("fields")
    refused = result.get("refused")
    wait = result.get("retry_after_ms")
    return Outcome(
        cls,
        problem(result, "code"),
        problem(result, "detail") or "",
        200,
        problem(result, "remote_id") or None,
        _joined(base, remote_url) if remote_url else None,
        wait if type(wait) is int else None,
        fields={str(k): str(v) for k, v in fields.items()} if isinstance(fields, dict) else {},
        acked={k: v for k, v in acked.items() if type(v) is int} if isinstance(acked, dict) else {},
        refused={
            str(id_): RefusedFile(str(why.get("code")), str(why.get("detail") or ""))
            for id_, why in refused.items()
            if isinstance(why, dict)
        }
        if isinstance(refused, dict)
        else {},
        remote_name=problem(result, "remote_name"),
    )


#: What is only hung onto a base: no scheme, no dots, no query.
_STEPS = re.compile(r"[\w-]+(?:/[\w-]+)*", re.ASCII)


def _joined(base: str, url: str) -> str | None:
    """`urljoin`, None of what is no address; at a hundredth of its time for what a gateway answers
    for each item."""
    if _STEPS.fullmatch(url) and base.endswith("/") and "?" not in base and "#" not in base:
        return base + url
    try:
        return urljoin(base, url)
    except ValueError:
        return None

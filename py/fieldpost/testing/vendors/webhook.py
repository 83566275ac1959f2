"""A fake receiver of webhooks: it checks signatures as the specification says (times at most five
minutes off, any signature of several), and takes each ``webhook-id`` once if it is told to.

Its trap: without that, the same message again is another record.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.webhook import Webhook
from fieldpost.ports import Response

from .base import Ask, Record, Vendor, answer

TOKEN = {"X-Receiver-Token": "t0ken"}
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
TOLERANCE_S = 5 * 60


class FakeReceiver(Vendor):
    """``takes_once``: it remembers each ``webhook-id``; ``echoes``: its answers name the item;
    ``signed``: it wants a signature, else a fixed header (`TOKEN`), as some receivers do."""

    def __init__(self, url: str = "https://receiver.example", **named: Any):
        super().__init__(url, **named)
        self.takes_once = True
        self.echoes = True
        self.signed = True
        self.key = base64.b64decode(SECRET.removeprefix("whsec_"))

    def authorised(self, ask: Ask) -> bool:
        if not self.signed:
            return all(ask.headers.get(name.lower()) == value for name, value in TOKEN.items())
        at, given = ask.headers.get("webhook-timestamp", ""), ask.headers.get("webhook-signature")
        if not at.isdecimal() or abs(self.now() // 1000 - int(at)) > TOLERANCE_S or not given:
            return False
        signed = b".".join([ask.headers["webhook-id"].encode(), at.encode(), ask.body])
        right = base64.b64encode(hmac.digest(self.key, signed, hashlib.sha256)).decode()
        return any(hmac.compare_digest(each, f"v1,{right}") for each in given.split(" "))

    def route(self, ask: Ask) -> Response:
        key = ask.headers["webhook-id"]
        if not self.takes_once or not any(r.id == key for r in self.records):
            event = ask.json
            number = f"R-{len(self.records) + 1}"
            self.records.append(Record(key, number, event["id"], event, self.now()))
        kept = next(r for r in self.records if r.id == key)
        if not self.echoes:
            return Response(204, {}, b"")
        return answer({"received": {"id": key}, "number": kept.number}, 202)


def bench(clock: Any) -> tuple[Adapter, Vendor, dict[str, dict[str, str]]]:
    """An adapter, the fake that it speaks to, and the host's credentials: of a receiver with a
    fixed header, since one that checks signatures needs a host that signs
    (`CredentialTransport`)."""
    vendor = FakeReceiver(now=clock.now)
    vendor.signed = False
    adapter = Webhook(
        url=vendor.url + "/in",
        deduplicates=True,
        echo="received.id",
        remote="number",
        credential="webhook",
    )
    return adapter, vendor, {"webhook": dict(TOKEN)}

"""Signed webhooks: the signature is the host's, and how sure it is depends on the receiver."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from tests.destinations.world import MINUTE, TICKET, World

from fieldpost.destinations.fieldmap import Rule
from fieldpost.destinations.webhook import DECLARATION, Webhook
from fieldpost.engine.errors import ConfigError, InvalidItem
from fieldpost.engine.machine import needs_person
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.credentials import CredentialTransport, WebhookSecret
from fieldpost.ports import Request, Response
from fieldpost.testing.vendors.base import (
    Fault,
    VendorTransport,
    answer,
    cut_before,
    lose_answer,
    says_after,
)
from fieldpost.testing.vendors.webhook import SECRET, FakeReceiver, bench

ID = "01975b5e-1000-7000-8000-000000000001"
KEY = "01975b5e-1000-7000-8000-000000000002"
HTML = {"content-type": "text/html"}


def item() -> Item:
    return Item(ID, "ticket", "create", "webhook", KEY, 1_750_000_000_123, 1_750_000_000_123)


def adapter(**named: object) -> Webhook:
    return Webhook(**{"url": "https://receiver.example/in", "credential": "webhook", **named})


def request_of(by: Webhook) -> Request:
    return by.request([by.intent(item(), json.dumps(TICKET).encode(), [])], [])


class SignedWorld(World):
    """The receiver wants signatures; ``more``: of the adapter."""

    def __init__(self, *secrets: str, **more: object) -> None:
        super().__init__(bench)
        self.receiver.signed = True
        told = {"deduplicates": True, "echo": "received.id", "remote": "number", **more}
        self.adapter = Webhook(url=self.vendor.url + "/in", credential="webhook", **told)
        self.secrets = {"webhook": self.secret(*(secrets or (SECRET,)))}
        inner = VendorTransport(self.store, [self.vendor])
        self.open(CredentialTransport(inner, self.secrets))

    def secret(self, *secrets: str) -> WebhookSecret:
        return WebhookSecret(*secrets, now=self.clock.now)

    @property
    def receiver(self) -> FakeReceiver:
        assert isinstance(self.vendor, FakeReceiver)
        return self.vendor


# --- the request ---------------------------------------------------------------------------------


def test_a_request_is_the_event_with_its_key_and_no_secret() -> None:
    request = request_of(adapter(prefix="field."))
    assert json.loads(request.body) == {
        "type": "field.ticket.create",
        "timestamp": "2025-06-15T15:06:40.123Z",
        "id": ID,
        "data": TICKET,
    }
    assert request.headers["webhook-id"] == KEY
    assert request.headers["Idempotency-Key"] == f'"{KEY}"'
    assert "webhook-signature" not in request.headers
    assert request.credential == "webhook"
    assert request == request_of(adapter(prefix="field."))


def test_a_map_says_what_is_told() -> None:
    by = adapter(fields={"ticket": (Rule("title", source="summary", required=True),)})
    assert by.declaration.kinds == frozenset({"ticket"})
    assert json.loads(request_of(by).body)["data"] == {"title": "Pump 3 is leaking"}
    with pytest.raises(InvalidItem) as refused:
        by.intent(item(), b"{}", [])
    assert "summary" in refused.value.fields


# --- the signature -------------------------------------------------------------------------------


async def test_the_signature_is_the_specifications() -> None:
    # Message, time, body and signature as published with the specification's libraries.
    secret = WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", now=lambda: 1_614_265_330_000)
    headers = {"Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek"}
    request = Request("POST", "https://x.example/", headers, b'{"test": 2432232314}')
    assert await secret.headers(request) == {
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


async def test_while_a_secret_is_changed_there_is_a_signature_by_each() -> None:
    other = "whsec_" + base64.b64encode(b"x" * 24).decode()
    made = [
        (await WebhookSecret(*each, now=lambda: 0).headers(request_of(adapter())))
        for each in [(SECRET, other), (SECRET,), (other,)]
    ]
    both, *alone = [headers["webhook-signature"] for headers in made]
    assert both.split(" ") == alone


@pytest.mark.parametrize(
    "secret", ["", "whsec_%%%", "c2VjcmV0", "whsec_c2hvcnQ=", "whsec_" + "QUFB" * 30]
)
def test_a_secret_of_the_wrong_form_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        WebhookSecret(secret)
    assert "secret" in refused.value.fields
    assert not secret or secret not in str(refused.value.as_dict())


def test_there_has_to_be_a_secret() -> None:
    with pytest.raises(ConfigError):
        WebhookSecret()


@pytest.mark.parametrize("headers", [{}, {"webhook-id": "a.b"}])
async def test_only_a_webhook_is_signed(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="id without dots"):
        await WebhookSecret(SECRET).headers(Request("POST", "https://x.example/", headers))


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "cls", "state"),
    [
        (Response(200, {}, b""), Class.DELIVERED, "online"),
        (Response(204, {}, b""), Class.DELIVERED, "online"),
        (Response(202, {"content-type": "text/plain"}, b"ok"), Class.DELIVERED, "online"),
        (Response(200, HTML, b"<h1>Hotel</h1>"), Class.UNKNOWN, "sign_in_page"),
        (Response(200, {}, b" <!doctype html>"), Class.UNKNOWN, "sign_in_page"),
        (Response(302, {}, b""), Class.UNKNOWN, "sign_in_page"),
        (Response(400, {}, b""), Class.PERMANENT, "online"),
        (Response(404, {"content-type": "text/plain"}, b"no"), Class.PERMANENT, "online"),
        (Response(404, HTML, b"<h1>nginx</h1>"), Class.UNKNOWN, "unreachable"),
        (Response(401, {}, b""), Class.AUTH, "signed_out"),
        (Response(403, {}, b""), Class.PERMISSION, "online"),
        (Response(409, {}, b""), Class.UNKNOWN, "online"),
        (Response(410, {}, b""), Class.TRANSIENT, "no_gateway"),
        (Response(413, {}, b""), Class.TOO_LARGE, "online"),
        (answer({"detail": "No", "fields": {"summary": "short"}}, 422), Class.PERMANENT, "online"),
        (Response(429, {"retry-after": "9"}, b""), Class.RATE_LIMITED, "limited"),
        (Response(503, {"retry-after": "9"}, b""), Class.UNKNOWN, "limited"),
        (Response(500, {}, b""), Class.UNKNOWN, "unreachable"),
        (Response(502, {}, b""), Class.UNKNOWN, "unreachable"),
    ],
)
def test_answers(response: Response, cls: Class, state: str) -> None:
    reading = adapter().read([item()], response)
    assert (reading.outcomes[0].cls, reading.contact.state) == (cls, state)


def test_a_refusal_says_why() -> None:
    refused = answer({"detail": "Too short.", "code": "SHORT", "fields": {"summary": "x"}}, 422)
    (outcome,) = adapter().read([item()], refused).outcomes
    assert (outcome.text, outcome.code, outcome.fields) == ("Too short.", "SHORT", {"summary": "x"})


@pytest.mark.parametrize(
    ("response", "delivered"),
    [
        (answer({"received": {"id": KEY}}), True),
        (answer({"received": {"id": ID}}), True),
        (answer({"received": {"id": "another"}}), False),
        (answer({"received": KEY}), False),
        (Response(204, {}, b""), False),
    ],
)
def test_where_the_receiver_echoes_nothing_else_is_believed(
    response: Response, delivered: bool
) -> None:
    (outcome,) = adapter(echo="received.id").read([item()], response).outcomes
    assert outcome.cls is (Class.DELIVERED if delivered else Class.UNKNOWN)


# --- whole deliveries ----------------------------------------------------------------------------


async def test_a_signed_event_arrives() -> None:
    made = SignedWorld()
    ticket = await made.add()
    record = await made.delivered(ticket)
    assert (record.op, record.fields["data"]) == (ticket, TICKET)
    assert (await made.detail(ticket))["remote_id"] == "R-1"
    stored = await made.store.get([ticket], ("intent", "head", "history", "body"))
    assert SECRET.encode() not in b"".join(stored[0].parts.values())


@pytest.mark.parametrize("fault", [lose_answer, cut_before, says_after(502)])
async def test_each_attempt_is_signed_anew_and_taken_once(fault: Fault) -> None:
    made = SignedWorld()
    made.vendor.faults = [fault]
    ticket = await made.add()
    await made.queue.sync()
    made.clock.advance(10 * MINUTE)  # the first signature has run out by now
    await made.delivered(ticket)
    first, second = made.vendor.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_of_a_receiver_that_is_not_known_to_deduplicate_a_person_looks() -> None:
    made = SignedWorld(deduplicates=False)
    made.receiver.takes_once = False
    made.vendor.faults = [lose_answer]
    ticket = await made.add()
    await made.settle(120 * MINUTE)
    assert await made.state(ticket) is State.UNKNOWN
    assert len(made.vendor.with_op(ticket)) == 1
    assert needs_person(await made.queue.get(ticket))


async def test_after_the_receivers_memory_a_person_looks() -> None:
    made = SignedWorld(remembers_ms=60 * MINUTE)
    made.vendor.faults = [lose_answer]
    ticket = await made.add()
    await made.queue.sync()
    made.clock.advance(61 * MINUTE)
    await made.settle(30 * MINUTE)
    assert await made.state(ticket) is State.UNKNOWN
    assert len(made.vendor.requests) == 1


async def test_a_signature_that_is_not_taken_waits_for_another_secret() -> None:
    made = SignedWorld("whsec_" + base64.b64encode(b"w" * 32).decode())
    ticket = await made.add()
    await made.settle(5 * MINUTE)
    assert await made.state(ticket) is State.PENDING
    made.secrets["webhook"] = made.secret(SECRET)
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED


async def test_a_receiver_without_a_word_is_enough_where_nothing_is_echoed() -> None:
    made = SignedWorld(echo="")
    made.receiver.echoes = False
    ticket = await made.add()
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED


def test_the_plain_declaration_promises_nothing() -> None:
    assert adapter().declaration == DECLARATION
    assert (DECLARATION.guarantee, DECLARATION.replay_window_ms) == ("repaired", 0)
    strong = replace(DECLARATION, guarantee="strong", replay_window_ms=None)
    assert adapter(deduplicates=True).declaration == strong

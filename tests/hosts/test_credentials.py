"""Credentials are added on the way out, renewed once, and taken out of what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from fieldpost.destinations.adapter import Adapter
from fieldpost.engine.outcome import Class
from fieldpost.hosts.cpython.credentials import (
    HIDDEN,
    CredentialTransport,
    Headers,
    OAuth,
    basic,
    bearer,
)
from fieldpost.ports import NoAnswer, Request, Response, Upload
from gateway import checks

TOKENS = "https://login.example/token"
API = "https://api.example/tickets"


class Wire:
    """An API that takes ``good`` tokens, and the endpoint that gives them out."""

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.given = 0
        self.forms: list[dict[str, list[str]]] = []
        self.sent: list[Request] = []
        #: What the endpoint answers in place of a token.
        self.instead: Response | None = None
        self.rotates = False
        self.lasts: Any = 3600

    async def send(self, request: Request) -> Response:
        await asyncio.sleep(0)
        if request.url == TOKENS:
            return self._token(request)
        self.sent.append(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        body = json.dumps({"you sent": token}).encode()
        return Response(200 if token in self.good else 401, {}, body)

    def _token(self, request: Request) -> Response:
        self.forms.append(parse_qs(request.body.decode()))
        if self.instead is not None:
            return self.instead
        self.given += 1
        token = f"token-number-{self.given}"
        self.good = {token}
        said = {"access_token": token, "expires_in": self.lasts}
        if self.rotates:
            said["refresh_token"] = f"refresh-number-{self.given}"
        return as_json(said)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        return await self.send(request)

    async def send_file(self, upload: Upload) -> Response:
        return await self.send(upload.request)


def as_json(said: Any, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(said).encode())


@pytest.fixture
def wire() -> Wire:
    return Wire()


def oauth(wire: Wire, refresh: str | None = "refresh-number-0") -> OAuth:
    return OAuth(TOKENS, {"client_id": "c", "client_secret": "client-secret"}, wire, refresh)


def through(wire: Wire, credential: OAuth | Headers) -> CredentialTransport:
    return CredentialTransport(wire, {"api": credential})


ASKED = Request("GET", API, credential="api")


async def test_a_token_is_fetched_once_for_many_requests(wire: Wire) -> None:
    transport = through(wire, oauth(wire))
    answers = await asyncio.gather(*(transport.send(ASKED) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert wire.given == 1
    assert wire.forms[0]["grant_type"] == ["refresh_token"]
    assert wire.forms[0]["refresh_token"] == ["refresh-number-0"]


async def test_after_a_401_it_is_renewed_once_for_all(wire: Wire) -> None:
    transport = through(wire, oauth(wire))
    await transport.send(ASKED)
    wire.good = set()  # revoked over there
    answers = await asyncio.gather(*(transport.send(ASKED) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert wire.given == 2


async def test_a_refusal_is_the_answer_where_nothing_can_be_renewed(wire: Wire) -> None:
    credential = oauth(wire)
    transport = through(wire, credential)
    await transport.send(ASKED)
    wire.good, wire.instead = set(), as_json({"error": "invalid_grant"}, 400)
    answer = await transport.send(ASKED)
    assert answer.status == 401
    assert b"token-number-1" not in answer.body  # it is none of ours any more, and a secret still
    assert (await through(wire, bearer("wrong-token")).send(ASKED)).status == 401
    wire.instead = None
    assert (await transport.send(ASKED)).status == 200  # it is asked for again, each time


async def test_it_is_renewed_before_it_ends(wire: Wire) -> None:
    wire.lasts = 30  # s: less than the time before the end at which a new one is fetched
    transport = through(wire, oauth(wire, None))
    await transport.send(ASKED)
    await transport.send(ASKED)
    assert wire.given == 2
    assert wire.forms[0]["grant_type"] == ["client_credentials"]


async def test_another_refresh_token_is_followed(wire: Wire) -> None:
    wire.rotates = True
    transport = through(wire, oauth(wire))
    await transport.send(ASKED)
    wire.good = set()
    await transport.send(ASKED)
    assert wire.forms[1]["refresh_token"] == ["refresh-number-1"]


@pytest.mark.parametrize("another", ["", None, ["x"]])
async def test_a_refresh_token_that_is_none_is_not_followed(wire: Wire, another: Any) -> None:
    wire.instead = as_json({"access_token": "token-number-1", "refresh_token": another})
    transport = through(wire, oauth(wire))
    await transport.send(ASKED)
    await transport.send(ASKED)
    assert [form.get("refresh_token") for form in wire.forms] == [["refresh-number-0"]] * 3


async def test_no_token_endpoint_is_no_answer(wire: Wire) -> None:
    async def away(_request: Request) -> Response:
        raise NoAnswer("network", sent=False)

    credential = oauth(wire)
    wire.send = away  # type: ignore[method-assign]
    with pytest.raises(NoAnswer):
        await through(wire, credential).send(ASKED)


@pytest.mark.parametrize(
    "refusal",
    [
        as_json({"error": "invalid_grant"}, 400),
        as_json({"error": "invalid_client", "error_description": "client-secret is wrong"}, 401),
        as_json({"error": "unauthorized_client"}, 400),
        as_json({"error": "invalid_grant"}, 403),
        as_json({"error": "client-secret"}, 400),
    ],
)
async def test_nothing_leaves_where_the_sign_in_server_refuses(
    wire: Wire, refusal: Response
) -> None:
    wire.instead = refusal
    answer = await through(wire, oauth(wire)).send(ASKED)
    assert answer.status == 401
    assert wire.sent == []
    assert json.loads(answer.body)["code"] == "NOT_SIGNED_IN"
    assert b"client-secret" not in answer.body


ELSEWHERE = [
    Response(503, {}, b""),
    as_json({"error": "invalid_grant"}, 503),
    as_json({"error": "slow_down"}, 429),
    as_json({"error": "timeout"}, 408),
    Response(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"),
    Response(200, {"content-type": "text/html"}, b"<p>Welcome to the hotel"),
    Response(401, {"content-type": "text/html"}, b"<p>Welcome to the hotel"),
    Response(302, {"location": "https://portal.example/"}, b""),
    Response(200, {"content-type": "application/json"}, b'{"access_token": "to', redirected=True),
    as_json({"access_token": ""}),
    as_json({"access_token": ["x"]}),
    as_json(["not an object"]),
    as_json({"detail": "a proxy's own"}, 400),
    as_json({"error": "not_found"}, 404),
    as_json({"error": "temporarily_unavailable"}, 400),
]


@pytest.mark.parametrize("answer", ELSEWHERE)
async def test_while_the_sign_in_server_is_away_nothing_leaves(
    wire: Wire, answer: Response
) -> None:
    """The destination is away then, and nobody is told that a sign-in was refused."""
    wire.instead = answer
    transport = through(wire, oauth(wire))
    with pytest.raises(NoAnswer) as none:
        await transport.send(ASKED)
    assert not none.value.sent
    assert wire.sent == []
    wire.instead = None
    assert (await transport.send(ASKED)).status == 200


@pytest.mark.parametrize("status", [429, 503])
async def test_how_long_a_sign_in_server_asks_to_wait(wire: Wire, status: int) -> None:
    wire.instead = Response(status, {"retry-after": "90"}, b"")
    with pytest.raises(NoAnswer) as none:
        await through(wire, oauth(wire)).send(ASKED)
    assert (none.value.sent, none.value.retry_after_ms) == (False, 90_000)
    reading = Adapter("desk").no_answer(none.value)
    assert (reading.contact.state, reading.contact.pause_ms) == ("limited", 90_000)
    assert reading.outcomes[0].cls is Class.RATE_LIMITED


async def test_after_a_401_a_sign_in_server_that_is_away_is_no_refusal(wire: Wire) -> None:
    transport = through(wire, oauth(wire))
    await transport.send(ASKED)
    wire.good, wire.instead = set(), ELSEWHERE[0]
    with pytest.raises(NoAnswer) as none:
        await transport.send(ASKED)
    assert not none.value.sent  # it was turned away, so it was not carried out
    wire.instead = None
    assert (await transport.send(ASKED)).status == 200


@pytest.mark.parametrize(
    ("lasts", "renewals"),
    [
        (None, 1),
        ("3600", 1),
        ("soon", 1),
        ("²", 1),
        ("9" * 5000, 1),
        (-5, 1),
        (0, 1),
        (True, 1),
        ([], 1),
        (10**400, 1),
        (1e300, 1),
        (float("inf"), 1),
        (float("nan"), 1),
        (30.5, 2),
    ],
    ids=lambda value: str(value)[:8],
)
async def test_odd_times_of_a_token_are_left_aside(wire: Wire, lasts: Any, renewals: int) -> None:
    wire.lasts = lasts
    transport = through(wire, oauth(wire, None))
    answers = [(await transport.send(ASKED)).status for _ in range(2)]
    assert (answers, wire.given) == ([200, 200], renewals)


@pytest.mark.parametrize(
    "make", [lambda: bearer("very-secret-token"), lambda: basic("user", "very-secret-word")]
)
async def test_what_comes_back_holds_no_secret(wire: Wire, make: Callable[[], Headers]) -> None:
    credential = make()
    answer = await through(wire, credential).send(ASKED)
    secret = credential.named["Authorization"].partition(" ")[2]
    assert secret.encode() not in answer.body
    assert HIDDEN.encode() in answer.body or secret not in wire.sent[0].headers["Authorization"]
    assert "Authorization" not in ASKED.headers  # what the adapter built is left as it was


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("very-secret-word", "no user 'ann' with the password very-secret-word."),
        ("correct horse battery", "correct horse battery is wrong."),
        ("pass", "ann@example.org:pass is wrong."),
        ("with:colon", "ann@example.org:with:colon is wrong."),
    ],
)
async def test_a_password_that_is_repeated_is_taken_out(
    wire: Wire, password: str, said: str
) -> None:
    async def repeats(_request: Request) -> Response:
        return Response(403, {}, said.encode())

    wire.send = repeats  # type: ignore[method-assign]
    credential = basic("ann@example.org", password)
    answer = await through(wire, credential).send(ASKED)
    taken_out = answer.body.decode()
    assert HIDDEN in taken_out
    assert not any(word in taken_out for word in password.replace(":", " ").split())
    assert checks.hidden(said, credential.secrets()) == taken_out


async def test_a_request_without_a_credential_gets_none(wire: Wire) -> None:
    await through(wire, bearer("very-secret-token")).send(Request("GET", API))
    assert "Authorization" not in wire.sent[0].headers

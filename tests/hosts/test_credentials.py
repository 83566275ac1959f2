"""Credentials are added on the way out, renewed once, and taken out of what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from fieldpost.hosts.cpython.credentials import (
    HIDDEN,
    CredentialTransport,
    Headers,
    OAuth,
    basic,
    bearer,
)
from fieldpost.ports import NoAnswer, Request, Response, Upload

TOKENS = "https://login.example/token"
API = "https://api.example/tickets"


class Wire:
    """An API that takes ``good`` tokens, and the endpoint that gives them out."""

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.given = 0
        self.forms: list[dict[str, list[str]]] = []
        self.sent: list[Request] = []
        self.status = 200
        self.rotates = False
        self.lasts = 3600

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
        if self.status != 200:
            return Response(self.status, {}, b"{}")
        self.given += 1
        token = f"token-number-{self.given}"
        self.good = {token}
        said = {"access_token": token, "expires_in": self.lasts}
        if self.rotates:
            said["refresh_token"] = f"refresh-number-{self.given}"
        return Response(200, {}, json.dumps(said).encode())

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        return await self.send(request)

    async def send_file(self, upload: Upload) -> Response:
        return await self.send(upload.request)


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
    wire.good, wire.status = set(), 400
    assert (await transport.send(ASKED)).status == 401
    assert (await through(wire, bearer("wrong-token")).send(ASKED)).status == 401
    wire.status = 200
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


async def test_no_token_endpoint_is_no_answer(wire: Wire) -> None:
    async def away(_request: Request) -> Response:
        raise NoAnswer("network", sent=False)

    credential = oauth(wire)
    wire.send = away  # type: ignore[method-assign]
    with pytest.raises(NoAnswer):
        await through(wire, credential).send(ASKED)


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


async def test_a_request_without_a_credential_gets_none(wire: Wire) -> None:
    await through(wire, bearer("very-secret-token")).send(Request("GET", API))
    assert "Authorization" not in wire.sent[0].headers

"""Credentials of a host that has secrets of its own: an API key, client credentials, a signature.

What uses them is `runtime.credentials`, the same as in a browser.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import secrets as random_bytes
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlencode

from fieldpost.destinations.oauth import Refused, Unanswered, granted, lasts_s
from fieldpost.engine.errors import ConfigError
from fieldpost.ports import Leadership, NoAnswer, Request, Transport
from fieldpost.runtime.credentials import (
    HIDDEN,
    Credential,
    CredentialTransport,
    NotSignedIn,
    redacted,
)

__all__ = [
    "HIDDEN",
    "Credential",
    "CredentialTransport",
    "Headers",
    "OAuth",
    "Shared",
    "Tokens",
    "WebhookSecret",
    "basic",
    "bearer",
    "redacted",
]

#: A token is renewed this long before it ends.
_EARLY_MS = 60_000
#: A token endpoint must answer within this time, and others may take so long to renew what is
#: theirs, too, before a request is given up for now.
_ASK_MS, _OTHERS_S, _LOOK_S = 20_000, 20.0, 0.1
#: A token of which nobody says how long it counts.
_LASTS_S = 3600.0
#: With these the server itself says no (RFC 6749 section 5.2; some send 403); with any other, as
#: with a page, somebody else has answered, or it is in trouble.
_REFUSING = frozenset({400, 401, 403})
#: A word for programs, as it may stand in a row.
_CODE = re.compile(r"[a-z_]{1,40}")
#: Another process has sent the refresh token and not written what came back: it gets this long.
UNSURE_S = 30.0


@dataclass(slots=True)
class Headers:
    """The same headers for every request: an API key, or the three of Autotask. ``also``: texts
    besides them that must not be repeated."""

    named: dict[str, str]
    also: tuple[str, ...] = ()

    async def headers(self, request: Request) -> Mapping[str, str]:  # noqa: ARG002
        return self.named

    async def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002
        return False

    def secrets(self) -> Sequence[str]:
        return [*self.named.values(), *self.also]


def bearer(token: str) -> Headers:
    """RFC 6750 section 2.1."""
    return Headers({"Authorization": f"Bearer {token}"})


def basic(user: str, password: str) -> Headers:
    """RFC 7617."""
    pair = f"{user}:{password}"
    encoded = base64.b64encode(pair.encode()).decode()
    return Headers({"Authorization": f"Basic {encoded}"}, also=(password, pair))


@dataclass(frozen=True, slots=True)
class Tokens:
    """The latest that a token endpoint gave. ``ends``: of the access token, ms since the epoch;
    ``asked``: a mark of whoever has sent this refresh token and has not yet told what came back."""

    refresh: str
    access: str = ""
    ends: int = 0
    asked: str = ""


class Shared(Protocol):
    """What all processes with one refresh token know of it. Each raises `ports.NoAnswer`, with
    ``sent`` False, when its storage fails."""

    async def read(self) -> Tokens: ...

    async def write(self, tokens: Tokens) -> None:
        """Durable on return."""

    async def alone(self, work: Callable[[Leadership], Awaitable[None]]) -> bool:
        """Do it while no other process does; False when one did, for as long as was waited."""


@dataclass(slots=True)
class OAuth:
    """An access token from a token endpoint (RFC 6749 sections 4.4 and 6), fetched when it is
    needed and again when it ends or is refused; several requests at once cause one fetch.

    ``form``: what is posted to ``token_url`` besides the grant: client id and secret, scope;
    ``refresh_token``: None for client credentials. A server that gives another refresh token with
    each answer is followed. ``shared``: where several processes have the same one, or the next
    process shall: one of them renews, the others take what it was given, for a server that sees a
    refresh token twice may sign everybody out (RFC 9700 section 4.14). ``grace``: this server
    takes it twice for a short while, so after a crash nobody has to wait before asking again.

    While the server gives no token, nothing leaves: it says no (`NotSignedIn`), or did not answer
    as itself (`NoAnswer`), and may have renewed the refresh token all the same.
    """

    token_url: str
    form: dict[str, str]
    transport: Transport
    refresh_token: str | None = None
    shared: Shared | None = None
    grace: bool = False
    _token: str = ""
    _ends: float = 0.0
    _former: str = ""  # an answer to a request with it may still come
    _why: str = ""  # it was refused
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _mine: str = ""  # our latest mark
    #: Another's mark, and since when it is seen here.
    _seen: tuple[str, float] = ("", 0.0)
    #: What came of a refresh token and could not be written yet.
    _unkept: dict[str, Tokens] = field(default_factory=dict)

    async def headers(self, request: Request) -> Mapping[str, str]:  # noqa: ARG002
        if self._over:
            async with self._lock:
                if self._over:
                    await self._renew()
        if not self._token:
            raise NotSignedIn(f"The sign-in server gives no token{self._why}.")
        return {"Authorization": f"Bearer {self._token}"}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        async with self._lock:
            if refused.get("Authorization") != f"Bearer {self._token}":
                return bool(self._token)  # another request has done it meanwhile
            return await self._renew()

    def secrets(self) -> Sequence[str]:
        secret = self.form.get("client_secret", "")
        return [self._token, self._former, self.refresh_token or "", secret]

    @property
    def _over(self) -> bool:
        return not self._token or time.monotonic() * 1000 > self._ends - _EARLY_MS

    async def _renew(self) -> bool:
        """Another access token than the present one, if there is any."""
        if self.shared is None or self.refresh_token is None:
            return self._use(await self._ask(self.refresh_token))
        shared, present = self.shared, self._token
        done: list[bool] = []

        async def work(held: Leadership) -> None:
            newest = await shared.read()
            if self._fresh(newest, present):
                done.append(self._use(newest))
                return
            given = None
            if not held.lost and self._may_ask(newest.asked):
                given = await self._rotate(shared, newest, held)
            if given is not None:
                done.append(given)

        until = time.monotonic() + _OTHERS_S
        while not self._fresh(newest := await shared.read(), present):
            if await shared.alone(work) and done:
                return done[0]
            if time.monotonic() > until:
                raise NoAnswer("timeout", sent=False)
            await asyncio.sleep(_LOOK_S)  # what is written elsewhere is told to nobody here
        return self._use(newest)

    async def _rotate(self, shared: Shared, newest: Tokens, held: Leadership) -> bool | None:
        """Alone of all processes, unless this one is suspended for long: that it asks is durable
        before it does, and what it is given before anybody uses that. None: it did not ask."""
        given = self._unkept.get(newest.refresh)
        if given is None:
            self._mine = random_bytes.token_hex(8)
            await shared.write(replace(newest, asked=self._mine))
            if held.lost:
                return None
            try:
                given = await self._ask(newest.refresh)
            except NoAnswer as failure:
                if not failure.sent:
                    await shared.write(newest)
                raise
        if held.lost and (other := await shared.read()).refresh != newest.refresh:
            return self._use(other)
        if given is not None:
            self._unkept[newest.refresh] = given
        await shared.write(given or newest)
        self._unkept.clear()
        return self._use(given)

    def _fresh(self, found: Tokens, present: str) -> bool:
        lasts = found.ends - time.time_ns() // 1_000_000
        return bool(found.access) and found.access != present and lasts > _EARLY_MS

    def _may_ask(self, mark: str) -> bool:
        """Whether nobody else has asked, or has had the time. (By our clock: theirs may differ.)"""
        now = time.monotonic()
        if self._seen[0] != mark:
            self._seen = (mark, now)
        return self.grace or mark in ("", self._mine) or now - self._seen[1] >= UNSURE_S

    def _use(self, tokens: Tokens | None) -> bool:
        self._former = self._token or self._former
        self._token = "" if tokens is None else tokens.access
        if tokens is not None:
            self._ends = time.monotonic() * 1000 + tokens.ends - time.time_ns() / 1_000_000
            self.refresh_token = tokens.refresh or None
        return bool(self._token)

    async def _ask(self, refresh: str | None) -> Tokens | None:
        """None: it refuses. Raises `NoAnswer` for all else that is no token, as of a request that
        may have been carried out."""
        grant = {"grant_type": "client_credentials"}
        if refresh is not None:
            grant = {"grant_type": "refresh_token", "refresh_token": refresh}
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        body = urlencode({**grant, **self.form}).encode()
        request = Request("POST", self.token_url, headers, body, timeout_ms=_ASK_MS)
        response = await self.transport.send(request)
        try:
            said = granted(response)
        except Unanswered as failure:
            raise NoAnswer("network", retry_after_ms=failure.retry_after_ms) from failure
        except Refused as refused:
            if not refused.code or response.status not in _REFUSING:
                raise NoAnswer("network") from refused
            told = _CODE.fullmatch(refused.code) and refused.code not in self.secrets()
            self._why = f" ({refused.code})" if told else ""
            return None
        another = said.get("refresh_token")
        followed = another if isinstance(another, str) and another else refresh or ""
        ends = time.time_ns() // 1_000_000 + int((lasts_s(said) or _LASTS_S) * 1000)
        return Tokens(followed, said["access_token"], ends)


_WEBHOOK_SECRET = "whsec_"  # noqa: S105 - how they all begin
#: What the specification asks of a secret, in bytes.
_KEY_BYTES_MIN, _KEY_BYTES_MAX = 24, 64


class WebhookSecret:
    """Signs webhooks (Standard Webhooks, version 1: HMAC-SHA-256), each attempt with its time.

    ``secrets``: ``whsec_`` and base64, as receivers give them out; while one takes the place of
    another, both, and a request has a signature by each. ``now``: ms since the epoch. Raises
    `ConfigError`, which does not quote them.
    """

    def __init__(self, *secrets: str, now: Callable[[], int] | None = None):
        self._secrets = secrets
        self._keys = [_webhook_key(secret) for secret in secrets]
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        if not self._keys:
            raise ConfigError(fields={"secret": "is missing"})

    async def headers(self, request: Request) -> Mapping[str, str]:
        """Raises `ValueError` where the request has no ``webhook-id``, or one with a dot, which
        could be read as another message."""
        names = {name.lower(): value for name, value in request.headers.items()}
        id_ = names.get("webhook-id", "")
        if not id_ or "." in id_:
            raise ValueError("a webhook needs an id without dots")
        at = str(self._now() // 1000)
        signed = f"{id_}.{at}.".encode() + request.body
        made = (hmac.digest(key, signed, "sha256") for key in self._keys)
        signatures = " ".join("v1," + base64.b64encode(each).decode() for each in made)
        return {"webhook-timestamp": at, "webhook-signature": signatures}

    async def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002
        return False

    def secrets(self) -> Sequence[str]:
        return self._secrets


def _webhook_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_WEBHOOK_SECRET), validate=True)
    except ValueError:
        key = b""
    good = secret.startswith(_WEBHOOK_SECRET) and _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX
    if not good:
        bytes_ = f"{_KEY_BYTES_MIN} to {_KEY_BYTES_MAX} bytes"
        raise ConfigError(
            fields={"secret": f"must be {_WEBHOOK_SECRET} and the base64 of {bytes_}"}
        )
    return key

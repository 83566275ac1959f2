"""What a host adds to requests so that a destination lets them in, and takes out of the answers.

An adapter names a credential (`ports.Request.credential`); the transport adds its headers, renews
it once after a 401 (a request that was turned away at the door was not carried out, so it may go
again), and takes every secret out of what comes back, so that none can reach a row or a log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from fieldpost.ports import NoAnswer, Request, Response, Transport, Upload

#: What stands in a text in place of a secret.
HIDDEN = "•••"
#: Shorter ones would be found in any text.
SECRET_CHARS_MIN = 6


class NotSignedIn(Exception):
    """There is nothing to add; the message says who has to do what."""


class Credential(Protocol):
    """One destination's secrets."""

    async def headers(self, request: Request) -> Mapping[str, str]:
        """To be added to the request. Raises `ports.NoAnswer` when they have to be fetched, and
        nobody answers, `NotSignedIn` where a person has to do something first."""

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """The request with these headers was answered with 401: whether there are others now.
        Raises as `headers`."""

    def secrets(self) -> Sequence[str]:
        """Texts that must not be repeated."""


class CredentialTransport:
    """`ports.Transport` around another one, with the credentials of this host by name."""

    def __init__(self, inner: Transport, credentials: Mapping[str, Credential]):
        self._inner = inner
        self._credentials = credentials

    async def send(self, request: Request) -> Response:
        return await self._signed(request, self._inner.send)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        return await self._signed(
            request, lambda signed: self._inner.send_part(signed, attachment_id, n)
        )

    async def send_file(self, upload: Upload) -> Response:
        return await self._signed(
            upload.request, lambda signed: self._inner.send_file(replace(upload, request=signed))
        )

    async def _signed(self, request: Request, send: Any) -> Response:
        credential = self._credentials.get(request.credential) if request.credential else None
        if credential is None:
            return await send(request)  # type: ignore[no-any-return]
        try:
            added = await credential.headers(request)
        except NotSignedIn as reason:
            return _unauthorised(request, str(reason))  # nothing leaves without a credential
        except NoAnswer as failure:  # of whoever gives out tokens
            raise failure.before() from failure
        response = await send(_with(request, added))
        if response.status == 401:
            response = await self._again(request, send, credential, added, response)
        return _without(response, credential.secrets())

    async def _again(
        self,
        request: Request,
        send: Any,
        credential: Credential,
        added: Mapping[str, str],
        refused: Response,
    ) -> Response:
        try:
            if not await credential.renew(added):
                return refused
            added = await credential.headers(request)
        except NotSignedIn:
            return refused
        except NoAnswer as failure:
            # This request was turned away, so it was not carried out.
            raise failure.before() from failure
        return await send(_with(request, added))  # type: ignore[no-any-return]


def _unauthorised(request: Request, text: str) -> Response:
    """What the server would say, said here."""
    body = json.dumps({"status": 401, "code": "NOT_SIGNED_IN", "detail": text}).encode()
    return Response(401, {"content-type": "application/problem+json"}, body, request.url)


def _with(request: Request, added: Mapping[str, str]) -> Request:
    return replace(request, headers={**request.headers, **added}, credential="")


def _without(response: Response, secrets: Sequence[str]) -> Response:
    """A server that repeats what it was sent (error pages do) must not put a secret into a row."""
    body = response.body
    for secret in secrets:
        for text in (secret, secret.partition(" ")[2]):  # the whole first: it may be a passphrase
            if len(text) >= SECRET_CHARS_MIN:
                body = body.replace(text.encode(), HIDDEN.encode())
    return response if body is response.body else replace(response, body=body)


def redacted(request: Request, added: Mapping[str, str]) -> dict[str, str]:
    """The headers as they would be sent, the secret ones by name only."""
    return {**request.headers, **dict.fromkeys(added, HIDDEN)}

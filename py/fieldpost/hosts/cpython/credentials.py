"""What the host adds to requests by the name of their credential, so that no adapter holds it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from fieldpost.engine.errors import ConfigError
from fieldpost.ports import Request

_PREFIX = "whsec_"
#: What the specification asks of a secret, in bytes.
_LEAST, _MOST = 24, 64


class WebhookSecret:
    """Signs webhooks (Standard Webhooks, version 1: HMAC-SHA-256).

    ``secrets``: ``whsec_`` and base64, as receivers give them out; while one takes the place of
    another, both, and the request has a signature by each. Raises `ConfigError`, which does not
    quote them.
    """

    def __init__(self, *secrets: str):
        self._keys = [_key(secret) for secret in secrets]
        if not self._keys:
            raise ConfigError(fields={"secret": "is missing"})

    def headers(self, request: Request, now: int) -> dict[str, str]:
        """For one attempt: its time (``now``, ms since the epoch, sent in whole seconds) and the
        signatures. ``request`` has its ``webhook-id``. Raises `ValueError` where it has none, or
        one with a dot, which could be read as another message."""
        names = {name.lower(): value for name, value in request.headers.items()}
        id_ = names.get("webhook-id", "")
        if not id_ or "." in id_:
            raise ValueError("a webhook needs an id without dots")
        at = str(now // 1000)
        signed = f"{id_}.{at}.".encode() + request.body
        return {"webhook-timestamp": at, "webhook-signature": _signatures(self._keys, signed)}


def _signatures(keys: Sequence[bytes], signed: bytes) -> str:
    made = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join("v1," + base64.b64encode(each).decode() for each in made)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _LEAST <= len(key) <= _MOST:
        wrong = f"must be {_PREFIX} and the base64 of {_LEAST} to {_MOST} bytes"
        raise ConfigError(fields={"secret": wrong})
    return key

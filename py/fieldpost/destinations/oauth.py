"""A person's sign-in from a browser: the authorization code grant with PKCE (RFC 6749 section 4.1,
RFC 7636 S256, as RFC 9700 asks for). Pure: addresses and requests out, answers in.

Two dialects: ``oauth2``, the standard's, which Salesforce speaks, and ``supabase``, whose Auth has
parameters and JSON bodies of its own. A browser is a public client: there is no client secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from fieldpost.ports import Request, Response

from .answers import read_json, retry_after_ms

DIALECTS = ("oauth2", "supabase")
#: A token is renewed this long before it ends, or half its time where it is shorter.
EARLY_MS = 60_000
#: For a token endpoint; well below the time after which a lock's holder counts as frozen.
TIMEOUT_MS = 15_000
_TEXT_MOST = 200
#: A token that is said to last longer than this (s, ten years) is one of which it is not known.
_LASTS_MOST = 10 * 365 * 24 * 3600
#: Said with a 400 by some that are only busy (as RFC 6749 section 4.1.2.1 has it).
_BUSY = "temporarily_unavailable"
#: That ask to wait (RFC 6585 section 4, RFC 9110 section 15.6.4).
_WAIT = (429, 503)


class Refused(Exception):
    """The server says no; the message is its own text, for people. ``code``: its word for programs
    (RFC 6749 section 5.2), "" where it has none."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Unanswered(Exception):
    """No answer of the server's own: it failed, asks to wait (``retry_after_ms``, None: it does not
    say how long), or somebody else answered."""

    def __init__(self, retry_after_ms: int | None = None) -> None:
        super().__init__()
        self.retry_after_ms = retry_after_ms


@dataclass(frozen=True, slots=True)
class Provider:
    """Where one signs in. ``scope``: with spaces between; ``provider``: the one behind Supabase
    (``google``, ``azure``); ``apikey``: its publishable key; ``revoke_url``: "" where none."""

    dialect: str
    authorize_url: str
    token_url: str
    client_id: str = ""
    scope: str = ""
    revoke_url: str = ""
    provider: str = ""
    apikey: str = ""

    def origins(self) -> set[str]:
        """That a page has to reach; the sign-in page itself is gone to, not fetched."""
        return {origin(url) for url in (self.token_url, self.revoke_url) if url}


@dataclass(frozen=True, slots=True)
class Tokens:
    """``early_at``: ms since the epoch when to renew, None: not told; ``account``: who signed in,
    as the server knows him, "" where it does not say; ``name``: for people."""

    access: str
    refresh: str = ""
    early_at: int | None = None
    account: str = ""
    name: str = ""


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def unpadded(data: bytes) -> str:
    """base64url without padding (RFC 7636 appendix A)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def challenge(verifier: str) -> str:
    """RFC 7636 section 4.2, S256."""
    return unpadded(hashlib.sha256(verifier.encode("ascii")).digest())


def sign_in_url(at: Provider, redirect_uri: str, state: str, verifier: str) -> str:
    """Where to send the person."""
    if at.dialect == "supabase":
        # It has a state of its own and hands none back: the verifier, kept here and used once,
        # ties the answer to this browser (RFC 9700 section 2.1).
        asked = {
            "provider": at.provider,
            "redirect_to": redirect_uri,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "s256",
        }
        more = {"scopes": at.scope} if at.scope else {}
    else:
        asked = {
            "response_type": "code",
            "client_id": at.client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        more = {"scope": at.scope} if at.scope else {}
    joint = "&" if "?" in at.authorize_url else "?"
    return f"{at.authorize_url}{joint}{urlencode({**asked, **more})}"


def exchange(at: Provider, code: str, verifier: str, redirect_uri: str) -> Request:
    """The code for tokens."""
    if at.dialect == "supabase":
        return _json(at, "pkce", {"auth_code": code, "code_verifier": verifier})
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return _form(at.token_url, {**form, "client_id": at.client_id, "code_verifier": verifier})


def refresh(at: Provider, token: str) -> Request:
    if at.dialect == "supabase":
        return _json(at, "refresh_token", {"refresh_token": token})
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": at.client_id}
    return _form(at.token_url, form)


def revoke(at: Provider, tokens: Tokens) -> Request | None:
    """RFC 7009: of the refresh token, which ends what was made of it; None where it cannot be."""
    if not at.revoke_url:
        return None
    if at.dialect == "supabase":
        headers = {"Authorization": f"Bearer {tokens.access}", "apikey": at.apikey}
        return Request("POST", at.revoke_url, headers, b"", TIMEOUT_MS)
    return _form(at.revoke_url, {"token": tokens.refresh or tokens.access})


def _form(url: str, form: Mapping[str, str]) -> Request:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    return Request("POST", url, headers, urlencode(form).encode(), TIMEOUT_MS)


def _json(at: Provider, grant: str, body: Mapping[str, str]) -> Request:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if at.apikey:
        headers["apikey"] = at.apikey
    url = f"{at.token_url}?grant_type={grant}"
    return Request("POST", url, headers, json.dumps(body).encode(), TIMEOUT_MS)


def granted(response: Response) -> dict[str, Any]:
    """What a token endpoint gave, with its ``access_token``. Raises `Refused`, `Unanswered`."""
    said = read_json(response) or {}
    if response.status == 200 and _text(said, "access_token"):
        return said
    # Only the server's own words end a sign-in: a portal's 403 or a proxy's 502 do not.
    own = not said.keys().isdisjoint(("error", "error_code", "code"))
    if not own or not 400 <= response.status < 500 or response.status in (408, 429):
        raise Unanswered(retry_after_ms(response.headers) if response.status in _WAIT else None)
    if said.get("error") == _BUSY:
        raise Unanswered(retry_after_ms(response.headers))
    told = (_text(said, name) for name in ("error_description", "msg", "message", "error"))
    raise Refused(next(filter(None, told), "")[:_TEXT_MOST], _text(said, "error"))


def lasts_s(said: Mapping[str, Any]) -> float | None:
    """For how long the access token counts (``expires_in``), None where that is not told, or
    cannot be."""
    lasts = said.get("expires_in")
    if isinstance(lasts, str) and lasts.isascii() and lasts.isdigit():
        lasts = float(lasts)  # some write the number as text
    if isinstance(lasts, bool) or not isinstance(lasts, int | float):
        return None
    return lasts if 0 < lasts <= _LASTS_MOST else None


def read_tokens(response: Response, now: int, former: Tokens | None = None) -> Tokens:
    """``former``: those that were refreshed; what the answer leaves out stays as it was.

    Raises `Refused`, `Unanswered`.
    """
    said = granted(response)
    lasts = lasts_s(said)
    early_at = None if lasts is None else now + int(max(lasts * 500, lasts * 1000 - EARLY_MS))
    found = Tokens(_text(said, "access_token"), _text(said, "refresh_token"), early_at, *_who(said))
    if former is None:
        return found
    return replace(
        found,
        refresh=found.refresh or former.refresh,
        account=found.account or former.account,
        name=found.name or former.name,
    )


def _who(said: Mapping[str, Any]) -> tuple[str, str]:
    """(account, name): Salesforce's identity address, Supabase's user, else what the tokens
    claim. They come from the server itself, over TLS, so no signature has to be looked at (OpenID
    Connect Core section 3.1.3.7)."""
    told = claims(_text(said, "id_token")) or claims(_text(said, "access_token"))
    name = next((_text(told, n) for n in _NAMES if _text(told, n)), "")
    user = said.get("user")
    if isinstance(user, dict) and _text(user, "id"):
        return _text(user, "id"), _text(user, "email") or _text(user, "phone") or name
    account = _text(said, "id") or _text(told, "sub")
    return account, name or account.rpartition("/")[2]


_NAMES = ("preferred_username", "email", "name")


def claims(token: str) -> dict[str, Any]:
    """What a JWT says, unproved; empty where the text is none."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""

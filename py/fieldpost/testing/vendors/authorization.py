"""A fake authorization server in front of a fake system, as browsers meet them: a page on which a
person signs in, PKCE, codes that count once, refresh tokens that rotate, and CORS.

Its traps: a code or a refresh token used twice ends all that came of it (RFC 9700 section 4.14.2),
a verifier that does not fit, another ``redirect_uri`` than was asked with, tokens that end, and
origins that are not on the list.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

from fieldpost.ports import Request, Response

from .base import Vendor, answer

CLIENT = "fieldpost-app"
#: Headers that a page of another origin may send; in lower case.
_ALLOWED = "authorization, content-type, accept, apikey, prefer, content-profile, accept-profile"
_EXPOSED = "content-range, location, retry-after"


@dataclass(slots=True)
class Family:
    """All that came of one sign-in. ``refresh``: the one that counts."""

    person: str
    refresh: str = ""
    former: set[str] = field(default_factory=set)
    access: dict[str, int] = field(default_factory=dict)  # token -> ms when it ends
    revoked: bool = False


@dataclass(slots=True)
class Code:
    person: str
    challenge: str
    redirect_uri: str
    family: Family | None = None  # of the first use


class FakeSignIn(Vendor):
    """``inner``, reached with tokens that were given out here; its requests have the credential
    that it knows, ``credential``.

    ``dialect``: ``oauth2`` under ``/services/oauth2/``, or ``supabase`` under ``/auth/v1/``;
    ``origins``: that may ask; ``people``: names on the page; ``lasts_ms``: of an access token;
    ``rotates``: each refresh token counts once; ``refuses``: the next refresh is refused;
    ``said``: what happened, in order (``code``, ``exchange``, ``refresh``, ``reuse``, ``refused``,
    ``revoke``); ``by``: operation id -> the person under whose account it arrived.
    """

    def __init__(
        self,
        inner: Vendor,
        *,
        credential: str,
        dialect: str = "oauth2",
        now: Callable[[], int] | None = None,
    ):
        self.inner = inner
        super().__init__(inner.url, now=now or inner.now)
        self.credential = credential
        self.dialect = dialect
        self.origins: set[str] = set()
        self.people = ("anna", "bert")
        self.lasts_ms = 3_600_000
        self.rotates = True
        self.refuses = False
        self.said: list[str] = []
        self.families: list[Family] = []
        self.by: dict[str, str] = {}
        self._codes: dict[str, Code] = {}
        self._made = 0

    @property
    def url(self) -> str:
        return self.inner.url

    @url.setter
    def url(self, url: str) -> None:
        self.inner.url = url

    @property
    def base(self) -> str:
        return "/auth/v1" if self.dialect == "supabase" else "/services/oauth2"

    # --- requests --------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        """Raises `NoAnswer` where a fault of the inner one says so."""
        self.requests.append(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        came_from = headers.get("origin")
        if request.method == "OPTIONS":
            return self._preflight(came_from)
        path = urlsplit(request.url).path
        if path.startswith(self.base + "/"):
            response = self._own(request, path.removeprefix(self.base + "/"), headers)
        elif came_from is not None and came_from not in self.origins:
            response = answer({"error": "origin is not on the list"}, 403)
        else:
            response = self._onward(request, headers)
        if came_from in self.origins:
            allowed = {
                "access-control-allow-origin": str(came_from),
                "access-control-expose-headers": _EXPOSED,
                "vary": "Origin",
            }
            return Response(response.status, response.headers | allowed, response.body)
        return response

    def _preflight(self, came_from: str | None) -> Response:
        if came_from not in self.origins:
            return Response(403, {}, b"")
        return Response(
            204,
            {
                "access-control-allow-origin": str(came_from),
                "access-control-allow-methods": "GET, POST, PATCH",
                "access-control-allow-headers": _ALLOWED,
                "access-control-max-age": "600",
                "vary": "Origin",
            },
            b"",
        )

    def _onward(self, request: Request, headers: dict[str, str]) -> Response:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        person = self.person_of(token)
        known = {n: v for n, v in headers.items() if n != "authorization"}
        if person is not None:
            known["Authorization"] = self.credential
        before = {record.op for record in self.inner.records}
        try:
            return self.inner.answer(
                Request(request.method, request.url, known, request.body, request.timeout_ms)
            )
        finally:
            for record in self.inner.records:
                if record.op not in before:
                    self.by[record.op] = str(person)
            del self.inner.requests[:-20]

    def person_of(self, token: str) -> str | None:
        """Whose valid access token it is."""
        for family in self.families:
            if not family.revoked and family.access.get(token, 0) > self.now():
                return family.person
        return None

    def end_tokens(self) -> None:
        """All access tokens end now; refresh tokens do not."""
        for family in self.families:
            family.access = dict.fromkeys(family.access, 0)

    # --- its own pages ---------------------------------------------------------------------------

    def _own(self, request: Request, name: str, headers: dict[str, str]) -> Response:
        query = dict(parse_qsl(urlsplit(request.url).query))
        given = _given(request, headers)
        if name == "authorize":
            return self._page(query)
        if name == "decide":
            return self._decide(query)
        if name == "token":
            return self._token(query, given)
        if name in ("revoke", "logout"):
            return self._revoke(given.get("token") or headers.get("authorization", "")[7:])
        return answer({"error": "not_found"}, 404)

    def _page(self, query: dict[str, str]) -> Response:
        method = "s256" if self.dialect == "supabase" else "S256"
        if query.get("code_challenge_method") != method or not query.get("code_challenge"):
            return _html("PKCE is needed here.", 400)
        if self.dialect != "supabase" and query.get("client_id") != CLIENT:
            return _html("This app is not known here.", 400)
        links = [
            f'<p><a href="{self.base}/decide?{html.escape(_with(query, person))}">'
            f"{html.escape(text)}</a></p>"
            for person, text in [*((p, f"Sign in as {p}") for p in self.people), ("", "Deny")]
        ]
        return _html("<h1>Who are you?</h1>" + "".join(links))

    def _decide(self, query: dict[str, str]) -> Response:
        to = query.get("redirect_to") or query["redirect_uri"]
        person, back = query.get("as", ""), {}
        if state := query.get("state"):
            back["state"] = state
        if person:
            code = self._fresh("code")
            self._codes[code] = Code(person, query["code_challenge"], to)
            self.said.append("code")
            back["code"] = code
        else:
            back |= {"error": "access_denied", "error_description": "end-user denied"}
        return Response(302, {"location": f"{to}?{urlencode(back)}"}, b"")

    # --- tokens ----------------------------------------------------------------------------------

    def _token(self, query: dict[str, str], given: dict[str, Any]) -> Response:
        grant = query.get("grant_type") or given.get("grant_type")
        if self.dialect != "supabase" and given.get("client_id") != CLIENT:
            return self._refused("invalid_client_id", "client identifier invalid")
        if grant in ("authorization_code", "pkce"):
            return self._exchange(given)
        if grant == "refresh_token":
            return self._refresh(str(given.get("refresh_token")))
        return self._refused("unsupported_grant_type", "grant type not supported")

    def _exchange(self, given: dict[str, Any]) -> Response:
        code = self._codes.get(str(given.get("auth_code") or given.get("code")))
        verifier = str(given.get("code_verifier")).encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=")
        if code is None or digest.decode() != code.challenge:
            return self._refused("invalid_grant", "invalid code verifier")
        if code.family is not None:
            code.family.revoked = True
            self.said.append("reuse")
            return self._refused("invalid_grant", "expired authorization code")
        if self.dialect != "supabase" and given.get("redirect_uri") != code.redirect_uri:
            return self._refused("redirect_uri_mismatch", "redirect_uri must match configuration")
        code.family = Family(code.person)
        self.families.append(code.family)
        self.said.append("exchange")
        return self._give(code.family)

    def _refresh(self, token: str) -> Response:
        family = next(
            (f for f in self.families if token == f.refresh or token in f.former), Family("")
        )
        if token in family.former:
            family.revoked = True
            self.said.append("reuse")
        if self.refuses or family.revoked or not family.person:
            self.refuses = False
            family.revoked = True
            self.said.append("refused")
            return self._refused("invalid_grant", "expired access/refresh token")
        self.said.append("refresh")
        return self._give(family)

    def _give(self, family: Family) -> Response:
        access = self._fresh("access")
        family.access[access] = self.now() + self.lasts_ms
        if self.rotates or not family.refresh:
            if family.refresh:
                family.former.add(family.refresh)
            family.refresh = self._fresh("refresh")
        told: dict[str, Any] = {"access_token": access, "token_type": "Bearer"}
        told["refresh_token"] = family.refresh
        if self.dialect == "supabase":
            told["expires_in"] = self.lasts_ms // 1000
            told["user"] = {"id": f"user-{family.person}", "email": f"{family.person}@example.org"}
        else:  # Salesforce does not say how long they last
            told["id"] = f"{self.url}/id/00D000000000001/{family.person}"
            told["instance_url"] = self.url
            told["id_token"] = _jwt({"sub": family.person, "name": family.person.title()})
        return answer(told)

    def _revoke(self, token: str) -> Response:
        for family in self.families:
            if token in (family.refresh, *family.access):
                family.revoked = True
        self.said.append("revoke")
        return Response(204 if self.dialect == "supabase" else 200, {}, b"")

    def _refused(self, error: str, text: str) -> Response:
        if self.dialect == "supabase":
            return answer({"code": 400, "error_code": error, "msg": text}, 400)
        return answer({"error": error, "error_description": text}, 400)

    def _fresh(self, what: str) -> str:
        self._made += 1
        mark = hashlib.sha256(f"{self.url}/{what}/{self._made}".encode()).hexdigest()[:32]
        return f"{what}-{mark}"


def _given(request: Request, headers: dict[str, str]) -> dict[str, Any]:
    """A form's or a JSON body's members."""
    if headers.get("content-type", "").startswith("application/json"):
        value = json.loads(request.body or b"{}")
        return value if isinstance(value, dict) else {}
    return {name: found[0] for name, found in parse_qs(request.body.decode()).items()}


def _with(query: dict[str, str], person: str) -> str:
    return urlencode({**query, "as": person}, quote_via=quote)


def _html(text: str, status: int = 200) -> Response:
    page = f"<!doctype html><title>Sign in</title><body>{text}"
    return Response(status, {"content-type": "text/html; charset=utf-8"}, page.encode())


def _jwt(claims: dict[str, Any]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts) + ".x"

"""Signing in with PKCE: what is asked, and what an answer says. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from fieldpost.destinations import oauth
from fieldpost.destinations.oauth import Provider, Refused, Tokens, Unanswered
from fieldpost.ports import Response

HOME = "https://app.example/"
SALESFORCE = Provider(
    "oauth2",
    "https://acme.example/authorize",
    "https://acme.example/token",
    "the-app",
    scope="api refresh_token",
    revoke_url="https://acme.example/revoke",
)
SUPABASE = Provider(
    "supabase",
    "https://x.supabase.example/auth/v1/authorize",
    "https://x.supabase.example/auth/v1/token",
    provider="google",
    apikey="sb_publishable_1",
)
#: RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def said(value: object, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())


def query(url: str) -> dict[str, str]:
    return {name: found[0] for name, found in parse_qs(urlsplit(url).query).items()}


def test_the_challenge_is_that_of_the_standard() -> None:
    assert oauth.challenge(VERIFIER) == CHALLENGE


def test_the_page_to_sign_in_on_is_told_the_challenge_and_never_the_verifier() -> None:
    url = oauth.sign_in_url(SALESFORCE, HOME, "the-state", VERIFIER)
    assert VERIFIER not in url
    assert query(url) == {
        "response_type": "code",
        "client_id": "the-app",
        "redirect_uri": HOME,
        "state": "the-state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "scope": "api refresh_token",
    }
    assert query(oauth.sign_in_url(SUPABASE, HOME, "the-state", VERIFIER)) == {
        "provider": "google",
        "redirect_to": HOME,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "s256",
    }


def test_the_code_is_exchanged_with_the_verifier_in_the_body() -> None:
    asked = oauth.exchange(SALESFORCE, "c", VERIFIER, HOME)
    assert parse_qs(asked.body.decode())["code_verifier"] == [VERIFIER]
    assert VERIFIER not in asked.url
    asked = oauth.exchange(SUPABASE, "c", VERIFIER, HOME)
    assert asked.url.endswith("/token?grant_type=pkce")
    assert json.loads(asked.body) == {"auth_code": "c", "code_verifier": VERIFIER}
    assert asked.headers["apikey"] == "sb_publishable_1"


def test_what_a_refresh_leaves_out_stays_as_it_was() -> None:
    first = oauth.read_tokens(
        said({"access_token": "a1", "refresh_token": "r1", "id": "https://l.example/id/00D/005"}), 0
    )
    assert first == Tokens("a1", "r1", None, "https://l.example/id/00D/005", "005")
    second = oauth.read_tokens(said({"access_token": "a2", "expires_in": 3600}), 1_000, first)
    assert second == replace(first, access="a2", early_at=1_000 + 3_540_000)
    third = oauth.read_tokens(said({"access_token": "a3", "refresh_token": "r3"}), 0, second)
    assert third.refresh == "r3"


def test_a_short_token_is_renewed_at_half_its_time() -> None:
    assert oauth.read_tokens(said({"access_token": "a", "expires_in": "60"}), 0).early_at == 30_000


@pytest.mark.parametrize("lasts", [None, "soon", "²", "9" * 5000, -1, 0, True, [], 1e300, 10**400])
def test_an_odd_time_is_none_that_was_told(lasts: object) -> None:
    assert oauth.read_tokens(said({"access_token": "a", "expires_in": lasts}), 0).early_at is None


def test_who_signed_in() -> None:
    supabase = {"access_token": "a", "user": {"id": "u1", "email": "anna@example.org"}}
    found = oauth.read_tokens(said(supabase), 0)
    assert (found.account, found.name) == ("u1", "anna@example.org")
    claims = oauth.unpadded(json.dumps({"sub": "s1", "name": "Anna"}).encode())
    found = oauth.read_tokens(said({"access_token": "a", "id_token": f"x.{claims}.y"}), 0)
    assert (found.account, found.name) == ("s1", "Anna")
    assert oauth.read_tokens(said({"access_token": "not.a.jwt"}), 0).account == ""


@pytest.mark.parametrize(
    "response",
    [
        said({"error": "invalid_grant"}, 503),
        said({"error": "slow_down"}, 429),
        said({"error": "temporarily_unavailable"}, 400),
        said({"detail": "a proxy's own"}, 403),
        Response(403, {"content-type": "text/html"}, b"<p>Welcome to the hotel"),
        Response(302, {}, b"", redirected=True),
        said({"access_token": ""}),
        said(["not an object"]),
    ],
)
def test_only_the_server_itself_can_say_no(response: Response) -> None:
    with pytest.raises(Unanswered):
        oauth.read_tokens(response, 0)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"error": "invalid_grant", "error_description": "expired token"}, "expired token"),
        ({"code": 400, "error_code": "already_used", "msg": "Already Used"}, "Already Used"),
        ({"error": "invalid_client"}, "invalid_client"),
    ],
)
def test_a_no_in_either_dialect(told: dict[str, object], why: str) -> None:
    with pytest.raises(Refused, match=why):
        oauth.read_tokens(said(told, 400), 0)

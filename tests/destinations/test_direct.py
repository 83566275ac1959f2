"""What browsers deliver to by themselves: every mistake is named, and nothing secret gets in."""

from __future__ import annotations

from typing import Any

import pytest

from fieldpost.destinations.direct import dump, load, read_direct
from fieldpost.destinations.oauth import unpadded
from fieldpost.engine.errors import ConfigError

SERVICE_ROLE = "x." + unpadded(b'{"role": "service_role"}') + ".y"


def salesforce(**changes: Any) -> dict[str, Any]:
    return {
        "direct": True,
        "type": "salesforce",
        "title": "Salesforce",
        "settings": {"instance_url": "https://acme.my.salesforce.com"},
        "oauth": {"client_id": "3MVG9", "scope": "api refresh_token openid"},
    } | changes


def supabase(**changes: Any) -> dict[str, Any]:
    url = "https://x.supabase.co/rest/v1"
    return {
        "direct": True,
        "type": "postgrest",
        "settings": {"url": url, "table": "items", "apikey": "sb_publishable_1"},
        "oauth": {"dialect": "supabase", "provider": "google"},
    } | changes


def test_a_salesforce_and_a_supabase_need_no_more_than_this() -> None:
    first, second = read_direct({"cases": salesforce(), "rows": supabase()})
    assert (first.title, first.adapter.credential) == ("Salesforce", "cases")
    assert first.origins == ("https://acme.my.salesforce.com",)
    assert first.provider.token_url == "https://acme.my.salesforce.com/services/oauth2/token"
    assert (second.title, second.origins) == ("rows", ("https://x.supabase.co",))
    assert second.provider.authorize_url == "https://x.supabase.co/auth/v1/authorize"
    assert second.provider.apikey == "sb_publishable_1"


def test_what_browsers_are_told_is_read_as_it_was_written() -> None:
    rules = {"ticket": [{"to": "Origin", "value": "Phone"}]}
    found = read_direct({"cases": salesforce(fields=rules), "rows": supabase(requests=2)})
    again = load(dump(found))
    assert again == found
    assert dump(again) == dump(found)
    assert load(dump([])) == []


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (salesforce(type="jira"), "cannot be reached from browsers: a jira"),
        (salesforce(type="webhook"), "leave 'direct' out and the gateway relays it"),
        (salesforce(credential={"type": "bearer"}), "takes no credential"),
        (salesforce(oauth={"client_id": "x", "client_secret": "y"}), "oauth.client_secret"),
        (salesforce(oauth={}), "oauth.client_id is missing"),
        (salesforce(oauth={"client_id": "x", "colour": "y"}), "oauth.colour is not known"),
        (salesforce(oauth={"client_id": "x", "dialect": "saml"}), "oauth.dialect must be"),
        (salesforce(settings={}), "settings.instance_url or settings.url is missing"),
        (salesforce(settings={"instance_url": "http://acme.example"}), "with https://"),
        (salesforce(settings={"instance_url": "https://a:b@acme.example"}), "without a name"),
        (salesforce(settings={"instance_url": "https://a;b.example"}), "must be an address"),
        (
            salesforce(oauth={"client_id": "x", "token_url": "http://evil.example/t"}),
            "oauth.token_url must be an address",
        ),
        (
            supabase(settings={"url": "https://x.example", "table": "t", "apikey": "sb_secret_1"}),
            "secret key in settings.apikey",
        ),
        (
            supabase(settings={"url": "https://x.example", "table": "t", "apikey": SERVICE_ROLE}),
            "secret key in settings.apikey",
        ),
        (supabase(settings={"url": "https://x.example", "table": "t"}), "settings.apikey is miss"),
        (supabase(oauth={"dialect": "supabase"}), "oauth.provider is missing"),
        (salesforce(colour="red"), "'colour'"),
        (salesforce(requests=0), "requests must be 1"),
        ("text", "must be a table"),
    ],
)
def test_a_mistake_is_named(table: Any, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_direct({"cases": table})
    assert why in refused.value.fields["cases"]


def test_the_gateways_own_names_are_taken() -> None:
    for name in ("inbox", "gateway", "No Name"):
        with pytest.raises(ConfigError):
            read_direct({name: salesforce()})


def test_a_mistake_in_the_field_map_is_named_by_its_place() -> None:
    with pytest.raises(ConfigError) as refused:
        read_direct({"cases": salesforce(fields={"ticket": [{"to": ""}]})})
    assert "cases.ticket[0]" in refused.value.fields


def test_a_file_of_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(ConfigError):
        load(b'{"version": 2, "destinations": {}}')
    with pytest.raises(ConfigError):
        load(b"<!doctype html>")

"""Destinations that a browser delivers to by itself, with its user's own sign-in: how they are
configured (docs/destinations.md, "Straight from the browser"). Pure.

What stands here reaches every browser that opens the app, so nothing in it may be a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from fieldpost.engine.errors import ConfigError
from fieldpost.engine.model import are_names

from .adapter import Adapter
from .configured import Wrong, adapter_of, requests_of
from .oauth import DIALECTS, Provider, claims, origin
from .postgrest import PostgREST
from .salesforce import Salesforce

VERSION = 1
#: ``strong`` ones (DESIGN section 3) that sign people in and let a browser's requests in.
TYPES: dict[str, type[Adapter]] = {"postgrest": PostgREST, "salesforce": Salesforce}
#: Names of lanes and destinations that are the gateway's own.
_RESERVED = frozenset({"inbox", "gateway"})
_TABLE = frozenset({"direct", "type", "title", "requests", "settings", "fields", "oauth"})
_NEEDS = {"postgrest": ("url", "table"), "salesforce": ("instance_url|url",)}
_OAUTH = frozenset(each.name for each in fields(Provider)) - {"apikey"}
_SECRET = re.compile(r"secret|password|refresh_token|private_key", re.IGNORECASE)
#: Hosts that are this very computer: a sign-in over plain http stays on it.
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Direct:
    """``name``: of the lane and the destination; ``adapter``: signed by the credential ``name``;
    ``table``: as configured, in JSON's types, for whoever is to read it again."""

    name: str
    title: str
    adapter: Adapter
    provider: Provider
    requests: int
    table: Mapping[str, Any]

    @property
    def origins(self) -> tuple[str, ...]:
        """That a page has to be let to reach, and no others."""
        return tuple(sorted({origin(_url(self.adapter)), *self.provider.origins()}))


def read_direct(tables: Mapping[str, Any]) -> list[Direct]:
    """``tables``: name -> its table, see docs/destinations.md. Raises `ConfigError` with every
    mistake, under the destination's name."""
    found, wrong = [], {}
    for name, table in tables.items():
        try:
            found.append(_direct(name, table))
        except Wrong as error:
            wrong[name] = str(error)
        except ConfigError as error:
            wrong |= {f"{name}.{place}": why for place, why in error.fields.items()}
    if wrong:
        raise ConfigError(fields=wrong)
    return found


def dump(found: Sequence[Direct]) -> bytes:
    """What browsers are told, as JSON."""
    told = {"version": VERSION, "destinations": {one.name: one.table for one in found}}
    return json.dumps(told, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"


def load(data: bytes) -> list[Direct]:
    """The inverse. Raises `ConfigError` where this version does not understand it."""
    try:
        told = json.loads(data)
    except ValueError as error:
        raise ConfigError(fields={"direct": "is not JSON"}) from error
    if not isinstance(told, dict) or told.get("version") != VERSION:
        raise ConfigError(fields={"direct": "is of another version"})
    return read_direct(told.get("destinations") or {})


def _direct(name: str, table: Any) -> Direct:
    if not are_names(name) or name in _RESERVED:
        raise Wrong("must be named with a-z, 0-9 and . _ : -, and not 'inbox' or 'gateway'")
    if not isinstance(table, Mapping):
        raise Wrong("must be a table")
    kind = str(table.get("type"))
    if kind not in TYPES:
        raise Wrong(
            f"cannot be reached from browsers: a {kind} keeps no key of ours that makes a second "
            "case impossible, or signs nobody in there. Only "
            f"{' and '.join(sorted(TYPES))} can; leave 'direct' out and the gateway relays it"
        )
    if "credential" in table:
        raise Wrong("takes no credential: it would reach every browser. Each person signs in")
    if unknown := sorted(set(table) - _TABLE):
        raise Wrong(f"has {unknown[0]!r}, which is not known")
    for place, text in _texts(table):
        if problem := _secret(place, text):
            raise Wrong(problem)
    given = table.get("settings") or {}
    for need in _NEEDS[kind]:
        if not any(given.get(one) for one in need.split("|")):
            raise Wrong(" or ".join(f"settings.{one}" for one in need.split("|")) + " is missing")
    adapter = adapter_of(TYPES[kind], name, table, credential=True)
    _demand_safe("settings.url", _url(adapter))
    provider = _provider(table.get("oauth"), adapter)
    kept = {key: value for key, value in table.items() if key != "direct"}
    title = str(table.get("title") or name)
    requests = requests_of(table, adapter)
    return Direct(name, title, adapter, provider, requests, json.loads(json.dumps(kept)))


def _provider(given: Any, adapter: Adapter) -> Provider:
    if not isinstance(given, Mapping):
        raise Wrong("needs a table 'oauth': where and as what one signs in")
    if unknown := sorted(set(given) - _OAUTH):
        raise Wrong(f"oauth.{unknown[0]} is not known; there is {', '.join(sorted(_OAUTH))}")
    if bad := [name for name, value in given.items() if not isinstance(value, str)]:
        raise Wrong(f"oauth.{bad[0]} must be text")
    dialect = given.get("dialect", "oauth2")
    if dialect not in DIALECTS:
        raise Wrong(f"oauth.dialect must be {' or '.join(DIALECTS)}")
    needs = "provider" if dialect == "supabase" else "client_id"
    if not given.get(needs):
        raise Wrong(f"oauth.{needs} is missing")
    told = {**_usual(dialect, adapter), **given, "dialect": dialect}
    for name in ("authorize_url", "token_url"):
        if not told.get(name):
            raise Wrong(f"oauth.{name} is missing")
    for name in ("authorize_url", "token_url", "revoke_url"):
        if told.get(name):
            _demand_safe(f"oauth.{name}", told[name])
    apikey = getattr(adapter, "apikey", "") if dialect == "supabase" else ""
    if dialect == "supabase" and not apikey:
        raise Wrong("settings.apikey is missing: the project's publishable key")
    return Provider(**told, apikey=apikey)


def _usual(dialect: str, adapter: Adapter) -> dict[str, str]:
    """The addresses that follow from the system's own."""
    base = origin(_url(adapter))
    if dialect == "supabase":
        at = f"{base}/auth/v1"
        return {
            "authorize_url": f"{at}/authorize",
            "token_url": f"{at}/token",
            "revoke_url": f"{at}/logout?scope=local",
        }
    if isinstance(adapter, Salesforce):
        at = f"{base}/services/oauth2"
        return {
            "authorize_url": f"{at}/authorize",
            "token_url": f"{at}/token",
            "revoke_url": f"{at}/revoke",
        }
    return {}


def _url(adapter: Adapter) -> str:
    url = getattr(adapter, "url", "")
    return url if isinstance(url, str) else ""


def _demand_safe(place: str, url: str) -> None:
    """Whatever else it is, it is written into a policy and gets the tokens. Raises `Wrong`."""
    parts = urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in _HERE
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc) or not (
        parts.scheme == "https" or plain
    ):
        raise Wrong(f"{place} must be an address with https://, without a name or password in it")


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """All texts in a table, with their places."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, place)
    else:
        yield place, str(value)


def _secret(place: str, text: str) -> str:
    """What is wrong with a text that must not leave the administrator's hands."""
    first, _, last = place.rpartition(".")
    if first.partition(".")[0] in ("oauth", "settings") and _SECRET.search(last):
        return f"must not have {place}: it would reach every browser. Nothing secret is needed here"
    if text.startswith("sb_secret_") or claims(text).get("role") == "service_role":
        return (
            f"has a secret key in {place}, which passes by every rule of the database: it would "
            "reach every browser. Take the publishable key"
        )
    return ""

"""The destinations behind this gateway, read from a configuration file (docs/destinations.md).

TOML: one table ``[destinations.<name>]`` each, with ``type``, ``title``?, ``requests``?, and the
tables ``settings`` (of the adapter), ``credential`` and ``fields`` (rules of the field map).
Secrets are named, ``env:NAME`` or ``file:/path``, or stand in the file where nobody else can read
it. Every mistake is found before the gateway starts, and told by its place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.configured import Wrong as _Wrong
from fieldpost.destinations.configured import adapter_of, requests_of
from fieldpost.engine.errors import ConfigError
from fieldpost.engine.model import are_names
from fieldpost.hosts.cpython.credentials import (
    Credential,
    Headers,
    OAuth,
    WebhookSecret,
    basic,
    bearer,
)
from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.ports import Transport
from fieldpost.runtime.routes import Lane
from fieldpost.security.cipher import Cipher

from .direct import read_file
from .relayed import Relayed
from .settings import CannotStart
from .types import Type

#: The inbox is the gateway's own.
_RESERVED = frozenset({"inbox"})
_TABLE = frozenset({"direct", "type", "title", "requests", "settings", "credential", "fields"})
#: Type of credential -> its members; those with a question mark may be left out.
_CREDENTIALS: dict[str, tuple[str, ...]] = {
    "basic": ("username", "password"),
    "bearer": ("token",),
    "headers": ("headers",),
    "webhook": ("secret", "former_secret?"),
    "oauth": ("token_url", "client_id", "client_secret?", "refresh_token?", "scope?", "grace?"),
}


@dataclass(frozen=True, slots=True)
class System:
    """One destination, ready to be relayed to."""

    name: str
    title: str
    adapter: Adapter
    credential: Credential | None
    requests: int
    type: str = ""

    @property
    def lane(self) -> Lane:
        return Lane(self.adapter, self.name, requests=self.requests)

    def relayed(self, cipher: Cipher) -> Relayed:
        """As the intake knows it."""
        return Relayed(self.name, self.title, self.adapter, cipher)


def read_systems(
    path: Path, types: Mapping[str, Type], environ: Mapping[str, str] = os.environ
) -> list[System]:
    """Those behind the gateway. Raises `CannotStart` with every mistake in the file."""
    tables, _direct = read_file(path)
    private = not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    systems: list[System] = []
    wrong: dict[str, str] = {}
    for name, table in tables.items():
        secrets = _Secrets(environ, private=private)
        try:
            systems.append(_system(name, table, types, secrets))
        except ConfigError as error:
            wrong |= {f"{name}.{place}": why for place, why in error.fields.items()}
        except _Wrong as error:
            wrong[name] = str(error)
    if wrong:
        told = "; ".join(f"destinations.{place} {why}" for place, why in wrong.items())
        raise CannotStart(f"{path}: {told}.")
    return systems


def _system(name: str, table: Any, types: Mapping[str, Type], secrets: _Secrets) -> System:
    if not are_names(name) or name in _RESERVED:
        raise _Wrong("must be named with a-z, 0-9 and . _ : -, and not 'inbox'")
    if not isinstance(table, dict):
        raise _Wrong("must be a table")
    if unknown := sorted(set(table) - _TABLE):
        raise _Wrong(f"has {unknown[0]!r}, which is not known")
    if table.get("direct", False) is not False:
        raise _Wrong("direct must be true or false")
    type_ = types.get(str(table.get("type")))
    if type_ is None:
        raise _Wrong(f"must have a type: one of {', '.join(sorted(types))}")
    credential = _credential(table["credential"], secrets) if "credential" in table else None
    if missing := type_.missing(table.get("settings", {})):
        raise _Wrong(f"{missing} is missing")
    adapter = adapter_of(type_.adapter, name, table, credential=credential is not None)
    title, of = str(table.get("title") or name), str(table["type"])
    return System(name, title, adapter, credential, requests_of(table, adapter), of)


@dataclass(frozen=True, slots=True)
class _Secrets:
    environ: Mapping[str, str]
    private: bool

    def open(self, place: str, value: Any) -> str:
        """Raises `_Wrong`."""
        if not isinstance(value, str) or not value:
            raise _Wrong(f"credential.{place} must be text")
        scheme, _, rest = value.partition(":")
        if scheme == "env":
            if not self.environ.get(rest):
                raise _Wrong(f"credential.{place} asks for the variable {rest}, which is not set")
            return self.environ[rest]
        if scheme == "file":
            try:
                return Path(rest).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise _Wrong(f"credential.{place}: {rest} cannot be read") from error
        if not self.private:
            raise _Wrong(
                f"credential.{place} stands in a file that others can read: write env:NAME or"
                " file:/path, or run chmod 600 on it"
            )
        return value


#: Members of a credential that are no secrets.
_PLAIN = frozenset({"type", "username", "token_url", "client_id", "scope", "grace"})


def _credential(given: Any, secrets: _Secrets) -> Credential:
    if not isinstance(given, dict) or given.get("type") not in _CREDENTIALS:
        raise _Wrong(f"credential.type must be one of {', '.join(_CREDENTIALS)}")
    members = _CREDENTIALS[given["type"]]
    allowed = {member.rstrip("?") for member in members} | {"type"}
    if unknown := sorted(set(given) - allowed):
        raise _Wrong(f"credential.{unknown[0]} is not known")
    if missing := [each for each in members if not each.endswith("?") and each not in given]:
        raise _Wrong(f"credential.{missing[0]} is missing")
    if given["type"] == "headers":
        if not isinstance(given["headers"], dict):
            raise _Wrong("credential.headers must be a table")
        return Headers(
            {name: secrets.open(f"headers.{name}", text) for name, text in given["headers"].items()}
        )
    if type(given.get("grace", False)) is not bool:
        raise _Wrong("credential.grace must be true or false")
    opened = {
        name: str(text) if name in _PLAIN else secrets.open(name, text)
        for name, text in given.items()
        if name != "type"
    }
    makers: dict[str, Callable[[], Credential]] = {
        "basic": lambda: basic(opened["username"], opened["password"]),
        "bearer": lambda: bearer(opened["token"]),
        "oauth": lambda: _oauth(opened),
        "webhook": lambda: WebhookSecret(*opened.values()),
    }
    try:
        return makers[given["type"]]()
    except ConfigError as error:
        raise _Wrong(
            "; ".join(f"credential.{n} {why}" for n, why in error.fields.items())
        ) from error


def _oauth(opened: dict[str, str]) -> OAuth:
    posted = frozenset({"client_id", "client_secret", "scope"})
    form = {name: text for name, text in opened.items() if name in posted}
    credential = OAuth(opened["token_url"], form, token_transport(), opened.get("refresh_token"))
    credential.grace = opened.get("grace") == "True"
    return credential


def token_transport() -> Transport:
    """For token endpoints, which are asked for no file."""
    return HttpTransport(None)

"""The systems behind the demo's gateway: every fake that comes with an adapter, and the file that
names them to the gateway."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpost.destinations.adapter import Adapter
from fieldpost.testing import vendors
from fieldpost.testing.vendors.base import Vendor

#: Fields of an adapter that the gateway gives it, or that a configuration need not name.
_NO_SETTINGS = frozenset({"lane", "declaration", "token", "credential", "fields"})


class Clock:
    """The time of day, ms, in both forms that fakes take it in."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self.now()


@dataclass(frozen=True, slots=True)
class Bench:
    """A fake, the adapter for it, and what lets the adapter in. ``name``: of its type."""

    name: str
    adapter: Adapter
    vendor: Vendor
    headers: Mapping[str, str]
    #: Where the adapter believes the fake to be.
    url: str

    @property
    def title(self) -> str:
        return type(self.adapter).__name__


def benches(names: Collection[str] | None = None) -> list[Bench]:
    """Those that speak HTTP, by name; ``names``: only these."""
    found = []
    for module in pkgutil.iter_modules(vendors.__path__):
        if names is not None and module.name not in names:
            continue
        bench = getattr(importlib.import_module(f"{vendors.__name__}.{module.name}"), "bench", None)
        if bench is None:
            continue
        adapter, vendor, credentials = bench(Clock())
        if vendor.url.startswith("http"):
            headers = credentials.get(adapter.credential, {})
            found.append(Bench(module.name, adapter, vendor, headers, vendor.url))
    return found


def write_config(path: Path, those: Collection[Bench]) -> dict[str, str]:
    """Write the gateway's file with the places where the fakes are now, and return the environment
    that holds the secrets it asks for."""
    environ: dict[str, str] = {}
    lines: list[str] = []
    for each in those:
        lines += [
            f"[destinations.{each.name}]",
            f'type = "{each.name}"',
            f"title = {json.dumps(each.title)}",
            "requests = 2",
            f"[destinations.{each.name}.settings]",
            *(f"{name} = {json.dumps(value)}" for name, value in _settings(each).items()),
        ]
        if each.headers:
            lines += [
                f"[destinations.{each.name}.credential]",
                'type = "headers"',
                f"[destinations.{each.name}.credential.headers]",
            ]
            for n, (header, secret) in enumerate(each.headers.items()):
                variable = f"DEMO_{each.name.upper()}_{n}"
                environ[variable] = secret
                lines.append(f'{json.dumps(header)} = "env:{variable}"')
        lines.append("")
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return environ


def _settings(bench: Bench) -> dict[str, Any]:
    """What the adapter was made with, moved to where the fake is."""
    found = {}
    for each in dataclasses.fields(bench.adapter):
        value = getattr(bench.adapter, each.name)
        if each.name in _NO_SETTINGS or not each.init or value == each.default:
            continue
        if isinstance(value, str):
            value = value.replace(bench.url, bench.vendor.url)
        if value or isinstance(value, bool | int):
            found[each.name] = value
    return found

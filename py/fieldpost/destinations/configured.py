"""An adapter made of what a configuration says: its settings and the rules of its field map. Pure.

One place for the gateway's file (`gateway.systems`) and for what a browser is told (`direct`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .adapter import Adapter
from .fieldmap import read_map

#: Of an adapter, given by the host and not by its settings.
_OURS = frozenset({"lane", "declaration", "token", "credential", "fields"})


class Wrong(Exception):
    """One mistake, in words that follow the name of what is wrong."""


def adapter_of(
    cls: type[Adapter], name: str, table: Mapping[str, Any], *, credential: bool
) -> Adapter:
    """``table``: with ``settings`` and ``fields``; ``credential``: the host adds one, by ``name``.

    Raises `Wrong`, and `ConfigError` with every mistake in a field map or in settings that the
    adapter itself looks at.
    """
    settings = table.get("settings", {})
    if not isinstance(settings, Mapping):
        raise Wrong("settings must be a table")
    settings = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    known = {each.name for each in dataclasses.fields(cls) if each.init} - _OURS
    if unknown := sorted(set(settings) - known):
        raise Wrong(f"settings.{unknown[0]} is not known; there is {', '.join(sorted(known))}")
    own_map = next((each for each in dataclasses.fields(cls) if each.name == "fields"), None)
    if own_map is not None:
        # Of the field, not of an adapter: some cannot be made before they know where to send.
        default = own_map.default_factory()  # type: ignore[operator]
        settings["fields"] = read_map(table.get("fields", {}), default)
    elif "fields" in table:
        raise Wrong("takes no fields: what is sent is the item as it is")
    try:
        return cls(name, credential=name if credential else "", **settings)
    except (TypeError, ValueError) as error:
        raise Wrong(f"settings: {error}") from error


def requests_of(table: Mapping[str, Any], adapter: Adapter) -> int:
    """How many may be under way at once, 1 where nothing is said. Raises `Wrong`."""
    requests, most = table.get("requests", 1), adapter.declaration.requests_most
    if type(requests) is not int or not 1 <= requests <= most:
        raise Wrong(f"requests must be 1 to {most}")
    return requests

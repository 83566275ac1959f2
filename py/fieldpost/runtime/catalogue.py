"""The server's catalogue: destinations, limits and required fields, kept for when it is away."""

from __future__ import annotations

import json
from typing import Any

from fieldpost.destinations.base import Destination, Discovered
from fieldpost.destinations.entry import entry
from fieldpost.destinations.fieldmap import FieldMap, needs, offers
from fieldpost.ports import NoAnswer, Store

from .committer import Change, Committer
from .driver import Host
from .lane import TABLE, LaneState
from .routes import Lane, Routes

#: The side record it is kept in.
CATALOGUE = ("catalogue", "gateway")


async def refresh(host: Host, destination: Destination, committer: Committer) -> bool:
    """Ask for it; True when a new one was stored."""
    request = destination.catalogue()
    if request is None or not host.link.online:
        return False
    try:
        response = await host.transport.send(request)
    except NoAnswer:
        return False
    text = destination.read_catalogue(response)
    if text is None or text == await host.store.side(*CATALOGUE):
        return False
    await committer.commit(Change(side={CATALOGUE: text}))
    return True


async def known(store: Store, routes: Routes) -> dict[str, Any] | None:
    """As last heard from the home, with the lanes that people choose by name after what is behind
    it; None of neither. ``home``: ``told``, ``none`` (there is no gateway), ``unknown`` (it was not
    heard yet, so it may have destinations of its own)."""
    text = await store.side(*CATALOGUE)
    told: dict[str, Any] | None = json.loads(text) if text else None
    lanes = routes.titled
    if not lanes:
        return told
    mine = {lane.lane for lane in lanes}
    behind = [one for one in (told or {}).get("destinations", []) if one.get("name") not in mine]
    state = LaneState.load(await store.side(TABLE, routes.home.lane)).contact
    none = state == "no_gateway" or bool(routes.home.title)
    return {
        **(told or {}),
        "home": "none" if none else "told" if told else "unknown",
        "destinations": [*behind, *[await _entry(store, lane) for lane in lanes]],
    }


async def _entry(store: Store, lane: Lane) -> dict[str, Any]:
    state = LaneState.load(await store.side(TABLE, lane.lane)).contact
    declared = lane.destination.declaration
    return entry(lane.lane, lane.title, declared, _said(lane), state) | {"direct": True}


def _said(lane: Lane) -> Discovered:
    """What its field map asks for."""
    fields: FieldMap = getattr(lane.destination, "fields", None) or {}
    return Discovered(
        required={kind: needs(rules) for kind, rules in fields.items()},
        choices={kind: offers(rules) for kind, rules in fields.items()},
    )

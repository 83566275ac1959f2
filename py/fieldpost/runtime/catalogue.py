"""The server's catalogue: destinations, limits and required fields, kept for when it is away."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from fieldpost.destinations.base import Destination, Discovered
from fieldpost.destinations.entry import entry, field_map
from fieldpost.ports import NoAnswer, Store

from .committer import Change, Committer
from .conversing import converse, of_transport
from .driver import Host
from .lane import TABLE, LaneState
from .routes import Lane, Routes

#: The side record it is kept in.
CATALOGUE = ("catalogue", "gateway")
#: The table of side records for what the destinations say that this queue delivers to by itself.
_SAID = "discovered"
ASKED_EVERY_MS = 24 * 60 * 60 * 1000


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


async def ask_lane(host: Host, lane: Lane, committer: Committer) -> bool:
    """Ask a destination that people choose what it requires and offers: once a day, and after a
    change of its field map. True when it said something new."""
    before, now = await _heard(host.store, lane), host.clock.now()
    if not host.link.online or (before and 0 <= now - before["at"] < ASKED_EVERY_MS):
        return False
    said, _ = await converse(lane.destination.discover(), of_transport(host.transport))
    if not isinstance(said, Discovered):
        return False
    heard = {"at": now, "map": _mark(lane), "said": asdict(said)}
    await committer.commit(Change(side={(_SAID, lane.lane): json.dumps(heard)}))
    return before is None or before["said"] != json.loads(json.dumps(asdict(said)))


async def _entry(store: Store, lane: Lane) -> dict[str, Any]:
    state = LaneState.load(await store.side(TABLE, lane.lane)).contact
    heard = await _heard(store, lane)
    said = Discovered(**heard["said"]) if heard else Discovered()
    return entry(lane.lane, lane.title, lane.destination, said, state) | {"direct": True}


async def _heard(store: Store, lane: Lane) -> dict[str, Any] | None:
    """{"at": ms, "map", "said"}; None: never, or by another field map."""
    text = await store.side(_SAID, lane.lane)
    heard: dict[str, Any] | None = json.loads(text) if text else None
    return heard if heard and heard["map"] == _mark(lane) else None


def _mark(lane: Lane) -> str:
    return hashlib.sha256(repr(field_map(lane.destination)).encode()).hexdigest()[:16]

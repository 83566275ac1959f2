"""The server's catalogue: destinations, limits and required fields, kept for when it is away."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

from fieldpost.destinations.base import Destination, Discovered
from fieldpost.destinations.entry import entry, field_map
from fieldpost.destinations.guarded import guarded
from fieldpost.engine.errors import AdapterError
from fieldpost.ports import NoAnswer, Store

from .committer import Change, Committer
from .conversing import converse, of_transport
from .driver import Host
from .lane import TABLE, LaneState
from .routes import Lane, Routes

log = logging.getLogger("fieldpost")

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
    behind = [one for one in (told or {}).get("destinations") or [] if one.get("name") not in mine]
    state = LaneState.load(await store.side(TABLE, routes.home.lane)).contact
    none = state == "no_gateway" or bool(routes.home.title)
    return {
        **(told or {}),
        "home": "none" if none else "told" if told else "unknown",
        "destinations": [*behind, *[await _entry(store, lane) for lane in lanes]],
    }


async def discovered(
    host: Host, lane: Lane, committer: Committer, every_ms: int | None
) -> Discovered | None:
    """What the lane's destination says that it requires and offers, as last heard; asked anew when
    that is older than ``every_ms`` (None: never), or of another field map. None: it never said."""
    heard, now = await _heard(host.store, lane), host.clock.now()
    fresh = every_ms is None or (heard and 0 <= now - heard["at"] < every_ms)
    if host.link.online and not fresh:
        said = None
        with _logged(lane):
            script = guarded(lane.destination).discover()
            said, _ = await converse(script, of_transport(host.transport))
        if isinstance(said, Discovered):
            heard = {"at": now, "map": _mark(lane), "said": asdict(said)}
            await committer.commit(Change(side={(_SAID, lane.lane): json.dumps(heard)}))
    told = _said(heard)
    if told is not None:
        with _logged(lane):
            guarded(lane.destination).learn(told)
    return told


@contextlib.contextmanager
def _logged(lane: Lane) -> Iterator[None]:
    """A mistake of the adapter's is no reason to end anything else."""
    try:
        yield
    except AdapterError as error:
        log.warning("lane %s: %s", lane.lane, error.message)


async def _entry(store: Store, lane: Lane) -> dict[str, Any]:
    state = LaneState.load(await store.side(TABLE, lane.lane)).contact
    said = _said(await _heard(store, lane)) or Discovered()
    made = entry(lane.lane, lane.title, lane.destination, said, state)
    return {**made, "direct": True, "notes": list(said.notes)}


async def _heard(store: Store, lane: Lane) -> dict[str, Any] | None:
    """{"at": ms, "map", "said"}; None: never, or by another field map."""
    text = await store.side(_SAID, lane.lane)
    heard: dict[str, Any] | None = json.loads(text) if text else None
    return heard if heard and heard["map"] == _mark(lane) else None


def _said(heard: dict[str, Any] | None) -> Discovered | None:
    """What a later version wrote besides is passed over."""
    known = {each.name for each in fields(Discovered)}
    if heard is None:
        return None
    return Discovered(**{name: one for name, one in heard["said"].items() if name in known})


def _mark(lane: Lane) -> str:
    return hashlib.sha256(repr(field_map(lane.destination)).encode()).hexdigest()[:16]

"""The server's catalogue: destinations, limits and required fields, kept for when it is away."""

from __future__ import annotations

from fieldpost.destinations.base import Destination
from fieldpost.ports import NoAnswer

from .committer import Change, Committer
from .driver import Host

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

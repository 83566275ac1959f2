"""The destinations of a world: addresses, adapters, ledgers, and whose credential is whose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from fieldpost.destinations.base import Destination
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.limits import BATCH_ITEMS_MAX
from fieldpost.runtime.routes import Lane

from .gateway import Backend

DEVICE = "00000000-0000-7000-8000-00000000000d"
URL = "https://post.example/"
ARCHIVE_URL = "https://archive.example/"
HOME, ARCHIVE = "gateway", "archive"
#: What the archive knows the device by; the first one's tokens come and go (`Queue.sign_in`).
ARCHIVE_TOKEN = "archive-token"  # noqa: S105 - of a destination that does not exist
#: What goes to the archive unless it is saved for the other lane.
ARCHIVED = "feedback"


@dataclass(frozen=True, slots=True)
class Site:
    """One destination of the worlds: the adapter that the product makes with a token, and what
    answers at its address; ``kinds``, ``requests``: those of its `Lane`; ``own``: whether a token
    is one for this place."""

    url: str
    adapter: Callable[[str | None], Destination]
    backend: Backend
    kinds: frozenset[str] | None = None
    requests: int = 1
    own: Callable[[str], bool] = lambda _token: True

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


def home(backend: Backend, requests: int = 1, batch: int = BATCH_ITEMS_MAX) -> Site:
    def adapter(token: str | None) -> Destination:
        return _taking(batch, GatewayDestination(URL, DEVICE, token))

    return Site(URL, adapter, backend, None, requests, lambda token: token != ARCHIVE_TOKEN)


def archive(backend: Backend, requests: int = 1, batch: int = BATCH_ITEMS_MAX) -> Site:
    """It has its own ledger, and its own token from the beginning."""
    backend.token = ARCHIVE_TOKEN

    def adapter(_token: str | None) -> Destination:
        return _taking(batch, GatewayDestination(ARCHIVE_URL, DEVICE, ARCHIVE_TOKEN))

    kinds = frozenset({ARCHIVED})
    return Site(ARCHIVE_URL, adapter, backend, kinds, requests, lambda t: t == ARCHIVE_TOKEN)


def lanes(sites: Mapping[str, Site], token: str | None) -> list[Lane]:
    """As an application sets its queue up."""
    return [
        Lane(site.adapter(token), name, site.kinds, requests=site.requests)
        for name, site in sites.items()
    ]


def lane_of(sites: Mapping[str, Site], kind: str, asked: str | None) -> str:
    """Where an item has to go: a second opinion to `Routes.of`."""
    by_kind = (name for name, site in sites.items() if kind in (site.kinds or ()))
    return asked or next(by_kind, HOME)


def _taking(batch: int, destination: GatewayDestination) -> GatewayDestination:
    destination.declaration = replace(destination.declaration, batch_items=batch)
    return destination

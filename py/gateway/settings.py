"""What can be configured, with the reason of every bound. Units stand last in the names."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from fieldpost.engine.limits import PART_BYTES

PROTOCOL = 1

#: Names under which a loopback server is reached; any other Host is a DNS rebinding page.
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class CannotStart(Exception):
    """The gateway does not start; the message is a sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one request, one device and the process."""

    #: One `POST operations`: twice what a device batches, so a growing client does not hit it.
    operations_bytes: int = 4 * 1024 * 1024
    #: One attachment part. The slack lets a wrong size be answered by digest, not by 413.
    part_bytes: int = PART_BYTES + 1024
    #: Read and thrown away past a limit, so that the sender sees the 413 and not a reset.
    discard_bytes: int = 8 * 1024 * 1024
    #: A body that stands still, and a body as a whole (1 MiB over 40 kbit/s takes 210 s).
    idle_seconds: float = 20.0
    body_seconds: float = 300.0
    #: Request line and headers of a connection must have come by then (slow-header attacks).
    head_seconds: float = 10.0
    #: Requests worked on at once, over all devices; each may hold one body in memory.
    in_flight: int = 256
    #: Token bucket of each device: a 90 MB attachment is 90 requests in a row.
    burst_requests: float = 400.0
    requests_per_second: float = 200.0
    #: Receipts in one answer; the device asks again from the cursor.
    receipts: int = 500


@dataclass(frozen=True, slots=True)
class Settings:
    """One gateway process.

    ``data``: its folder; ``store``: a queue in a Redis server instead, which any number of gateways
    share (docs/redis.md); ``keys``: the key file, where it is not ``data/keys.json``.
    ``destinations``: the file that names the systems behind it (`systems.read_systems`).
    ``allow_hosts``: further Host names (lower case, no port) it answers to.
    ``allow_origins``: origins (``scheme://host[:port]``) whose pages may deliver to it (CORS).
    ``direct_origins``: origins the page may reach besides its own (CSP ``connect-src``), and
    ``direct``: what it is told of destinations there (``static/direct.json``); None: of none.
    """

    data: Path
    store: str | None = field(default=None, repr=False)  # it may hold a password
    keys: Path | None = None
    site: Path | None = None
    destinations: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    allow_hosts: frozenset[str] = frozenset()
    allow_origins: frozenset[str] = frozenset()
    direct_origins: tuple[str, ...] = ()
    direct: bytes | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def key_file(self) -> Path:
        return self.keys or self.data / "keys.json"

    @property
    def loopback(self) -> bool:
        """Whether only this computer can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def host_names(self) -> frozenset[str]:
        """Every Host name (without port) that is not foreign."""
        return LOOPBACK_NAMES | self.allow_hosts | {self.host.lower()}

"""Device tokens: pairing and proving who is asking.

Kept in ``data/devices.json`` (0600), apart from the database, so that `pair` works while the
gateway runs; of gateways that share a Redis server, there (`shared_parts`). Only hashes are stored:
a token is 256 random bits, so a plain SHA-256 of it cannot be searched, and a stretched one would
cost every request.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

#: One for all devices unless named at pairing: a rescue file taken to another device must meet the
#: ledger rows of the first.
DEFAULT_WORKSPACE = "default"
ROLES = ("device", "reader", "operator")
#: Of those, who signs in at a page.
PEOPLE = frozenset({"reader", "operator"})
#: When devices were last heard is written down this often; in between it is in memory.
SEEN_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Device:
    """``role``: a device delivers; a reader only looks (/inbox, /manage, /metrics); an operator
    also acts at /manage."""

    id: str
    name: str
    workspace: str
    role: str
    token_sha256: str
    paired_at: int


class Devices:
    """Who is paired; where that is kept, subclasses say."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        #: Heard since it was last written down: id -> ms.
        self._heard: dict[str, int] = {}
        self._wrote_at = monotonic()

    def all(self) -> list[Device]:
        """Every paired device, as last heard."""
        raise NotImplementedError

    async def fresh(self) -> None:
        """Called before a request is judged: `all` is not older than a second from here on."""

    def _add(self, device: Device) -> None:
        raise NotImplementedError

    def _forget(self, gone: Callable[[Device], bool]) -> int:
        raise NotImplementedError

    def _keep_seen(self, seen: Mapping[str, int]) -> None:
        """Write down when these were heard."""
        raise NotImplementedError

    def _kept_seen(self) -> dict[str, int]:
        raise NotImplementedError

    def heard(self, device: Device, now: int) -> bool:
        """It spoke at ``now`` (ms); True when it is time for `write_seen`."""
        self._heard[device.id] = now
        return self._monotonic() - self._wrote_at >= SEEN_EVERY_S

    def write_seen(self) -> None:
        """Make durable when devices were heard; what a process that is killed forgets is a minute
        of that. May be called from any thread."""
        heard, self._heard = self._heard, {}
        self._wrote_at = self._monotonic()
        if heard:
            self._keep_seen(heard)

    def seen(self) -> dict[str, int]:
        """When each device was last heard (id -> ms), of those that ever were; a minute old at most
        where another process heard it."""
        return self._kept_seen() | self._heard

    def pair(self, name: str, workspace: str = DEFAULT_WORKSPACE, role: str = "device") -> str:
        """Add a device and return its token, which is nowhere stored."""
        token = "fp_" + secrets.token_urlsafe(32)
        at = int(time.time() * 1000)
        self._add(Device(secrets.token_hex(8), name, workspace, role, _hash(token), at))
        return token

    def unpair(self, name: str) -> int:
        """Forget every device of this name; returns how many there were."""
        return self._forget(lambda device: device.name == name)

    def revoke(self, device_id: str) -> bool:
        """Forget this one; False when it was not there."""
        return self._forget(lambda device: device.id == device_id) > 0

    def find(self, token: str) -> Device | None:
        """The device of a token, taking the same time whichever it is."""
        wanted, found = _hash(token), None
        for device in self.all():
            if hmac.compare_digest(wanted, device.token_sha256):
                found = device
        return found


class DevicesFile(Devices):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._devices: list[Device] = []

    def all(self) -> list[Device]:
        """Every paired device; read again when the file changed. Raises `ValueError` if damaged."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._seen, self._devices = None, []
            return []
        seen = (stat.st_mtime_ns, stat.st_ino)
        if seen != self._seen:
            raw = json.loads(self._path.read_text())
            self._devices = [Device(**each) for each in raw["devices"]]
            self._seen = seen
        return self._devices

    def _add(self, device: Device) -> None:
        self._change(lambda devices: [*devices, device])

    def _forget(self, gone: Callable[[Device], bool]) -> int:
        before = len(self.all())
        self._change(lambda devices: [each for each in devices if not gone(each)])
        return before - len(self.all())

    def _keep_seen(self, seen: Mapping[str, int]) -> None:
        known = {device.id for device in self.all()}
        kept = {id_: at for id_, at in {**self._kept_seen(), **seen}.items() if id_ in known}
        write_private(self._path.with_name("seen.json"), json.dumps(kept))

    def _kept_seen(self) -> dict[str, int]:
        try:
            seen: dict[str, int] = json.loads(self._path.with_name("seen.json").read_text())
        except (OSError, ValueError):
            return {}  # nothing depends on it
        return seen

    def _change(self, change: Callable[[list[Device]], list[Device]]) -> None:
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            devices = [asdict(each) for each in change(self.all())]
            write_private(self._path, json.dumps({"version": 1, "devices": devices}, indent=1))
        finally:
            os.close(lock)


def token_of(authorization: str | None) -> str | None:
    """The token in an ``Authorization`` value: Bearer (RFC 6750), or the password of Basic (RFC
    7617), which is how a person's browser asks for it. None when there is none."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None


def write_private(path: Path, text: str) -> None:
    """Replace a file whole, durably, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names created or replaced in a directory durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

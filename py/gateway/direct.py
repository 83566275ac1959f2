"""Destinations that browsers deliver to by themselves: read from the same file as those behind the
gateway, and laid over the built app.

The app as built reaches nothing but its own origin. The overlay tells it of the destinations
(``static/direct.json``), lets it reach exactly their origins (the policy in ``index.html``), and
gives both new revisions in the list of assets and in the service worker that carries it, so that
installed apps notice. The gateway serves it; `write` puts it into a folder for a static host.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fieldpost.destinations.direct import Direct, dump, read_direct
from fieldpost.engine.errors import ConfigError

from .settings import CannotStart

PAGE, TOLD, ASSETS, WORKER = "index.html", "static/direct.json", "assets.json", "service-worker.js"
#: In the order in which they follow from each other.
OVERLAID = (PAGE, TOLD, ASSETS, WORKER)
_CONNECT = re.compile(r"connect-src 'self' blob:[^;\"]*")
#: A policy and a list of assets are short: nobody waits for the last per cent.
_GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Overlay:
    """``told``: the bytes of ``static/direct.json``; ``origins``: what a page may reach besides its
    own, as they stand in a policy."""

    told: bytes
    origins: tuple[str, ...]

    def files(self, read: Callable[[str], bytes]) -> dict[str, bytes]:
        """Path -> bytes of all that is different from what ``read`` gives. Pure but for that."""
        page = read(PAGE).decode()
        policy = connect_src(self.origins)
        changed = {PAGE: _CONNECT.sub(policy, page).encode(), TOLD: self.told}
        listed: list[dict[str, Any]] = json.loads(read(ASSETS))
        renamed = [(_version(read(ASSETS)), b"")]
        for asset in listed:
            if (data := changed.get(asset["url"])) is not None:
                before, after = asset["revision"], sha256(data).hexdigest()
                renamed += [(before.encode(), after.encode()), (_sri(before), _sri(after))]
                asset |= {"revision": after, "bytes": len(data)}
        # As the build writes it: the version is the hash of these bytes.
        changed[ASSETS] = (json.dumps(listed, indent=1) + "\n").encode()
        renamed[0] = (renamed[0][0], _version(changed[ASSETS]))
        worker = read(WORKER)
        for before_, after_ in renamed:
            worker = worker.replace(before_, after_)
        return {**changed, WORKER: worker}


def overlay_of(found: Sequence[Direct], more: Sequence[str] = ()) -> Overlay:
    """``more``: further origins, of scripts of one's own."""
    origins = {*more, *(origin for one in found for origin in one.origins)}
    return Overlay(dump(found), tuple(sorted(origins)))


def connect_src(origins: Sequence[str]) -> str:
    """One place for the header and for the page."""
    return " ".join(("connect-src 'self' blob:", *origins))


def read_file(path: Path) -> tuple[dict[str, Any], list[Direct]]:
    """The tables of those behind the gateway as they stand there, and the direct ones, read.

    Raises `CannotStart` with every mistake in the latter.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotStart(f"{path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CannotStart(f"{path} is not TOML: {error}.") from error
    tables = given.get("destinations")
    if not isinstance(tables, dict) or not tables:
        raise CannotStart(f"{path} has no table [destinations.<name>].")
    direct = {name: table for name, table in tables.items() if _is_direct(table)}
    behind = {name: table for name, table in tables.items() if name not in direct}
    try:
        return behind, read_direct(direct)
    except ConfigError as error:
        told = "; ".join(f"destinations.{name} {why}" for name, why in error.fields.items())
        raise CannotStart(f"{path}: {told}.") from error


def write(site: Path, overlay: Overlay) -> list[str]:
    """Lay it over a built app, in place; the files that changed. The same again changes nothing.

    Raises `CannotStart` where the folder is none of a built app.
    """
    try:
        changed = overlay.files(lambda name: (site / name).read_bytes())
        different = [n for n, data in changed.items() if (site / n).read_bytes() != data]
    except (OSError, ValueError) as error:
        raise CannotStart(f"{site} is no folder of the built app (make dist makes one).") from error
    for name in different:
        (site / name).write_bytes(changed[name])
        packed = site / f"{name}.gz"
        if packed.is_file():
            packed.write_bytes(gzip.compress(changed[name], _GZIP_LEVEL, mtime=0))
    return different


def _is_direct(table: Mapping[str, Any] | Any) -> bool:
    return isinstance(table, dict) and table.get("direct") is True


def _version(assets: bytes) -> bytes:
    """As `tools.assets.version_of`."""
    return sha256(assets).hexdigest()[:12].encode()


def _sri(revision: str) -> bytes:
    return b"sha256-" + base64.b64encode(bytes.fromhex(revision))

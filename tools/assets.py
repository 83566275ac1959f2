"""The one list of assets: made from the finished tree, used by the service worker and the tests."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from tools.paths import files_under

# The worker must not cache itself, and the list cannot hold its own hash.
NOT_LISTED = frozenset({"service-worker.js", "assets.json"})


class Asset(TypedDict):
    """One file of the served folder: relative URL, content hash, size."""

    url: str
    revision: str
    bytes: int


def list_assets(tree: Path) -> list[Asset]:
    """Every file that is served, without exception: a file left out would be missing offline."""
    found: list[Asset] = []
    for path in files_under(tree):
        url = path.relative_to(tree).as_posix()
        if url not in NOT_LISTED:
            data = path.read_bytes()
            found.append({"url": url, "revision": sha256(data).hexdigest(), "bytes": len(data)})
    return found


def assets_text(assets: list[Asset]) -> str:
    """The list as it is served."""
    return json.dumps(assets, indent=1) + "\n"


def version_of(assets: list[Asset]) -> str:
    """A short name for exactly this set of files."""
    return sha256(assets_text(assets).encode()).hexdigest()[:12]


def precache_manifest(assets: list[Asset]) -> str:
    """The same list as Workbox wants it; integrity refuses a half-updated host."""
    entries = [
        {
            "url": asset["url"],
            "revision": asset["revision"],
            "integrity": "sha256-" + base64.b64encode(bytes.fromhex(asset["revision"])).decode(),
        }
        for asset in assets
    ]
    return json.dumps(entries, separators=(",", ":"))

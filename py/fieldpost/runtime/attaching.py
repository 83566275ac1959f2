"""Files that are to go with an item, kept before it: parts first, the manifest last."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from fieldpost.engine.errors import AttachmentTooLarge, InvalidItem
from fieldpost.engine.limits import ATTACHMENT_BYTES_MAX, PART_BYTES
from fieldpost.ports import Clock, Entropy, Manifest, Store

#: What the gateway takes of a file's name (docs/formats.md section 6).
_NAME_MAX = 255


async def keep(
    store: Store,
    clock: Clock,
    entropy: Entropy,
    name: str,
    data: bytes | Iterable[bytes],
    media_type: str,
) -> dict[str, Any]:
    """Seal a file into the store; see `Queue.attach`."""
    if not 0 < len(name) <= _NAME_MAX:
        raise InvalidItem(fields={"name": f"must have 1 to {_NAME_MAX} characters"})
    now = clock.now()
    attachment_id, digests, size = entropy.uuid7(now), [], 0
    for part in _parts([data] if isinstance(data, bytes) else data):
        size += len(part)
        if size > ATTACHMENT_BYTES_MAX:
            raise AttachmentTooLarge
        digests.append(base64.b64encode(hashlib.sha256(part).digest()).decode())
        await store.put_part(attachment_id, len(digests), part)
    manifest = Manifest(attachment_id, name, media_type, size, tuple(digests), now)
    await store.put_manifest(manifest)
    return {"id": attachment_id, "size": size, "parts": len(digests)}


def _parts(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The same bytes in parts of `PART_BYTES`, the last one shorter."""
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) >= PART_BYTES:
            yield rest[:PART_BYTES]
            rest = rest[PART_BYTES:]
    if rest:
        yield rest

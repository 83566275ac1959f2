"""What every store written in Python does the same way: sealing, counters, due times, ages. Pure.

docs/formats.md names the places (id, kind, part) that the sealed things belong to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from fieldpost.engine.errors import DecryptionError
from fieldpost.engine.model import (
    PLACES,
    Attachment,
    Capture,
    Item,
    item_from_values,
)
from fieldpost.engine.transitions import CLAIMABLE_STATES, OPEN_STATES, State
from fieldpost.ports import Manifest
from fieldpost.security.cipher import Cipher

#: Every counter a store keeps; all are there from the start.
COUNTERS = (
    "open",
    *(f"state:{s}" for s in State),
    "sequence",
    "revision",
    "journal",
    "inbox",
    "bytes",
    "removed",
)
_BY_STATE: dict[str, str] = {state: f"state:{state}" for state in State}
#: The store's revision at which the counters by kind were last in step. A context of a version that
#: knew none of them raises the revision alone: then they are counted anew, once.
KINDS_AT = "kinds"
#: What begins the name of a counter by kind: open items, and the bytes of open items.
BY_KIND = ("open:", "bytes:")

#: Writers whose heads a new writer anchors.
HEADS_MAX = 16

#: What "oldest" means for each mark: an entity's rows keep their order when the clock jumps.
MARK_ORDER = {
    "entity": "sequence",
    "owner": "sequence",
    "fingerprint": "created_at, sequence",
    "natural_key": "created_at, sequence",
}

_SEQUENCE, _REVISION, _KID = (PLACES[name] for name in ("sequence", "revision", "kid"))


def stamped(
    item: Item, sequence: int, revision: int, kid: str | None, marks: Mapping[str, str]
) -> Item:
    """``item`` with the columns that the store gives it."""
    values = list[Any](item)
    values[_SEQUENCE], values[_REVISION], values[_KID] = sequence, revision, kid
    for mark, value in marks.items():
        values[PLACES[mark]] = value
    return item_from_values(values)


def wake_at(item: Item) -> int | None:
    """When a claimable row that is not ready becomes due (ms); None: a commit will free it."""
    if item.ready or item.state not in CLAIMABLE_STATES:
        return None
    if item.due_at is None:
        return item.not_before
    return item.due_at if item.not_before is None else max(item.due_at, item.not_before)


class Counted(NamedTuple):
    """What of a row is counted; an `Item` has it too."""

    state: str
    kind: str
    size: int


def count_move(
    counters: dict[str, int], old: Item | Counted | None, new: Item | Counted | None
) -> None:
    """Keep ``open``, ``state:*``, ``bytes`` and those by kind in step with one row's move
    (invariant 1). ``old`` None: it is new; ``new`` None: it is removed."""
    if old is not None and new is not None and old.size == new.size:
        if old.state == new.state:
            return
        if old.state in OPEN_STATES and new.state in OPEN_STATES:
            counters[_BY_STATE[old.state]] -= 1
            counters[_BY_STATE[new.state]] += 1
            return
    for row, by in ((old, -1), (new, 1)):
        if row is None:
            continue
        counters[_BY_STATE[row.state]] += by
        if row.state in OPEN_STATES:
            _count_open(counters, row.kind, by, by * row.size)
    if new is None:
        counters["removed"] += 1


def _count_open(counters: dict[str, int], kind: str, items: int, size: int) -> None:
    counters["open"] += items
    counters["bytes"] += size
    open_name, bytes_name = _names_by(kind)
    counters[open_name] = counters.get(open_name, 0) + items
    counters[bytes_name] = counters.get(bytes_name, 0) + size


@lru_cache(256)
def _names_by(kind: str) -> tuple[str, str]:
    """The names of its two counters: kinds are few."""
    return f"open:{kind}", f"bytes:{kind}"


def recount_kinds(counters: dict[str, int], found: Iterable[tuple[str, int, int]]) -> None:
    """Set the counters by kind from (kind, open items, their bytes), whatever they said before."""
    for name in counters:
        if name.startswith(BY_KIND):
            counters[name] = 0
    counters["bytes"] = 0
    for kind, items, size in found:
        counters[f"open:{kind}"], counters[f"bytes:{kind}"] = items, size
        counters["bytes"] += size


def shown_counters(counters: Mapping[str, int]) -> dict[str, int]:
    """As `Store.counters` returns them; those by kind only while they are in step."""
    in_step = counters.get(KINDS_AT) == counters["revision"]
    shown = {name: counters.get(name, 0) for name in COUNTERS}
    if in_step:
        shown |= {name: n for name, n in counters.items() if name.startswith(BY_KIND)}
    else:
        del shown["bytes"]
    return shown


# --- sealing --------------------------------------------------------------------------------------


def seal_parts(
    cipher: Cipher, item: Item, parts: Mapping[str, bytes | None]
) -> tuple[str | None, dict[str, bytes | None]]:
    """(kid used or None, the parts sealed; None stands for a part to remove)."""
    kid = None
    sealed: dict[str, bytes | None] = {}
    for part, data in parts.items():
        if data is None:
            sealed[part] = None
        else:
            kid, sealed[part] = cipher.seal(item.id, item.kind, part, data)
    return kid, sealed


def reseal(
    cipher: Cipher, old: Item, kid: str | None, kept: Mapping[str, bytes | None]
) -> dict[str, bytes | None]:
    """The parts a commit keeps, under the key of the parts it writes: a row has one ``kid``.

    Only after a new data key has become the newest one; otherwise nothing has to be done.
    Raises `DecryptionError`.
    """
    if kid is None or old.kid is None or kid == old.kid:
        return {}
    opened = {part: open_part(cipher, old, part, data) for part, data in kept.items() if data}
    return seal_parts(cipher, old, opened)[1]


def open_part(cipher: Cipher, item: Item, part: str, sealed: bytes) -> bytes:
    """Raises `DecryptionError`."""
    return cipher.open(item.kid or "", item.id, item.kind, part, sealed)


def seal_side(cipher: Cipher, table: str, key: str, text: str) -> tuple[str, bytes]:
    return cipher.seal(f"{table}/{key}", "side", "body", text.encode())


def open_side(cipher: Cipher, table: str, key: str, kid: str, sealed: bytes) -> str:
    return cipher.open(kid, f"{table}/{key}", "side", "body", sealed).decode()


def open_captures(cipher: Cipher, sealed: Iterable[tuple[str, int, str, bytes]]) -> list[Capture]:
    """Captures from (id, at, kid, envelope). Raises `DecryptionError` when none of them opens.

    One that does not open stays where it is and must not hold up the others.
    """
    opened, failed = list[Capture](), None
    for id_, at, kid, data in sealed:
        try:
            opened.append(Capture(id_, at, cipher.open(kid, id_, "capture", "body", data)))
        except DecryptionError as error:
            failed = error
    if failed is not None and not opened:
        raise failed
    return opened


def seal_manifest(cipher: Cipher, manifest: Manifest) -> tuple[str, bytes]:
    value = {
        "name": manifest.name,
        "type": manifest.type,
        "size": manifest.size,
        "sha256": manifest.sha256,
    }
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return cipher.seal(manifest.id, "attachment", "manifest", text)


def open_manifest(cipher: Cipher, attachment_id: str, at: int, kid: str, sealed: bytes) -> Manifest:
    value = json.loads(cipher.open(kid, attachment_id, "attachment", "manifest", sealed))
    return Manifest(
        id=attachment_id,
        name=value["name"],
        type=value["type"],
        size=value["size"],
        sha256=tuple(value["sha256"]),
        at=at,
    )


# --- attachments ----------------------------------------------------------------------------------


def attachment_ids(attachments: Iterable[Attachment]) -> list[str]:
    return [a.id for a in attachments]


def captured_attachments(data: bytes) -> list[str]:
    """Ids of the attachments that a capture brings; none when it is not the JSON it should be."""
    try:
        value = json.loads(data)
    except ValueError:
        return []  # kept as it is: whoever adopts it says what is wrong with it
    listed = value.get("attachments") if isinstance(value, dict) else None
    rows = listed if isinstance(listed, list) else []
    return [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]


_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def made_at(attachment_id: str) -> int | None:
    """The time in a UUIDv7 (ms; RFC 9562 §5.7): the age of parts whose manifest never came.

    None for any other id: parts of unknown age are never taken for garbage.
    """
    match = _UUID7.fullmatch(attachment_id)
    return int(match[1] + match[2], 16) if match else None

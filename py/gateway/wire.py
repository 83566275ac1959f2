"""Bytes of a request -> checked values (docs/formats.md section 6). Pure: runs in any thread."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from fieldpost.engine.canonical import canonical as canonical_bytes
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.limits import (
    ATTACHMENT_BYTES_MAX,
    ATTACHMENTS_PER_ITEM_MAX,
    BATCH_ITEMS_MAX,
    PART_BYTES,
    PAYLOAD_BYTES_MAX,
)

from .problems import Problem
from .settings import PROTOCOL

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_SHA256_HEX = re.compile(r"[0-9a-f]{64}\Z")
#: A media type as RFC 6838 restricts it, with parameters left out; "" is unknown.
_MEDIA_TYPE = re.compile(r"([\w!#$&^.+-]{1,63}/[\w!#$&^.+-]{1,63})?\Z", re.ASCII)
_ACK_MAX = 1000
_DEPENDENCIES_MAX = 100
_NAME_MAX = 255
_TEXT_MAX = 200


@dataclass(frozen=True, slots=True)
class Attachment:
    """``sha256``: the digest of each plain part, in order (32 bytes each)."""

    id: str
    name: str
    type: str
    size: int
    sha256: tuple[bytes, ...]

    @property
    def parts(self) -> int:
        return len(self.sha256)

    def part_size(self, n: int) -> int:
        """Bytes of part ``n`` (from 1)."""
        return min(PART_BYTES, self.size - (n - 1) * PART_BYTES)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation whose form is right. ``canonical``: RFC 8785 bytes of the payload.

    ``content``: hex SHA-256 of everything a destination sees of it; the same key with another
    ``content`` is `mismatch`.
    """

    id: str
    send_id: str
    kind: str
    operation: str
    destination: str
    captured_at: int
    attachments: tuple[Attachment, ...]
    payload: dict[str, Any]
    canonical: bytes
    content: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """One operation that can never be taken as it is; the others of its request are not held up."""

    id: str
    send_id: str
    code: str
    detail: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    ack: tuple[str, ...]
    operations: tuple[Operation | Malformed, ...]


def is_uuid(value: object) -> bool:
    """Whether this is a UUID in the lower-case text form (RFC 9562 section 4)."""
    return isinstance(value, str) and _UUID.match(value) is not None


def parse(body: bytes) -> Batch:
    """Read the body of `POST operations`.

    Raises `Problem` BAD_REQUEST when no results can be matched to operations, UPDATE_REQUIRED when
    it speaks another protocol.
    """
    request = load_json(body)
    if not isinstance(request, dict) or type(request.get("protocol")) is not int:
        raise Problem("BAD_REQUEST", "The body is not an object with a protocol number.")
    if request["protocol"] != PROTOCOL:
        # No Upgrade header, though RFC 9110 section 15.5.22 asks for one: it belongs to a
        # connection, and HTTP/2 proxies in front refuse it.
        raise Problem(
            "UPDATE_REQUIRED",
            f"This gateway speaks protocol {PROTOCOL}. Update the app; nothing is lost.",
            supported=[PROTOCOL],
        )
    ack, operations = request.get("ack", []), request.get("operations", [])
    if not isinstance(ack, list) or len(ack) > _ACK_MAX or not all(map(is_uuid, ack)):
        raise Problem("BAD_REQUEST", f"ack has to be a list of at most {_ACK_MAX} send_ids.")
    if not isinstance(operations, list) or len(operations) > BATCH_ITEMS_MAX:
        raise Problem("BAD_REQUEST", f"operations is a list of at most {BATCH_ITEMS_MAX}.")
    return Batch(tuple(ack), tuple(_operation(n, raw) for n, raw in enumerate(operations)))


def load_json(body: bytes) -> Any:
    """Strict JSON (RFC 8259, UTF-8, no NaN, no repeated names). Raises `Problem` BAD_REQUEST."""
    try:
        return json.loads(body.decode(), parse_constant=_not_json, object_pairs_hook=_unique_object)
    except (ValueError, RecursionError):
        # The reason would quote the payload: it is not repeated.
        raise Problem("BAD_REQUEST", "The body is not valid JSON.") from None


def _not_json(_: str) -> NoReturn:
    raise ValueError("not JSON")


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of a repeated name may see two payloads under one hash.
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("repeated name")
    return result


def _operation(position: int, raw: Any) -> Operation | Malformed:
    if not isinstance(raw, dict) or not is_uuid(raw.get("id")) or not is_uuid(raw.get("send_id")):
        raise Problem("BAD_REQUEST", f"Operation {position} has no id and send_id (UUIDs).")
    wrong = _wrong_fields(raw)
    if wrong:
        return _malformed(raw, "BAD_OPERATION", "Fields of the operation are not allowed.", wrong)
    try:
        canonical = canonical_bytes(raw["payload"])
    except InvalidItem:  # half surrogate pairs, numbers no double holds
        return _malformed(raw, "BAD_OPERATION", "The payload has no canonical form (RFC 8785).")
    if len(canonical) > PAYLOAD_BYTES_MAX:
        detail = f"The payload has {len(canonical)} bytes; at most {PAYLOAD_BYTES_MAX} are taken."
        return _malformed(raw, "TOO_LARGE", detail)
    if hashlib.sha256(canonical).hexdigest() != raw["payload_sha256"]:
        return _malformed(
            raw, "PAYLOAD_DIGEST_MISMATCH", "The payload is not the one its digest was made of."
        )
    attachments = tuple(_attachment(a) for a in raw.get("attachments") or ())
    return Operation(
        id=raw["id"],
        send_id=raw["send_id"],
        kind=raw["kind"],
        operation=raw["operation"],
        destination=raw.get("destination", "inbox"),
        captured_at=raw.get("captured_at", 0),
        attachments=attachments,
        payload=raw["payload"],
        canonical=canonical,
        content=_content(raw, attachments),
    )


def _malformed(
    raw: dict[str, Any], code: str, detail: str, fields: dict[str, str] | None = None
) -> Malformed:
    return Malformed(raw["id"], raw["send_id"], code, detail, fields or {})


def _wrong_fields(raw: dict[str, Any]) -> dict[str, str]:
    """Field -> what is wrong with its form. Unknown fields are left alone: a later app may add."""
    rules: dict[str, tuple[bool, str]] = {
        "kind": (_short_text(raw.get("kind")), "Text."),
        "operation": (_short_text(raw.get("operation")), "Text."),
        "destination": (_short_text(raw.get("destination", "inbox")), "Text."),
        "entity": (raw.get("entity") is None or _short_text(raw["entity"]), "Text or null."),
        "base_version": (
            raw.get("base_version") is None
            or (type(raw["base_version"]) is int and abs(raw["base_version"]) < 2**53)
            or _short_text(raw["base_version"]),
            "Text, a whole number or null.",
        ),
        "depends_on": (_uuids(raw.get("depends_on", [])), "A list of ids."),
        "captured_at": (
            type(raw.get("captured_at", 0)) is int and 0 <= raw.get("captured_at", 0) < 2**53,
            "Milliseconds since 1970.",
        ),
        "payload": (isinstance(raw.get("payload"), dict), "An object."),
        "payload_sha256": (
            isinstance(raw.get("payload_sha256"), str)
            and _SHA256_HEX.match(raw["payload_sha256"]) is not None,
            "64 hexadecimal digits in lower case.",
        ),
    }
    wrong = {name: says for name, (right, says) in rules.items() if not right}
    if said := _wrong_attachments(raw.get("attachments")):
        wrong["attachments"] = said
    return wrong


def _short_text(value: object, most: int = _TEXT_MAX) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= most:
        return False
    # JSON can spell half a surrogate pair, UTF-8 cannot.
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _uuids(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _DEPENDENCIES_MAX and all(map(is_uuid, value))


def _wrong_attachments(raw: Any) -> str:
    if raw is None:
        return ""
    if not isinstance(raw, list) or len(raw) > ATTACHMENTS_PER_ITEM_MAX:
        return f"A list of at most {ATTACHMENTS_PER_ITEM_MAX}."
    said = [wrong for each in raw if (wrong := _wrong_attachment(each))]
    if said:
        return said[0]
    return "" if len({each["id"] for each in raw}) == len(raw) else "The same id twice."


def _wrong_attachment(raw: Any) -> str:
    if not isinstance(raw, dict) or not is_uuid(raw.get("id")):
        return "An attachment has no id."
    name, type_, size, digests = (raw.get(key) for key in ("name", "type", "size", "sha256"))
    if not _short_text(name, _NAME_MAX):
        return f"A name has 1 to {_NAME_MAX} characters."
    if not isinstance(type_, str) or not _MEDIA_TYPE.match(type_.partition(";")[0].strip()):
        return "A type is a media type, or empty."
    if type(size) is not int or not 0 <= size <= ATTACHMENT_BYTES_MAX:
        return f"An attachment has at most {ATTACHMENT_BYTES_MAX} bytes."
    if not isinstance(digests, list) or not all(_digest(each) for each in digests):
        return "sha256 lists the digest of each part in base64."
    # An empty file is no part at all or one empty part.
    allowed = {-(-size // PART_BYTES)} if size else {0, 1}
    if raw.get("parts") != len(digests) or len(digests) not in allowed:
        return f"{size} bytes are {max(allowed)} parts of {PART_BYTES} bytes, each with a digest."
    return ""


def _digest(text: object) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == hashlib.sha256().digest_size else None


def _attachment(raw: dict[str, Any]) -> Attachment:
    digests = tuple(_digest(each) or b"" for each in raw["sha256"])
    media_type = raw["type"].partition(";")[0].strip().lower()
    return Attachment(raw["id"], raw["name"], media_type, raw["size"], digests)


def _content(raw: dict[str, Any], attachments: tuple[Attachment, ...]) -> str:
    """Everything a destination sees. `captured_at` is left out: it changes nothing there."""
    seen = [
        raw["id"],
        raw["kind"],
        raw["operation"],
        raw.get("destination", "inbox"),
        raw.get("entity"),
        raw.get("base_version"),
        raw["payload_sha256"],
        [[a.id, a.name, a.size, [d.hex() for d in a.sha256]] for a in attachments],
    ]
    # A list of texts and whole numbers has one spelling; RFC 8785 would say the same, slower.
    return hashlib.sha256(json.dumps(seen, separators=(",", ":")).encode()).hexdigest()

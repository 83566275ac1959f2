"""A destination behind the gateway, as the intake sees it: what arrives for it is kept in the
ledger's own commit, and handed to the queue that relays it (`relay.Relay`) afterwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fieldpost.destinations.base import Destination, Discovered
from fieldpost.destinations.entry import entry, taken
from fieldpost.runtime.followups import ATTACH, ATTACHMENT
from fieldpost.security.cipher import Cipher

from .destinations import Entry
from .devices import DEFAULT_WORKSPACE
from .ledger import Answer
from .tables import QUEUED, READY, TOLD, WAITS, Onward, Tx
from .wire import Operation

#: What belongs to a workspace other than the first one is known to the destination by ids made of
#: both names, so no workspace can speak of another one's.
_WORKSPACES = uuid.UUID("6f1c6f2e-8f0e-5b0e-9d53-0c0f5f1d7c10")


@dataclass(frozen=True, slots=True)
class Relayable:
    """One entry that is whole and waits for the queue."""

    entry: int
    item: str
    destination: str
    body: dict[str, Any]


class Relayed:
    """``said``: what the destination says of itself, as last heard (`discover`)."""

    def __init__(self, name: str, title: str, destination: Destination, cipher: Cipher) -> None:
        self.name = name
        self.title = title
        self.destination = destination
        self.declaration = destination.declaration
        self.said = Discovered()
        self.state = "unproven"
        self._cipher = cipher

    def describe(self) -> dict[str, Any]:
        return entry(self.name, self.title, self.destination, self.said, self.state)

    def refuse(self, operation: Operation) -> Answer | None:
        kind, files = operation.kind, bool(operation.attachments)
        if kind == ATTACHMENT and operation.operation == ATTACH and self.declaration.attachments:
            return None  # a file that was refused, once more
        if kind not in taken(self.declaration):
            return _refused("UNKNOWN_KIND", f"{self.title} does not take this.", "kind")
        if operation.operation != "create":
            return _refused(
                "UNSUPPORTED_OPERATION", f"{self.title} only takes new things.", "operation"
            )
        if files and not self.declaration.attachments:
            return _refused("UNSUPPORTED_FILES", f"{self.title} takes no files.", "attachments")
        return None

    def take(self, tx: Tx, entry: Entry) -> None:
        operation = entry.operation
        body = {
            "device": entry.device,
            "send_id": operation.send_id,
            "operation_id": operation.id,
            "kind": operation.kind,
            "operation": operation.operation,
            "captured_at": operation.captured_at,
            "payload": operation.payload,
            "attachments": [
                {"id": file_id(entry.n, at), "size": each.size, "parts": each.parts}
                for at, each in enumerate(operation.attachments)
            ],
        }
        kid, sealed = self._cipher.seal(
            _place(entry.n), "relay", "body", json.dumps(body, ensure_ascii=False).encode()
        )
        onward = Onward(
            entry.n,
            _item_id(tx, entry),
            entry.workspace,
            operation.id,
            operation.send_id,
            self.name,
            WAITS,
            kid,
            sealed,
        )
        tx.relay(onward, [each.id for each in operation.attachments])

    def complete(self, tx: Tx, n: int) -> Answer:
        tx.stage(n, READY)
        return Answer("handed_over")


def ready(tx: Tx, cipher: Cipher, destination: str, limit: int) -> list[Relayable]:
    """Entries that are whole, of each device in turn. Raises `DecryptionError`."""
    return [_relayable(each, cipher) for each in tx.ready(destination, limit)]


def _relayable(each: Onward, cipher: Cipher) -> Relayable:
    assert each.kid is not None
    assert each.body is not None  # it goes with the stage
    body = cipher.open(each.kid, _place(each.entry), "relay", "body", each.body)
    return Relayable(each.entry, each.item, each.destination, json.loads(body))


def queued(tx: Tx, entries: Sequence[int]) -> None:
    """The queue has them durably."""
    for n in entries:
        tx.stage(n, QUEUED, drop_body=True)


def follow(tx: Tx, entry: int, item: str) -> None:
    """From now on the end of this row of the queue is the end of the entry."""
    tx.rename(entry, item)


def before(tx: Tx, entry: int) -> list[str]:
    """Items of earlier keys of the same operation, the newest first."""
    mine = tx.onward(entry)
    if mine is None:
        return []
    items = tx.items_of(mine.workspace, mine.operation_id)
    at = [n for n, _ in items].index(entry)
    return [item for _, item in reversed(items[:at])]


def has_later(tx: Tx, item: str) -> bool:
    """Whether the operation of this row of the queue has come again since, under a later key."""
    mine = tx.onward_of(item)
    if mine is None:
        return False
    return any(n > mine.entry for n, _ in tx.items_of(mine.workspace, mine.operation_id))


def entry_of(tx: Tx, item: str) -> tuple[int, str, str] | None:
    """(ledger entry, workspace, send_id) of a row of the queue."""
    found = tx.onward_of(item)
    return None if found is None else (found.entry, found.workspace, found.send_id)


def told(tx: Tx, entry: int) -> None:
    tx.stage(entry, TOLD)


def file_id(entry: int, position: int) -> str:
    """The id of an attachment in the queue: where it lies here. A device's own ids are not used:
    one could name another's file."""
    # UUIDv8 (RFC 9562 section 5.8): 48 bits of ours, version, variant, 62 bits of ours.
    return str(uuid.UUID(int=(entry << 80) | (0x8 << 76) | (0b10 << 62) | position))


def file_place(attachment_id: str) -> tuple[int, int]:
    """The inverse of `file_id`: (ledger entry, position)."""
    number = uuid.UUID(attachment_id).int
    return number >> 80, number & ((1 << 62) - 1)


def _item_id(tx: Tx, entry: Entry) -> str:
    """The device's own id, so that the same name leads to it everywhere; a later key of the same
    operation has an id of its own, since of the earlier one something may be there."""
    operation_id, workspace = entry.operation.id, entry.workspace
    if tx.items_of(workspace, operation_id):
        return str(uuid.uuid5(_WORKSPACES, f"{workspace}/{operation_id}/{entry.n}"))
    if workspace != DEFAULT_WORKSPACE:
        return str(uuid.uuid5(_WORKSPACES, f"{workspace}/{operation_id}"))
    return operation_id


def _place(entry: int) -> str:
    """The id that an entry's body is sealed under."""
    return f"relay/{entry}"


def _refused(code: str, detail: str, field: str) -> Answer:
    return Answer("rejected", code=code, detail=detail, fields={field: detail})

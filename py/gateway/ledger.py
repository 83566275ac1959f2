"""The memory of every send_id: what makes a repeated request have one effect (DESIGN section 7).

A table of its own, outside retention, written in the same commit as what the key caused. All
functions take the open transaction; nothing here commits.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

from fieldpost.engine.errors import DecryptionError
from fieldpost.security.cipher import Cipher

from .tables import OPEN_STATES, Expected, Row, Tx
from .wire import Attachment, Operation

_log = logging.getLogger("gateway")

#: States of which a new key for the same operation may start afresh: nothing came of it.
UNDONE_STATES = frozenset({"rejected", "conflict"})

RETENTION_MS = 400 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """How an operation stands. ``status`` as on the wire; None members are left out there."""

    status: str
    remote_id: str | None = None
    remote_url: str | None = None
    code: str | None = None
    detail: str | None = None
    fields: dict[str, str] | None = None
    #: Attachments that the destination will never take: id -> {"code", "detail"}.
    refused: dict[str, dict[str, str]] | None = None
    remote_name: str | None = None

    def wire(self) -> dict[str, Any]:
        # Not asdict: it copies deeply, and this runs for every operation.
        members = ((name, getattr(self, name)) for name in _ANSWER_MEMBERS)
        return {name: value for name, value in members if value is not None}


_ANSWER_MEMBERS = tuple(Answer.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Progress:
    """One attachment of an entry: ``held`` of its parts are durable here."""

    entry: int
    position: int
    attachment_id: str
    held: int
    attachment: Attachment


class Ledger:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def find(self, tx: Tx, workspace: str, send_id: str) -> Row | None:
        """The row of this key; its ``alias`` is not followed."""
        return tx.by_key(workspace, send_id)

    def follow(self, tx: Tx, row: Row) -> Row:
        """The row that holds the answer of ``row``."""
        if row.alias is None:
            return row
        target = self.entry(tx, row.alias)
        assert target is not None  # `prune` keeps what an alias points to
        return target

    def latest(self, tx: Tx, workspace: str, operation_id: str) -> Row | None:
        """The newest row of an operation, whatever its key."""
        return tx.latest(workspace, operation_id)

    def entry(self, tx: Tx, n: int) -> Row | None:
        return tx.row(n)

    def mark(self, operation: Operation) -> str:
        """What is stored of an operation's content to know it again."""
        return self._cipher.mark("content", operation.content)

    def insert(
        self,
        tx: Tx,
        workspace: str,
        device: str,
        operation: Operation,
        *,
        state: str,
        now: int,
        alias: int | None = None,
    ) -> Row:
        """Write the row of a key not seen before."""
        row = Row(
            n=0,
            workspace=workspace,
            send_id=operation.send_id,
            operation_id=operation.id,
            alias=alias,
            device=device,
            destination=operation.destination,
            content=self.mark(operation),
            state=state,
            kid=None,
            answer=None,
        )
        row.n = tx.add(row, now)
        if alias is None and operation.attachments:
            self._expect_parts(tx, row.n, operation.attachments)
        return row

    def record(self, tx: Tx, row: Row, answer: Answer, now: int) -> None:
        """Store an entry's answer, in ``row`` too; every later request with its key gets it."""
        kid, sealed = self._cipher.seal(
            _place(row), "ledger", "answer", json.dumps(answer.wire()).encode()
        )
        settled = None if answer.status in OPEN_STATES else now
        row.state, row.kid, row.answer = answer.status, kid, sealed
        tx.answer(row, settled)

    def answer(self, row: Row) -> Answer:
        """The stored answer; what is left of it when the row was damaged on the disk.

        Such a row must neither stop the others of its batch nor be taken for new.
        """
        if row.kid is None or row.answer is None:
            return Answer(row.state)
        try:
            text = self._cipher.open(row.kid, _place(row), "ledger", "answer", row.answer)
        except DecryptionError:
            _log.error("The answer of ledger row %d does not open.", row.n)
            return Answer(row.state, code="ANSWER_UNREADABLE", detail="Its details are damaged.")
        members = json.loads(text)  # a later version may have written more of them
        return Answer(**{name: members[name] for name in _ANSWER_MEMBERS if name in members})

    def watch(self, tx: Tx, row: Row, device: str, send_id: str) -> None:
        """Another device or key holds the same item (a rescue file): it gets the receipt too."""
        if (device, send_id) != (row.device, row.send_id):
            tx.watch(row.n, device, send_id)

    def receipt(self, tx: Tx, row: Row) -> None:
        """Tell every device that waits for the end of ``row``."""
        tx.receipt(row)

    def receipts(
        self, tx: Tx, workspace: str, device: str, after: int, limit: int
    ) -> list[tuple[int, str, Row]]:
        """(cursor, send_id the device knows it by, entry) after the cursor, ascending."""
        found = tx.receipts(workspace, device, after, limit)
        rows = [(cursor, send_id, self.entry(tx, n)) for cursor, send_id, n in found]
        return [(cursor, send_id, row) for cursor, send_id, row in rows if row is not None]

    def cursor(self, tx: Tx, workspace: str, device: str) -> int:
        """The newest receipt of this device, 0 when there is none."""
        return tx.cursor(workspace, device)

    def progress(self, tx: Tx, n: int) -> list[Progress]:
        """The attachments of an entry, in order."""
        return [
            Progress(
                n,
                each.position,
                each.attachment_id,
                each.held,
                self._open_manifest(each.attachment_id, each.kid, each.manifest),
            )
            for each in tx.attached(n)
        ]

    def held(self, tx: Tx, n: int) -> dict[str, int]:
        """Attachment id -> parts held, of an entry."""
        return tx.held(n)

    def missing(self, tx: Tx, n: int) -> bool:
        """Whether parts of an entry are still to come."""
        return any(each.held < each.parts for each in tx.attached(n))

    def hold(self, tx: Tx, progress: Progress, n: int) -> None:
        """Part ``n`` is durable."""
        tx.hold(progress.entry, progress.position, n)

    def acknowledge(
        self,
        tx: Tx,
        workspace: str,
        device: str,
        send_ids: tuple[str, ...],
        now: int,
    ) -> None:
        """The owner has stored how these ended: from now on their rows may go, in 400 days."""
        tx.acknowledge(workspace, device, send_ids, now)

    def prune(self, tx: Tx, now: int) -> int:
        """Remove rows acknowledged more than 400 days ago; unacknowledged ones never go.

        Returns how many went; some may be left when they are many. Attachments stay: they belong to
        what arrived.
        """
        return tx.forget(now - RETENTION_MS)

    def _expect_parts(self, tx: Tx, n: int, attachments: tuple[Attachment, ...]) -> None:
        expected = []
        for position, each in enumerate(attachments):
            kid, sealed = self._cipher.seal(each.id, "attachment", "manifest", _manifest(each))
            expected.append(Expected(position, each.id, each.parts, 0, kid, sealed))
        tx.expect(n, expected)

    def _open_manifest(self, attachment_id: str, kid: str, sealed: bytes) -> Attachment:
        raw = json.loads(self._cipher.open(kid, attachment_id, "attachment", "manifest", sealed))
        raw["sha256"] = tuple(bytes.fromhex(each) for each in raw["sha256"])
        return Attachment(**raw)


def _place(row: Row) -> str:
    return f"{row.workspace}/{row.send_id}"


def _manifest(attachment: Attachment) -> bytes:
    raw = asdict(attachment)
    raw["sha256"] = [each.hex() for each in attachment.sha256]
    return json.dumps(raw).encode()

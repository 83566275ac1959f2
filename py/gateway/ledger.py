"""The memory of every send_id: what makes a repeated request have one effect (DESIGN section 7).

A table of its own, outside retention, written in the same commit as what the key caused. All
functions take the open transaction; nothing here commits.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from fieldpost.engine.errors import DecryptionError
from fieldpost.security.cipher import Cipher

from .wire import Attachment, Operation

_log = logging.getLogger("gateway")

SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (
  n INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: parts on disk are named after it
  workspace TEXT NOT NULL,
  send_id TEXT NOT NULL,
  operation_id TEXT NOT NULL,
  alias INTEGER,                        -- the row this key has its answer from
  device TEXT NOT NULL,
  destination TEXT NOT NULL,
  content TEXT NOT NULL,                -- HMAC: a bare hash would confirm guesses
  state TEXT NOT NULL,
  kid TEXT, answer BLOB,                -- sealed
  created_at INTEGER NOT NULL, settled_at INTEGER, acked_at INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS ledger_key ON ledger (workspace, send_id);
CREATE INDEX IF NOT EXISTS ledger_operation ON ledger (workspace, operation_id);
CREATE INDEX IF NOT EXISTS ledger_acked ON ledger (acked_at) WHERE acked_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS attachments (
  entry INTEGER NOT NULL, position INTEGER NOT NULL, attachment_id TEXT NOT NULL,
  parts INTEGER NOT NULL, held INTEGER NOT NULL,
  kid TEXT NOT NULL, manifest BLOB NOT NULL,
  PRIMARY KEY (entry, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ledger_alias ON ledger (alias) WHERE alias IS NOT NULL;
CREATE TABLE IF NOT EXISTS watchers (
  entry INTEGER NOT NULL, device TEXT NOT NULL, send_id TEXT NOT NULL,
  PRIMARY KEY (entry, device, send_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (
  cursor INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER NOT NULL,
  workspace TEXT NOT NULL, device TEXT NOT NULL, send_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS receipts_device ON receipts (workspace, device, cursor);
CREATE INDEX IF NOT EXISTS receipts_entry ON receipts (entry);
-- Counted in the same commit, so that metrics never count rows.
CREATE TABLE IF NOT EXISTS counters (state TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS ledger_in AFTER INSERT ON ledger BEGIN
  INSERT INTO counters VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS ledger_out AFTER DELETE ON ledger BEGIN
  UPDATE counters SET n = n - 1 WHERE state = old.state;
END;
CREATE TRIGGER IF NOT EXISTS ledger_moved AFTER UPDATE OF state ON ledger BEGIN
  UPDATE counters SET n = n - 1 WHERE state = old.state;
  INSERT INTO counters VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;
"""

#: States without an end: a row in one of them waits for parts or for `settle`.
OPEN_STATES = frozenset({"accepted", "handed_over", "busy"})
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

    def wire(self) -> dict[str, Any]:
        # Not asdict: it copies deeply, and this runs for every operation.
        members = ((name, getattr(self, name)) for name in _ANSWER_MEMBERS)
        return {name: value for name, value in members if value is not None}


_ANSWER_MEMBERS = tuple(Answer.__dataclass_fields__)


@dataclass(slots=True)
class Row:
    """One row of the ledger, the answer still sealed."""

    n: int
    workspace: str
    send_id: str
    operation_id: str
    alias: int | None
    device: str
    destination: str
    content: str
    state: str
    kid: str | None
    answer: bytes | None


_SELECT = (
    "SELECT n, workspace, send_id, operation_id, alias, device, destination, content, state,"
    " kid, answer FROM ledger "
)


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

    def find(self, tx: sqlite3.Connection, workspace: str, send_id: str) -> Row | None:
        """The row of this key; its ``alias`` is not followed."""
        return self._one(tx, "WHERE workspace = ? AND send_id = ?", (workspace, send_id))

    def follow(self, tx: sqlite3.Connection, row: Row) -> Row:
        """The row that holds the answer of ``row``."""
        if row.alias is None:
            return row
        target = self.entry(tx, row.alias)
        assert target is not None  # `prune` keeps what an alias points to
        return target

    def latest(self, tx: sqlite3.Connection, workspace: str, operation_id: str) -> Row | None:
        """The newest row of an operation, whatever its key."""
        where = "WHERE workspace = ? AND operation_id = ? ORDER BY n DESC LIMIT 1"
        return self._one(tx, where, (workspace, operation_id))

    def entry(self, tx: sqlite3.Connection, n: int) -> Row | None:
        return self._one(tx, "WHERE n = ?", (n,))

    def mark(self, operation: Operation) -> str:
        """What is stored of an operation's content to know it again."""
        return self._cipher.mark("content", operation.content)

    def insert(
        self,
        tx: sqlite3.Connection,
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
        cursor = tx.execute(
            "INSERT INTO ledger (workspace, send_id, operation_id, alias, device, destination,"
            " content, state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                workspace,
                row.send_id,
                row.operation_id,
                alias,
                device,
                row.destination,
                row.content,
                state,
                now,
            ),
        )
        assert cursor.lastrowid is not None
        row.n = cursor.lastrowid
        if alias is None and operation.attachments:
            self._expect_parts(tx, row.n, operation.attachments)
        return row

    def record(self, tx: sqlite3.Connection, row: Row, answer: Answer, now: int) -> None:
        """Store an entry's answer, in ``row`` too; every later request with its key gets it."""
        kid, sealed = self._cipher.seal(
            _place(row), "ledger", "answer", json.dumps(answer.wire()).encode()
        )
        settled = None if answer.status in OPEN_STATES else now
        tx.execute(
            "UPDATE ledger SET state = ?, kid = ?, answer = ?, settled_at = ? WHERE n = ?",
            (answer.status, kid, sealed, settled, row.n),
        )
        row.state, row.kid, row.answer = answer.status, kid, sealed

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
        return Answer(**json.loads(text))

    def watch(self, tx: sqlite3.Connection, row: Row, device: str, send_id: str) -> None:
        """Another device or key holds the same item (a rescue file): it gets the receipt too."""
        if (device, send_id) != (row.device, row.send_id):
            tx.execute("INSERT OR IGNORE INTO watchers VALUES (?, ?, ?)", (row.n, device, send_id))

    def receipt(self, tx: sqlite3.Connection, row: Row) -> None:
        """Tell every device that waits for the end of ``row``."""
        tx.execute(
            "INSERT INTO receipts (entry, workspace, device, send_id)"
            " SELECT n, workspace, device, send_id FROM ledger WHERE n = ?1"
            " UNION SELECT ?1, ?2, device, send_id FROM watchers WHERE entry = ?1",
            (row.n, row.workspace),
        )

    def receipts(
        self, tx: sqlite3.Connection, workspace: str, device: str, after: int, limit: int
    ) -> list[tuple[int, str, Row]]:
        """(cursor, send_id the device knows it by, entry) after the cursor, ascending."""
        found = tx.execute(
            "SELECT cursor, send_id, entry FROM receipts"
            " WHERE workspace = ? AND device = ? AND cursor > ? ORDER BY cursor LIMIT ?",
            (workspace, device, after, limit),
        ).fetchall()
        rows = [(cursor, send_id, self.entry(tx, n)) for cursor, send_id, n in found]
        return [(cursor, send_id, row) for cursor, send_id, row in rows if row is not None]

    def cursor(self, tx: sqlite3.Connection, workspace: str, device: str) -> int:
        """The newest receipt of this device, 0 when there is none."""
        (cursor,) = tx.execute(
            "SELECT coalesce(max(cursor), 0) FROM receipts WHERE workspace = ? AND device = ?",
            (workspace, device),
        ).fetchone()
        return int(cursor)

    def progress(self, tx: sqlite3.Connection, n: int) -> list[Progress]:
        """The attachments of an entry, in order."""
        found = tx.execute(
            "SELECT entry, position, attachment_id, held, kid, manifest FROM attachments"
            " WHERE entry = ? ORDER BY position",
            (n,),
        )
        return [
            Progress(entry, position, id_, held, self._open_manifest(id_, kid, manifest))
            for entry, position, id_, held, kid, manifest in found
        ]

    def held(self, tx: sqlite3.Connection, n: int) -> dict[str, int]:
        """Attachment id -> parts held, of an entry."""
        query = "SELECT attachment_id, held FROM attachments WHERE entry = ? ORDER BY position"
        return dict(tx.execute(query, (n,)).fetchall())

    def missing(self, tx: sqlite3.Connection, n: int) -> bool:
        """Whether parts of an entry are still to come."""
        query = "SELECT 1 FROM attachments WHERE entry = ? AND held < parts LIMIT 1"
        return tx.execute(query, (n,)).fetchone() is not None

    def hold(self, tx: sqlite3.Connection, progress: Progress, n: int) -> None:
        """Part ``n`` is durable."""
        tx.execute(
            "UPDATE attachments SET held = ? WHERE entry = ? AND position = ?",
            (n, progress.entry, progress.position),
        )

    def acknowledge(
        self,
        tx: sqlite3.Connection,
        workspace: str,
        device: str,
        send_ids: tuple[str, ...],
        now: int,
    ) -> None:
        """The owner has stored how these ended: from now on their rows may go, in 400 days."""
        tx.executemany(
            "UPDATE ledger SET acked_at = ? WHERE workspace = ? AND send_id = ? AND device = ?"
            " AND acked_at IS NULL AND state NOT IN ('accepted', 'handed_over', 'busy')",
            [(now, workspace, send_id, device) for send_id in send_ids],
        )

    def prune(self, tx: sqlite3.Connection, now: int) -> int:
        """Remove rows acknowledged more than 400 days ago; unacknowledged ones never go.

        Returns how many went. Attachments stay: they belong to what arrived.
        """
        gone = tx.execute(
            "DELETE FROM ledger WHERE acked_at < ?"
            " AND n NOT IN (SELECT alias FROM ledger WHERE alias IS NOT NULL)"
            " RETURNING n",
            (now - RETENTION_MS,),
        ).fetchall()
        tx.executemany("DELETE FROM receipts WHERE entry = ?", gone)
        tx.executemany("DELETE FROM watchers WHERE entry = ?", gone)
        return len(gone)

    def _one(self, tx: sqlite3.Connection, where: str, values: tuple[str | int, ...]) -> Row | None:
        found = tx.execute(_SELECT + where, values).fetchone()
        return None if found is None else Row(*found)

    def _expect_parts(
        self, tx: sqlite3.Connection, n: int, attachments: tuple[Attachment, ...]
    ) -> None:
        for position, each in enumerate(attachments):
            kid, sealed = self._cipher.seal(each.id, "attachment", "manifest", _manifest(each))
            tx.execute(
                "INSERT INTO attachments VALUES (?, ?, ?, ?, 0, ?, ?)",
                (n, position, each.id, each.parts, kid, sealed),
            )

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

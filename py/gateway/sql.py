"""The tables in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from .tables import Arrived, Expected, Onward, Row

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
CREATE INDEX IF NOT EXISTS ledger_open ON ledger (workspace, device)
  WHERE state IN ('accepted', 'handed_over', 'busy');
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
CREATE TABLE IF NOT EXISTS arrivals (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  entry INTEGER NOT NULL UNIQUE,
  operation_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  captured_at INTEGER NOT NULL, arrived_at INTEGER NOT NULL,
  kid TEXT NOT NULL, head BLOB NOT NULL, body_kid TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS arrivals_logs ON arrivals (number) WHERE kind = 'log';
CREATE TABLE IF NOT EXISTS relay (
  entry INTEGER PRIMARY KEY,            -- of the ledger
  item TEXT NOT NULL UNIQUE,            -- its id in the queue, and at the destination
  workspace TEXT NOT NULL, operation_id TEXT NOT NULL, send_id TEXT NOT NULL,
  destination TEXT NOT NULL,
  stage INTEGER NOT NULL,
  kid TEXT, body BLOB                   -- sealed; gone once the queue has it
);
CREATE INDEX IF NOT EXISTS relay_ready ON relay (entry) WHERE stage = 1;
CREATE INDEX IF NOT EXISTS relay_operation ON relay (workspace, operation_id);
"""

_ROW = (
    "SELECT n, workspace, send_id, operation_id, alias, device, destination, content, state,"
    " kid, answer FROM ledger "
)
_ARRIVAL = (
    "SELECT number, entry, operation_id, kind, captured_at, arrived_at, kid, head FROM arrivals "
)
_ONWARD = (
    "SELECT entry, item, workspace, operation_id, send_id, destination, stage, kid, body"
    " FROM relay "
)


class SqlTx:
    """`tables.Tx` over a connection that is within a transaction, or only reads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.execute = connection.execute

    # --- the ledger --------------------------------------------------------------------------

    def foresee(
        self, workspace: str, send_ids: Sequence[str], operation_ids: Sequence[str]
    ) -> None:
        """They are near."""

    def by_key(self, workspace: str, send_id: str) -> Row | None:
        return self._row("WHERE workspace = ? AND send_id = ?", workspace, send_id)

    def latest(self, workspace: str, operation_id: str) -> Row | None:
        where = "WHERE workspace = ? AND operation_id = ? ORDER BY n DESC LIMIT 1"
        return self._row(where, workspace, operation_id)

    def row(self, n: int) -> Row | None:
        return self._row("WHERE n = ?", n)

    def add(self, row: Row, now: int) -> int:
        cursor = self.execute(
            "INSERT INTO ledger (workspace, send_id, operation_id, alias, device, destination,"
            " content, state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.workspace,
                row.send_id,
                row.operation_id,
                row.alias,
                row.device,
                row.destination,
                row.content,
                row.state,
                now,
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def answer(self, row: Row, settled_at: int | None) -> None:
        self.execute(
            "UPDATE ledger SET state = ?, kid = ?, answer = ?, settled_at = ? WHERE n = ?",
            (row.state, row.kid, row.answer, settled_at, row.n),
        )

    def acknowledge(self, workspace: str, device: str, send_ids: Sequence[str], now: int) -> None:
        self._connection.executemany(
            "UPDATE ledger SET acked_at = ? WHERE workspace = ? AND send_id = ? AND device = ?"
            " AND acked_at IS NULL AND state NOT IN ('accepted', 'handed_over', 'busy')",
            [(now, workspace, send_id, device) for send_id in send_ids],
        )

    def forget(self, before: int) -> int:
        gone = self.execute(
            "DELETE FROM ledger WHERE acked_at < ?"
            " AND n NOT IN (SELECT alias FROM ledger WHERE alias IS NOT NULL)"
            " RETURNING n",
            (before,),
        ).fetchall()
        self._connection.executemany("DELETE FROM receipts WHERE entry = ?", gone)
        self._connection.executemany("DELETE FROM watchers WHERE entry = ?", gone)
        return len(gone)

    def states(self) -> dict[str, int]:
        return dict(self.execute("SELECT state, n FROM counters").fetchall())

    def open_of(self) -> dict[tuple[str, str], int]:
        # In the words of the partial index, which has no other rows.
        found = self.execute(
            "SELECT workspace, device, count(*) FROM ledger"
            " WHERE state IN ('accepted', 'handed_over', 'busy') GROUP BY workspace, device"
        )
        return {(workspace, device): n for workspace, device, n in found}

    def _row(self, where: str, *values: str | int) -> Row | None:
        found = self.execute(_ROW + where, values).fetchone()
        return None if found is None else Row(*found)

    # --- attachments -------------------------------------------------------------------------

    def expect(self, n: int, attachments: Sequence[Expected]) -> None:
        self._connection.executemany(
            "INSERT INTO attachments VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    n,
                    each.position,
                    each.attachment_id,
                    each.parts,
                    each.held,
                    each.kid,
                    each.manifest,
                )
                for each in attachments
            ],
        )

    def attached(self, n: int) -> list[Expected]:
        found = self.execute(
            "SELECT position, attachment_id, parts, held, kid, manifest FROM attachments"
            " WHERE entry = ? ORDER BY position",
            (n,),
        )
        return [Expected(*each) for each in found]

    def held(self, n: int) -> dict[str, int]:
        query = "SELECT attachment_id, held FROM attachments WHERE entry = ? ORDER BY position"
        return dict(self.execute(query, (n,)).fetchall())

    def hold(self, n: int, position: int, held: int) -> None:
        self.execute(
            "UPDATE attachments SET held = ? WHERE entry = ? AND position = ?", (held, n, position)
        )

    # --- receipts ----------------------------------------------------------------------------

    def watch(self, n: int, device: str, send_id: str) -> None:
        self.execute("INSERT OR IGNORE INTO watchers VALUES (?, ?, ?)", (n, device, send_id))

    def receipt(self, row: Row) -> None:
        self.execute(
            "INSERT INTO receipts (entry, workspace, device, send_id)"
            " SELECT n, workspace, device, send_id FROM ledger WHERE n = ?1"
            " UNION SELECT ?1, ?2, device, send_id FROM watchers WHERE entry = ?1",
            (row.n, row.workspace),
        )

    def receipts(
        self, workspace: str, device: str, after: int, limit: int
    ) -> list[tuple[int, str, int]]:
        return self.execute(
            "SELECT cursor, send_id, entry FROM receipts"
            " WHERE workspace = ? AND device = ? AND cursor > ? ORDER BY cursor LIMIT ?",
            (workspace, device, after, limit),
        ).fetchall()

    def cursor(self, workspace: str, device: str) -> int:
        (cursor,) = self.execute(
            "SELECT coalesce(max(cursor), 0) FROM receipts WHERE workspace = ? AND device = ?",
            (workspace, device),
        ).fetchone()
        return int(cursor)

    # --- the inbox ---------------------------------------------------------------------------

    def arrive(self, arrival: Arrived, body_kid: str, body: bytes) -> None:
        self.execute(
            "INSERT INTO arrivals (entry, operation_id, kind, captured_at, arrived_at, kid, head,"
            " body_kid, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                arrival.entry,
                arrival.operation_id,
                arrival.kind,
                arrival.captured_at,
                arrival.arrived_at,
                arrival.kid,
                arrival.head,
                body_kid,
                body,
            ),
        )

    def number_of(self, entry: int) -> int:
        (number,) = self.execute("SELECT number FROM arrivals WHERE entry = ?", (entry,)).fetchone()
        return int(number)

    def arrivals(self, before: int, limit: int, *, logs: bool) -> list[Arrived]:
        which = "kind = 'log'" if logs else "kind <> 'log'"
        query = f"{_ARRIVAL} WHERE {which} AND number < ? ORDER BY number DESC LIMIT ?"
        return [Arrived(*each) for each in self.execute(query, (before, limit))]

    def arrival(self, number: int) -> Arrived | None:
        found = self.execute(_ARRIVAL + "WHERE number = ?", (number,)).fetchone()
        return None if found is None else Arrived(*found)

    def body(self, number: int) -> tuple[str, bytes]:
        query = "SELECT body_kid, body FROM arrivals WHERE number = ?"
        kid, body = self.execute(query, (number,)).fetchone()
        return kid, body

    def totals(self) -> tuple[int, int]:
        (total,) = self.execute("SELECT coalesce(max(number), 0) FROM arrivals").fetchone()
        (logs,) = self.execute("SELECT count(*) FROM arrivals WHERE kind = 'log'").fetchone()
        return total - logs, logs

    # --- the relay ---------------------------------------------------------------------------

    def relay(self, onward: Onward, attachment_ids: Sequence[str]) -> None:  # noqa: ARG002
        self.execute(
            "INSERT INTO relay VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                onward.entry,
                onward.item,
                onward.workspace,
                onward.operation_id,
                onward.send_id,
                onward.destination,
                onward.stage,
                onward.kid,
                onward.body,
            ),
        )

    def onward(self, entry: int) -> Onward | None:
        return self._onward("WHERE entry = ?", entry)

    def onward_of(self, item: str) -> Onward | None:
        return self._onward("WHERE item = ?", item)

    def items_of(self, workspace: str, operation_id: str) -> list[tuple[int, str]]:
        return self.execute(
            "SELECT entry, item FROM relay WHERE workspace = ? AND operation_id = ? ORDER BY entry",
            (workspace, operation_id),
        ).fetchall()

    def waiting(self, destinations: Sequence[str]) -> list[str]:
        query = "SELECT 1 FROM relay WHERE stage = 1 AND destination = ? LIMIT 1"
        return [name for name in destinations if self.execute(query, (name,)).fetchone()]

    def ready(self, destination: str, limit: int) -> list[Onward]:
        found = self.execute(
            "SELECT relay.entry, row_number()"
            " OVER (PARTITION BY ledger.workspace, ledger.device ORDER BY relay.entry) AS turn"
            " FROM relay JOIN ledger ON ledger.n = relay.entry"
            " WHERE relay.stage = 1 AND relay.destination = ? ORDER BY turn, relay.entry"
            " LIMIT ?",
            (destination, limit),
        ).fetchall()
        onward = (self.onward(entry) for entry, _ in found)
        return [each for each in onward if each is not None]

    def stage(self, entry: int, stage: int, *, drop_body: bool = False) -> None:
        self.execute("UPDATE relay SET stage = max(stage, ?) WHERE entry = ?", (stage, entry))
        if drop_body:
            self.execute("UPDATE relay SET kid = NULL, body = NULL WHERE entry = ?", (entry,))

    def rename(self, entry: int, item: str) -> None:
        self.execute("UPDATE relay SET item = item || '/' || entry WHERE item = ?", (item,))
        self.execute("UPDATE relay SET item = ? WHERE entry = ?", (item, entry))

    def file_of(self, workspace: str, attachment_id: str) -> tuple[int, int] | None:
        found: tuple[int, int] | None = self.execute(
            "SELECT attachments.entry, attachments.position FROM attachments"
            " JOIN relay ON relay.entry = attachments.entry"
            " WHERE relay.workspace = ? AND attachments.attachment_id = ?"
            " ORDER BY attachments.entry LIMIT 1",
            (workspace, attachment_id),
        ).fetchone()
        return found

    def _onward(self, where: str, *values: Any) -> Onward | None:
        found = self.execute(_ONWARD + where, values).fetchone()
        return None if found is None else Onward(*found)

"""The tables of the SQLite store, schema 2 (docs/formats.md §4), and how its file comes to be."""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
from pathlib import Path

from fieldpost.engine.config import Durability
from fieldpost.engine.errors import DatabaseError, QueueError, SchemaTooNew, StorageFull

from .rows import COUNTERS, KINDS_AT
from .sqlite_upgrade import upgrade

SCHEMA = 2

#: Another process's transaction is waited for this long; its group commit takes milliseconds.
BUSY_TIMEOUT_S = 10.0

# ``sequence`` is the rowid: inserts append, and every index ends in it without naming it.
# ``rank`` = the item's level, only when ready; ``wake`` = its due time, only when claimable and not
# ready; ``line`` = its turn among its entity's rows, only when it stands in line. The indexes over
# them are partial, so what is queued behind costs a claim nothing.
# Large columns come last: reading the others does not touch their overflow pages.
_DDL = """
CREATE TABLE meta (name TEXT PRIMARY KEY, v INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE items (
  sequence INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL, operation TEXT NOT NULL, lane TEXT NOT NULL, send_id TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  state TEXT NOT NULL, priority INTEGER NOT NULL, revision INTEGER NOT NULL,
  ready INTEGER NOT NULL, rank INTEGER, wake INTEGER, line INTEGER,
  due_at INTEGER, not_before INTEGER, expires_at INTEGER,
  attempts INTEGER NOT NULL, attempt INTEGER NOT NULL, step INTEGER NOT NULL,
  size INTEGER NOT NULL, body_bytes INTEGER NOT NULL, error_code TEXT,
  lease_owner TEXT, lease_until INTEGER, sent_at INTEGER, handed_to TEXT, schema INTEGER NOT NULL,
  entity TEXT, fingerprint TEXT, natural_key TEXT, owner TEXT, kid TEXT,
  parents TEXT, on_parent_failed TEXT,
  attachments TEXT, head BLOB, intent BLOB, history BLOB, links BLOB, body BLOB
);
CREATE INDEX items_listing ON items (state);
CREATE INDEX items_ready ON items (lane, rank) WHERE rank IS NOT NULL;
CREATE INDEX items_due ON items (lane, wake) WHERE wake IS NOT NULL;
CREATE INDEX items_retry ON items (lane, due_at) WHERE wake IS NOT NULL AND due_at IS NOT NULL;
CREATE INDEX items_fingerprint ON items (fingerprint, created_at) WHERE fingerprint IS NOT NULL;
CREATE INDEX items_natural_key ON items (natural_key, created_at) WHERE natural_key IS NOT NULL;
CREATE INDEX items_entity ON items (entity) WHERE entity IS NOT NULL;

CREATE INDEX items_line ON items (entity, line) WHERE line IS NOT NULL;
CREATE INDEX items_expiry ON items (state, expires_at)
  WHERE expires_at IS NOT NULL AND step = 0 AND state IN ('pending', 'blocked');

CREATE TABLE waits (
  parent_id TEXT, sequence INTEGER, PRIMARY KEY (parent_id, sequence)
) WITHOUT ROWID;

CREATE TABLE attached (
  attachment_id TEXT, item_id TEXT, PRIMARY KEY (attachment_id, item_id)
) WITHOUT ROWID;

CREATE TABLE journal (
  n INTEGER PRIMARY KEY, writer TEXT NOT NULL, k INTEGER NOT NULL, hash TEXT NOT NULL,
  text TEXT NOT NULL
);
CREATE INDEX journal_writer ON journal (writer);

CREATE TABLE inbox (
  n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL,
  kid TEXT NOT NULL, attachment_ids TEXT, data BLOB NOT NULL
);

CREATE TABLE blobs (
  attachment_id TEXT NOT NULL, n INTEGER NOT NULL, at INTEGER, kid TEXT NOT NULL,
  data BLOB NOT NULL, PRIMARY KEY (attachment_id, n)
);

CREATE TABLE side (
  "table" TEXT, key TEXT, kid TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY ("table", key)
) WITHOUT ROWID;
"""


def storage_error(error: sqlite3.Error | OSError) -> QueueError:
    """What the caller is told: full, or not to be had. No text of the row gets into it."""
    code = getattr(error, "sqlite_errorcode", None)
    failed: QueueError = StorageFull() if code == sqlite3.SQLITE_FULL else DatabaseError()
    failed.__cause__ = error
    return failed


def connect(
    path: Path, max_bytes: int | None, durability: Durability = "full"
) -> sqlite3.Connection:
    """A connection to the store in ``path``, which is made when there is none.

    Raises `SchemaTooNew`, `DatabaseError`.
    """
    try:
        if not path.exists():
            _create(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        connection = _open(path)
        if durability == "normal":  # chosen knowingly: the log is synced at checkpoints only
            connection.execute("PRAGMA synchronous = NORMAL")
    except (sqlite3.Error, OSError) as error:
        raise storage_error(error) from error
    try:
        upgrade(connection, SCHEMA)
        check_schema(dict(connection.execute("SELECT name, v FROM meta")))
        if max_bytes is not None:
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}")
    except sqlite3.Error as error:
        connection.close()
        raise storage_error(error) from error
    except QueueError:
        connection.close()
        raise
    return connection


def connect_reading(path: Path) -> sqlite3.Connection:
    """A connection that only reads, and waits for nobody, to the store that is in ``path``.

    It may be used in another thread than this one. Raises `DatabaseError`.
    """
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise storage_error(error) from error
    return connection


def check_schema(meta: dict[str, int]) -> None:
    """Invariant 9: what a newer version wrote is not touched. Checked in every transaction too."""
    if meta["schema"] > SCHEMA:
        raise SchemaTooNew


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    # Durable on return (invariant 2): in WAL mode, FULL syncs the log at every commit.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _create(path: Path) -> None:
    """Make the file under another name and link it into place whole.

    Of two processes that start at once one wins and the other uses its file; a crash leaves no
    half-made schema.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        connection = _open(draft)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_DDL)
            names = [("schema", SCHEMA), (KINDS_AT, 0), *((name, 0) for name in COUNTERS)]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", names)
        finally:
            connection.close()
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

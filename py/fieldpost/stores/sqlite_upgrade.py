"""From an older schema of the SQLite store to this one: only adds (invariant 9)."""

from __future__ import annotations

import sqlite3

#: Schema -> the statements that lead to it from the one before. What has been released never
#: changes: a file of any age goes through all of them, to the very tables of a new file but for
#: the order of columns.
UPGRADES: dict[int, tuple[str, ...]] = {
    2: (
        "ALTER TABLE items ADD COLUMN line INTEGER",
        "ALTER TABLE items ADD COLUMN parents TEXT",
        "ALTER TABLE items ADD COLUMN on_parent_failed TEXT",
        "ALTER TABLE items ADD COLUMN links BLOB",
        "ALTER TABLE items ADD COLUMN sent_at INTEGER",
        # The turn of the rows that stand in line, as `engine.ordering.turn` gives it.
        """
        UPDATE items SET line = NOT (
          state IN ('in_progress', 'unknown', 'handed_over')
          OR (state = 'pending' AND (attempt > 0 OR step > 0))
        ) WHERE entity IS NOT NULL AND state IN (
          'pending', 'blocked', 'in_progress', 'unknown', 'handed_over', 'conflicted', 'failed'
        )
        """,
        "CREATE INDEX items_line ON items (entity, line) WHERE line IS NOT NULL",
        """
        CREATE INDEX items_expiry ON items (state, expires_at)
          WHERE expires_at IS NOT NULL AND step = 0 AND state IN ('pending', 'blocked')
        """,
        """
        CREATE TABLE waits (
          parent_id TEXT, sequence INTEGER, PRIMARY KEY (parent_id, sequence)
        ) WITHOUT ROWID
        """,
    ),
}


def upgrade(connection: sqlite3.Connection, to: int) -> None:
    """Bring the file to schema ``to``, in one transaction; one that is there, or beyond, stays.

    A process that has it open writes nothing more from then on: it looks at the schema in each
    transaction (`sqlite_schema.check_schema`). Raises `sqlite3.Error`, the file as it was.
    """
    if _schema(connection) >= to:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for schema in range(_schema(connection) + 1, to + 1):  # another process may have won
            for statement in UPGRADES[schema]:
                connection.execute(statement)
            connection.execute("UPDATE meta SET v = ? WHERE name = 'schema'", (schema,))
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _schema(connection: sqlite3.Connection) -> int:
    found: tuple[int] = connection.execute("SELECT v FROM meta WHERE name = 'schema'").fetchone()
    return found[0]

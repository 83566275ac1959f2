"""What the gateway keeps, as the rules of arrival see it: one transaction over the ledger, the
inbox and the relay's table. Two of them: `sql.SqlTx` (one SQLite file) and `shared.RedisTx` (one
Redis server, any number of gateways).

What is sealed comes sealed: tables know no cipher.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

#: States without an end: a row in one of them waits for parts or for `settle`.
OPEN_STATES = frozenset({"accepted", "handed_over", "busy"})

#: Where an entry stands: parts of it are to come, it is whole, the queue has it, its end was told.
WAITS, READY, QUEUED, TOLD = 0, 1, 2, 3


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


@dataclass(frozen=True, slots=True)
class Expected:
    """One attachment of an entry: ``held`` of its ``parts`` are durable; the manifest is sealed."""

    position: int
    attachment_id: str
    parts: int
    held: int
    kid: str
    manifest: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """One row of the inbox, its head sealed. ``number``: 0 until it has one."""

    number: int
    entry: int
    operation_id: str
    kind: str
    captured_at: int
    arrived_at: int
    kid: str
    head: bytes


@dataclass(frozen=True, slots=True)
class Onward:
    """One row of the relay's table. ``body``: sealed; None once the queue has it."""

    entry: int
    item: str
    workspace: str
    operation_id: str
    send_id: str
    destination: str
    stage: int
    kid: str | None
    body: bytes | None


class Tx(Protocol):
    """One transaction. Numbers of entries, arrivals and receipts only grow."""

    # --- the ledger --------------------------------------------------------------------------

    def foresee(
        self, workspace: str, send_ids: Sequence[str], operation_ids: Sequence[str]
    ) -> None:
        """These keys are about to be looked at: a hint, for stores that are far away."""

    def by_key(self, workspace: str, send_id: str) -> Row | None: ...

    def latest(self, workspace: str, operation_id: str) -> Row | None:
        """The newest row of an operation, whatever its key."""

    def row(self, n: int) -> Row | None: ...

    def add(self, row: Row, now: int) -> int:
        """The number of the new row; ``row.n`` is not looked at."""

    def answer(self, row: Row, settled_at: int | None) -> None:
        """Keep the state and the sealed answer of ``row``."""

    def acknowledge(self, workspace: str, device: str, send_ids: Sequence[str], now: int) -> None:
        """The owner's rows that are at an end and not yet acknowledged."""

    def forget(self, before: int) -> int:
        """Remove rows acknowledged before then that no other row points to, with their receipts;
        some of them when there are many. Returns how many went."""

    def states(self) -> dict[str, int]:
        """State -> rows of the ledger."""

    def open_of(self) -> dict[tuple[str, str], int]:
        """(workspace, device) -> its rows of the ledger without an end, where there are any."""

    # --- attachments -------------------------------------------------------------------------

    def expect(self, n: int, attachments: Sequence[Expected]) -> None: ...

    def attached(self, n: int) -> list[Expected]:
        """In order."""

    def held(self, n: int) -> dict[str, int]:
        """Attachment id -> parts held, in order."""

    def hold(self, n: int, position: int, held: int) -> None: ...

    # --- receipts ----------------------------------------------------------------------------

    def watch(self, n: int, device: str, send_id: str) -> None:
        """This device waits for the end of the row, too."""

    def receipt(self, row: Row) -> None:
        """One for the row's own device, and for each that watches."""

    def receipts(
        self, workspace: str, device: str, after: int, limit: int
    ) -> list[tuple[int, str, int]]:
        """(cursor, send_id, entry) after the cursor, ascending."""

    def cursor(self, workspace: str, device: str) -> int:
        """The newest receipt of this device, 0 when there is none."""

    # --- the inbox ---------------------------------------------------------------------------

    def arrive(self, arrival: Arrived, body_kid: str, body: bytes) -> None: ...

    def number_of(self, entry: int) -> int: ...

    def arrivals(self, before: int, limit: int, *, logs: bool) -> list[Arrived]:
        """Those with smaller numbers, the newest first."""

    def arrival(self, number: int) -> Arrived | None: ...

    def body(self, number: int) -> tuple[str, bytes]:
        """(kid, sealed body) of an arrival that is there."""

    def totals(self) -> tuple[int, int]:
        """(arrivals that are no logs, logs)."""

    # --- the relay ---------------------------------------------------------------------------

    def relay(self, onward: Onward, attachment_ids: Sequence[str]) -> None: ...

    def onward(self, entry: int) -> Onward | None: ...

    def onward_of(self, item: str) -> Onward | None:
        """By its id in the queue."""

    def items_of(self, workspace: str, operation_id: str) -> list[tuple[int, str]]:
        """(entry, item) of an operation, the oldest first."""

    def waiting(self, destinations: Sequence[str]) -> list[str]:
        """Those of them that something in stage `READY` waits for."""

    def ready(self, destination: str, limit: int) -> list[Onward]:
        """Those in stage `READY`: the oldest of each device, then the second of each, and so on."""

    def stage(self, entry: int, stage: int, *, drop_body: bool = False) -> None:
        """It stands there now; never back."""

    def rename(self, entry: int, item: str) -> None:
        """The entry has this item from now on, and who had it before has another name."""

    def file_of(self, workspace: str, attachment_id: str) -> tuple[int, int] | None:
        """(entry, position) of the first relayed attachment of a device's id."""


class Database(Protocol):
    """Where transactions run. ``commits``: how many were made durable by this process."""

    commits: int

    async def write(self, job: Callable[[Tx], T]) -> T:
        """Run ``job`` in a transaction and return its result once that is durable.

        A job is a function of the transaction alone: it may run more than once, one time of which
        is kept. Raises the job's `Problem` (its changes undone), and when the storage fails
        `sqlite3.Error` or a `QueueError`: of SQLite nothing of the job is kept then, of a Redis
        that gave no answer it is not known.
        """

    async def read(self, job: Callable[[Tx], T]) -> T:
        """Run ``job`` on what is committed; it cannot write."""

    def close(self) -> None:
        """Finish what runs and let go. Idempotent."""


class PartStore(Protocol):
    """Attachment parts, sealed; durable before they count."""

    def write(self, progress: Any, n: int, data: bytes) -> None:
        """Seal part ``n`` and make it durable. The same part again replaces it by its equal.
        Raises `OSError` or a `QueueError`."""

    def read(self, progress: Any, n: int) -> bytes:
        """The plain bytes. Raises `DecryptionError`, `FileNotFoundError` and as `write`."""

    def remove(self, entry: int) -> None:
        """All attachments of an entry: they are where they were to go. Idempotent."""

"""What the engine's runtime needs of a host, in the words of the domain.

Every port speaks plain data (bytes, str, int, frozen values). `fieldpost.stores` and
`fieldpost.hosts.*` implement them; one composition root per host wires them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from .engine.model import Capture, Item, Stored
from .engine.network import Hints
from .engine.scheduling import ReadyKey
from .engine.transitions import State

# --- commits -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Absent:
    """No row with this id exists. Refused with ``existing_id`` = id."""

    id: str


@dataclass(frozen=True, slots=True)
class Revision:
    """The row exists and its revision is exactly ``revision`` (the fence, invariant 5)."""

    id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Unique:
    """No row created from ``since`` to ``until`` (ms, both included; None: without end) carries
    ``value`` (plaintext) as ``mark``.

    ``mark``: one of `engine.model.MARKS`. Refused with the ``existing_id`` of the oldest such row.
    """

    mark: str
    value: str
    since: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Below:
    """The counter is below ``limit`` before this commit. Counters: those of `Store.counters`; one
    that has never counted anything is 0."""

    counter: str
    limit: int


@dataclass(frozen=True, slots=True)
class Line:
    """The first ``size`` rows in line are exactly ``ids`` (fewer of them: there are no others).

    ``line``: ``entity``, and ``key`` is the mark as stored: the rows of that entity that are open
    or failed, those under way first, then by sequence (`engine.ordering.turn`); or ``parent``, and
    ``key`` is an id: the blocked rows that wait for that item, by sequence.
    """

    line: Literal["entity", "parent"]
    key: str
    ids: tuple[str, ...]
    size: int


Precondition = Absent | Revision | Unique | Below | Line


class Refused(Exception):
    """A commit was refused whole: precondition number ``index`` does not hold; nothing changed.

    What the puts imply is numbered after ``expect``: put number i has ``len(expect) + i``.
    """

    def __init__(self, index: int, expectation: Precondition, existing_id: str | None = None):
        super().__init__(f"refused: {expectation}")
        self.index = index
        self.expectation = expectation
        self.existing_id = existing_id


@dataclass(frozen=True, slots=True)
class Put:
    """Write one row.

    ``insert``: the row must not exist (as `Absent`), and the store gives it its ``sequence``.
    Otherwise the row must exist. The store sets ``revision`` (1, or the old one + 1) and ``kid``.
    ``parts``: plaintext to seal; None removes a part; parts not named stay as they are.
    ``marks``: plaintext of HMAC columns to set; columns not named stay as ``item`` has them.
    """

    item: Item
    parts: dict[str, bytes | None] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    insert: bool = False


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One hash-chained record; the store adds the gapless store-wide number ``n``.

    ``text``: canonical JSON {writer, k, prev, at, changes: [[id, from, to, revision]], note?,
    anchors?} (``to`` null: the row was removed); ``hash`` = hex SHA-256 of ``text``; ``prev`` = the
    hash of this writer's record k-1.
    """

    writer: str
    k: int
    hash: str
    text: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic change. Side records hold JSON text: small state of lanes, device and
    checkpoints."""

    expect: tuple[Precondition, ...] = ()
    puts: tuple[Put, ...] = ()
    adopt: tuple[str, ...] = ()  # inbox captures to remove (their ids)
    drop_blobs: tuple[str, ...] = ()  # attachment ids whose manifest and parts are removed
    #: Ids of rows removed for good, with the bytes of attachments that nothing else refers to. No
    #: put of the same commit may name them; a row that is not there is nothing to remove.
    drop: tuple[str, ...] = ()
    side: dict[tuple[str, str], str | None] = field(
        default_factory=dict
    )  # (table, key) -> JSON text
    journal: JournalRecord | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit wrote: the store's revision (rises by one a commit) and the rows as stored."""

    revision: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Stored]
    next: int | None  # cursor (a sequence) for the following page, None at the end


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of an attachment; sealed as a whole except ``id`` and ``at``.

    ``sha256``: base64 SHA-256 of each plain part, in order.
    """

    id: str
    name: str
    type: str
    size: int
    sha256: tuple[str, ...]
    at: int = 0


class Store(Protocol):
    """Atomic, durable rows. Sealing is the store's duty: it takes and returns plaintext parts.

    Every method raises `DatabaseError` (or a subclass) when the storage fails, `DecryptionError`
    when a part does not open; `commit` raises `Refused` when a precondition does not hold.
    """

    async def commit(self, commit: Commit) -> Committed:
        """All or nothing, durable on return (strict: invariant 2). Preconditions are checked first,
        in order; a Put with ``insert`` on an existing id refuses as `Absent`; a Put without it on a
        missing row, or with ``item.revision`` different from the stored one, refuses as
        `Revision`; one with ``insert`` whose id is in ``adopt`` while no such capture is in the
        inbox (it was taken back, or adopted elsewhere) refuses as `Absent`."""

    async def get(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        """The rows that exist, in the order asked, with the named parts opened where present."""

    async def ready(self, lane: str, limit: int, parts: Sequence[str] = ()) -> list[Stored]:
        """Rows of the lane with ``ready`` set, by `Item.level` (0 first: priority 10 before 1,
        every text, step 0, before any file, step 1), then sequence."""

    async def ready_keys(
        self, lane: str, per_level: int, *, newest_first: bool = False
    ) -> list[ReadyKey]:
        """Of each level of the lane's ready rows the first ``per_level`` by sequence (the last
        ones, with ``newest_first``); by level. Reads the index only, no row and no part: what is
        queued behind costs nothing."""

    async def waiting(self, lane: str, now: int, horizon: int, limit: int) -> list[Stored]:
        """Claimable rows (pending or unknown) that are not ``ready`` and whose due time (the later
        of ``due_at``, ``not_before``) is <= now, or whose ``due_at`` is > now + horizon (the clock
        jumped back)."""

    async def next_due(self, lane: str) -> int | None:
        """The smallest due time of a not-ready claimable row of the lane. A row with neither
        ``due_at`` nor ``not_before`` has none: a commit frees it, no time does."""

    async def lines(
        self, line: Literal["entity", "parent"], keys: Sequence[str], size: int
    ) -> list[list[Item]]:
        """For each key the first ``size`` rows in line, as `Line` orders them."""

    async def marks(self, mark: str, values: Sequence[str]) -> list[str]:
        """What the column ``mark`` holds for each of the plaintext ``values``."""

    async def expired(self, now: int, limit: int) -> list[Stored]:
        """Rows, pending or blocked, with no step done, whose ``expires_at`` is <= now; earliest
        first within a state."""

    async def page(
        self,
        states: Sequence[State],
        *,
        limit: int,
        cursor: int | None = None,
        newest_first: bool = False,
        parts: Sequence[str] = (),
    ) -> Page:
        """Rows in any of ``states`` by sequence; ``cursor`` = where the previous page said to go
        on."""

    async def find(self, mark: str, value: str, limit: int = 10) -> list[str]:
        """Ids of rows whose ``mark`` is the HMAC of ``value``, oldest first."""

    async def counters(self) -> dict[str, int]:
        """``open`` (undelivered items), ``bytes`` (of their payloads and attachments),
        ``state:<state>`` for each state, ``sequence``, ``revision``, ``journal``, ``inbox``,
        ``removed`` (rows that `Commit.drop` took), and for each kind that was ever here
        ``open:<kind>`` and ``bytes:<kind>``; O(1). ``bytes`` and those by kind are missing until
        the first commit on a store that a version without them has written to."""

    async def side(self, table: str, key: str) -> str | None: ...

    async def sides(self, table: str) -> dict[str, str]: ...

    async def journal(self, after: int, limit: int) -> list[tuple[int, JournalRecord]]:
        """Records with number > after, ascending."""

    async def heads(self) -> dict[str, tuple[int, str]]:
        """For the latest writers (at most 16): writer -> (k, hash) of its last record."""

    async def capture(self, capture: Capture) -> None:
        """Put into the inbox, durably; the same id again changes nothing, nor does a row's id."""

    async def captures(self, limit: int) -> list[Capture]:
        """The oldest captures of the inbox, opened; one that does not open stays and is left out,
        so that it holds up no other (`DecryptionError` when none of them opens)."""

    async def put_part(self, attachment_id: str, n: int, data: bytes) -> None: ...

    async def put_manifest(self, manifest: Manifest) -> None: ...

    async def manifest(self, attachment_id: str) -> Manifest | None: ...

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        """The plain bytes of part ``n`` (from 1)."""

    async def orphans(self, before: int, limit: int) -> list[str]:
        """Attachment ids older than ``before`` (ms) that no row, capture or draft refers to. Age
        is the manifest's ``at``, or without one (the page died before it) the time in the
        UUIDv7."""

    async def close(self) -> None: ...


# --- the other ports -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that arrived whole. ``url`` is where it came from after redirects."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    url: str = ""
    redirected: bool = False


class NoAnswer(Exception):
    """No whole answer came: refused, cut, timed out or aborted. What the server did is unknown."""

    def __init__(self, reason: str, *, sent: bool = True):
        super().__init__(reason)
        self.reason = reason  # "network", "timeout", "aborted"
        self.sent = sent  # False only where it is certain that no byte left


class Transport(Protocol):
    async def send(self, request: Request) -> Response:
        """Follow no redirect to another origin. Raises `NoAnswer`."""

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        """As `send`, the body being that part of the attachment, with its ``Content-Digest`` header
        (RFC 9530, sha-256); in a browser the bytes do not pass through Python. Raises `NoAnswer`;
        `AttachmentUnreadable` when the part is missing or does not open."""


class Clock(Protocol):
    def now(self) -> int:
        """Wall clock, ms since the epoch; may jump."""

    def monotonic(self) -> float:
        """Milliseconds that never go back."""

    async def sleep(self, ms: float) -> None: ...


class Entropy(Protocol):
    def uuid7(self, now: int) -> str:
        """RFC 9562 section 5.7."""

    def fraction(self) -> float:
        """Uniform in [0, 1)."""


class Surroundings(Protocol):
    """Where and how this device is, as far as the host can tell."""

    def utc_offset_ms(self, at: int) -> int:
        """Local time minus UTC at that moment (ms since the epoch): it changes with the season."""

    def hints(self) -> Hints:
        """What is said of the network now; asked for at every request."""


class Link(Protocol):
    """Whether this device has a network, as far as the host can tell."""

    @property
    def online(self) -> bool: ...

    def subscribe(self, callback: Callable[[bool], None]) -> Callable[[], None]: ...


class Tabs(Protocol):
    """Other contexts of the same store: the drain lock and the "changed" message."""

    async def lead(
        self, work: Callable[[Leadership], Awaitable[None]], *, wait_ms: int, steal_after_ms: int
    ) -> bool:
        """Run ``work`` while holding the drain lock; False if it was not to be had in ``wait_ms``.

        A holder whose beat stood still for ``steal_after_ms`` of this context's monotonic clock is
        replaced. ``work`` is told through its `Leadership` when it has lost the lock itself."""

    def announce(self, revision: int) -> None:
        """Tell the others that the store changed; at most 10 a second, the last one always sent."""

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]: ...


class Leadership(Protocol):
    stolen: bool  # it was taken from a holder that stood still

    @property
    def lost(self) -> bool: ...

    def beat(self) -> None: ...

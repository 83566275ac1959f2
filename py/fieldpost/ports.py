"""What the engine's runtime needs of a host, in the words of the domain.

Every port speaks plain data (bytes, str, int, frozen values). `fieldpost.stores` and
`fieldpost.hosts.*` implement them; one composition root per host wires them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from .commits import (
    Absent,
    Below,
    Commit,
    Committed,
    JournalRecord,
    Line,
    Manifest,
    Page,
    Precondition,
    Put,
    Refused,
    Revision,
    Unique,
)
from .engine.model import Capture, Item, Stored
from .engine.network import Hints
from .engine.power import Device
from .engine.scheduling import ReadyKey
from .engine.transitions import State

# With what a commit is made of, which stands in a file of its own for its size.
__all__ = [
    "Absent",
    "Below",
    "Clock",
    "Commit",
    "Committed",
    "Entropy",
    "JournalRecord",
    "Leadership",
    "Line",
    "Link",
    "Manifest",
    "NoAnswer",
    "Page",
    "Precondition",
    "Put",
    "Refused",
    "Request",
    "Response",
    "Revision",
    "Store",
    "Surroundings",
    "Tabs",
    "Transport",
    "Unique",
    "Upload",
]


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
    #: The name under which the host keeps what it has to add (`Authorization` and its like): what
    #: an adapter builds holds no secret. "": nothing.
    credential: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """A request whose body is a whole attachment (``size`` bytes in ``parts`` parts), as it is or
    in base64 (RFC 4648 section 4), between ``before`` and ``after``: so multipart forms and JSON
    with a file in it are made without the file in memory. ``request.body`` is empty."""

    request: Request
    attachment_id: str
    size: int
    parts: int
    before: bytes = b""
    after: bytes = b""
    base64: bool = False

    @property
    def length(self) -> int:
        """Bytes of the body."""
        file = 4 * -(-self.size // 3) if self.base64 else self.size
        return len(self.before) + file + len(self.after)


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

    def __init__(self, reason: str, *, sent: bool = True, retry_after_ms: int | None = None):
        super().__init__(reason)
        self.reason = reason  # "network", "timeout", "aborted"
        self.sent = sent  # False only where it is certain that no byte left
        #: Of a sign-in server without whose token nothing is sent: how long it asks to wait.
        self.retry_after_ms = retry_after_ms

    def before(self) -> NoAnswer:
        """The same, of a request before the one that it was for, of which no byte left."""
        return NoAnswer(self.reason, sent=False, retry_after_ms=self.retry_after_ms)


class Transport(Protocol):
    async def send(self, request: Request) -> Response:
        """Follow no redirect to another origin. Raises `NoAnswer`."""

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        """As `send`, the body being that part of the attachment, with its ``Content-Digest`` header
        (RFC 9530, sha-256); in a browser the bytes do not pass through Python. Raises `NoAnswer`;
        `AttachmentUnreadable` when the part is missing or does not open."""

    async def send_file(self, upload: Upload) -> Response:
        """As `send`, the body being as the upload says, with its ``Content-Length``. Raises
        `NoAnswer`; `AttachmentUnreadable` when a part is missing or does not open."""


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

    def device(self) -> Device:
        """Whether the app is looked at, and how its power is; asked for at every request."""


class Link(Protocol):
    """Whether this device has a network, as far as the host can tell."""

    @property
    def online(self) -> bool: ...

    def subscribe(self, callback: Callable[[bool], None]) -> Callable[[], None]: ...


class Tabs(Protocol):
    """Other contexts of the same store: a lock for each lane and the "changed" message."""

    async def lead(
        self,
        work: Callable[[Leadership], Awaitable[None]],
        *,
        lane: str,
        wait_ms: int,
        steal_after_ms: int,
    ) -> bool:
        """Run ``work`` while holding the lock of a lane; False if it was not to be had in
        ``wait_ms``.

        A holder whose beat stood still for ``steal_after_ms`` of this context's monotonic clock is
        replaced. ``work`` is told through its `Leadership` when it has lost the lock itself."""

    def announce(self, revision: int) -> None:
        """Tell the others that the store changed; at most 10 a second, the last one always sent."""

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]: ...


class Leadership(Protocol):
    stolen: bool  # it was taken from a holder that stood still
    #: Whether it can be taken from this one while it stands still: not where only the end of the
    #: process frees the lock.
    stealable: bool

    @property
    def lost(self) -> bool: ...

    def beat(self) -> None: ...

"""What a destination adapter is: pure functions from items to requests and from answers to
outcomes.

An adapter does no I/O and keeps nothing of any item; the runtime sends what it builds and stores
what it reads. Success must be proved by status *and* content (invariant 10).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from fieldpost.engine.limits import REQUEST_TIMEOUT_MS, REQUESTS_MAX
from fieldpost.engine.model import Attachment, Item
from fieldpost.engine.outcome import Outcome
from fieldpost.ports import Manifest, NoAnswer, Request, Response, Upload

Guarantee = Literal["strong", "checked", "repaired"]

T = TypeVar("T")
#: Several requests in a row, each of which may follow from the answer to the one before: it yields
#: a request, is sent its answer, and returns what came of it. Still pure: the runtime sends. A
#: request without an answer ends it (`Destination.no_answer` says what that means).
Script = Generator[Request | Upload, Response, T]


@dataclass(frozen=True, slots=True)
class Lookup:
    """The destination can be asked whether it has an item.

    ``settle_ms``: how long after nobody waits for an answer any more the destination may still be
    at it, or its answer to the lookup behind; ``proves_absence``: after that, "not there" means
    that the item never arrived (False: only "there" is believed). ``repeat_ms``: where one "not
    there" is no proof because an index lags: asked again at each of these times, counted likewise,
    ascending, and believed after the last. ``sweep_ms``: how long after
    a delivery that followed such a proof the destination is asked for doubles (`sweep`); None: it
    shows all that it has, so there are doubles only where a sender was suspended for long between
    its look at its lease and its request. Then they are looked for by `find`, and reported.
    """

    settle_ms: int = 0
    proves_absence: bool = True
    repeat_ms: tuple[int, ...] = ()
    sweep_ms: int | None = None

    @property
    def look_ms(self) -> int:
        """How long after a request a double by it is shown."""
        seen = max(self.settle_ms, *self.repeat_ms, 0) + REQUEST_TIMEOUT_MS
        return seen if self.sweep_ms is None else self.sweep_ms

    def next_ask(self, since_ms: int) -> int | None:
        """When "not there" is asked for again, in ms likewise; None: it is believed."""
        return next((at for at in self.repeat_ms if at > since_ms), None)


@dataclass(frozen=True, slots=True)
class Declaration:
    """How sure a delivery is (DESIGN section 3) and what the destination takes.

    ``replay_window_ms``: how long, from the first send, the same bytes with the same key are safe
    to send again; None = for ever. After it an unanswered item is looked up (``lookup``; None: a
    person has to look). ``batch_items``/``batch_bytes``: the most of one request.
    ``attachments``: files can follow an item, part by part (`part_request`), or, with
    ``whole_files``, each at once (`attach`); ``file_bytes``: the most that one may have, None: not
    known; ``files_once``: a file that is handed over twice is there once. ``kinds``: all that it
    takes, None: any. ``requests_most``: how many it takes at once.
    """

    guarantee: Guarantee
    replay_window_ms: int | None
    batch_items: int
    batch_bytes: int
    lookup: Lookup | None = None
    attachments: bool = True
    kinds: frozenset[str] | None = None
    whole_files: bool = False
    file_bytes: int | None = None
    files_once: bool = False
    requests_most: int = REQUESTS_MAX


@dataclass(frozen=True, slots=True)
class Contact:
    """What an answer says of the lane as a whole.

    ``state``: ``online``, ``unreachable``, ``sign_in_page``, ``signed_out``, ``update_required``,
    ``no_gateway``, ``limited``. ``pause_ms``: the server asks for quiet for this long.
    """

    state: str
    text: str = ""
    pause_ms: int | None = None

    @property
    def ok(self) -> bool:
        return self.state == "online"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The end of an item that was handed over."""

    item_id: str
    send_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, read: an outcome for each item of the request, and what it says of the lane.

    ``whole``: the answer was to the request as a whole, so it cannot tell one item from another.
    """

    contact: Contact
    outcomes: list[Outcome]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a lookup said: ``outcome`` where the item is there, ``absent`` where it is not; neither
    when the answer proves nothing. ``doubled``: it is there more than once, which the outcome's
    ``text`` says in words, with what each is called."""

    contact: Contact
    outcome: Outcome | None = None
    absent: bool = False
    doubled: bool = False


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a destination says of itself, for the form to check offline; each by kind, with the
    payload's own field names. ``required``: names; ``choices``: name -> values that may be chosen;
    ``max_length``: name -> characters. ``notes``: what an administrator should know, in sentences.
    ``weaker``: the guarantee that is left, where its set-up does not allow the declared one.
    """

    required: dict[str, tuple[str, ...]] = field(default_factory=dict)
    choices: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    max_length: dict[str, dict[str, int]] = field(default_factory=dict)
    file_bytes: int | None = None
    notes: tuple[str, ...] = ()
    weaker: Guarantee | None = None


class Destination(Protocol):
    """One remote system. ``lane`` names the queue of items that wait for it.

    `adapter.Adapter` has what most have in common; docs/adapters.md is the guide.
    """

    @property
    def lane(self) -> str: ...

    @property
    def declaration(self) -> Declaration: ...

    @property
    def located(self) -> bool:
        """False: where it is is not known yet, and `probe` asks before anything else is sent."""

    def sign_in(self, token: str) -> None:
        """Send this credential from now on; it is never part of an intent."""

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:
        """The exact bytes of this item's part of a request, without credentials."""

    def enrich(self, intents: Sequence[bytes]) -> Script[Sequence[bytes] | Reading]:
        """Asks for what the intents only name, such as the id of the reporter over there, before a
        request is made of what it returns: as many intents, in their order. Nothing of it is kept,
        so only where no bytes are sent twice (``replay_window_ms`` 0). A `Reading`: the destination
        takes nothing now, so nothing is sent. If it answers too late the intents go as they are."""

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request: ...

    def read(self, items: Sequence[Item], response: Response) -> Reading: ...

    def find(self, item: Item) -> Request:
        """Asks for the item by its key; only where the declaration has a ``lookup``."""

    def read_find(self, item: Item, response: Response) -> Finding: ...

    def part_request(self, item: Item, attachment: Attachment, n: int) -> Request: ...

    def read_part(self, item: Item, attachment: Attachment, n: int, response: Response) -> Reading:
        """As `read`, with exactly one outcome."""

    def called(self, item: Item, remote_id: str) -> Script[str | None]:
        """Asks what people call the item that has just arrived, where the answer had no more than
        ``remote_id``; None: that is what it is called, or it is not said."""

    def attach(
        self, item: Item, manifest: Manifest, remote_id: str, *, again: bool
    ) -> Script[Reading]:
        """Hands over one whole file (``whole_files``) of the item that the destination calls
        ``remote_id``: one outcome, ``ACCEPTED`` when the file is there. ``again``: it may be there
        already, since an earlier attempt had no answer, and is looked for first."""

    def sweep(self, item: Item, swept: str, remote_id: str | None) -> Script[Reading]:
        """Looks for doubles of the item with the id ``swept``, which the destination called
        ``remote_id`` (None: not known), and closes them: one outcome, ``DELIVERED`` with what was
        found in ``text``; ``item`` is the sweep itself. Only where the lookup has ``sweep_ms``."""

    def discover(self) -> Script[Discovered | None]:
        """Asks what it requires and offers; returns None where it cannot say."""

    def learn(self, said: Discovered) -> None:
        """What `discover` found, now or when last heard: the declaration may change by it."""

    def probe(self) -> Request | None:
        """Asks whether it is there; None where nothing less than an item tells."""

    def read_probe(self, response: Response, *, known: bool) -> Contact:
        """``known``: this server has answered as itself before."""

    def receipts(self, after: int) -> Request | None:
        """Asks for the ends of items that it handed over, after a cursor; None: it never does."""

    def read_receipts(self, response: Response) -> tuple[Contact, list[Receipt], int]: ...

    def catalogue(self) -> Request | None:
        """Asks what it takes; None where it does not say."""

    def read_catalogue(self, response: Response) -> str | None:
        """The catalogue as JSON text, None when the answer is not one."""

    def no_answer(self, failure: NoAnswer) -> Reading:
        """For a request that got no whole answer; one outcome, valid for each of its items."""

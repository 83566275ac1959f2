"""What adapters of systems of your own have in common: one item a request, no gateway's extras.

docs/adapters.md is the guide. `Adapter.request`, `read` and the declaration have to be written; an
adapter that can be asked for an item by its key adds `find` and `read_find`, one that takes files
`part_request` and `read_part`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fieldpost.engine.limits import BATCH_BYTES_MAX
from fieldpost.engine.model import Attachment, Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Manifest, NoAnswer, Request, Response

from .answers import ONLINE, read_json, whole_failure
from .base import Contact, Declaration, Discovered, Finding, Reading, Receipt, Script

#: Of a system that is asked for one item at a time, of which nothing more is known: what nobody
#: answered is not sent again by itself, a person looks.
ONE_BY_ONE = Declaration(
    guarantee="repaired",
    replay_window_ms=0,
    batch_items=1,
    batch_bytes=BATCH_BYTES_MAX,
    attachments=False,
)


@dataclass
class Adapter:
    """A `Destination` to inherit from. ``lane``: its name; ``declaration``: what it promises;
    ``token``: sent as ``Authorization: Bearer``, never part of an intent; ``credential``: the name
    of what the host adds instead (`ports.Request.credential`)."""

    lane: str
    declaration: Declaration = ONE_BY_ONE
    token: str | None = None
    credential: str = ""

    # --- to be written ---------------------------------------------------------------------------

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """The payload as canonical JSON, unless you say otherwise."""
        return body

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:
        """One request with all the intents."""
        raise NotImplementedError

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        """An outcome for each item, in order. Success must be proved by what the answer says, not
        by its status alone; `failed` reads every answer that is none of success."""
        raise NotImplementedError

    # --- as it is where nothing else is written --------------------------------------------------

    @property
    def located(self) -> bool:
        return True

    def failed(self, count: int, response: Response) -> Reading:
        """An answer that is not a success: portals, redirects, sign-in, limits, the server's own
        trouble and refusals, by status and content."""
        contact, outcome = whole_failure(response, read_json(response), coded=False)
        return Reading(contact, [outcome] * count, whole=True)

    def sign_in(self, token: str) -> None:
        self.token = token

    def signed(self, request: Request) -> Request:
        """With the credential, or the name of it, where there is one."""
        if self.credential:
            return replace(request, credential=self.credential)
        if self.token is None:
            return request
        headers = {**request.headers, "Authorization": f"Bearer {self.token}"}
        return replace(request, headers=headers)

    def find(self, item: Item) -> Request:
        raise NotImplementedError

    def read_find(self, item: Item, response: Response) -> Finding:
        raise NotImplementedError

    def enrich(self, intents: Sequence[bytes]) -> Script[Sequence[bytes] | Reading]:
        return intents
        yield  # a script without requests

    def called(self, item: Item, remote_id: str) -> Script[str | None]:  # noqa: ARG002
        return None
        yield  # a script without requests

    def part_request(self, item: Item, attachment: Attachment, n: int) -> Request:
        raise NotImplementedError

    def read_part(self, item: Item, attachment: Attachment, n: int, response: Response) -> Reading:
        raise NotImplementedError

    def attach(
        self, item: Item, manifest: Manifest, remote_id: str, *, again: bool
    ) -> Script[Reading]:
        raise NotImplementedError

    def sweep(self, item: Item, swept: str, remote_id: str | None) -> Script[Reading]:
        raise NotImplementedError

    def discover(self) -> Script[Discovered | None]:
        return None
        yield  # a script without requests

    def learn(self, said: Discovered) -> None:
        """Nothing that changes what it promises."""

    def probe(self) -> Request | None:
        return None

    def read_probe(self, response: Response, *, known: bool) -> Contact:  # noqa: ARG002
        """Any answer but one of its own trouble, or of somebody in between, says that it is
        there."""
        answer = read_json(response)
        if response.status < 400 and answer is not None:
            return ONLINE
        return whole_failure(response, answer)[0]

    def receipts(self, after: int) -> Request | None:  # noqa: ARG002
        return None

    def read_receipts(self, response: Response) -> tuple[Contact, list[Receipt], int]:
        return whole_failure(response, read_json(response))[0], [], 0

    def catalogue(self) -> Request | None:
        return None

    def read_catalogue(self, response: Response) -> str | None:  # noqa: ARG002
        return None

    def no_answer(self, failure: NoAnswer) -> Reading:
        if (wait := failure.retry_after_ms) is not None:
            text = "The server where one signs in asks to wait."
            said = Outcome(Class.RATE_LIMITED, None, text, retry_after_ms=wait, lane=True)
            return Reading(Contact("limited", text, wait), [said], whole=True)
        text = "It is not answering in time." if failure.reason == "timeout" else "No answer came."
        cls = Class.UNKNOWN if failure.sent else Class.TRANSIENT
        outcome = Outcome(cls, "QUEUE_CONNECTION_ERROR", text, lane=True)
        return Reading(Contact("unreachable", text), [outcome], whole=True)

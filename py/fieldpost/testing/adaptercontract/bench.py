"""What a case is given: an adapter, the fake of its system, and what is sent there when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fieldpost.destinations.base import Declaration, Destination
from fieldpost.engine.kinds import Kind
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class
from fieldpost.ports import Response, Store, Transport
from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.vendors.base import Record, Vendor, VendorTransport, answer

#: What is sent of each standard kind, where the bench names nothing of its own. All that a map of
#: fields may ask for is in it.
SAMPLES: dict[str, dict[str, Any]] = {
    "ticket": {
        "summary": "Pump 3 is leaking",
        "description": "Since this morning.\nUnder the flange, größer every hour.",
        "severity": "high",
        "category": "hardware",
        "user": {"id": "u1", "name": "Ada Example", "email": "ada@example.test"},
    },
    "feedback": {"rating": 4, "comment": "It works", "userId": "u1", "skillId": "s1"},
    "log": {
        "level": "error",
        "message": "It broke",
        "component": "pump",
        "timestamp": "2025-06-15T15:06:40Z",
    },
    "call": {
        "line": "1",
        "number": "+49 30 1234",
        "time": "2025-06-15T15:06:40Z",
        "direction": "incoming",
        "duration": 12,
    },
    "message": {
        "line": "1",
        "number": "+49 30 1234",
        "time": "2025-06-15T15:06:40Z",
        "direction": "incoming",
        "content": "Hello",
    },
    "api-request": {"endpoint": "/things", "method": "POST"},
    "evidence": {"bundle_id": "b1"},
    "concept": {"concept_id": "c1", "content": "A thought"},
    "connection": {"connection_id": "c1"},
}


#: A name for an item that there is only to read an answer about it.
_ANY = "00000000-0000-7000-8000-000000000001"


class NotForThis(Exception):
    """The case asks for something that this adapter says it does not have; why, in words."""


class Remote(Protocol):
    """The fake of the system. `vendors.base.Vendor` is one; what has other records of its own can
    show them so.

    It may have: ``refusal(field, text) -> Response``, its own answer to a record with a wrong
    field; ``unique = True``, when no lookup there can show two records of one operation;
    ``twin(record) -> Record``, a second one of the same operation, as another sender would have
    made it (else it is copied, with what the fake keeps by its id); ``takes_half = True``, when it
    acts on a request with a file whose end never came.
    """

    #: In the order they were made. Assigned to by the cases: what is not in it is not found.
    records: list[Record]

    def with_op(self, op: str) -> list[Record]:
        """The open records of one operation: more than one are doubles."""


@dataclass
class Bench:
    """``credentials``: name -> headers, as a host adds them (emptied by a case that signs out);
    ``connect``: the transport to the fake over a store, where it is not a `Vendor`; ``kind`` and
    ``payload``: what is sent ("" and None: a ticket, or whatever the declaration takes);
    ``kinds``: of your own."""

    adapter: Destination
    remote: Remote
    clock: FakeClock
    credentials: dict[str, dict[str, str]] = field(default_factory=dict)
    connect: Callable[[Store], Transport] | None = None
    kind: str = ""
    payload: Mapping[str, Any] | None = None
    kinds: Sequence[Kind] = ()

    def __post_init__(self) -> None:
        takes = self.declaration.kinds
        if not self.kind:
            able = [kind for kind in SAMPLES if takes is None or kind in takes]
            if not able:
                raise ValueError("say which kind is sent, with a payload")
            self.kind = able[0]
        if self.payload is None:
            self.payload = SAMPLES[self.kind]

    @property
    def declaration(self) -> Declaration:
        return self.adapter.declaration

    @property
    def speaks_http(self) -> bool:
        return str(getattr(self.remote, "url", "https:")).startswith("http")

    def transport(self, store: Store) -> Transport:
        if self.connect is not None:
            return self.connect(store)
        assert isinstance(self.remote, Vendor), "say how to `connect`"
        return VendorTransport(store, [self.remote], self.credentials)

    def refusal(self, name: str, text: str) -> Response:
        """The system's answer to a record with a wrong field ``name``."""
        own: Callable[[str, str], Response] | None = getattr(self.remote, "refusal", None)
        return own(name, text) if own else self.refused(422, text, {name: text})

    def refused(self, status: int, text: str, fields: Mapping[str, str] | None = None) -> Response:
        """A refusal in a shape that the adapter reads as one, if any of those known is."""
        shapes = [refused(status, text, fields), refused_list(status, text, fields)]
        item = Item(_ANY, self.kind, "create", self.adapter.lane, _ANY, 1, 1)
        for response in shapes:
            (outcome,) = self.adapter.read([item], response).outcomes
            if outcome.cls is not Class.UNKNOWN and text in outcome.text:
                return response
        return shapes[0]


#: Makes a bench anew: its own clock, its own fake with nothing in it.
Make = Callable[[], Bench]
#: What a module of `fieldpost.testing.vendors` calls ``bench``.
Factory = Callable[[FakeClock], "Bench | tuple[Any, ...]"]


def maker(factory: Factory, clock: Callable[[], FakeClock]) -> Make:
    """From a vendor's ``bench(clock)``, which gives a `Bench` or what begins one: adapter, fake,
    credentials."""

    def make() -> Bench:
        now = clock()
        made = factory(now)
        if isinstance(made, Bench):
            return made
        adapter, remote, credentials, *_ = made
        return Bench(adapter, remote, now, credentials)

    return make


def refused(
    status: int, text: str, fields: Mapping[str, str] | None = None, **headers: str
) -> Response:
    """A refusal that says the same in the shapes of many systems at once."""
    named = dict(fields or {})
    body = {
        "code": "REFUSED",
        "title": "Refused",
        "detail": text,
        "message": text,
        "description": text,
        "error": {"message": text, "detail": text, "status": status, "msg": text},
        "status": "failure",
        "errorMessages": [text],
        "errors": named,
        "fields": named,
        "details": {name: [{"description": said}] for name, said in named.items()},
    }
    return answer(body, status, **headers)


def refused_list(status: int, text: str, fields: Mapping[str, str] | None = None) -> Response:
    """As some do: a list of what is wrong."""
    named = list(fields or ())
    return answer([{"message": text, "errorCode": "REFUSED", "fields": named}], status)

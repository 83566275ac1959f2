"""Tickets in Autotask PSA (REST API v1.0).

*Authentication*: an API user of the site. Three headers, ``ApiIntegrationCode``, ``UserName`` and
``Secret``, come from the host by the name of the credential. *Where*: each site lives in a zone,
which is asked for by ``user`` first; until that is known nothing is sent (`Autotask.located`). No
call from a browser is answered (no CORS): this runs on a server.

*How sure*: a create has no key, so it is never repeated blindly; the operation id stands in
``externalID``, and a ticket is looked up by it before anything is sent again. ``checked``: a sender
frozen just before it sends could still make a double.

*The ticket's name here* (``remote_id``) is its id, which the answer to a create tells and the API
wants; the number that people say (T20250101.0001) is behind ``remote_url``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.limits import BATCH_BYTES_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Manifest, NoAnswer, Request, Response, Upload

from .adapter import Adapter
from .answers import ONLINE, read_json
from .autotaskwords import (
    columns_of,
    failure,
    next_page,
    number_of,
    open_values,
    rows_of,
    trusted,
)
from .base import Contact, Declaration, Discovered, Finding, Lookup, Reading, Script
from .fieldmap import FieldMap, Rule, render
from .records import choices_left, taken_for_it, unfilled, unplaced

_DAY_MS = 24 * 60 * 60 * 1000
#: Site-wide standard values; a site that has others says so in its field map.
_PRIORITIES = {"critical": 4, "high": 1, "medium": 2, "low": 3}
_NEW = 1

DEFAULT_MAP: FieldMap = {
    "ticket": (
        Rule("title", source="summary", most=255, required=True),
        Rule(
            "description",
            text="{description}\n\nCategory: {category}\nReported by: {user.name} {user.email}",
            most=8_000,
        ),
        Rule("priority", source="severity", choices=_PRIORITIES, otherwise=2),
        Rule("status", value=_NEW),
    ),
    "feedback": (
        Rule("title", text="Feedback: {rating} of 5", most=255, required=True),
        Rule("description", text="{comment}\n\nFrom: {userName} {userId}", most=8_000),
        Rule("priority", value=3),
        Rule("status", value=_NEW),
    ),
}

DECLARATION = Declaration(
    guarantee="checked",
    replay_window_ms=0,
    batch_items=1,
    batch_bytes=BATCH_BYTES_MAX,
    # Answers slow down from half of the hourly threshold on, and a create that nobody waits for any
    # more may end that late.
    lookup=Lookup(settle_ms=60_000),
    attachments=True,
    kinds=frozenset(DEFAULT_MAP),
    whole_files=True,
    file_bytes=6_000_000,
    requests_most=3,  # for each endpoint and integration
)


_VERSION = "v1.0/"
#: Of files of one ticket, each with 500.
_PAGES = 20
#: Of a ticket, what no rule need give.
_MADE = {"id", "companyID", "dueDateTime", "externalID"}
_NOT_AUTOTASK = Contact("unreachable", "What answers there is not Autotask.")
_STRANGE = Outcome(Class.UNKNOWN, "QUEUE_SYNC_FAILED", "The list of files goes on elsewhere.")


@dataclass
class Autotask(Adapter):
    """``user``: the API user, who names the zone; ``company_id``: whose tickets these are;
    ``queue_id``: the ticket queue, None: as the site says; ``due_hours``: when a ticket is due,
    counted from when it was written; ``fields``: see `DEFAULT_MAP`; ``url``: where zones are asked
    for; ``zone``: the base URL, where it is known without asking."""

    lane: str = "autotask"
    declaration: Declaration = DECLARATION
    user: str = ""
    company_id: int = 0
    queue_id: int | None = None
    due_hours: int = 24
    fields: FieldMap = field(default_factory=lambda: DEFAULT_MAP)
    url: str = "https://webservices.autotask.net"
    zone: str = ""
    web: str = ""

    def __post_init__(self) -> None:
        if self.declaration is DECLARATION:
            self.declaration = replace(DECLARATION, kinds=frozenset(self.fields))
        #: The zone did not answer, so the next question is where the site is now.
        self._moved = False

    # --- tickets ---------------------------------------------------------------------------------

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """The ticket. Raises `InvalidItem` with the fields that are missing."""
        rules = self.fields.get(item.kind)
        if rules is None:
            raise InvalidItem(fields={"kind": "has no field map"})
        due = datetime.fromtimestamp((item.created_at + self.due_hours * 3_600_000) / 1000, UTC)
        made: dict[str, Any] = {
            "companyID": self.company_id,
            "dueDateTime": due.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        if self.queue_id is not None:
            made["queueID"] = self.queue_id
        ticket = made | render(rules, item, json.loads(body)) | {"id": 0, "externalID": item.id}
        return canonical({"ticket": ticket})

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:  # noqa: ARG002
        return self._ask("POST", "Tickets", canonical(json.loads(intents[0])["ticket"]))

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        answer = read_json(response)
        number = answer.get("itemId") if answer else None
        if response.status == 200 and type(number) is int and number > 0:
            return Reading(ONLINE, [self._there(items[0], number)])
        contact, outcome = self._failure(response, answer)
        return Reading(contact, [outcome])

    def find(self, item: Item) -> Request:
        wanted = ["id", "ticketNumber", "externalID", "createDate"]
        return self._query("Tickets", "externalID", item.id, wanted)

    def read_find(self, item: Item, response: Response) -> Finding:
        answer = read_json(response)
        rows = rows_of(answer)
        if response.status != 200 or rows is None:
            return Finding(self._failure(response, answer)[0])
        # Asked again here: a filter that is not understood would bring others' tickets.
        own = [number_of(row) for row in rows if row.get("externalID") == item.id]
        mine = sorted(number for number in own if number is not None)
        if mine:
            there = self._there(item, mine[0])
            text = ""
            if len(mine) > 1:
                text = f"{len(mine)} tickets have this id: {', '.join(map(str, mine))}."
            return Finding(
                ONLINE,
                Outcome(there.cls, None, text, 200, there.remote_id, there.remote_url),
                doubled=len(mine) > 1,
            )
        # Rows that nobody asked for: the question was not understood, so it proves nothing.
        return Finding(ONLINE, absent=not rows and not next_page(answer))

    def _there(self, item: Item, number: int) -> Outcome:
        cls = Class.ACCEPTED if item.attachments else Class.DELIVERED
        path = "Autotask/AutotaskExtend/ExecuteCommand.aspx?Code=OpenTicketDetail&TicketID="
        link = f"{self.web}{path}{number}" if self.web else None
        return Outcome(cls, status=200, remote_id=str(number), remote_url=link)

    # --- files -----------------------------------------------------------------------------------

    def attach(
        self,
        item: Item,
        manifest: Manifest,
        remote_id: str,
        *,
        again: bool,
    ) -> Script[Reading]:
        place = f"Tickets/{quote(remote_id, safe='')}/Attachments"
        if again:
            others = taken_for_it(item, manifest)
            there = yield from self._attached(place, manifest, others)
            if there is not None:
                return there
        form = canonical(
            {
                "attachmentType": "FILE_ATTACHMENT",
                "fullPath": manifest.name,
                "id": 0,
                "publish": 1,
                "title": manifest.name,
            }
        )
        response = yield Upload(
            self._ask("POST", place),
            manifest.id,
            manifest.size,
            len(manifest.sha256),
            form[:-1] + b',"data":"',
            b'"}',
            base64=True,
        )
        answer = read_json(response)
        if response.status == 200 and answer and type(answer.get("itemId")) is int:
            return Reading(ONLINE, [Outcome(Class.ACCEPTED, status=200)])
        contact, outcome = self._failure(response, answer)
        return Reading(contact, [outcome])

    def _attached(self, place: str, manifest: Manifest, others: int) -> Script[Reading | None]:
        """Whether the file is there already, besides as many ``others`` as look like it; None: it
        is not."""
        alike = 0
        request = self._ask("GET", place)
        for _ in range(_PAGES):
            response = yield request
            answer = read_json(response)
            rows = rows_of(answer)
            if response.status != 200 or rows is None:
                contact, outcome = self._failure(response, answer)
                return Reading(contact, [outcome])
            for row in rows:
                if manifest.name not in (row.get("title"), row.get("fullPath")):
                    continue
                alike += row.get("fileSize") == manifest.size
                if alike > others:
                    return Reading(ONLINE, [Outcome(Class.DUPLICATE, status=200)])
                if "fileSize" not in row:
                    text = "A file of this name is there, and its size is not told: look at it."
                    return Reading(ONLINE, [Outcome(Class.PERMANENT, "FILE_UNCERTAIN", text, 200)])
            further = next_page(answer)
            if not further:
                return None
            if not further.startswith(self.zone):
                return Reading(ONLINE, [_STRANGE])
            request = self._ask("GET", further[len(self.zone) + len(_VERSION) :])
        text = "The ticket has too many files to look for this one among them."
        return Reading(ONLINE, [Outcome(Class.UNKNOWN, "TOO_MANY_FILES", text)])

    # --- the lane --------------------------------------------------------------------------------

    @property
    def located(self) -> bool:
        return bool(self.zone)

    def probe(self) -> Request:
        """Where the site is, or, once that is known, whether the API user may come in."""
        if self.zone and not self._moved:
            return self._ask("GET", "Companies/entityInformation")
        base = self.url.rstrip("/")
        path = f"/atservicesrest/v1.0/zoneInformation?user={quote(self.user, safe='')}"
        # Without the secret: this question needs none.
        return Request("GET", base + path, {"Accept": "application/json"}, timeout_ms=10_000)

    def read_probe(self, response: Response, *, known: bool) -> Contact:  # noqa: ARG002
        answer = read_json(response)
        if response.status != 200 or answer is None:
            self._moved = True
            return self._failure(response, answer)[0]
        if "zoneName" not in answer:
            return ONLINE if isinstance(answer.get("info"), dict) else _NOT_AUTOTASK
        zone = str(answer.get("url") or "")
        if not trusted(zone, self.url):  # the secret goes there
            return Contact("unreachable", "The zone lookup named a place that is not Autotask's.")
        self.zone = zone if zone.endswith("/") else zone + "/"
        web = str(answer.get("webUrl") or "")
        self.web = (web if web.endswith("/") else web + "/") if trusted(web, self.url) else ""
        self._moved = False
        return ONLINE

    def no_answer(self, failure: NoAnswer) -> Reading:
        self._moved = True
        return super().no_answer(failure)

    def discover(self) -> Script[Discovered | None]:
        response = yield self._ask("GET", "Tickets/entityInformation/fields")
        told = columns_of(read_json(response)) if response.status == 200 else None
        if told is None:
            return None
        picklists = {name: values for name, c in told.items() if (values := open_values(c))}
        required, choices, lengths = {}, {}, {}
        notes: list[str] = []
        for kind, rules in self.fields.items():
            ours = {rule.to: rule.source for rule in rules if rule.source[:1] not in ("", "@")}
            made = _MADE | {rule.to for rule in rules}
            if self.queue_id is not None:
                made.add("queueID")
            needed = [name for name, c in told.items() if c.get("isRequired") is True]
            required[kind] = tuple(ours[name] for name in needed if name in ours)
            choices[kind] = choices_left(rules, picklists)
            lengths[kind] = {
                source: told[to]["length"]
                for to, source in ours.items()
                if type(told.get(to, {}).get("length")) is int and told[to]["length"] > 0
            }
            notes += unplaced(rules, picklists)
            notes += [unfilled(kind, name) for name in needed if name not in made]
        notes = list(dict.fromkeys(notes))
        size = self.declaration.file_bytes
        return Discovered(required, choices, lengths, size, tuple(notes))

    # --- helpers ---------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: bytes = b"") -> Request:
        headers = {"Accept": "application/json"}
        if method != "GET":
            headers["Content-Type"] = "application/json"
        return self.signed(Request(method, self.zone + _VERSION + path, headers, body))

    def _query(self, entity: str, name: str, value: str, wanted: list[str]) -> Request:
        asked = {
            "MaxRecords": 500,
            "IncludeFields": wanted,
            "filter": [{"op": "eq", "field": name, "value": value}],
        }
        return self._ask("POST", f"{entity}/query", canonical(asked))

    def _failure(
        self, response: Response, answer: dict[str, Any] | None
    ) -> tuple[Contact, Outcome]:
        contact, outcome = failure(response, answer)
        fields = {self._ours(name): wrong for name, wrong in outcome.fields.items()}
        return contact, replace(outcome, fields=fields)

    def _ours(self, name: str) -> str:
        rules = [rule for each in self.fields.values() for rule in each]
        return next((r.source for r in rules if r.to.lower() == name.lower() and r.source), name)

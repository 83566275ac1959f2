"""Zendesk Support: tickets by the Ticketing API (docs/destinations/zendesk.md).

``checked``: a create carries an ``Idempotency-Key``, which Zendesk keeps for two hours together
with the exact bytes; after that the ticket is looked up by its ``external_id``, which is not
unique. A ticket is therefore created without its files, so that its bytes never change, and each
file follows as a private comment of its own. The comment names the file's id: that, and not name
and size (two photos may share both), says whether a file is there already.

``remote_id`` is the ticket's number, which people and the API use alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlsplit

from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import ConfigError
from fieldpost.engine.limits import BATCH_BYTES_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import LOOK_UP_FIRST, Class, Outcome
from fieldpost.ports import Manifest, Request, Response, Upload

from .adapter import Adapter
from .answers import ONLINE, read_json
from .base import Contact, Declaration, Discovered, Finding, Lookup, Reading, Script
from .fieldmap import FieldMap, Rule, render
from .records import (
    FEEDBACK_TEXT,
    TICKET_TEXT,
    Described,
    discovered,
    payload_fields,
    rules_for,
)
from .refusals import Refusal, read_refusal, unproved
from .zendeskwords import (
    SAID,
    as_ticket,
    comment_of,
    described,
    dropped,
    holds,
    is_of,
    part_of,
    refusal,
)

_MINUTE_MS = 60_000
#: Zendesk keeps a key for two hours; less what a request may take to get there, and a margin.
_REPLAY_MS = 110 * _MINUTE_MS
_FILE_BYTES = 50 * 1024 * 1024
#: A ticket has at most 5,000 comments.
_PAGES = 50

DECLARATION = Declaration(
    guarantee="checked",
    replay_window_ms=_REPLAY_MS,
    batch_items=1,
    batch_bytes=BATCH_BYTES_MAX,
    lookup=Lookup(settle_ms=10_000),
    whole_files=True,
    file_bytes=_FILE_BYTES,
)

#: ``tags.<any>``: each a tag; ``custom_fields.<id>``: that custom field of the ticket.
DEFAULT_MAP: FieldMap = {
    "ticket": (
        Rule("subject", "summary", required=True),
        Rule("comment.body", text=TICKET_TEXT, most=60_000),
        Rule(
            "priority",
            "severity",
            choices={"low": "low", "medium": "normal", "high": "high", "critical": "urgent"},
        ),
        Rule("type", value="incident"),
        Rule("requester.name", "user.name"),
        Rule("requester.email", "user.email"),
        Rule("tags.category", text="cat_{category}"),
    ),
    "feedback": (
        Rule("subject", text="Feedback: {rating} of 5"),
        Rule("comment.body", text=FEEDBACK_TEXT, most=60_000),
        Rule("type", value="question"),
        Rule("tags.kind", value="feedback"),
    ),
}

_SUBDOMAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.IGNORECASE)


@dataclass
class Zendesk(Adapter):
    """``subdomain``: of ``<subdomain>.zendesk.com``; ``ticket_form_id``: the form of new tickets;
    ``url``: in place of the subdomain's. Raises `ConfigError` where neither says where it is."""

    lane: str = "zendesk"
    declaration: Declaration = DECLARATION
    subdomain: str = ""
    ticket_form_id: int | None = None
    url: str = ""
    fields: FieldMap = field(default_factory=lambda: DEFAULT_MAP)

    def __post_init__(self) -> None:
        if not self.url:
            if not _SUBDOMAIN.fullmatch(self.subdomain):
                raise ConfigError(fields={"subdomain": "must be the one of your Zendesk address"})
            self.url = f"https://{self.subdomain}.zendesk.com"
        self.url = self.url.rstrip("/")
        self.declaration = replace(self.declaration, kinds=frozenset(self.fields))

    # --- tickets ---------------------------------------------------------------------------------

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """Raises `InvalidItem` with the fields that the map requires."""
        record = render(rules_for(self.fields, item.kind), item, json.loads(body))
        ticket = {**as_ticket(record), "external_id": item.id}
        if self.ticket_form_id is not None:
            ticket["ticket_form_id"] = self.ticket_form_id
        # As text: the key stands for these very bytes, whatever writes JSON by then.
        sent = canonical({"ticket": ticket}).decode()
        return canonical({"v": 1, "key": item.send_id, "body": sent})

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:  # noqa: ARG002
        intent = json.loads(intents[0])
        request = self._request("POST", "tickets.json", intent["body"].encode())
        request.headers["Idempotency-Key"] = intent["key"]
        return request

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        (item,) = items
        ticket = part_of(response, "ticket")
        if response.status in (200, 201) and is_of(ticket, item):
            again = response.headers.get("x-idempotency-lookup") == "hit"
            return Reading(ONLINE, [self._there(item, ticket, again=again)])
        said = refusal(response)
        contact, outcome = self._failure(response, said, item.kind)
        if said is not None and said.code == "IdempotentRequestError":
            # The key was used for other bytes, so something of this item arrived, perhaps.
            outcome = replace(outcome, cls=Class.UNKNOWN, code=LOOK_UP_FIRST)
        return Reading(contact, [outcome])

    def find(self, item: Item) -> Request:
        return self._request("GET", f"tickets.json?external_id={quote(item.id)}")

    def read_find(self, item: Item, response: Response) -> Finding:
        answer = read_json(response)
        tickets = answer.get("tickets") if answer and response.status == 200 else None
        if not isinstance(tickets, list):
            return Finding(self._failure(response, refusal(response), item.kind)[0])
        mine = [ticket for ticket in tickets if is_of(ticket, item)]
        if not mine:  # rows of others: the filter was not heeded, which proves nothing
            return Finding(ONLINE, absent=not tickets)
        mine.sort(key=lambda ticket: (str(ticket.get("created_at", "")), ticket["id"]))
        found = self._there(item, mine[0], again=True)
        if len(mine) > 1:
            numbers = ", ".join(str(ticket["id"]) for ticket in mine)
            text = f"Zendesk has {len(mine)} tickets of this item ({numbers}). The oldest counts."
            found = replace(found, text=text)
        return Finding(ONLINE, found, doubled=len(mine) > 1)

    def _there(self, item: Item, ticket: dict[str, Any], *, again: bool) -> Outcome:
        cls = Class.DUPLICATE if again else Class.DELIVERED
        if item.attachments:
            cls = Class.ACCEPTED
        number = str(ticket["id"])
        return Outcome(cls, remote_id=number, remote_url=f"{self.url}/agent/tickets/{number}")

    # --- files -----------------------------------------------------------------------------------

    def attach(
        self, item: Item, manifest: Manifest, remote_id: str, *, again: bool
    ) -> Script[Reading]:
        """Upload, then a private comment with it. The upload's token is used at once and never
        again: it is good for an hour, and an upload that no comment took is deleted by Zendesk."""
        guard: dict[str, str] = {}
        if again:
            response = yield self._request("GET", f"tickets/{quote(remote_id, safe='')}.json")
            ticket = part_of(response, "ticket")
            stamp = ticket.get("updated_at") if ticket else None
            if response.status != 200 or not isinstance(stamp, str):
                return self._file_failed(item, response)
            # Refused (409) when the ticket moves from here on, as by the comment of an earlier
            # attempt that is still on its way.
            guard = {"safe_update": "true", "updated_stamp": stamp}
            there = yield from self._has(item, manifest, remote_id)
            if there is not None:
                return there
        kind = manifest.type or "application/octet-stream"
        upload = self._request("POST", f"uploads.json?filename={quote(manifest.name, safe='')}")
        upload.headers["Content-Type"] = kind
        parts = len(manifest.sha256)
        response = yield Upload(upload, manifest.id, manifest.size, parts)
        uploaded = part_of(response, "upload")
        token = uploaded.get("token") if uploaded else None
        if response.status != 201 or not isinstance(token, str) or not token:
            return self._file_failed(item, response)
        comment = {"body": comment_of(manifest), "public": False, "uploads": [token]}
        body = canonical({"ticket": {"comment": comment, **guard}})
        response = yield self._request("PUT", f"tickets/{quote(remote_id, safe='')}.json", body)
        ticket = part_of(response, "ticket")
        if response.status != 200 or not ticket or str(ticket.get("id")) != remote_id:
            return self._file_failed(item, response)
        if dropped(response, manifest):
            text = "Zendesk made the comment without the file. It is sent again."
            return Reading(ONLINE, [Outcome(Class.TRANSIENT, "FILE_DROPPED", text, 200)])
        return Reading(ONLINE, [Outcome(Class.ACCEPTED)])

    def _has(self, item: Item, manifest: Manifest, remote_id: str) -> Script[Reading | None]:
        """Whether a comment has this file; the newest comments first. None: it is not there."""
        ticket = quote(remote_id, safe="")
        path: str | None = f"tickets/{ticket}/comments.json?sort=-created_at&page%5Bsize%5D=100"
        for _ in range(_PAGES):
            response = yield self._request("GET", path or "")
            answer = read_json(response)
            comments = answer.get("comments") if answer and response.status == 200 else None
            if answer is None or not isinstance(comments, list):
                return self._file_failed(item, response)
            if any(holds(comment, manifest) for comment in comments):
                return Reading(ONLINE, [Outcome(Class.ACCEPTED)])
            path = self._next(answer)
            if path is None:
                return None
        text = "The ticket has too many comments to look for the file in them."
        return Reading(ONLINE, [Outcome(Class.UNKNOWN, "TOO_MANY_COMMENTS", text)])

    def _file_failed(self, item: Item, response: Response) -> Reading:
        contact, outcome = self._failure(response, refusal(response), item.kind)
        return Reading(contact, [outcome])

    # --- what it says of itself ------------------------------------------------------------------

    def probe(self) -> Request:
        return replace(self._request("GET", "users/me.json"), timeout_ms=10_000)

    def read_probe(self, response: Response, *, known: bool) -> Contact:  # noqa: ARG002
        user = part_of(response, "user")
        if response.status != 200 or user is None:
            return unproved("Zendesk", self._failure(response, refusal(response), ""))
        if user.get("id") is None:  # 200 and nobody: how an unknown credential is answered here
            return Contact("signed_out", "Zendesk does not know this credential.")
        return ONLINE

    def discover(self) -> Script[Discovered | None]:
        """By the ticket fields, of the form where there is one. What Zendesk demands when a ticket
        is made is what its portal demands; what agents must fill to solve one is not asked."""
        wanted: list[Any] | None = None
        if self.ticket_form_id is not None:
            response = yield self._request("GET", f"ticket_forms/{self.ticket_form_id}.json")
            form = part_of(response, "ticket_form")
            wanted = form.get("ticket_field_ids") if form else None
        path: str | None = "ticket_fields.json"
        seen: list[Described] = []
        for _ in range(_PAGES):
            response = yield self._request("GET", path or "")
            answer = read_json(response)
            found = answer.get("ticket_fields") if answer and response.status == 200 else None
            if answer is None or not isinstance(found, list):
                return None
            seen += [
                field_
                for one in found
                if isinstance(one, dict)
                and one.get("active", True)
                and (not isinstance(wanted, list) or one.get("id") in wanted)
                and (field_ := described(one)) is not None
            ]
            path = self._next(answer)
            if path is None:
                break
        return discovered(self.fields, seen, file_bytes=_FILE_BYTES)

    # --- helpers ---------------------------------------------------------------------------------

    def _request(self, method: str, path: str, body: bytes = b"") -> Request:
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        return self.signed(Request(method, f"{self.url}/api/v2/{path}", headers, body))

    def _next(self, answer: dict[str, Any]) -> str | None:
        """The rest of a list, as a path; never at another host than this one."""
        links, meta = answer.get("links"), answer.get("meta")
        more = links.get("next") if isinstance(links, dict) else answer.get("next_page")
        if isinstance(meta, dict) and meta.get("has_more") is False:
            return None
        if not isinstance(more, str):
            return None
        try:
            parts = urlsplit(more)
        except ValueError:  # no address at all
            return None
        _, found, path = parts.path.partition("/api/v2/")
        return f"{path}?{parts.query}" if found else None

    def _failure(
        self, response: Response, said: Refusal | None, kind: str
    ) -> tuple[Contact, Outcome]:
        if said is not None and said.fields:
            theirs = {SAID.get(name, name): text for name, text in said.fields.items()}
            said = replace(said, fields=payload_fields(self.fields.get(kind, ()), theirs))
        contact, outcome = read_refusal(response, said)
        if response.status == 409 and said is not None:
            # The same key, or another update of this ticket, is under way: soon again.
            outcome = replace(outcome, cls=Class.UNKNOWN)
        return contact, outcome

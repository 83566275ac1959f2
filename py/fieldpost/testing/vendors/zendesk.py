"""A Zendesk with the traps that the adapter has to live with: idempotency keys that are forgotten
after two hours and refuse other bytes, an ``external_id`` that is not unique, upload tokens of an
hour, a 200 for nobody at ``users/me``, and updates that collide."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fieldpost.destinations.zendesk import Zendesk
from fieldpost.ports import Response

from .base import Ask, Record, Vendor, answer, basic

HOUR_MS = 3_600_000
_PRIORITIES = ("low", "normal", "high", "urgent")
_TYPES = ("problem", "incident", "question", "task")
_USER, _TOKEN = "relay@acme.example/token", "zendesk-token"


@dataclass(slots=True)
class _Upload:
    name: str
    type: str
    data: bytes
    at: int


@dataclass(slots=True)
class _Comment:
    id: int
    body: str
    public: bool
    files: list[tuple[str, str, bytes]]


@dataclass(slots=True)
class _Kept:
    """What an idempotency key stands for."""

    body: bytes
    said: Response
    at: int


class FakeZendesk(Vendor):
    """``file_most``: bytes of an upload; ``refused``: endings of file names that are not taken;
    ``drops``: as many comments come about without their uploads; ``filters``: False: the filter of
    the ticket list is not heeded; ``ticket_fields``: what `discover` reads; ``page``: comments a
    page; ``comments``: by the ticket's number."""

    def __init__(
        self, url: str = "https://acme.zendesk.com", *, now: Callable[[], int] | None = None
    ):
        super().__init__(url, now=now)
        self.file_most = 50 * 1024 * 1024
        self.refused: tuple[str, ...] = (".exe",)
        self.drops = 0
        self.filters = True
        self.page = 100
        self.ticket_fields: list[dict[str, Any]] = [dict(one) for one in FIELDS]
        self.comments: dict[str, list[_Comment]] = {}
        self.updated: dict[str, int] = {}
        self.uploads: dict[str, _Upload] = {}
        self._keys: dict[str, _Kept] = {}
        self._made = 0

    def authorised(self, ask: Ask) -> bool:
        if ask.path == "/api/v2/users/me.json":
            return True  # answers for itself, see `_me`
        return ask.headers.get("authorization") == basic(_USER, _TOKEN)

    def unauthorised(self) -> Response:
        return answer({"error": "Couldn't authenticate you"}, 401)

    def route(self, ask: Ask) -> Response:
        path = ask.path.removeprefix("/api/v2/")
        if path == ask.path:
            return _html(404)
        if path == "users/me.json":
            return self._me(ask)
        typed = ask.headers.get("content-type") == "application/json"
        wants = ask.method in ("POST", "PUT") and path != "uploads.json"
        if wants and not (typed and isinstance(ask.json, dict)):
            return Response(400, {"content-type": "text/plain"}, b"Bad request body")
        if (ask.method, path) == ("POST", "tickets.json"):
            return self._create(ask)
        if (ask.method, path) == ("GET", "tickets.json"):
            return self._list(ask)
        if (ask.method, path) == ("POST", "uploads.json"):
            return self._upload(ask)
        if (ask.method, path) == ("GET", "ticket_fields.json"):
            return answer({"ticket_fields": self.ticket_fields, "next_page": None})
        if found := re.fullmatch(r"ticket_forms/(\d+)\.json", path):
            ids = [one["id"] for one in self.ticket_fields if int(found[1]) in one.get("forms", ())]
            return answer({"ticket_form": {"id": int(found[1]), "ticket_field_ids": ids}})
        if found := re.fullmatch(r"tickets/(\d+)(/comments)?\.json", path):
            record = next((r for r in self.records if r.id == found[1] and r.open), None)
            if record is None:
                return answer({"error": "RecordNotFound", "description": "Not found"}, 404)
            if found[2]:
                return self._comments(record, ask)
            return self._update(record, ask) if ask.method == "PUT" else self._shown(record)
        return answer({"error": "InvalidEndpoint", "description": "Not found"}, 404)

    # --- tickets ---------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Response:
        key = ask.headers.get("idempotency-key")
        kept = self._keys.get(key) if key else None
        if kept is not None and self.now() - kept.at < 2 * HOUR_MS:
            if kept.body != ask.body:
                text = "Request parameters don't match the given idempotency key"
                return answer({"error": "IdempotentRequestError", "description": text}, 400)
            headers = {**kept.said.headers, "x-idempotency-lookup": "hit"}
            return Response(kept.said.status, headers, kept.said.body)
        ticket = ask.json.get("ticket", {})
        if wrong := _wrong(ticket):
            return _invalid(wrong)
        number = str(35_436 + len(self.records))
        comment = ticket.pop("comment")
        op = str(ticket.get("external_id") or "")
        record = Record(number, number, op, ticket, self.now())
        self.records.append(record)
        self._touch(record)
        if refusal := self._comment(record, comment):
            self.records.pop()
            return refusal
        said = self._shown(record, 201)
        if key:
            self._keys[key] = _Kept(ask.body, said, self.now())
        return Response(201, {**said.headers, "x-idempotency-lookup": "miss"}, said.body)

    def _list(self, ask: Ask) -> Response:
        op = ask.query.get("external_id")
        found = [r for r in self.records if r.open and (r.op == op or not self.filters)]
        return answer({"tickets": [self._ticket(r) for r in found], "count": len(found)})

    def _update(self, record: Record, ask: Ask) -> Response:
        ticket = ask.json.get("ticket", {})
        if ticket.get("safe_update") and ticket.get("updated_stamp") != self._stamp(record):
            text = "Safe Update prevented the update due to outdated ticket data."
            return answer({"error": "UpdateConflict", "description": text}, 409)
        if record.fields.get("status") == "closed":
            return _invalid({"status": "closed prevents ticket update"})
        comment = ticket.get("comment")
        events: list[dict[str, Any]] = []
        if comment is not None:
            if refusal := self._comment(record, comment):
                return refusal
            events.append({"type": "Comment", **self._said(self.comments[record.id][-1])})
        self._touch(record)
        return answer({"ticket": self._ticket(record), "audit": {"events": events}})

    def _shown(self, record: Record, status: int = 200) -> Response:
        return answer({"ticket": self._ticket(record)}, status)

    def _ticket(self, record: Record) -> dict[str, Any]:
        shown = {name: record.fields.get(name) for name in ("subject", "priority", "type", "tags")}
        return {
            **shown,
            "id": int(record.id),
            "url": f"{self.url}/api/v2/tickets/{record.id}.json",
            "external_id": record.op or None,
            "created_at": _time(record.at),
            "updated_at": self._stamp(record),
        }

    def _touch(self, record: Record) -> None:
        """Each event has a stamp of its own here, so that a collision is never missed for lack of
        time between two."""
        self._made += 1
        self.updated[record.id] = self._made

    def _stamp(self, record: Record) -> str:
        return f"{_time(record.at)}.{self.updated[record.id]}"

    # --- comments and files ----------------------------------------------------------------------

    def _comment(self, record: Record, comment: dict[str, Any]) -> Response | None:
        files = []
        for token in comment.get("uploads", []):
            upload = self.uploads.get(token)
            if upload is None or self.now() - upload.at >= HOUR_MS:
                return _invalid({"uploads": "token is not valid"})
            files.append((upload.name, upload.type, upload.data))
        for token in comment.get("uploads", []):
            del self.uploads[token]
        if files and self.drops:
            self.drops -= 1
            files = []
        self._made += 1
        said = _Comment(self._made, str(comment["body"]), bool(comment.get("public", True)), files)
        self.comments.setdefault(record.id, []).append(said)
        record.files += files
        return None

    def _upload(self, ask: Ask) -> Response:
        name = ask.query.get("filename", "")
        if not name:
            return answer({"error": "InvalidValue", "description": "filename is required"}, 400)
        if len(ask.body) > self.file_most:
            return answer({"error": "AttachmentTooLarge", "description": "File is too large"}, 413)
        if name.endswith(self.refused):
            return _invalid({"attachment": "File type is not allowed"})
        token = f"token{len(self.requests)}"
        type_ = ask.headers.get("content-type", "")
        self.uploads[token] = _Upload(name, type_, ask.body, self.now())
        shown = {"file_name": name, "content_type": type_, "size": len(ask.body)}
        return answer({"upload": {"token": token, "attachment": shown}}, 201)

    def _comments(self, record: Record, ask: Ask) -> Response:
        newest = self.comments.get(record.id, [])[::-1]
        start = int(ask.query.get("page[after]", "0"))
        shown = [self._said(one) for one in newest[start : start + self.page]]
        more = start + self.page < len(newest)
        path = f"{self.url}/api/v2/tickets/{record.id}/comments.json"
        following = f"{path}?page%5Bafter%5D={start + self.page}" if more else None
        links = {"next": following}
        return answer({"comments": shown, "links": links, "meta": {"has_more": more}})

    @staticmethod
    def _said(comment: _Comment) -> dict[str, Any]:
        files = [
            {"file_name": name, "content_type": type_, "size": len(data)}
            for name, type_, data in comment.files
        ]
        public = comment.public
        return {"id": comment.id, "body": comment.body, "public": public, "attachments": files}

    def _me(self, ask: Ask) -> Response:
        known = ask.headers.get("authorization") == basic(_USER, _TOKEN)
        return answer({"user": {"id": 7 if known else None, "name": "Anonymous user"}})


#: The ticket fields of a new account, with one of its own.
FIELDS: tuple[dict[str, Any], ...] = (
    {"id": 1, "type": "subject", "title": "Subject", "removable": False, "forms": (9,)},
    {"id": 2, "type": "description", "title": "Description", "removable": False, "forms": (9,)},
    {
        "id": 3,
        "type": "priority",
        "title": "Priority",
        "removable": False,
        "system_field_options": [{"name": p.title(), "value": p} for p in _PRIORITIES],
    },
    {
        "id": 4,
        "type": "tickettype",
        "title": "Type",
        "removable": False,
        "system_field_options": [{"name": t.title(), "value": t} for t in _TYPES],
    },
    {"id": 5, "type": "assignee", "title": "Assignee", "removable": False, "required": True},
    {
        "id": 360,
        "type": "tagger",
        "title": "Site",
        "removable": True,
        "required_in_portal": True,
        "forms": (9,),
        "custom_field_options": [
            {"name": "North", "value": "north"},
            {"name": "South", "value": "south"},
        ],
    },
)


def bench(clock: Any) -> tuple[Zendesk, FakeZendesk, dict[str, dict[str, str]]]:
    """The adapter, its vendor on ``clock``, and the credentials that a host would add."""
    vendor = FakeZendesk(now=clock.now)
    adapter = Zendesk(subdomain="acme", credential="zendesk")
    return adapter, vendor, {"zendesk": {"Authorization": basic(_USER, _TOKEN)}}


def _wrong(ticket: dict[str, Any]) -> dict[str, str]:
    wrong = {}
    comment = ticket.get("comment")
    if not isinstance(comment, dict) or not str(comment.get("body") or "").strip():
        wrong["description"] = "Description: cannot be blank"
    if ticket.get("priority") not in (None, *_PRIORITIES):
        wrong["priority"] = f"Priority: {ticket['priority']} is not valid"
    if ticket.get("type") not in (None, *_TYPES):
        wrong["ticket_type"] = "Type: is not valid"
    requester = ticket.get("requester")
    if requester is not None and "@" not in str(requester.get("email")):
        wrong["requester"] = "Requester: Email: is not properly formatted"
    if any(" " in tag for tag in ticket.get("tags", [])):
        wrong["tags"] = "Tags: may not have spaces"
    return wrong


def _invalid(wrong: dict[str, str]) -> Response:
    details = {name: [{"description": text, "error": "Invalid"}] for name, text in wrong.items()}
    text = "Record validation errors"
    return answer({"error": "RecordInvalid", "description": text, "details": details}, 422)


def _time(at: int) -> str:
    """Sorts as the times do, which is all that is asked of it."""
    return f"{at // 1000:012}"


def _html(status: int) -> Response:
    return Response(status, {"content-type": "text/html"}, b"<html>No such help desk</html>")

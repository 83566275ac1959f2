"""A fake Autotask: a place that knows the zones, and a zone with tickets and their files.

Its traps: nothing is answered at the wrong zone, a create has no key, ``externalID`` is not unique,
a page holds 500 rows, three requests at a time, refusals as 500.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.autotask import Autotask
from fieldpost.ports import Request, Response

from .base import Ask, Record, Vendor, answer

SECRET = {"ApiIntegrationCode": "CODE", "UserName": "api@shop.example", "Secret": "s3cret"}
PAGE = 500
FILE_BYTES_MAX = 6_000_000
AT_ONCE = 3


class FakeAutotask(Vendor):
    """``url`` is where zones are asked for, and its zone as well; ``under_way``: requests that a
    test says are running beside; ``zone_path``: where the zone is; a test may move it;
    ``priorities``: of this site, which may be chosen."""

    def __init__(self, url: str = "https://webservices.autotask.example", **named: Any):
        super().__init__(url, **named)
        self.zone_path = "/ATServicesRest/"
        self.under_way = 0
        self.sizes_told = True
        self.columns = list(_COLUMNS)
        self.priorities: tuple[str, ...] = ("1", "2", "3")
        self.required = ("title", "status", "priority", "companyID", "dueDateTime")

    def authorised(self, ask: Ask) -> bool:
        if ask.path.lower().endswith("/zoneinformation"):
            return True
        return all(ask.headers.get(name.lower()) == value for name, value in SECRET.items())

    def unauthorised(self) -> Response:
        return _wrong("The logon information was not valid.", status=401)

    def route(self, ask: Ask) -> Response:
        if ask.path.lower() == "/atservicesrest/v1.0/zoneinformation":
            if ask.query.get("user") != SECRET["UserName"]:
                return _wrong("Zone information could not be determined.")
            place = self.url + self.zone_path
            web = self.url + "/web/"
            return answer({"zoneName": "West", "url": place, "webUrl": web, "ci": 3})
        prefix = self.zone_path + "v1.0/"
        if not ask.path.startswith(prefix):
            return Response(404, {"content-type": "text/html"}, b"<h1>Not here</h1>")
        if self.under_way >= AT_ONCE:
            return _wrong("Too many requests at the same time.", status=429)
        return self._in_zone(ask, ask.path.removeprefix(prefix).split("/"))

    def _in_zone(self, ask: Ask, path: list[str]) -> Response:
        match ask.method, path:
            case "GET", ["Companies", "entityInformation"]:
                return answer({"info": {"name": "Company", "canCreate": True}})
            case "GET", ["Tickets", "entityInformation", "fields"]:
                return answer({"fields": [self._column(name) for name in self.columns]})
            case "POST", ["Tickets"]:
                return self._create(ask.json)
            case "POST", ["Tickets", "query"]:
                return self._query(ask.json, int(ask.query.get("page", "1")))
            case "POST", ["Tickets", number, "Attachments"]:
                return self._attach(number, ask.json)
            case "GET", ["Tickets", number, "Attachments"]:
                return self._files(number, int(ask.query.get("page", "1")))
        return _wrong("There is no such resource.", status=404)

    def _create(self, ticket: Any) -> Response:
        if not isinstance(ticket, dict):
            return _wrong("The body could not be read.")
        missing = [name for name in self.required if ticket.get(name) in (None, "")]
        if missing:
            return _wrong(*(f"Missing Required Field: {name};" for name in missing))
        if str(ticket["priority"]) not in (*self.priorities, _CLOSED):
            return _wrong("Value does not exist for the required picklist: priority.")
        number = str(29_683_000 + len(self.records))
        said = f"T20250615.{len(self.records) + 1:04}"
        op = str(ticket.get("externalID") or "")
        self.records.append(Record(number, said, op, dict(ticket), self.now()))
        return answer({"itemId": int(number)})

    def _query(self, asked: Any, page: int) -> Response:
        clauses = asked.get("filter") if isinstance(asked, dict) else None
        if not clauses:
            return _wrong("The filter is missing.")
        most = min(int(asked.get("MaxRecords", PAGE)), PAGE)
        found = [r for r in self.records if r.open and _matches(r, clauses)]
        rows = [
            {"id": int(r.id), "ticketNumber": r.number, "externalID": r.op, "createDate": r.at}
            for r in found
        ]
        return self._page("Tickets/query", rows, page, most)

    def _attach(self, number: str, file: Any) -> Response:
        record = self._ticket(number)
        if record is None:
            return _wrong("Ticket not found.", status=404)
        data = base64.b64decode(file["data"], validate=True)
        if len(data) > FILE_BYTES_MAX:
            return _wrong("The attachment exceeds the maximum size.")
        record.files.append((file["title"], "", data))
        return answer({"itemId": 100 + len(record.files)})

    def _files(self, number: str, page: int) -> Response:
        record = self._ticket(number)
        if record is None:
            return _wrong("Ticket not found.", status=404)
        rows: list[dict[str, Any]] = []
        for n, (name, _, data) in enumerate(record.files):
            size = {"fileSize": len(data)} if self.sizes_told else {}
            rows.append({"id": 100 + n, "title": name, "fullPath": name, **size})
        return self._page(f"Tickets/{number}/Attachments", rows, page, PAGE)

    def _page(self, path: str, rows: list[dict[str, Any]], page: int, most: int) -> Response:
        shown = rows[(page - 1) * most : page * most]
        further = page * most < len(rows)
        next_url = f"{self.url}{self.zone_path}v1.0/{path}?page={page + 1}" if further else None
        return answer({"items": shown, "pageDetails": {"nextPageUrl": next_url}})

    def _column(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = {"name": name, "isRequired": name in self.required, "length": 0}
        told["isPickList"] = name in ("priority", "status")
        if name == "title":
            told["length"] = 255
        if name == "priority":
            told["picklistValues"] = [
                {"value": value, "isActive": value != _CLOSED}
                for value in (*self.priorities, _CLOSED)
            ]
        return told

    def _ticket(self, number: str) -> Record | None:
        return next((r for r in self.records if r.id == number), None)


_COLUMNS = (
    "id",
    "title",
    "description",
    "status",
    "priority",
    "companyID",
    "dueDateTime",
    "externalID",
)


#: A priority ("critical") that is not to be chosen any more.
_CLOSED = "4"


def _matches(record: Record, clauses: list[dict[str, Any]]) -> bool:
    values = record.fields | {"externalID": record.op}
    return all(c.get("op") == "eq" and values.get(c["field"]) == c["value"] for c in clauses)


def _wrong(*said: str, status: int = 500) -> Response:
    return answer({"errors": list(said)}, status)


def to_another_zone(vendor: Vendor, request: Request, _go: Callable[[], Response]) -> Response:
    """The site has moved: what it was asked at its old place it does not know there."""
    assert isinstance(vendor, FakeAutotask)
    vendor.zone_path = "/Zone9/ATServicesRest/"
    assert urlsplit(request.url).path.startswith("/ATServicesRest/")
    return Response(503, {"content-type": "text/html"}, b"<h1>Moved</h1>")


def bench(clock: Any) -> tuple[Adapter, Vendor, dict[str, dict[str, str]]]:
    """An adapter, the fake that it speaks to, and the host's credentials."""
    vendor = FakeAutotask(now=clock.now)
    adapter = Autotask(
        user=SECRET["UserName"], company_id=175, queue_id=8, url=vendor.url, credential="autotask"
    )
    return adapter, vendor, {"autotask": dict(SECRET)}

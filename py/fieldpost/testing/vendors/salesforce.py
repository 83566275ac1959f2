"""A Salesforce org with the traps that the adapter has to live with: an upsert by an external id
that may be missing or not unique (300), a race that its loser hears of as DUPLICATE_VALUE, a 404
that means two things, limits as a 403, and errors in a list."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from fieldpost.destinations.salesforce import Salesforce
from fieldpost.ports import Request, Response

from .base import Ask, Fault, Record, Vendor, answer

_BASE = "/services/data/v62.0/"
_KEY = "Fieldpost_Id__c"
_SESSION = "Bearer session"
_BOUNDARY = re.compile(r'multipart/form-data; boundary="?([^";]+)"?')
_SOQL = re.compile(r"SELECT (.+) FROM ContentDocumentLink WHERE LinkedEntityId = '(\w+)'")
_VERSION = "ContentDocument.LatestPublishedVersion."

#: name -> what a description says of it; a new org's, with the administrator's key.
FIELDS: dict[str, dict[str, Any]] = {
    "Id": {"type": "id", "length": 18, "createable": False, "nillable": False},
    "CaseNumber": {"type": "string", "length": 30, "createable": False, "nillable": False},
    "Subject": {"type": "string", "length": 255},
    "Description": {"type": "textarea", "length": 32_000},
    "Priority": {"type": "picklist", "length": 255, "values": ("High", "Medium", "Low")},
    "Origin": {"type": "picklist", "length": 255, "values": ("Phone", "Email", "Web")},
    "SuppliedName": {"type": "string", "length": 80},
    "SuppliedEmail": {"type": "email", "length": 80},
    "Site__c": {"type": "string", "length": 20},
    _KEY: {"type": "string", "length": 36, "externalId": True, "unique": True},
}


class FakeSalesforce(Vendor):
    """``fields``: of the object Case, see `FIELDS` (``required`` in one makes it so); ``limited``:
    the org has used up its requests; ``full``: its room for files; ``hidden``: this user may not
    see the object; ``file_most``: bytes of a file; ``files``: what the org knows of each, by the
    case's id; ``page``: rows of an answer."""

    def __init__(
        self, url: str = "https://acme.my.salesforce.com", *, now: Callable[[], int] | None = None
    ):
        super().__init__(url, now=now)
        self.fields = {name: dict(about) for name, about in FIELDS.items()}
        self.limited = False
        self.full = False
        self.hidden = False
        self.file_most = 2 * 1024**3
        self.page = 2_000
        self.files: dict[str, list[dict[str, Any]]] = {}

    def authorised(self, ask: Ask) -> bool:
        return ask.headers.get("authorization") == _SESSION

    def unauthorised(self) -> Response:
        return errors(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def route(self, ask: Ask) -> Response:
        if self.limited:
            return errors(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        path = "" if self.hidden else ask.path.removeprefix(_BASE)
        match path.split("/"):
            case ["sobjects", "Case"] if ask.method == "GET":
                return answer({"objectDescribe": {"name": "Case"}, "recentItems": []})
            case ["sobjects", "Case", "describe"]:
                return answer({"name": "Case", "fields": self._described()})
            case ["sobjects", "Case", record_id] if ask.method == "GET":
                return self._record(record_id, ask.query.get("fields", ""))
            case ["sobjects", "Case", key, op]:
                return self._row(ask, key, op)
            case ["sobjects", "ContentVersion"] if ask.method == "POST":
                return self._file(ask)
            case ["query"]:
                return self._query(ask.query.get("q", ""), 0)
            case ["query", more]:
                soql, _, start = more.rpartition("-")
                return self._query(bytes.fromhex(soql).decode(), int(start))
        return errors(404, "NOT_FOUND", "The requested resource does not exist")

    # --- cases -----------------------------------------------------------------------------------

    def _row(self, ask: Ask, key: str, op: str) -> Response:
        if self.fields.get(key, {}).get("externalId") is not True:
            text = f"Provided external ID field does not exist or is not accessible: {key}"
            return errors(404, "NOT_FOUND", text)
        found = [record for record in self.records if record.op == op and record.open]
        if len(found) > 1:
            return answer([f"{_BASE}sobjects/Case/{record.id}" for record in found], 300)
        if ask.method == "GET":
            if not found:
                return errors(404, "NOT_FOUND", "The requested resource does not exist")
            shown = {"Id": found[0].id, "CaseNumber": found[0].number, key: op}
            return answer({**shown, **found[0].fields})
        if ask.method != "PATCH":
            return errors(405, "METHOD_NOT_ALLOWED", "HTTP Method not allowed")
        given = ask.json
        if ask.headers.get("content-type") != "application/json" or not isinstance(given, dict):
            return errors(400, "JSON_PARSER_ERROR", "The HTTP entity body is required")
        if wrong := self._wrong(given, key, fresh=not found):
            return wrong
        if found:
            found[0].fields |= given
            said = {"id": found[0].id, "success": True, "errors": [], "created": False}
            return answer(said)
        return answer(
            {"id": self.add(op, given).id, "success": True, "errors": [], "created": True}, 201
        )

    def _record(self, record_id: str, fields: str) -> Response:
        found = next((r for r in self.records if r.id == record_id and r.open), None)
        if found is None:
            return errors(404, "NOT_FOUND", "The requested resource does not exist")
        row = {"Id": found.id, "CaseNumber": found.number, **found.fields}
        asked = [name for name in fields.split(",") if name]
        if wrong := [name for name in asked if name not in self.fields]:
            text = f"No such column '{wrong[0]}' on entity 'Case'"
            return errors(400, "INVALID_FIELD", text)
        return answer({"Id": found.id, **{name: row.get(name) for name in asked}})

    def add(self, op: str, fields: dict[str, Any]) -> Record:
        """A case, by whatever way it came: where the key is not unique, also a second one."""
        n = len(self.records) + 1
        record = Record(f"500Kd00000{n:05}IAB", f"{1000 + n:08}", op, dict(fields), self.now())
        self.records.append(record)
        return record

    def _wrong(self, given: dict[str, Any], key: str, *, fresh: bool) -> Response | None:
        for name, value in given.items():
            about = self.fields.get(name)
            if name in (key, "Id"):
                text = f"The {name} field should not be specified in the sobject data."
                return errors(400, "INVALID_FIELD", text, name)
            if about is None or about.get("createable") is False:
                text = f"No such column '{name}' on sobject of type Case"
                return errors(400, "INVALID_FIELD", text, name)
            if "values" in about and value not in about["values"]:
                text = f"{name}: bad value for restricted picklist field: {value}"
                return errors(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text, name)
            if isinstance(value, str) and len(value) > about["length"]:
                text = f"{name}: data value too large: (max length={about['length']})"
                return errors(400, "STRING_TOO_LONG", text, name)
            if about["type"] == "email" and "@" not in str(value):
                text = f"{name}: invalid email address: {value}"
                return errors(400, "INVALID_EMAIL_ADDRESS", text, name)
        missing = [
            n for n, about in self.fields.items() if about.get("required") and n not in given
        ]
        if fresh and missing:
            text = f"Required fields are missing: [{', '.join(missing)}]"
            return errors(400, "REQUIRED_FIELD_MISSING", text, *missing)
        return None

    def _described(self) -> list[dict[str, Any]]:
        shown = []
        for name, about in self.fields.items():
            values = [{"value": v, "active": True, "label": v} for v in about.get("values", ())]
            shown.append(
                {
                    "name": name,
                    "label": name.removesuffix("__c").replace("_", " "),
                    "createable": about.get("createable", True),
                    "nillable": about.get("nillable", not about.get("required")),
                    "defaultedOnCreate": False,
                    "type": about["type"],
                    "length": about["length"],
                    "externalId": about.get("externalId", False),
                    "unique": about.get("unique", False),
                    "picklistValues": values,
                }
            )
        return shown

    # --- files -----------------------------------------------------------------------------------

    def _file(self, ask: Ask) -> Response:
        found = _BOUNDARY.fullmatch(ask.headers.get("content-type", ""))
        parts = _multipart(ask.body, found[1].encode()) if found else []
        if [name for name, _, _ in parts] != ["entity_content", "VersionData"]:  # in this order
            text = "Multipart message must include a non-binary part, then a binary one"
            return errors(400, "INVALID_MULTIPART_REQUEST", text)
        entity, data = json.loads(parts[0][2]), parts[1][2]
        case = entity.get("FirstPublishLocationId")
        record = next((r for r in self.records if r.id == case and r.open), None)
        if record is None:
            text = "invalid cross reference id"
            return errors(400, "INVALID_CROSS_REFERENCE_KEY", text, "FirstPublishLocationId")
        if len(data) > self.file_most:
            return errors(413, "REQUEST_ENTITY_TOO_LARGE", "The file is too large")
        if self.full:
            return errors(400, "STORAGE_LIMIT_EXCEEDED", "storage limit exceeded")
        self.files.setdefault(record.id, []).append(
            {
                "Title": entity["Title"],
                "Description": entity.get("Description"),
                "ContentSize": len(data),
                "Checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            }
        )
        record.files.append((entity["PathOnClient"], parts[1][1], data))
        n = sum(len(files) for files in self.files.values())
        return answer({"id": f"068Kd00000{n:05}IAB", "success": True, "errors": []}, 201)

    def _query(self, soql: str, start: int) -> Response:
        found = _SOQL.fullmatch(soql)
        columns = [name.strip() for name in found[1].split(",")] if found else []
        known = {
            f"{_VERSION}{name}" for name in ("Title", "ContentSize", "Checksum", "Description")
        }
        if found is None or not set(columns) <= known:
            return errors(400, "MALFORMED_QUERY", f"unexpected token in: {soql}")
        rows = [
            {
                "ContentDocument": {
                    "LatestPublishedVersion": {
                        name.removeprefix(_VERSION): file[name.removeprefix(_VERSION)]
                        for name in columns
                    }
                }
            }
            for file in self.files.get(found[2], [])
        ]
        shown, more = rows[start : start + self.page], start + self.page
        said: dict[str, Any] = {"totalSize": len(rows), "done": more >= len(rows), "records": shown}
        if more < len(rows):
            said["nextRecordsUrl"] = f"{_BASE}query/{soql.encode().hex()}-{more}"
        return answer(said)


def bench(clock: Any) -> tuple[Salesforce, FakeSalesforce, dict[str, dict[str, str]]]:
    """The adapter, its vendor on ``clock``, and the credentials that a host would add."""
    vendor = FakeSalesforce(now=clock.now)
    adapter = Salesforce(instance_url=vendor.url, credential="salesforce")
    return adapter, vendor, {"salesforce": {"Authorization": _SESSION}}


def errors(status: int, code: str, text: str, *fields: str) -> Response:
    """As Salesforce says it: a list of one."""
    return answer([{"message": text, "errorCode": code, "fields": list(fields)}], status)


def loses_race() -> Fault:
    """Another sender's upsert of the same item is done first; ours hears that it was second."""

    def fault(vendor: Vendor, _request: Request, go: Callable[[], Response]) -> Response:
        go()
        text = f"duplicate value found: {_KEY} duplicates value on record with id: "
        return errors(400, "DUPLICATE_VALUE", text + vendor.records[-1].id)

    return fault


def _multipart(body: bytes, boundary: bytes) -> list[tuple[str, str, bytes]]:
    """(name, media type, bytes) of each part."""
    found = []
    if not body.endswith(b"\r\n--" + boundary + b"--\r\n"):
        return []
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        type_ = re.search(rb"(?i)content-type: *([^\r\n]+)", head)
        found.append((name[1].decode() if name else "", type_[1].decode() if type_ else "", data))
    return found

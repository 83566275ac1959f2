"""A ServiceNow instance in memory: Table API and Attachment API, with their traps.

Kept true to: headers that are demanded of writes; no idempotency; a condition on a column that is
not there is ignored (or gives no rows at all, `strict_queries`); all values are strings; errors in
one shape; files stored byte for byte with their SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from fieldpost.destinations.servicenow import ServiceNow
from fieldpost.ports import Clock, Response

from .base import Ask, Record, Vendor, answer, basic

URL = "https://acme.service-now.example"
USER, PASSWORD = "fieldpost.integration", "not-a-secret"
_TABLE = re.compile(r"/api/now(?:/v\d)?/table/([a-z_]+)(?:/([0-9a-f]{32}))?")
_FILES = re.compile(r"/api/now(?:/v\d)?/attachment(/file)?")
_COLUMNS = frozenset(
    (
        "sys_id",
        "number",
        "sys_created_on",
        "sys_mod_count",
        "short_description",
        "description",
        "impact",
        "urgency",
        "priority",
        "category",
        "caller_id",
        "contact_type",
        "correlation_id",
        "correlation_display",
    )
)


class FakeServiceNow(Vendor):
    """``columns``: of the table `incident` (take one away, and queries by it are ignored);
    ``mandatory``: by a data policy; ``max_file``: bytes; ``refused_types``: endings of names;
    ``hidden``: columns that the account may not read; ``unwritable``: nor write; ``users``: rows of
    ``sys_user``, None where the account may not read them."""

    def __init__(self, url: str = URL, *, now: Callable[[], int] | None = None):
        super().__init__(url, now=now)
        self.columns = set(_COLUMNS)
        self.mandatory: set[str] = set()
        self.hidden: set[str] = set()
        self.unwritable: set[str] = set()
        self.strict_queries = False
        self.max_file = 50 * 1024 * 1024
        self.refused_types: tuple[str, ...] = (".exe",)
        self.dictionary: list[dict[str, str]] = [
            _column("task", "short_description", "true", "160"),
            _column("task", "description", "false", "4000"),
            _column("incident", "caller_id", "false", "32"),
            _column("task", "number", "true", "40"),
            _column("incident", "category", "false", "40"),
        ]
        self.users: list[dict[str, str]] | None = []
        self.choices: list[dict[str, str]] = [
            *(_choice("impact", v) for v in "123"),
            *(_choice("urgency", v) for v in "123"),
        ]

    def authorised(self, ask: Ask) -> bool:
        return ask.headers.get("authorization") == basic(USER, PASSWORD)

    def unauthorised(self) -> Response:
        return _error(401, "User Not Authenticated", "Required to provide Auth information")

    def route(self, ask: Ask) -> Response:
        if found := _FILES.fullmatch(ask.path):
            return self._files(ask, file=bool(found[1]))
        found = _TABLE.fullmatch(ask.path)
        if found is None:
            return _error(400, "Requested URI does not represent any resource", ask.path)
        if ask.method == "GET":
            return self._rows(ask, found[1])
        for name in ("accept", "content-type"):
            if ask.headers.get(name, "").partition(";")[0] != "application/json":
                return _error(400, "Bad Request", f"Missing or unusable header: {name}")
        if ask.method != "POST" or found[1] != "incident":
            return _error(400, "Invalid table", found[1])
        return self._create(ask)

    # --- tables ----------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Response:
        given = ask.json[0] if isinstance(ask.json, list) and ask.json else ask.json
        if not isinstance(given, dict):
            return _error(400, "Exception while reading request", "The payload is not valid JSON")
        taken = {k: v for k, v in given.items() if k in self.columns - self.unwritable}
        if missing := sorted(name for name in self.mandatory if not taken.get(name)):
            policy = "Data Policy Exception: The following fields are mandatory: "
            return _error(403, "Operation Failed", policy + ", ".join(missing))
        n = len(self.records) + 1
        key = hashlib.md5(f"{self.url}{n}".encode(), usedforsecurity=False).hexdigest()
        at = self.now()
        fields = dict.fromkeys(self.columns, "") | {k: _text(v) for k, v in taken.items()}
        fields |= {"sys_id": key, "number": f"INC{n:07}", "sys_mod_count": "0"}
        fields |= {"sys_created_on": f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}"}
        if "priority" in self.columns:
            fields["priority"] = _priority(fields.get("impact", ""), fields.get("urgency", ""))
        op = fields.get("correlation_id", "")
        record = Record(key, fields["number"], op, fields, at)
        self.records.append(record)
        link = f"{self.url}/api/now/table/incident/{key}"
        return answer({"result": self._shown(record.fields, ask)}, 201, location=link)

    def _rows(self, ask: Ask, table: str) -> Response:
        rows: Iterable[dict[str, Any]]
        if table == "incident":
            rows, columns = [r.fields for r in self.records if r.open], self.columns
        elif table == "sys_dictionary":
            rows, columns = self.dictionary, {"name", "element", "mandatory", "max_length"}
        elif table == "sys_choice":
            rows, columns = self.choices, {"name", "element", "value", "inactive"}
        elif table == "sys_user":
            if self.users is None:
                return _error(403, "User Not Authorized", "ACL restricts the record retrieval")
            rows, columns = self.users, {"sys_id", "name", "email", "active"}
        else:
            return _error(400, "Invalid table " + table, "")
        found = self._matching(list(rows), columns, ask.query.get("sysparm_query", ""))
        limit = int(ask.query.get("sysparm_limit", "10000"))
        return answer({"result": [self._shown(row, ask) for row in found[:limit]]})

    def _matching(
        self, rows: list[dict[str, Any]], columns: set[str], query: str
    ) -> list[dict[str, Any]]:
        """Conditions joined by ``^``, each with its ``^OR`` alternatives: ``=`` and ``IN``."""
        order = ""
        for part in re.split(r"\^(?!OR(?!DERBY))", query):
            if part.startswith("ORDERBY"):
                order = part.removeprefix("ORDERBY")
                continue
            tests = [found for alt in part.split("^OR") if (found := _condition(alt, columns))]
            if not part:
                continue
            if not tests:
                if self.strict_queries:
                    return []
                continue  # not understood, so not asked: all rows are left
            rows = [r for r in rows if any(_equal(r.get(c, ""), values) for c, values in tests)]
        return sorted(rows, key=lambda r: r.get(order, "")) if order in columns else rows

    def _shown(self, row: dict[str, Any], ask: Ask) -> dict[str, Any]:
        asked = ask.query.get("sysparm_fields", "")
        names = asked.split(",") if asked else list(row)
        return {name: row[name] for name in names if name in row and name not in self.hidden}

    # --- files -----------------------------------------------------------------------------------

    def _files(self, ask: Ask, *, file: bool) -> Response:
        if ask.method == "GET":
            key = ask.query.get("sysparm_query", "").removeprefix("table_sys_id=")
            record = next((r for r in self.records if r.id == key), None)
            held = record.files if record else []
            return answer({"result": [_entry(key, *stored) for stored in held]})
        record = next((r for r in self.records if r.id == ask.query.get("table_sys_id")), None)
        name, kind = ask.query.get("file_name", ""), ask.headers.get("content-type", "")
        if not file or not kind or not name:
            return _error(400, "Bad Request", "Missing file_name or Content-Type")
        if record is None or ask.query.get("table_name") != "incident" or not record.open:
            return _error(404, "No Record found", "Record doesn't exist or ACL restricts it")
        if len(ask.body) > self.max_file:
            return _error(413, "Request Entity Too Large", f"More than {self.max_file} bytes")
        if name.lower().endswith(self.refused_types):
            return _error(400, "Attachment rejected", f"The type of {name} is not allowed")
        record.files.append((name, kind, ask.body))
        return answer({"result": _entry(record.id, name, kind, ask.body)}, 201)


def _condition(text: str, columns: set[str]) -> tuple[str, list[str]] | None:
    """Of a column that is there; None: the instance does not understand it."""
    found = re.fullmatch(r"([a-z_]+)(=|IN)(.*)", text)
    if not found or found[1] not in columns:
        return None
    return found[1], found[3].split(",") if found[2] == "IN" else [found[3]]


def _equal(held: str, values: list[str]) -> bool:
    """As its database compares: whatever the case."""
    return held.casefold() in {value.casefold() for value in values}


def _column(name: str, element: str, mandatory: str, max_length: str) -> dict[str, str]:
    return {"name": name, "element": element, "mandatory": mandatory, "max_length": max_length}


def user(name: str, email: str, *, active: bool = True) -> dict[str, str]:
    """A row of ``sys_user``."""
    key = hashlib.md5(f"{name} {email}".encode(), usedforsecurity=False).hexdigest()
    return {"sys_id": key, "name": name, "email": email, "active": str(active).lower()}


def _choice(element: str, value: str) -> dict[str, str]:
    return {"name": "task", "element": element, "value": value, "inactive": "false"}


def _entry(key: str, name: str, kind: str, data: bytes) -> dict[str, str]:
    return {
        "sys_id": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "table_sys_id": key,
        "file_name": name,
        "content_type": kind,
        "size_bytes": str(len(data)),
        "hash": hashlib.sha256(data).hexdigest(),
    }


def _priority(impact: str, urgency: str) -> str:
    """The matrix an instance comes with."""
    total = sum(int(v) if v in ("1", "2", "3") else 3 for v in (impact, urgency))
    return str(max(1, total - 1))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _error(status: int, message: str, detail: str) -> Response:
    return answer({"error": {"message": message, "detail": detail}, "status": "failure"}, status)


def bench(
    clock: Clock,
) -> tuple[ServiceNow, FakeServiceNow, dict[str, dict[str, str]]]:
    """An adapter, its fake on ``clock``, and the credentials that the host adds."""
    vendor = FakeServiceNow(now=clock.now)
    vendor.users = [user("Ada", "ada@example.test"), user("Ada Byron", "ada@example.org")]
    adapter = ServiceNow(url=URL, credential="servicenow")
    return adapter, vendor, {"servicenow": {"Authorization": basic(USER, PASSWORD)}}

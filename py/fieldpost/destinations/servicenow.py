"""ServiceNow: a record of a task table (Table API), its files after it (Attachment API).

``checked``: the Table API has no idempotency key and no precondition, so what was not answered is
never sent again as it is. The operation's id stands in ``correlation_id``, and the table is asked
for it first. Two traps of that question are taken into account. An instance ignores the part of a
query that it does not understand (a column that is not there) and gives rows that nobody asked for:
so each row has to carry our id, and rows that do not prove nothing, least of all absence. One with
``glide.invalid_query.returns_no_rows`` gives none instead: so before the first item a record is
looked at, and where it has no readable ``correlation_id`` nothing is sent at all.

What an administrator sets up is in docs/destinations/servicenow.md.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.limits import BATCH_BYTES_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Manifest, Request, Response, Upload

from .adapter import Adapter
from .answers import ONLINE, problem, read_json
from .base import Contact, Declaration, Discovered, Finding, Lookup, Reading, Script
from .fieldmap import FieldMap, render
from .records import media_type, taken_for_it
from .refusals import UNPROVED, Refusal, read_refusal
from .servicenow_fields import DEFAULT_MAP, discovered, reporter, the_user

#: An instance may go on with a request for a minute after nobody waits for it any more.
SETTLE_MS = 70_000
#: What an instance takes unless its administrator says otherwise (1024 MB).
FILE_BYTES = 1024 * 1024 * 1024

DECLARATION = Declaration(
    guarantee="checked",
    replay_window_ms=0,
    batch_items=1,
    batch_bytes=BATCH_BYTES_MAX,
    lookup=Lookup(settle_ms=SETTLE_MS),
    attachments=True,
    whole_files=True,
    file_bytes=FILE_BYTES,
)

_KEY = re.compile("[0-9a-f]{32}")
_NUMBER = re.compile("[A-Za-z0-9_-]+")
_FIELDS = "sys_id,number,correlation_id,sys_created_on"
_NO_COLUMN = (
    "The table has no correlation_id that this account may read, so nobody could tell whether an "
    "item arrived. Nothing is sent until it has."
)


@dataclass
class ServiceNow(Adapter):
    """``instance``: the first label of ``<instance>.service-now.com``, or ``url``: scheme and host
    of one elsewhere. ``fields``: the map. ``display_values``: reference fields of the map hold what
    people see (a name, a user id) instead of a ``sys_id``. ``requester``: the field for the user
    who has the reporter's e-mail address, "": none; not asked for with ``display_values``, where
    such a field takes no ``sys_id``.

    ``remote_id`` is the number that people say (INC0010002), or the ``sys_id`` where the table has
    none; the ``sys_id`` is in ``remote_url``, and is looked up again before files follow.
    """

    lane: str = "servicenow"
    declaration: Declaration = DECLARATION
    instance: str = ""
    table: str = "incident"
    url: str = ""
    fields: FieldMap = field(default_factory=lambda: DEFAULT_MAP)
    display_values: bool = False
    requester: str = "caller_id"
    #: What `read_probe` learnt: lookups by the operation's id can be believed.
    checked: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.url = (self.url or f"https://{self.instance}.service-now.com").rstrip("/")
        if self.declaration.kinds is None:
            self.declaration = replace(self.declaration, kinds=frozenset(self.fields))

    # --- the record ------------------------------------------------------------------------------

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """{"op", "record"}, and with "requester" the reporter's e-mail address where the record
        does not say who it is. Raises `InvalidItem`."""
        if item.operation != "create" or item.kind not in self.fields:
            raise InvalidItem(fields={"operation": "has no place in the destination"})
        payload = json.loads(body)
        record = render(self.fields[item.kind], item, payload)
        record |= {"correlation_id": item.id, "correlation_display": "fieldpost"}
        intent = {"op": item.id, "record": record}
        if self._looked_up and self._looked_up not in record:
            intent |= reporter(payload)
        return canonical(intent)

    def enrich(self, intents: Sequence[bytes]) -> Script[Sequence[bytes] | Reading]:
        """With the reporter's ``sys_id``, where one active user has that address."""
        intent = json.loads(intents[0])
        email = intent.get("requester")
        if not email:
            return intents
        query = f"email={email}^active=true"
        response = yield self._rows("sys_user", query, "sys_id,email,active", limit=2)
        if response.status in (401, 429) or response.status >= 500:
            return self._refused(response, read_json(response))  # the record would fare no better
        user = the_user(_result(response) or [], email)
        if user is None:
            return intents
        return [canonical({**intent, "record": {**intent["record"], self.requester: user}})]

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:  # noqa: ARG002
        asked = {"sysparm_fields": _FIELDS, "sysparm_exclude_reference_link": "true"}
        if self.display_values:
            asked["sysparm_input_display_value"] = "true"
        body = json.dumps(json.loads(intents[0])["record"], ensure_ascii=False).encode()
        return self._ask("POST", self._table(), asked, body)

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        (item,) = items
        answer = read_json(response)
        row = answer.get("result") if answer and response.status in (200, 201) else None
        if isinstance(row, dict) and problem(row, "sys_id"):
            kept = row.get("correlation_id")
            if kept == item.id:
                return Reading(ONLINE, [self._there(item, row)])
            if not kept:  # certainly this request's, and it will never be found by our id
                text = "It is there, but without its correlation_id: grant write access to it."
                return Reading(ONLINE, [replace(self._there(item, row), text=text)])
            return Reading(ONLINE, [UNPROVED])
        return self._refused(response, answer)

    def _there(self, item: Item, row: dict[str, Any], *, found: bool = False) -> Outcome:
        arrived = Class.DUPLICATE if found else Class.DELIVERED
        key = str(row["sys_id"])
        return Outcome(
            Class.ACCEPTED if item.attachments else arrived,
            status=200,
            remote_id=str(row.get("number") or key),
            remote_url=f"{self.url}/{self.table}.do?sys_id={key}",
        )

    def _refused(self, response: Response, answer: dict[str, Any] | None) -> Reading:
        error = answer.get("error") if answer else None
        text = _said(error)
        contact, outcome = read_refusal(response, Refusal(text=text) if text else None)
        if outcome.cls is Class.PERMISSION and _about_item(text):
            outcome = replace(outcome, cls=Class.PERMANENT)
        if response.status in (400, 403, 409) and _unique(text):
            # Somebody was first, perhaps an attempt of ours: the lookup tells.
            outcome = Outcome(Class.UNKNOWN, "QUEUE_SYNC_FAILED", text, response.status)
        return Reading(contact, [outcome], whole=True)

    # --- was it there? ---------------------------------------------------------------------------

    def find(self, item: Item) -> Request:
        query = f"correlation_id={item.id}^ORDERBYsys_created_on"
        return self._rows(self.table, query, _FIELDS, limit=20)

    def read_find(self, item: Item, response: Response) -> Finding:
        rows = _result(response)
        if rows is None:
            return Finding(self._refused(response, read_json(response)).contact)
        mine = _mine(rows, item.id)
        if not mine:
            return Finding(ONLINE, absent=not rows)  # rows of others: the column was not heard
        there = self._there(item, mine[0], found=True)
        if len(mine) > 1:
            names = ", ".join(str(row.get("number") or row["sys_id"]) for row in mine)
            there = replace(
                there, text=f"It is there {len(mine)} times: {names}. The oldest is it."
            )
        return Finding(ONLINE, there, doubled=len(mine) > 1)

    # --- files -----------------------------------------------------------------------------------

    def attach(
        self, item: Item, manifest: Manifest, remote_id: str, *, again: bool
    ) -> Script[Reading]:
        key = yield from self._key(item, remote_id)
        if isinstance(key, Reading):
            return key
        if again:
            response = yield self._listing(key)
            held = _result(response)
            if held is None:
                return self._refused(response, read_json(response))
            alike = [entry for entry in held if _same(entry, key, manifest)]
            proved = any(_hashed(entry, manifest) for entry in alike)
            if proved or len(alike) > taken_for_it(item, manifest):
                return Reading(ONLINE, [Outcome(Class.ACCEPTED)])
        response = yield self._upload(key, manifest)
        answer = read_json(response)
        entry = answer.get("result") if answer and response.status == 201 else None
        if isinstance(entry, dict):
            if _same(entry, key, manifest):
                return Reading(ONLINE, [Outcome(Class.ACCEPTED)])
            return Reading(ONLINE, [UNPROVED])
        return self._refused(response, answer)

    def _key(self, item: Item, remote_id: str) -> Script[str | Reading]:
        """The record's ``sys_id``: by the operation's id, else by the number. (A file that was
        refused is a row of its own, whose id no record carries.)"""
        if _KEY.fullmatch(remote_id):
            return remote_id
        response = yield self.find(item)
        rows = _result(response)
        if rows is not None and not _mine(rows, item.id) and _NUMBER.fullmatch(remote_id):
            response = yield self._rows(self.table, f"number={remote_id}", _FIELDS, limit=20)
            rows = _result(response)
        if rows is None:
            return self._refused(response, read_json(response))
        mine = _mine(rows, item.id) or rows
        numbered = [row for row in mine if row.get("number") == remote_id and "sys_id" in row]
        if len(numbered) == 1:
            return str(numbered[0]["sys_id"])
        text = f"{remote_id} is not to be found (any more), so no file can follow."
        return Reading(ONLINE, [Outcome(Class.PERMANENT, "QUEUE_NO_REMOTE_ID", text)])

    def _listing(self, key: str) -> Request:
        asked = {
            "sysparm_query": f"table_sys_id={key}",  # the name is free text: compared here
            "sysparm_fields": "file_name,size_bytes,hash,table_sys_id",
            "sysparm_limit": "1000",
        }
        return self._ask("GET", "/api/now/attachment", asked)

    def _upload(self, key: str, manifest: Manifest) -> Upload:
        asked = {"table_name": self.table, "table_sys_id": key, "file_name": manifest.name}
        request = self._ask("POST", "/api/now/attachment/file", asked)
        request.headers["Content-Type"] = media_type(manifest)
        return Upload(request, manifest.id, manifest.size, len(manifest.sha256))

    # --- the lane --------------------------------------------------------------------------------

    @property
    def located(self) -> bool:
        return self.checked

    def probe(self) -> Request:
        return self._rows(self.table, "", "sys_id,correlation_id", limit=1)

    def read_probe(self, response: Response, *, known: bool) -> Contact:  # noqa: ARG002
        rows = _result(response)
        if rows is None:
            return self._refused(response, read_json(response)).contact
        if rows and "correlation_id" not in rows[0]:
            self.checked = False
            return Contact("unreachable", _NO_COLUMN)
        self.checked = True
        return ONLINE

    def discover(self) -> Script[Discovered | None]:
        mapped = sorted({r.to.split(".")[0] for rules in self.fields.values() for r in rules})
        of_table = f"nameIN{self.table},task"
        wanted = f"{of_table}^mandatory=true^ORelementIN{','.join(mapped)}"
        response = yield self._rows(
            "sys_dictionary", wanted, "name,element,mandatory,max_length", limit=1000
        )
        columns = _result(response)
        if columns is None:
            return None
        wanted = f"{of_table}^elementIN{','.join(mapped)}^inactive=false"
        response = yield self._rows("sys_choice", wanted, "name,element,value", limit=1000)
        values = _result(response) or []
        return discovered(self.fields, self.table, columns, values, self._looked_up)

    # --- helpers ---------------------------------------------------------------------------------

    @property
    def _looked_up(self) -> str:
        return "" if self.display_values else self.requester

    def _table(self, table: str = "") -> str:
        return f"/api/now/table/{quote(table or self.table, safe='')}"

    def _rows(self, table: str, query: str, fields: str, *, limit: int) -> Request:
        asked = {"sysparm_query": query} if query else {}
        asked |= {"sysparm_fields": fields, "sysparm_limit": str(limit)}
        asked |= {"sysparm_exclude_reference_link": "true", "sysparm_no_count": "true"}
        return self._ask("GET", self._table(table), asked)

    def _ask(self, method: str, path: str, asked: dict[str, str], body: bytes = b"") -> Request:
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        url = f"{self.url}{path}?{urlencode(asked, quote_via=quote)}"
        return self.signed(Request(method, url, headers, body))


def _result(response: Response) -> list[dict[str, Any]] | None:
    """The rows of a 200, None of any other answer."""
    answer = read_json(response)
    rows = answer.get("result") if answer and response.status == 200 else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    return rows


def _mine(rows: Sequence[dict[str, Any]], op: str) -> list[dict[str, Any]]:
    """The rows that carry the operation's id, oldest first."""
    mine = [row for row in rows if row.get("correlation_id") == op and problem(row, "sys_id")]
    return sorted(mine, key=lambda row: str(row.get("sys_created_on") or ""))


def _same(entry: dict[str, Any], key: str, manifest: Manifest) -> bool:
    """Whether an attachment is this file: name, size, and its hash where both are known."""
    told = (entry.get("table_sys_id"), entry.get("file_name"), str(entry.get("size_bytes")))
    if told != (key, manifest.name, str(manifest.size)):
        return False
    return not _hashable(entry, manifest) or _hashed(entry, manifest)


def _hashable(entry: dict[str, Any], manifest: Manifest) -> bool:
    """Whether both hashes are known: of a file in several parts, those of the parts are."""
    return len(manifest.sha256) == 1 and len(str(entry.get("hash") or "")) == 64


def _hashed(entry: dict[str, Any], manifest: Manifest) -> bool:
    if not _hashable(entry, manifest):
        return False
    return base64.b64decode(manifest.sha256[0]).hex() == str(entry["hash"]).lower()


def _said(error: Any) -> str:
    """The text of {"message", "detail"}, "" where it is none."""
    if not isinstance(error, dict):
        return ""
    told = [error.get("message"), error.get("detail")]
    return ": ".join(dict.fromkeys(t.strip() for t in told if isinstance(t, str) and t.strip()))


def _about_item(text: str) -> bool:
    """A 403 of a data policy or a business rule is about what the record holds, not the account."""
    low = text.lower()
    return any(word in low for word in ("data policy", "business rule", "mandatory"))


def _unique(text: str) -> bool:
    low = text.lower()
    return "unique key" in low or "duplicate" in low

"""Rows in a table behind PostgREST, as Supabase has it: many items in one INSERT.

*Authentication*: a user's JWT as ``Authorization: Bearer`` (by `sign_in`, or from the host by the
name of the credential), and at Supabase the project's publishable key in ``apikey``, which is no
secret. A key that bypasses row-level security has no place in a browser.

*What an administrator sets up*: a table with a unique constraint on the columns of ``conflict``
(the operation id in ``id``, unless said otherwise), the right to insert, and the right to select
those columns, which PostgreSQL asks for to compare them; with row-level security a policy for
INSERT, and one for SELECT that shows the user what he inserts.

*How sure*: ``strong``. What is there already is left as it is (ON CONFLICT DO NOTHING), so the same
rows may be sent again for ever. A request is all or nothing: a row that the database refuses fails
those beside it, so the queue sends fewer together until it stands alone.

One adapter is one table and one lane. *The row's name here* (``remote_id``) is the operation id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.limits import BATCH_BYTES_MAX, BATCH_ITEMS_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Manifest, Request, Response

from .adapter import Adapter
from .answers import ONLINE, problem, read_json, retry_after_ms, whole_failure
from .base import Contact, Declaration, Discovered, Reading, Script
from .fieldmap import FieldMap, Rule, render
from .records import Described, discovered

_OP = (Rule("id", source="@id"), Rule("captured_at", source="@created_at"))
_CALL = (
    *_OP,
    Rule("kind", source="@kind"),
    Rule("line", source="line"),
    Rule("number", source="number"),
    Rule("time", source="time"),
    Rule("direction", source="direction"),
    Rule("duration", source="duration"),
)

#: Columns by kind; ``captured_at`` is in ms since 1970.
DEFAULT_MAP: FieldMap = {
    "ticket": (
        *_OP,
        Rule("summary", source="summary", required=True),
        Rule("description", source="description"),
        Rule("severity", source="severity"),
        Rule("category", source="category"),
        Rule("user_name", source="user.name"),
        Rule("user_email", source="user.email"),
    ),
    "feedback": (
        *_OP,
        Rule("rating", source="rating"),
        Rule("comment", source="comment"),
        Rule("user_name", source="userName"),
        Rule("user_id", source="userId"),
    ),
    "log": (
        *_OP,
        Rule("level", source="level"),
        Rule("message", source="message"),
        Rule("component", source="component"),
        Rule("logged_at", source="timestamp"),
        Rule("correlation_id", source="correlationId"),
        Rule("context", source="context"),
        Rule("error", source="error"),
    ),
    "call": _CALL,
    "message": (*_CALL, Rule("content", source="content")),
}

_DIRECTIONS = {"incoming": 1, "outgoing": 2, "missed": 3}
_EVENT = (
    Rule("line_id", source="line"),
    Rule("ts", source="time"),
    Rule("number", source="number"),
    Rule("direction", source="direction", choices=_DIRECTIONS),
    Rule("duration_s", source="duration"),
    Rule("kind", source="@kind"),
)
#: Calls and messages in one table of events that are the same within a second of duration; the
#: table, its constraint and its trigger are in docs/destinations/postgrest.md.
EVENTS_MAP: FieldMap = {"call": _EVENT, "message": _EVENT}
EVENTS_CONFLICT = ("line_id", "ts", "number", "direction", "kind", "duration_s")

DECLARATION = Declaration(
    guarantee="strong",
    replay_window_ms=None,
    batch_items=BATCH_ITEMS_MAX,
    batch_bytes=BATCH_BYTES_MAX,
    attachments=False,
    kinds=frozenset(DEFAULT_MAP),
)


@dataclass
class PostgREST(Adapter):
    """``url``: of the API, as ``https://<project>.supabase.co/rest/v1``; ``table``: in it;
    ``conflict``: the columns that make a row the same; ``fields``: see `DEFAULT_MAP`; ``schema``:
    another than the API's first; ``apikey``: Supabase's publishable key."""

    lane: str = "postgrest"
    declaration: Declaration = DECLARATION
    url: str = ""
    table: str = ""
    conflict: tuple[str, ...] = ("id",)
    fields: FieldMap = field(default_factory=lambda: DEFAULT_MAP)
    schema: str = ""
    apikey: str = ""

    def __post_init__(self) -> None:
        if self.declaration is DECLARATION:
            self.declaration = replace(DECLARATION, kinds=frozenset(self.fields))

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """The row. Raises `InvalidItem` with the fields that are missing."""
        rules = self.fields.get(item.kind)
        if rules is None:
            raise InvalidItem(fields={"kind": "has no field map"})
        return canonical({"row": render(rules, item, json.loads(body))})

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:  # noqa: ARG002
        """One INSERT. What is the same row by ``conflict`` is in it once, the first of them."""
        rows: dict[bytes, dict[str, Any]] = {}
        for n, intent in enumerate(intents):
            row = json.loads(intent)["row"]
            key = [row.get(name) for name in self.conflict]
            same = canonical(key) if None not in key else b"%d" % n  # NULL is never the same
            rows.setdefault(same, row)
        # Named, since the rows of one request must not differ in what they set: what one lacks is
        # the column's own default there.
        columns = sorted({name for row in rows.values() for name in row})
        query = f"columns={_list(columns)}&on_conflict={_list(self.conflict)}"
        headers = {
            "Content-Type": "application/json",
            "Prefer": "resolution=ignore-duplicates,return=minimal,missing=default",
        }
        if self.schema:
            headers["Content-Profile"] = self.schema
        return self._ask("POST", f"{self._place}?{query}", headers, canonical([*rows.values()]))

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        if _inserted(response):
            return Reading(ONLINE, [Outcome(Class.DELIVERED, remote_id=i.id) for i in items])
        contact, outcome = _refusal(response)
        if outcome.code == _SAME and len(items) == 1 and _is_own(response, items[0]):
            # The table holds it by another constraint than the one that is asked for.
            return Reading(ONLINE, [Outcome(Class.DUPLICATE, remote_id=items[0].id)])
        named = {self._ours(name): wrong for name, wrong in outcome.fields.items()}
        outcome = replace(outcome, fields=named)
        return Reading(contact, [outcome] * len(items), whole=True)

    # --- the lane --------------------------------------------------------------------------------

    def probe(self) -> Request:
        headers = {"Accept-Profile": self.schema} if self.schema else {}
        return self._ask("GET", f"{self._place}?select={_list(self.conflict)}&limit=0", headers)

    def read_probe(self, response: Response, *, known: bool) -> Contact:  # noqa: ARG002
        if response.status == 200 and _is_list(response):
            return ONLINE
        contact, outcome = _refusal(response)
        if outcome.code == "42501" and response.status == 403:  # it answers; a row finds out
            return ONLINE
        return contact

    def discover(self) -> Script[Discovered | None]:
        response = yield self._ask("GET", self.url.rstrip("/") + "/", {})
        answer = read_json(response) if response.status == 200 else None
        tables = answer.get("definitions") if answer else None
        table = tables.get(self.table) if isinstance(tables, dict) else None
        return discovered(self.fields, _columns(table)) if isinstance(table, dict) else None

    # --- helpers ---------------------------------------------------------------------------------

    @property
    def _place(self) -> str:
        return f"{self.url.rstrip('/')}/{quote(self.table, safe='')}"

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> Request:
        named = {"Accept": "application/json", **headers}
        if self.apikey:
            named["apikey"] = self.apikey
        return self.signed(Request(method, url, named, body))

    def _ours(self, column: str) -> str:
        rules = [rule for each in self.fields.values() for rule in each]
        return next((r.source for r in rules if r.to == column and r.source), column)


_SAME = "23505"  # unique_violation
_PLAIN = re.compile(r"\w+", re.ASCII)
_COLUMN = re.compile(r'column "([^"]+)"')
_KEY = re.compile(r"Key \(([^)]*)\)=\((.*)\)")
#: Of what the table or the address is, not the item: an administrator has to see to it.
_SET_UP = frozenset({"42P01", "42P10", "42P17", "3F000", "PGRST106", "PGRST125", "PGRST205"})
#: How PostgreSQL says that a right is missing whatever the row is, not a policy's word on one.
_FOR_ALL = re.compile(r"permission denied for ")
#: Beginnings of codes (SQLSTATE classes, PostgREST's own) after which nothing was written, and the
#: same may be taken later.
_LATER = ("40", "53", "55P03", "57014", "25006")
_AWAY = ("PGRST000", "PGRST001", "PGRST002", "57P03")
#: SQLSTATE classes that speak of what a row holds, or of what a trigger made of it: also with a 500
#: (an index entry that is too long, an assertion), or such a row would be sent for ever.
_OF_A_ROW = ("21", "22", "23", "38", "39", "42703", "428C9", "44", "54", "P0", "PGRST1", "PGRST204")


def _columns(table: dict[str, Any]) -> list[Described]:
    """Of the table's description."""
    columns, required = table.get("properties"), table.get("required")
    needed = required if isinstance(required, list) else []
    named = columns.items() if isinstance(columns, dict) else []
    return [_column(name, c, needed) for name, c in named if name and isinstance(c, dict)]


def _column(name: str, column: dict[str, Any], needed: list[Any]) -> Described:
    values, most = column.get("enum"), column.get("maxLength")
    texts = tuple(v for v in values if isinstance(v, str)) if isinstance(values, list) else ()
    return Described(
        name,
        "",
        name in needed and "default" not in column,  # which the database fills in
        texts or None,
        most if type(most) is int and most > 0 else None,
    )


def _list(names: Sequence[str]) -> str:
    quoted = (name if _PLAIN.fullmatch(name) else f'"{name}"' for name in names)
    return ",".join(quote(name, safe="") for name in quoted)


def _inserted(response: Response) -> bool:
    """A status, an empty body, and a header that nobody writes but PostgREST: what it took of the
    preferences, or, where a browser does not show that, the range of what it wrote."""
    if response.status not in (200, 201, 204) or response.redirected or response.body.strip():
        return False
    applied = response.headers.get("preference-applied", "")
    return "resolution=ignore-duplicates" in applied or response.headers.get(
        "content-range", ""
    ).startswith("*/")


def _is_list(response: Response) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return not response.redirected and kind == "application/json" and response.body[:1] == b"["


def _is_own(response: Response, item: Item) -> bool:
    """Whether the row that stands in the way is the item's own."""
    found = _KEY.search(problem(read_json(response), "details") or "")
    return found is not None and item.id in re.split(r",\s*", found[2])


def _refusal(response: Response) -> tuple[Contact, Outcome]:
    """What an answer says that is no success, by SQLSTATE or PostgREST's own code."""
    answer, status = read_json(response), response.status
    code, text = problem(answer, "code") or "", _text(answer)
    if answer is None or not code or status < 400:
        spoken = (
            {"detail": problem(answer, "message") or ""} if answer and status >= 400 else answer
        )
        if status == 413:  # said by what stands in front, with a page
            said = "The request is larger than the server takes."
            return ONLINE, Outcome(Class.TOO_LARGE, None, said, status)
        return whole_failure(response, spoken, coded=not (answer and status >= 400))
    wait = retry_after_ms(response.headers)
    if status == 401 or code.startswith("PGRST3"):
        text = text or "The sign-in is not valid any more."
        return Contact("signed_out", text), Outcome(Class.AUTH, code, text, status, lane=True)
    if status == 429:
        outcome = Outcome(Class.RATE_LIMITED, code, text, status, retry_after_ms=wait, lane=True)
        return Contact("limited", text, wait or 30_000), outcome
    if code in _SET_UP or (code == "42501" and _FOR_ALL.match(text)):
        # Every row would be refused: they wait until it is put right.
        return Contact("no_gateway", text), Outcome(Class.TRANSIENT, code, text, status, lane=True)
    if code.startswith(_AWAY) or code == "PGRST003":
        return Contact("unreachable", text, wait), Outcome(
            Class.TRANSIENT, code, text, status, retry_after_ms=wait, lane=True
        )
    if code.startswith(_LATER):  # a statement that took too long may do so for its size
        return ONLINE, Outcome(Class.TRANSIENT, code, text, status, retry_after_ms=wait)
    if code == "42501" or status == 403:
        return ONLINE, Outcome(Class.PERMISSION, code, text, status)
    if status == 413:
        return ONLINE, Outcome(Class.TOO_LARGE, code, text, status)
    if code.startswith(_OF_A_ROW) or status in (400, 409, 422):
        return ONLINE, Outcome(Class.PERMANENT, code, text, status, fields=_fields(answer))
    if status < 500:
        return ONLINE, Outcome(Class.PERMANENT, code, text, status)
    # 08, 57P, XX and the like: whether it was committed is not known, and it need not be.
    lane = status in (502, 503, 504)
    return Contact("unreachable", text, wait), Outcome(
        Class.UNKNOWN, code, text, status, retry_after_ms=wait, lane=lane
    )


def _text(answer: dict[str, Any] | None) -> str:
    said = (problem(answer, name) for name in ("message", "details", "hint"))
    return " ".join(text.rstrip(".") + "." for text in said if text)


def _fields(answer: dict[str, Any]) -> dict[str, str]:
    message = problem(answer, "message") or ""
    named = _KEY.search(problem(answer, "details") or "")
    columns = _COLUMN.findall(message)[:1] or (named[1].split(", ") if named else [])
    return dict.fromkeys(columns, message)

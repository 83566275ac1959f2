"""Jira, in the cloud (REST v3) and on a data centre of one's own (REST v2): an issue, its files
after it.

``repaired``: a create has no idempotency key and nothing on an issue can be unique, and the search
lags behind what was made. Each issue carries the label ``op-<id>`` and the property ``sync.op``
from its creation on. What was not answered is searched for after ten seconds, and "not there" is
asked again at half a minute, two and five minutes before it is believed. After a delivery that
followed such a proof the search is asked once more some minutes later, and doubles are closed
(`jira_doubles`). The search is not bound to the project: an issue may have been moved.

What an administrator sets up is in docs/destinations/jira.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote, urlencode

from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.limits import BATCH_BYTES_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import FINAL, Class, Outcome
from fieldpost.ports import Manifest, Request, Response, Upload

from .adapter import Adapter
from .answers import ONLINE, read_json
from .base import Contact, Declaration, Discovered, Finding, Lookup, Reading, Script
from .fieldmap import FieldMap, Rule, render
from .jira_doubles import close_doubles
from .jira_fields import discovered, issue_type_id
from .jira_text import document, file_name, label, one_line, wiki
from .records import media_type, payload_fields, taken_for_it
from .refusals import UNPROVED, Refusal, read_list, read_refusal

PROPERTY = "sync.op"

DECLARATION = Declaration(
    guarantee="repaired",
    replay_window_ms=0,
    batch_items=1,
    batch_bytes=BATCH_BYTES_MAX,
    lookup=Lookup(settle_ms=10_000, repeat_ms=(30_000, 120_000, 300_000), sweep_ms=300_000),
    attachments=True,
    whole_files=True,
)

_ABOUT = (
    "Category: {category}\nReported by: {user.name} {user.email}\n"
    "Device: {systemInfo.deviceName} {systemInfo.osVersion} {systemInfo.architecture}\n"
    "Skills: {skillResults}"
)
DEFAULT_MAP: FieldMap = {
    "ticket": (
        Rule("summary", "summary", most=255, required=True),
        Rule("description", text="{description}\n\n" + _ABOUT, most=30_000),
        Rule(
            "priority.name",
            "severity",
            choices={"low": "Low", "medium": "Medium", "high": "High", "critical": "Highest"},
        ),
        Rule("labels", "category"),
    ),
    "feedback": (
        Rule("summary", text="Feedback {rating}/5: {comment}", most=255, required=True),
        Rule("description", text="{comment}\n\nRating: {rating}\nFrom: {userName}\nOn: {skillId}"),
        Rule("labels", value="feedback"),
    ),
}

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*-[0-9]+")
_XSRF = "Something on the way made it look like a browser's request (XSRF check failed)."


@dataclass
class Jira(Adapter):
    """``base_url``: of the site, as people open it; ``api_url``: where its API is, if elsewhere
    (OAuth: ``.../ex/jira/<cloud id>``). ``flavour``: which API. ``fields``: the map; ``long_text``:
    the fields that hold text of several lines, besides ``description`` and ``environment``.

    ``remote_id`` is the key that people say (ED-24). The API takes it for the issue, also after it
    was moved.
    """

    lane: str = "jira"
    declaration: Declaration = DECLARATION
    base_url: str = ""
    project_key: str = ""
    issue_type: str = "Bug"
    flavour: Literal["cloud", "datacenter"] = "cloud"
    fields: FieldMap = field(default_factory=lambda: DEFAULT_MAP)
    long_text: tuple[str, ...] = ()
    api_url: str = ""

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        self.api_url = (self.api_url or self.base_url).rstrip("/")
        if self.declaration.kinds is None:
            self.declaration = replace(self.declaration, kinds=frozenset(self.fields))

    # --- the issue -------------------------------------------------------------------------------

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """{"op", "issue"}. Raises `InvalidItem`."""
        if item.operation != "create" or item.kind not in self.fields:
            raise InvalidItem(fields={"operation": "has no place in the destination"})
        fields = render(self.fields[item.kind], item, json.loads(body))
        for name in ("description", "environment", *self.long_text):
            if isinstance(fields.get(name), str):
                fields[name] = self.text(fields[name])
        if isinstance(fields.get("summary"), str):
            fields["summary"] = one_line(fields["summary"])
        fields["project"] = {"key": self.project_key}
        fields.setdefault("issuetype", {"name": self.issue_type})
        more = fields.get("labels", [])
        wanted = [label_of(item.id), *(more if isinstance(more, list) else [more])]
        fields["labels"] = list(dict.fromkeys(filter(None, map(label, map(str, wanted)))))
        marked = [{"key": PROPERTY, "value": {"op": item.id}}]
        return canonical({"op": item.id, "issue": {"fields": fields, "properties": marked}})

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:  # noqa: ARG002
        return self.ask("POST", "issue", json.loads(intents[0])["issue"])

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        (item,) = items
        answer = read_json(response)
        if response.status == 201 and answer and _names_issue(answer):
            return Reading(ONLINE, [self._there(item, answer["key"], Class.DELIVERED)])
        return self.refused(response, item)

    def _there(self, item: Item, key: str, cls: Class) -> Outcome:
        cls = Class.ACCEPTED if item.attachments else cls
        url = f"{self.base_url}/browse/{key}"
        return Outcome(cls, status=200, remote_id=key, remote_url=url)

    def refused(self, response: Response, item: Item | None = None) -> Reading:
        """An answer that is no success, with one outcome."""
        if _signed_out(response):
            text = "Jira took this for nobody's request: look at the account and its token."
            outcome = Outcome(Class.AUTH, None, text, response.status, lane=True)
            return Reading(Contact("signed_out", text), [outcome], whole=True)
        if response.status in (403, 404) and b"XSRF" in response.body:
            outcome = Outcome(Class.PERMISSION, None, _XSRF, response.status)
            return Reading(ONLINE, [outcome], whole=True)
        said = _said(response)
        if item is not None and said is not None:
            fields = payload_fields(self.fields.get(item.kind, ()), said.fields)
            said = replace(said, fields=fields)
        contact, outcome = read_refusal(response, said)
        return Reading(contact, [outcome], whole=True)

    # --- was it there? ---------------------------------------------------------------------------

    def find(self, item: Item) -> Request:
        return self.search(item.id, "labels,created")

    def search(self, op: str, fields: str) -> Request:
        """Asks for the issues of an operation."""
        asked = {
            "jql": f'labels = "{label_of(op)}" ORDER BY created ASC',
            "fields": fields,
            "properties": PROPERTY,
            "maxResults": "50",
        }
        path = "search/jql" if self.flavour == "cloud" else "search"
        return self.ask("GET", f"{path}?{urlencode(asked, quote_via=quote)}")

    def found(self, op: str, response: Response) -> list[dict[str, Any]] | None:
        """The issues of an operation, the oldest first; None where the answer proves nothing: not
        an answer to the search, issues that nobody asked for, or a page that is not the last."""
        answer = read_json(response)
        rows = answer.get("issues") if answer and response.status == 200 else None
        if answer is None or not isinstance(rows, list) or _signed_out(response):
            return None
        mine = [row for row in rows if isinstance(row, dict) and _carries(row, op)]
        if not mine and (rows or answer.get("nextPageToken")):
            return None
        return sorted(mine, key=lambda row: int(row["id"]))

    def read_find(self, item: Item, response: Response) -> Finding:
        mine = self.found(item.id, response)
        if mine is None:
            proper = response.status == 200 and not _signed_out(response)
            is_answer = proper and read_json(response) is not None
            return Finding(ONLINE if is_answer else self.refused(response).contact)
        if not mine:
            return Finding(ONLINE, absent=True)
        there = self._there(item, mine[0]["key"], Class.DUPLICATE)
        if len(mine) > 1:
            names = ", ".join(row["key"] for row in mine)
            there = replace(
                there, text=f"It is there {len(mine)} times: {names}. The oldest is it."
            )
        return Finding(ONLINE, there, doubled=len(mine) > 1)

    def sweep(self, item: Item, swept: str, remote_id: str | None) -> Script[Reading]:  # noqa: ARG002
        return (yield from close_doubles(self, swept, remote_id))

    def known(self, key: str, op: str, fields: str) -> Script[dict[str, Any] | Reading | None]:
        """An issue by its key, which no index has to show first; None where it is gone or is of
        another operation."""
        asked = urlencode({"fields": fields, "properties": PROPERTY}, quote_via=quote)
        response = yield self.ask("GET", f"issue/{key}?{asked}")
        row = read_json(response) if response.status == 200 else None
        if row is not None and not _signed_out(response):
            return row if _carries(row, op) else None
        reading = self.refused(response)
        return None if reading.outcomes[0].cls in FINAL else reading

    # --- files -----------------------------------------------------------------------------------

    def attach(
        self,
        item: Item,
        manifest: Manifest,
        remote_id: str,
        *,
        again: bool,
    ) -> Script[Reading]:
        if not _KEY.fullmatch(remote_id):
            text = f"{remote_id} is no issue's key, so no file can follow."
            return Reading(ONLINE, [Outcome(Class.PERMANENT, "QUEUE_NO_REMOTE_ID", text)])
        if again:
            response = yield self.ask("GET", f"issue/{remote_id}?fields=attachment")
            answer = read_json(response)
            fields = answer.get("fields") if answer and response.status == 200 else None
            if not isinstance(fields, dict):
                return self.refused(response)
            if _holding(fields.get("attachment"), manifest) > taken_for_it(item, manifest):
                return Reading(ONLINE, [Outcome(Class.ACCEPTED)])
        response = yield self._upload(remote_id, manifest)
        held = read_list(response) if response.status == 200 else None
        if held is None or _signed_out(response):
            return self.refused(response)
        there = _holding(held, manifest) > 0
        return Reading(ONLINE, [Outcome(Class.ACCEPTED) if there else UNPROVED])

    def _upload(self, key: str, manifest: Manifest) -> Upload:
        request = self.ask("POST", f"issue/{key}/attachments")
        boundary = f"fieldpost-{manifest.id}"
        request.headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        request.headers["X-Atlassian-Token"] = "no-check"
        before = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
            f'filename="{file_name(manifest.name)}"\r\nContent-Type: {media_type(manifest)}\r\n\r\n'
        )
        after = f"\r\n--{boundary}--\r\n"
        parts = len(manifest.sha256)
        return Upload(request, manifest.id, manifest.size, parts, before.encode(), after.encode())

    # --- the lane --------------------------------------------------------------------------------

    def probe(self) -> Request:
        return self.ask("GET", "myself")

    def read_probe(self, response: Response, *, known: bool) -> Contact:  # noqa: ARG002
        answer = read_json(response)
        named = answer and (answer.get("accountId") or answer.get("key") or answer.get("name"))
        if response.status == 200 and named and not _signed_out(response):
            return ONLINE
        return self.refused(response).contact

    def discover(self) -> Script[Discovered | None]:
        meta = f"issue/createmeta/{quote(self.project_key, safe='')}/issuetypes"
        response = yield self.ask("GET", f"{meta}?maxResults=200")
        kinds = read_json(response) if response.status == 200 else None
        if kinds is None or _signed_out(response):
            return None
        number = issue_type_id(kinds, self.issue_type)
        if number is None:
            note = f"{self.project_key} has no issue type {self.issue_type} for this account."
            return Discovered(notes=(note,))
        response = yield self.ask("GET", f"{meta}/{quote(number, safe='')}?maxResults=200")
        screen = read_json(response) if response.status == 200 else None
        if screen is None:
            return None
        response = yield self.ask("GET", "attachment/meta")
        files = read_json(response) if response.status == 200 else None
        return discovered(self.fields, screen, files or {})

    # --- helpers ---------------------------------------------------------------------------------

    def text(self, text: str) -> Any:
        """Text of several lines, as this API takes it."""
        return document(text) if self.flavour == "cloud" else wiki(text)

    def ask(self, method: str, path: str, body: Any = None) -> Request:
        """A request to the API; ``path``: what stands behind its version."""
        headers = {"Accept": "application/json"}
        data = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, ensure_ascii=False).encode()
        version = 3 if self.flavour == "cloud" else 2
        return self.signed(
            Request(method, f"{self.api_url}/rest/api/{version}/{path}", headers, data)
        )


def label_of(op: str) -> str:
    return f"op-{op}"


def _names_issue(answer: dict[str, Any]) -> bool:
    number, key = str(answer.get("id")), str(answer.get("key"))
    return re.fullmatch("[0-9]{1,18}", number) is not None and _KEY.fullmatch(key) is not None


def _carries(row: dict[str, Any], op: str) -> bool:
    """Whether an issue is of the operation: its label says so, and no property says otherwise."""
    fields, properties = row.get("fields"), row.get("properties")
    labels = fields.get("labels") if isinstance(fields, dict) else None
    if not _names_issue(row) or not isinstance(labels, list) or label_of(op) not in labels:
        return False
    told = properties.get(PROPERTY) if isinstance(properties, dict) else None
    return not isinstance(told, dict) or told.get("op", op) == op


def _holding(entries: Any, manifest: Manifest) -> int:
    """How many of these are the file, by name and size: there is no hash."""
    wanted = (file_name(manifest.name), manifest.size)
    return sum(
        isinstance(e, dict) and (file_name(str(e.get("filename"))), e.get("size")) == wanted
        for e in (entries if isinstance(entries, list) else [])
    )


def _signed_out(response: Response) -> bool:
    """Jira answers a credential that it does not take as it answers anybody: with what anybody may
    see. An empty search is then no proof of anything."""
    reason = response.headers.get("x-seraph-loginreason", "").upper()
    user = response.headers.get("x-ausername", "").lower()
    return "FAILED" in reason or "DENIED" in reason or user == "anonymous"


def _said(response: Response) -> Refusal | None:
    """In Jira's words; None where it is somebody else's answer."""
    answer = read_json(response) or {}
    messages, errors = answer.get("errorMessages"), answer.get("errors")
    texts = [str(m) for m in messages] if isinstance(messages, list) else []
    fields = {str(k): str(v) for k, v in errors.items()} if isinstance(errors, dict) else {}
    told = answer.get("message")
    if isinstance(messages, list) or isinstance(errors, dict):
        return Refusal(None, "; ".join(texts), fields)
    if isinstance(told, str) and answer.get("status-code", answer.get("code")) == response.status:
        return Refusal(None, told)
    return None

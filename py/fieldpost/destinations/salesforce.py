"""Salesforce: cases (or another object) by the REST API (docs/destinations/salesforce.md).

``strong``: the item's id stands in a field of the object that an administrator made *External ID*
and *Unique*, and a case is only ever made by an upsert with it: a second one cannot come about. An
upsert that is sent again would write over what agents changed meanwhile, so what had no answer is
asked for first, always (a replay window of nothing).

``remote_id`` is the record's id (18 characters): the answer to an upsert has no more, and files
hang on it. The number that people call a case by is asked for besides; ``remote_url`` opens it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import ConfigError
from fieldpost.engine.limits import BATCH_BYTES_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Manifest, Request, Response, Upload

from . import salesforcewords as words
from .adapter import Adapter
from .answers import ONLINE, read_json, retry_after_ms
from .base import Contact, Declaration, Discovered, Finding, Lookup, Reading, Script
from .fieldmap import FieldMap, Rule, render
from .records import (
    FEEDBACK_TEXT,
    TICKET_TEXT,
    discovered,
    payload_fields,
    rules_for,
)
from .refusals import read_list, read_refusal, unproved

#: A limit of the org has no ``Retry-After``; it frees itself over the day.
_LIMIT_MS = 15 * 60_000
#: ``ContentVersion``, by multipart.
_FILE_BYTES = 2 * 1024**3
#: Pages of 2,000 files.
_PAGES = 20

DECLARATION = Declaration(
    guarantee="strong",
    replay_window_ms=0,
    batch_items=1,
    batch_bytes=BATCH_BYTES_MAX,
    lookup=Lookup(settle_ms=2_000),
    whole_files=True,
    file_bytes=_FILE_BYTES,
)

#: Of a new org, whose priorities are High, Medium and Low.
DEFAULT_MAP: FieldMap = {
    "ticket": (
        Rule("Subject", "summary", most=255, required=True),
        Rule("Description", text=TICKET_TEXT, most=32_000),
        Rule(
            "Priority",
            "severity",
            choices={"low": "Low", "medium": "Medium", "high": "High", "critical": "High"},
        ),
        Rule("Origin", value="Web"),
        Rule("SuppliedName", "user.name", most=80),
        Rule("SuppliedEmail", "user.email"),
    ),
    "feedback": (
        Rule("Subject", text="Feedback: {rating} of 5", most=255),
        Rule("Description", text=FEEDBACK_TEXT, most=32_000),
        Rule("Origin", value="Web"),
        Rule("SuppliedName", "userName", most=80),
    ),
}

_NAME = re.compile(r"[A-Za-z]\w{0,254}", re.ASCII)
_VERSION = re.compile(r"\d{2,3}\.0")
_FILES_OF = (
    "SELECT ContentDocument.LatestPublishedVersion.Description "
    "FROM ContentDocumentLink WHERE LinkedEntityId = '{}'"
)
#: What people call a record, by the object; another object's is asked for by ``name_field``.
_NAMES = {"Case": "CaseNumber"}


@dataclass
class Salesforce(Adapter):
    """``instance_url``: ``https://<my domain>.my.salesforce.com`` (``url`` in place of it);
    ``object_name``: what an item becomes; ``external_id_field``: its field (text of 36 characters
    or more, External ID, Unique) for the item's id; ``name_field``: the one with what people call a
    record ("": a case's number, else none). Raises `ConfigError` naming what is wrong."""

    lane: str = "salesforce"
    declaration: Declaration = DECLARATION
    instance_url: str = ""
    object_name: str = "Case"
    external_id_field: str = "Fieldpost_Id__c"
    api_version: str = "62.0"
    name_field: str = ""
    url: str = ""
    fields: FieldMap = field(default_factory=lambda: DEFAULT_MAP)

    def __post_init__(self) -> None:
        wrong: dict[str, str] = {}
        self.url = (self.url or self.instance_url).rstrip("/")
        if not self.url.startswith(("https://", "http://")):
            wrong["instance_url"] = "must be the address of your org, with https://"
        for name in ("object_name", "external_id_field"):
            if not _NAME.fullmatch(getattr(self, name)):
                wrong[name] = "must be an API name"
        self.name_field = self.name_field or _NAMES.get(self.object_name, "")
        if self.name_field and not _NAME.fullmatch(self.name_field):
            wrong["name_field"] = "must be an API name"
        if not _VERSION.fullmatch(self.api_version):
            wrong["api_version"] = "must be like 62.0"
        if wrong:
            raise ConfigError(fields=wrong)
        self.declaration = replace(self.declaration, kinds=frozenset(self.fields))
        self._unique = self.declaration

    # --- cases -----------------------------------------------------------------------------------

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """Raises `InvalidItem` with the fields that the map requires."""
        record = render(rules_for(self.fields, item.kind), item, json.loads(body))
        record.pop(self.external_id_field, None)  # it stands in the address, and only there
        return canonical({"v": 1, "op": item.id, "body": canonical(record).decode()})

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:  # noqa: ARG002
        intent = json.loads(intents[0])
        return self._request("PATCH", self._row(intent["op"]), intent["body"].encode())

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        (item,) = items
        answer = read_json(response)
        if response.status in (200, 201) and answer and answer.get("success") is True:
            record_id = answer.get("id")
            if isinstance(record_id, str) and words.ID.fullmatch(record_id):
                again = answer.get("created") is False
                return Reading(ONLINE, [self._there(item, record_id, again=again)])
        if response.status == 300 and (addresses := read_list(response)) is not None:
            # Nothing was written; the lookup takes the first, or waits until there is only one.
            text = f"{self._times(addresses)}, which is not Unique there."
            return Reading(ONLINE, [Outcome(Class.UNKNOWN, "MULTIPLE_CHOICES", text, 300)])
        contact, outcome = self._failure(response, item.kind)
        return Reading(contact, [outcome])

    def find(self, item: Item) -> Request:
        return self._request("GET", self._row(item.id))

    def read_find(self, item: Item, response: Response) -> Finding:
        answer = read_json(response)
        if response.status == 200 and answer is not None:
            record_id = answer.get("Id")
            mine = answer.get(self.external_id_field) == item.id
            if mine and isinstance(record_id, str) and words.ID.fullmatch(record_id):
                there = self._there(item, record_id, again=True)
                return Finding(ONLINE, replace(there, remote_name=self._name(answer)))
            return Finding(ONLINE)
        if response.status == 300:
            return self._several(item, read_list(response) or [])
        said = words.refusal(response)
        if response.status == 404 and said is not None and said.code == "NOT_FOUND":
            # The same code says that the field is not there, which proves nothing of the case.
            return Finding(ONLINE, absent=not self._about_key(said.text))
        return Finding(self._failure(response, item.kind)[0])

    def _several(self, item: Item, addresses: Sequence[Any]) -> Finding:
        found = words.ids_of(addresses)
        if not found:
            return Finding(ONLINE)
        there = self._there(item, found[0], again=True)
        text = f"{self._times(addresses)}. The first counts."
        return Finding(ONLINE, replace(there, text=text), doubled=len(found) > 1)

    def _times(self, addresses: Sequence[Any]) -> str:
        found = words.ids_of(addresses)
        count = str(len(found)) if len(found) > 1 else "Several"
        named = f" ({', '.join(found)})" if found else ""
        return f"{count} records{named} have this {self.external_id_field}"

    def called(self, item: Item, remote_id: str) -> Script[str | None]:  # noqa: ARG002
        if not self.name_field:
            return None
        path = f"sobjects/{self.object_name}/{remote_id}?fields={self.name_field}"
        response = yield replace(self._request("GET", path), timeout_ms=10_000)
        answer = read_json(response)
        return self._name(answer) if response.status == 200 and answer is not None else None

    def _name(self, record: dict[str, Any]) -> str | None:
        name = record.get(self.name_field) if self.name_field else None
        return name if isinstance(name, str) and name else None

    def _there(self, item: Item, record_id: str, *, again: bool) -> Outcome:
        cls = Class.DUPLICATE if again else Class.DELIVERED
        if item.attachments:
            cls = Class.ACCEPTED
        return Outcome(cls, remote_id=record_id, remote_url=f"{self.url}/{record_id}")

    # --- files -----------------------------------------------------------------------------------

    def attach(
        self, item: Item, manifest: Manifest, remote_id: str, *, again: bool
    ) -> Script[Reading]:
        """One request makes the file and hangs it on the case. Its description has the file's id,
        by which it is known again (its MD5 over there cannot be compared: this device has SHA-256
        of each part)."""
        if not words.ID.fullmatch(remote_id):
            text = "This is no id of a Salesforce record, so no file can follow it."
            return Reading(ONLINE, [Outcome(Class.PERMANENT, "MALFORMED_ID", text)])
        if again:
            there = yield from self._has(manifest, remote_id)
            if there is not None:
                return there
        response = yield self._file(manifest, remote_id)
        answer = read_json(response)
        if response.status == 201 and answer and answer.get("success") is True and answer.get("id"):
            return Reading(ONLINE, [Outcome(Class.ACCEPTED)])
        contact, outcome = self._failure(response, item.kind)
        return Reading(contact, [outcome])

    def _file(self, manifest: Manifest, remote_id: str) -> Upload:
        entity = {
            "Title": manifest.name[:255],
            "PathOnClient": manifest.name[:500],
            "Description": words.mark(manifest),
            "FirstPublishLocationId": remote_id,
        }
        # Of the file's own id, which is random: it does not stand in the file.
        boundary = f"fieldpost-{manifest.id}"
        before = (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="entity_content"\r\n'
            "Content-Type: application/json\r\n\r\n"
            f"{canonical(entity).decode()}\r\n"
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="VersionData"; '
            f'filename="{words.plain(manifest.name)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        request = self._request("POST", "sobjects/ContentVersion")
        request.headers["Content-Type"] = f'multipart/form-data; boundary="{boundary}"'
        after = f"\r\n--{boundary}--\r\n".encode()
        parts = len(manifest.sha256)
        return Upload(request, manifest.id, manifest.size, parts, before, after)

    def _has(self, manifest: Manifest, remote_id: str) -> Script[Reading | None]:
        """Whether the case has this file; None: it has not."""
        soql = _FILES_OF.format(remote_id)  # an id and nothing else, see `attach`
        path: str | None = f"query?q={quote(soql, safe='')}"
        for _ in range(_PAGES):
            response = yield self._request("GET", path or "")
            answer = read_json(response)
            rows = answer.get("records") if answer and response.status == 200 else None
            if answer is None or not isinstance(rows, list):
                contact, outcome = self._failure(response, "")
                return Reading(contact, [outcome])
            if any(words.holds(row, manifest) for row in rows):
                return Reading(ONLINE, [Outcome(Class.ACCEPTED)])
            _, found, rest = str(answer.get("nextRecordsUrl") or "").partition("/query/")
            path = f"query/{rest}" if found else None
            if path is None:
                return None
        text = "The case has too many files to look for this one among them."
        return Reading(ONLINE, [Outcome(Class.UNKNOWN, "TOO_MANY_FILES", text)])

    # --- what it says of itself ------------------------------------------------------------------

    def probe(self) -> Request:
        return replace(self._request("GET", f"sobjects/{self.object_name}"), timeout_ms=10_000)

    def read_probe(self, response: Response, *, known: bool) -> Contact:  # noqa: ARG002
        answer = read_json(response)
        about = answer.get("objectDescribe") if answer and response.status == 200 else None
        if isinstance(about, dict) and about.get("name") == self.object_name:
            return ONLINE
        return unproved("Salesforce", self._failure(response, ""))

    def discover(self) -> Script[Discovered | None]:
        """By the object's description; what the key's field lacks is said in the notes."""
        response = yield self._request("GET", f"sobjects/{self.object_name}/describe")
        answer = read_json(response)
        found = answer.get("fields") if answer and response.status == 200 else None
        if not isinstance(found, list):
            return None
        rows = {str(row.get("name")): row for row in found if isinstance(row, dict)}
        key = rows.get(self.external_id_field)
        notes = words.key_notes(self.external_id_field, key)
        for name in sorted({rule.to.partition(".")[0] for r in self.fields.values() for rule in r}):
            if name not in rows and f"{name}Id" not in rows:
                notes.append(f"{self.object_name} has no field {name} that this user may see.")
        seen = [words.described(row) for row in rows.values() if row.get("createable") is True]
        said = discovered(self.fields, seen, file_bytes=_FILE_BYTES, notes=notes)
        unique = key is None or key.get("unique") is True  # without a key nothing arrives at all
        return said if unique else replace(said, weaker="checked")

    def learn(self, said: Discovered) -> None:
        self.declaration = self._unique
        if said.weaker is not None:
            self.declaration = replace(self._unique, guarantee=said.weaker, lookup=words.NOT_UNIQUE)

    # --- helpers ---------------------------------------------------------------------------------

    def _row(self, op: str) -> str:
        return f"sobjects/{self.object_name}/{self.external_id_field}/{quote(op, safe='')}"

    def _request(self, method: str, path: str, body: bytes = b"") -> Request:
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        url = f"{self.url}/services/data/v{self.api_version}/{path}"
        return self.signed(Request(method, url, headers, body))

    def _about_key(self, text: str) -> bool:
        return self.external_id_field.lower() in text.lower() or "external id field" in text.lower()

    def _failure(self, response: Response, kind: str) -> tuple[Contact, Outcome]:
        said = words.refusal(response)
        if said is not None:
            fields = payload_fields(self.fields.get(kind, ()), said.fields)
            said = replace(said, fields=fields)
        contact, outcome = read_refusal(response, said)
        code = said.code if said is not None else None
        if said is None or code is None or response.status < 400:
            return contact, outcome
        if code in words.NO_SESSION:
            contact = Contact("signed_out", said.text)
            return contact, replace(outcome, cls=Class.AUTH, lane=True, fields={})
        if code == "REQUEST_LIMIT_EXCEEDED":
            wait = max(retry_after_ms(response.headers) or 0, _LIMIT_MS)
            return Contact("limited", said.text, wait), replace(
                outcome, cls=Class.RATE_LIMITED, retry_after_ms=wait, lane=True
            )
        if code == "STORAGE_LIMIT_EXCEEDED":  # a text may pass where a file does not
            return ONLINE, replace(outcome, cls=Class.RATE_LIMITED, retry_after_ms=_LIMIT_MS)
        if code in words.LATER and response.status < 500:
            return ONLINE, replace(outcome, cls=Class.TRANSIENT)
        if code == "DUPLICATE_VALUE" and self._about_key(said.text):
            # Another sender's upsert was first: the lookup finds its case.
            return ONLINE, replace(outcome, cls=Class.UNKNOWN, fields={})
        if outcome.cls is Class.PERMANENT and words.FORBIDDEN.match(code):
            outcome = replace(outcome, cls=Class.PERMISSION)
        return contact, outcome

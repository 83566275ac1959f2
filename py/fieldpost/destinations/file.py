"""A file of JSON lines: ``{"id", "send_id", "kind", "at", "payload"}``, one for each item.

*What an administrator sets up*: a folder that the process may write, and nothing else; who may read
the lines is a matter of that folder. The host appends to the file
(`fieldpost.hosts.cpython.transport_file.FileSink`); no browser can.

*How sure*: ``strong``. A line is durable before it is answered, and the same item with the same key
is one line, however often it is sent, also by several processes. A file that was moved away is
another file: what was not answered until then may stand in both.

*Files* lie beside it, in ``<name>.files``, by the SHA-256 of their bytes; a line of the kind
``attachment`` says whose they are. *The item's name here* (``remote_id``) is its id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fieldpost.engine.limits import BATCH_BYTES_MAX, BATCH_ITEMS_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.record import dump
from fieldpost.ports import Manifest, Request, Response, Upload

from .adapter import Adapter
from .answers import ONLINE, problem, read_json
from .base import Contact, Declaration, Finding, Lookup, Reading, Script

#: What a sink's answer says of itself, and the header with the line of an attachment.
SERVICE, LINE = "fieldpost-file", "Fieldpost-Line"

DECLARATION = Declaration(
    guarantee="strong",
    files_once=True,
    replay_window_ms=None,
    batch_items=BATCH_ITEMS_MAX,
    batch_bytes=BATCH_BYTES_MAX,
    lookup=Lookup(),
    attachments=True,
    whole_files=True,
)


@dataclass
class FileLines(Adapter):
    """``url``: the file, as ``file:///var/lib/fieldpost/items.jsonl``."""

    lane: str = "file"
    declaration: Declaration = DECLARATION
    url: str = ""

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:  # noqa: ARG002
        """The line. The payload is canonical JSON already, so it goes in as it is."""
        head = {"id": item.id, "send_id": item.send_id, "kind": item.kind, "at": item.created_at}
        return dump(head)[:-1] + b',"payload":' + body + b"}"

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:  # noqa: ARG002
        return Request("POST", self.url, {}, b"".join(line + b"\n" for line in intents))

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        answer = _answer(response)
        if answer is None:
            contact, outcome = _trouble(response)
            return Reading(contact, [outcome] * len(items), whole=True)
        written, known = _keys(answer, "written"), _keys(answer, "known")
        return Reading(ONLINE, [self._outcome(item, written, known) for item in items])

    def find(self, item: Item) -> Request:
        return Request("GET", f"{self.url}?{urlencode({'id': item.id, 'send_id': item.send_id})}")

    def read_find(self, item: Item, response: Response) -> Finding:
        answer = _answer(response)
        if answer is None:
            return Finding(_trouble(response)[0])
        if (item.id, item.send_id) in _keys(answer, "known"):
            return Finding(ONLINE, self._outcome(item, set(), {(item.id, item.send_id)}))
        return Finding(ONLINE, absent=True)

    def attach(
        self,
        item: Item,
        manifest: Manifest,
        remote_id: str,
        *,
        again: bool,  # noqa: ARG002 - the same file again is the same file
    ) -> Script[Reading]:
        line = {
            "id": manifest.id,
            "send_id": manifest.id,
            "kind": "attachment",
            "at": item.created_at,
            "payload": {
                "of": remote_id,
                "name": manifest.name,
                "type": manifest.type,
                "size": manifest.size,
            },
        }
        request = Request("PUT", self.url, {LINE: json.dumps(line)})
        response = yield Upload(request, manifest.id, manifest.size, len(manifest.sha256))
        answer = _answer(response)
        there = _keys(answer or {}, "written") | _keys(answer or {}, "known")
        if (manifest.id, manifest.id) in there:
            return Reading(ONLINE, [Outcome(Class.ACCEPTED, status=200)])
        contact, outcome = _trouble(response)
        return Reading(contact, [outcome])

    def probe(self) -> Request:
        return Request("GET", self.url)

    def read_probe(self, response: Response, *, known: bool) -> Contact:  # noqa: ARG002
        return ONLINE if _answer(response) is not None else _trouble(response)[0]

    def _outcome(self, item: Item, written: set[Any], known: set[Any]) -> Outcome:
        key = (item.id, item.send_id)
        if key not in written | known:
            return Outcome(Class.UNKNOWN, "QUEUE_SYNC_FAILED", "Its line was not confirmed.")
        cls = Class.DELIVERED if key in written else Class.DUPLICATE
        return Outcome(Class.ACCEPTED if item.attachments else cls, remote_id=item.id)


def _answer(response: Response) -> dict[str, Any] | None:
    answer = read_json(response)
    good = response.status == 200 and answer is not None and answer.get("service") == SERVICE
    return answer if good else None


def _keys(answer: dict[str, Any], name: str) -> set[tuple[str, str]]:
    found = answer.get(name)
    pairs = [key for key in found if isinstance(key, list)] if isinstance(found, list) else []
    return {(str(key[0]), str(key[1])) for key in pairs if len(key) == 2}


def _trouble(response: Response) -> tuple[Contact, Outcome]:
    """Of the file as a whole, never of an item: everything waits until it is put right."""
    answer = read_json(response)
    text = problem(answer, "detail") or "The file was not written."
    code = problem(answer, "code") or "QUEUE_SYNC_FAILED"
    return Contact("unreachable", text), Outcome(
        Class.UNKNOWN, code, text, response.status, lane=True
    )

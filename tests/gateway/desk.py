"""A desk behind the gateway: the least system with a lookup and files, and its adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.answers import ONLINE, read_json
from fieldpost.destinations.base import Declaration, Discovered, Finding, Lookup, Reading, Script
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Manifest, Request, Response, Upload
from fieldpost.testing.vendors.base import Ask, Record, Vendor, answer

URL = "https://desk.example"
SECRET = "Bearer desk-secret-token"


class Desk(Vendor):
    """``refuses``: summary -> what is wrong with it; ``largest``: bytes of a file; ``wants``: what
    its form asks for, None: it does not say now; ``busy``: files that it has no time for now."""

    def __init__(self, url: str = URL) -> None:
        super().__init__(url)
        self.wants: dict[str, Any] | None = {"required": ["summary", "category"]}
        self.refuses: dict[str, str] = {}
        self.largest = 1_000_000_000
        self.busy: set[str] = set()

    def authorised(self, ask: Ask) -> bool:
        return ask.headers.get("authorization") == SECRET

    def route(self, ask: Ask) -> Response:
        match ask.path.strip("/").split("/"):
            case ["fields"]:
                if self.wants is None:
                    return Response(503, {"content-type": "text/html"}, b"<h1>Later</h1>")
                return answer(self.wants)
            case ["tickets"] if ask.method == "GET":
                found = [self._shown(each) for each in self.records if each.op == ask.query["op"]]
                return answer({"tickets": found})
            case ["tickets"]:
                fields = ask.json
                if wrong := self.refuses.get(fields["summary"]):
                    return answer({"detail": wrong, "fields": {"summary": wrong}}, 422)
                number = f"D-{len(self.records) + 1}"
                self.records.append(Record(number, number, fields["op"], fields, self.now()))
                return answer(self._shown(self.records[-1]), 201)
            case ["tickets", number, "files", name]:
                record = next(each for each in self.records if each.number == number)
                if ask.method == "GET":
                    held = [data for known, _, data in record.files if known == name]
                    return answer({"sizes": [len(data) for data in held]})
                if name in self.busy:
                    return answer({"detail": "busy"}, 503, retry_after="1")
                if len(ask.body) > self.largest:
                    return answer({"detail": "too large"}, 413)
                record.files.append((name, ask.headers["content-type"], ask.body))
                return answer({"name": name, "size": len(ask.body)}, 201)
        return answer({"detail": "no such place"}, 404)

    def _shown(self, record: Record) -> dict[str, str]:
        return {"number": record.number, "op": record.op}


DECLARED = Declaration(
    guarantee="checked",
    replay_window_ms=0,
    batch_items=1,
    batch_bytes=1 << 20,
    lookup=Lookup(),
    attachments=True,
    whole_files=True,
    file_bytes=5_000_000,
    kinds=frozenset({"ticket"}),
)


@dataclass
class DeskAdapter(Adapter):
    declaration: Declaration = field(default=DECLARED)
    url: str = URL

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:
        return json.dumps({"op": item.id, **json.loads(body)}).encode()

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:
        headers = {"Content-Type": "application/json"}
        return self.signed(Request("POST", f"{self.url}/tickets", headers, intents[0]))

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        said = read_json(response)
        if response.status == 201 and said and said.get("op") == items[0].id:
            return Reading(ONLINE, [self._there(items[0], said["number"])])
        return self.failed(1, response)

    def _there(self, item: Item, number: str) -> Outcome:
        cls = Class.ACCEPTED if item.attachments else Class.DELIVERED
        return Outcome(cls, remote_id=number, remote_url=f"{self.url}/show/{number}")

    def find(self, item: Item) -> Request:
        return self.signed(Request("GET", f"{self.url}/tickets?op={item.id}"))

    def read_find(self, item: Item, response: Response) -> Finding:
        said = read_json(response)
        if response.status != 200 or said is None:
            return Finding(self.failed(1, response).contact)
        found = [each for each in said["tickets"] if each["op"] == item.id]
        if not found:
            return Finding(ONLINE, absent=True)
        return Finding(ONLINE, self._there(item, found[0]["number"]))

    def attach(
        self,
        item: Item,
        manifest: Manifest,
        remote_id: str,
        *,
        again: bool,
    ) -> Script[Reading]:
        url = f"{self.url}/tickets/{remote_id}/files/{manifest.name}"
        if again:
            held = read_json((yield self.signed(Request("GET", url)))) or {}
            if manifest.size in held.get("sizes", []):
                return Reading(ONLINE, [Outcome(Class.ACCEPTED)])
        headers = {"Content-Type": manifest.type or "application/octet-stream"}
        request = self.signed(Request("POST", url, headers))
        response = yield Upload(request, manifest.id, manifest.size, len(manifest.sha256))
        said = read_json(response)
        if response.status == 201 and said and said.get("size") == manifest.size:
            return Reading(ONLINE, [Outcome(Class.ACCEPTED)])
        return self.failed(1, response)

    def discover(self) -> Script[Discovered | None]:
        said = read_json((yield self.signed(Request("GET", f"{self.url}/fields"))))
        if said is None:
            return None
        choices = {name: tuple(values) for name, values in said.get("choices", {}).items()}
        return Discovered(
            {"ticket": tuple(said["required"])},
            {"ticket": choices},
            {"ticket": said.get("max_length", {})},
            said.get("file_bytes"),
        )

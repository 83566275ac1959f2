"""A file of JSON lines in memory: what `hosts.cpython.transport_file` does on a disk."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.file import LINE, SERVICE, FileLines
from fieldpost.ports import Response

from .base import Ask, Record, Vendor, answer


class FakeFile(Vendor):
    """``records``: the items' lines; ``kept``: bytes of attachments by their hash."""

    def __init__(self, url: str = "file://", **named: Any):
        super().__init__(url, **named)
        self.kept: dict[str, bytes] = {}

    def route(self, ask: Ask) -> Response:
        if ask.method == "GET":
            return _done(
                [], [k for k in [(ask.query.get("id"), ask.query.get("send_id"))] if self._has(k)]
            )
        if ask.method == "PUT":
            digest = hashlib.sha256(ask.body).hexdigest()
            self.kept[digest] = ask.body
            line = json.loads(ask.headers[LINE.lower()])
            key = (line["id"], line["send_id"])
            return _done([], [key]) if self._has(key) else _done([self._attach(line, ask.body)], [])
        written, known = [], []
        for line in map(json.loads, filter(None, ask.body.split(b"\n"))):
            key = (line["id"], line["send_id"])
            if self._has(key):
                known.append(key)
                continue
            written.append(key)
            self.records.append(Record(line["send_id"], line["id"], line["id"], line, self.now()))
        return _done(written, known)

    def _attach(self, line: dict[str, Any], data: bytes) -> tuple[str, str]:
        file = line["payload"]
        owner = next(record for record in self.records if record.op == file["of"])
        owner.files.append((file["name"], file["type"], data))
        owner.fields.setdefault("files", []).append(line["id"])
        return line["id"], line["send_id"]

    def _has(self, key: tuple[Any, Any]) -> bool:
        lines = any((r.op, r.id) == key for r in self.records)
        return lines or any(key[0] in r.fields.get("files", []) for r in self.records)


def _done(written: list[Any], known: list[Any]) -> Response:
    return answer({"service": SERVICE, "written": written, "known": known})


def bench(clock: Any) -> tuple[Adapter, Vendor, dict[str, dict[str, str]]]:
    """An adapter, the fake that it speaks to, and the host's credentials: there are none."""
    return FileLines(url="file:///out/items.jsonl"), FakeFile(now=clock.now), {}

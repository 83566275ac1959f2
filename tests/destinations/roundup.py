"""A fake of Roundup's REST interface, as far as docs/roundup.md speaks with it, and its bench.

Recorded from the real one (2.6.0), which tests/real runs.
"""

from __future__ import annotations

import re
import runpy
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fieldpost.ports import Response
from fieldpost.testing.adaptercontract import Bench
from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.vendors.base import Ask, Record, Vendor, answer, basic

GUIDE = Path(__file__).parents[2] / "docs/roundup.md"
ORIGIN = "https://tracker.example"
_ISSUE = frozenset({"external_id", "title", "description", "priority", "files"})
_PRIORITIES = frozenset({"wish", "bug", "urgent", "critical"})


def guide() -> SimpleNamespace:
    """What the document's block defines."""
    (block,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "guide.py"
        module.write_text(block)
        return SimpleNamespace(**runpy.run_path(str(module)))


class RoundupFake(Vendor):
    """``uploads``: the files that were made, linked or not."""

    takes_half = True

    def __init__(self, url: str, **options: Any):
        super().__init__(url, **options)
        self.uploads: list[dict[str, Any]] = []
        self.linked: dict[str, list[str]] = {}

    def authorised(self, ask: Ask) -> bool:
        return ask.headers.get("authorization") == basic("bot", "secret")

    def unauthorised(self) -> Response:
        return Response(401, {"content-type": "text/plain"}, b"Invalid Login - Invalid login")

    def refusal(self, name: str, text: str) -> Response:
        return _error(400, f"property {name}: {text}")

    def twin(self, record: Record) -> Record:
        return self._issue(dict(record.fields))

    def route(self, ask: Ask) -> Response:
        _, _, path = ask.path.partition("/rest/data/")
        if ask.method != "GET" and (
            ask.headers.get("x-requested-with") != "rest" or ask.headers.get("origin") != self.url
        ):
            return _error(400, "Required Header Missing")
        kind, _, number = path.partition("/")
        if number:
            return self._one(ask, number)
        if ask.method == "POST":
            return self._made(kind, ask)
        rows = self._rows(kind)
        if (wanted := ask.query.get("external_id:")) is not None:
            rows = [row for row in rows if row["external_id"] == wanted]
        return answer({"data": {"collection": rows, "@total_size": len(rows)}})

    def _rows(self, kind: str) -> list[dict[str, Any]]:
        if kind == "file":
            return [{"id": u["id"], "external_id": u["external_id"]} for u in self.uploads]
        return [{"id": r.number, "external_id": r.op} for r in self.records]

    def _made(self, kind: str, ask: Ask) -> Response:
        if kind == "file":
            number = str(len(self.uploads) + 1)
            self.uploads.append({"id": number, **_form(ask)})
        else:
            given = ask.json
            if not isinstance(given, dict) or not set(given) <= _ISSUE:
                return _error(400, "Property other not found in class issue")
            if given["priority"] not in _PRIORITIES:
                return _error(400, f"property priority: '{given['priority']}' is not a priority.")
            number = self._issue(given).number
        link = f"{self.url}/trk/rest/data/{kind}/{number}"
        return answer({"data": {"id": number, "link": link}}, 201, location=link)

    def _issue(self, given: dict[str, Any]) -> Record:
        number = str(len(self.records) + 1)
        self.records.append(Record(number, number, given["external_id"], given, self.now()))
        return self.records[-1]

    def _one(self, ask: Ask, number: str) -> Response:
        record = next((r for r in self.records if r.number == number), None)
        if record is None:
            return _error(404, f"no such issue {number}")
        files = self.linked.setdefault(number, [])
        etag = f'"{len(files)}-{number}"'
        if ask.method == "PATCH":
            if ask.json.get("@etag") != etag:
                return _error(412, "If-Match is missing or does not match.")
            upload = next(u for u in self.uploads if u["id"] == ask.json["files"])
            files.append(upload["id"])
            record.files.append((upload["name"], upload["type"], upload["content"]))
            return answer({"data": {"id": number, "attribute": {"files": files}}})
        shown = [{"id": n, "link": f"{self.url}/trk/rest/data/file/{n}"} for n in files]
        data = {"id": number, "attributes": {**record.fields, "files": shown}, "@etag": etag}
        return answer({"data": data})


def _error(status: int, text: str) -> Response:
    return answer({"error": {"status": status, "msg": text}}, status)


def _form(ask: Ask) -> dict[str, Any]:
    """The values of a multipart form (RFC 7578), of one that was cut off what there is of it."""
    boundary = ask.headers["content-type"].partition("boundary=")[2].encode()
    first, *pieces = ask.body.split(b"--" + boundary)
    assert first == b""
    values: dict[str, Any] = {"external_id": None, "name": "", "type": "", "content": b""}
    for piece in pieces:
        head, _, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'; name="(\w+)"', head)
        if name is not None:
            value = value.removesuffix(b"\r\n")
            values[name[1].decode()] = value if name[1] == b"content" else value.decode()
    return values


_GUIDE = guide()


def bench(clock: FakeClock) -> Bench:
    fake = RoundupFake(ORIGIN, now=clock.now)
    adapter = _GUIDE.Roundup("tracker", token="bot:secret", url=fake.url + "/trk/")
    return Bench(adapter, fake, clock)

"""Nothing that people or servers wrote lies in clear in the browser's folder (invariant 7)."""

from __future__ import annotations

import base64
import http.server
import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.machines import BOOT_MS, Device, Gateway, expect_sent
from playwright.sync_api import expect

from fieldpost.testing.faultproxy import FaultProxy

#: One for each place where something confidential comes in: random, so that no compression of a
#: database finds a part of one elsewhere and breaks it up.
PLACES = [
    "summary",
    "description",
    "requester",
    "email",
    "file_name",
    "file_content",
    "comment",
    "name",
    "draft",
    "draft_file",
    "refusal",
    "refused_field",
    "remote_id",
    "passphrase",
]


class Server(http.server.ThreadingHTTPServer):
    """Answers what is sent, with marks in its texts; all else is the gateway's."""

    daemon_threads = True

    def __init__(self, gateway: str, marks: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.gateway = gateway
        self.marks = marks


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        answer = httpx.get(self.server.gateway + self.path.lstrip("/"), headers=asked)
        self.answer(answer.status_code, answer.content, dict(answer.headers))

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        results = [self.result(operation) for operation in asked["operations"]]
        self.json({"protocol": 1, "cursor": 0, "results": results, "pause_until": None})

    def do_PUT(self) -> None:
        self.body()
        _, _, operation, _, attachment, n = self.path.strip("/").split("/")[-6:]
        told = {"id": operation, "send_id": self.headers["Fieldpost-Send-Id"], "protocol": 1}
        told |= {"attachment_id": attachment, "acked": int(n), "status": "delivered"}
        self.json(told | {"remote_id": self.server.marks["remote_id"]})

    def result(self, operation: dict[str, Any]) -> dict[str, Any]:
        marks = self.server.marks
        told = {"id": operation["id"], "send_id": operation["send_id"]}
        if operation["kind"] == "feedback":
            fields = {"comment": marks["refused_field"]}
            told |= {"code": "INVALID_FIELDS", "detail": marks["refusal"], "fields": fields}
            return told | {"status": "rejected"}
        if operation["attachments"]:
            return told | {"status": "accepted"}
        return told | {"status": "delivered", "remote_id": marks["remote_id"]}

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), {"content-type": "application/json"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "content-encoding", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def marks() -> dict[str, str]:
    return {place: f"mark{secrets.token_hex(10)}" for place in PLACES}


@pytest.fixture
def server(gateway: Gateway, marks: dict[str, str]) -> Iterator[Server]:
    made = Server(gateway.url, marks)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def line(server: Server, front_port: int) -> Iterator[FaultProxy]:
    with FaultProxy(f"127.0.0.1:{server.server_port}", port=front_port) as proxy:
        yield proxy


def spellings(mark: str) -> dict[str, bytes]:
    """How it could lie there: as text of either width, and in base64 wherever it begins."""
    found = {"utf-8": mark.encode(), "utf-16": mark.encode("utf-16-le")}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + mark.encode())
        found[f"base64 {shift}"] = encoded[4 if shift else 0 : -4]
    return found


def in_clear(folder: Path, marks: dict[str, str]) -> list[tuple[str, str, str]]:
    """(what, how spelled, in which file) of every mark that can be read in the folder."""
    files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    assert len(files) > 20, "this is no profile"
    return [
        (what, how, str(path.relative_to(folder)))
        for what, mark in marks.items()
        for how, wanted in spellings(mark).items()
        for path, data in files.items()
        if wanted in data
    ]


def attach(device: Device, name: str, content: str) -> None:
    file = {"name": f"{name}.txt", "mimeType": "text/plain", "buffer": content.encode()}
    device.page.set_input_files("#attachments", [file])
    shown = device.page.get_by_role("listitem").filter(has_text=name)
    size = f"{len(content)} B" if len(content) < 1000 else f"{(len(content) + 500) // 1000} kB"
    expect(shown).to_contain_text(size)


def test_nothing_confidential_can_be_read_in_the_profile(
    device: Device, marks: dict[str, str]
) -> None:
    page = device.open()
    page.get_by_label("Summary", exact=True).fill(f"Pump {marks['summary']}")
    page.get_by_label("Description").fill(marks["description"])
    page.get_by_label("Requester name").fill(marks["requester"])
    page.get_by_label("Requester email").fill(f"{marks['email']}@example.org")
    attach(device, marks["file_name"], marks["file_content"] * 200)
    page.get_by_role("button", name="Save", exact=True).click()
    expect_sent(page, f"Pump {marks['summary']}")
    expect(page.get_by_role("listitem").filter(has_text=marks["summary"])).to_contain_text(
        marks["remote_id"]
    )

    page.get_by_role("link", name="Capture").click()
    page.get_by_role("link", name="Feedback").click()
    page.get_by_label("2", exact=True).check()
    page.get_by_label("Comment").fill(marks["comment"])
    page.get_by_label("Your name").fill(marks["name"])
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("1 needs attention", timeout=BOOT_MS)
    page.get_by_role("link", name="Attention", exact=True).click()
    page.get_by_role("listitem").get_by_role("button").first.click()
    expect(page.get_by_role("dialog")).to_contain_text(marks["refusal"])
    page.get_by_role("button", name="Close").click()

    page.get_by_role("link", name="About").click()
    page.get_by_label("Passphrase for the new file").fill(marks["passphrase"])
    with page.expect_download() as download:
        page.get_by_role("button", name="Export rescue file").click()
    rescue = device.profile / "rescue-file"
    download.value.save_as(rescue)

    page.get_by_role("link", name="Capture").click()
    page.get_by_role("link", name="Ticket").click()
    page.get_by_label("Summary", exact=True).fill(marks["draft"])
    attach(device, marks["draft_file"], "nothing")
    expect(page.get_by_text("Draft kept on this device")).to_be_visible()
    # What does lie there in clear is found: else this test would say nothing.
    plain = {"database": secrets.token_hex(12), "storage": secrets.token_hex(12)}
    page.evaluate(
        """({ database, storage }) => new Promise((resolve) => {
          localStorage.setItem('plain', storage);
          const opening = indexedDB.open('plain', 1);
          opening.onupgradeneeded = () => opening.result.createObjectStore('plain');
          opening.onsuccess = () => {
            const tx = opening.result.transaction('plain', 'readwrite', { durability: 'strict' });
            tx.objectStore('plain').put(database, 1);
            tx.oncomplete = resolve;
          };
        })""",
        plain,
    )
    page.reload()
    expect(page.get_by_label("Summary", exact=True)).to_have_value(marks["draft"])
    device.close()
    assert rescue.stat().st_size > 0
    assert {what for what, *_ in in_clear(device.profile, plain)} == set(plain)
    assert in_clear(device.profile, marks) == []


def test_keys_cannot_be_taken_out(device: Device) -> None:
    page = device.open("/healthz")
    page.add_init_script("""
      window.UNWRAPPED = [];
      const unwrap = SubtleCrypto.prototype.unwrapKey;
      SubtleCrypto.prototype.unwrapKey = async function (...args) {
        const key = await unwrap.apply(this, args);
        UNWRAPPED.push([key.algorithm.name, key.extractable]);
        return key;
      };
    """)
    page.goto(device.url)
    page.wait_for_function("window.UNWRAPPED?.length >= 2", timeout=BOOT_MS)
    assert sorted(page.evaluate("UNWRAPPED")) == [["AES-GCM", False], ["HMAC", False]]
    stored = page.evaluate("""async () => {
      const db = await new Promise((resolve) => {
        const opening = indexedDB.open('fieldpost');
        opening.onsuccess = () => resolve(opening.result);
      });
      const records = await new Promise((resolve) => {
        const asking = db.transaction('keys').objectStore('keys').getAll();
        asking.onsuccess = () => resolve(asking.result);
      });
      return Promise.all(records.map(async (record) => ({
        kid: record.kid,
        extractable: record.key?.extractable,
        refused: record.key && await crypto.subtle.exportKey('raw', record.key)
          .catch((error) => error.name),
        wrapped: record.wrapped?.length,
      })));
    }""")
    device_key = [key for key in stored if key["kid"] == "device"]
    assert [(k["extractable"], k["refused"]) for k in device_key] == [(False, "InvalidAccessError")]
    # AES-KW (RFC 3394) of 32 bytes is 40: the others lie there wrapped only.
    assert [key["wrapped"] for key in stored if key["kid"] != "device"] == [40, 40]

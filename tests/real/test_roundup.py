"""The adapter of docs/roundup.md against Roundup itself, over a line that breaks.

What it says it did is compared with what the tracker has, asked past the line."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import random
import re
import runpy
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tools.roundup import PASSWORD, USER, Tracker, free_port

import fieldpost
from fieldpost.destinations.base import Lookup
from fieldpost.engine.limits import PART_BYTES
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.ports import Manifest, Upload
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.faultproxy import Fault, FaultProxy

pytestmark = pytest.mark.full

GUIDE = Path(__file__).parents[2] / "docs/roundup.md"
TICKETS = 50
LOGIN = f"{USER}:{PASSWORD}"
#: The faults of which nobody can tell whether the tracker acted, and two by which it did not.
MODES = ("cut_after", "cut_during", "cut_after", "cut_before", "cut_after", "html_200", "http_500")
#: Which requests the next fault hits: those that change something, questions, any.
METHODS = (("POST", "PATCH"), ("POST", "PATCH"), ())
PATIENCE_S = 240


@dataclass
class Site:
    """A tracker, the line to it, and a way past the line."""

    tracker: Tracker
    proxy: FaultProxy

    @property
    def url(self) -> str:
        return self.proxy.url + "/trk/"

    def get(self, path: str, accept: str = "application/json") -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.tracker.port}/trk/rest/data/{path}"
        )
        request.add_header("Authorization", "Basic " + base64.b64encode(LOGIN.encode()).decode())
        request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def data(self, path: str) -> Any:
        return json.loads(self.get(path))["data"]

    def issues(self) -> list[dict[str, Any]]:
        found = self.data("issue?@fields=external_id,title,files,priority,description")
        return list(found["collection"])


@pytest.fixture
def site() -> Iterator[Site]:
    port = free_port()
    with FaultProxy(f"127.0.0.1:{port}") as proxy:
        tracker = Tracker(port, proxy.url + "/trk/")
        try:
            tracker.install().start()
            yield Site(tracker, proxy)
        finally:
            tracker.stop()


@pytest.fixture
def example(tmp_path: Path) -> SimpleNamespace:
    """What the document's block defines."""
    (block,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    module = tmp_path / "guide.py"
    module.write_text(block)
    return SimpleNamespace(**runpy.run_path(str(module)))


async def opened(example: SimpleNamespace, site: Site, path: Path) -> fieldpost.Queue:
    """As the guide opens it, but that it waits a second and not thirty before it looks: the proxy
    cuts when the tracker has answered, so nothing of a cut request is still under way."""
    soon = replace(example.LOOKED_FOR_FIRST, lookup=Lookup(settle_ms=1_000))
    return await example.open_queue(site.url, LOGIN, path, soon)


async def attach(queue: fieldpost.Queue, name: str, data: bytes) -> dict[str, Any]:
    """A file put into the queue's store, in parts, as the hosts do it."""
    store, clock = queue._host.store, queue._host.clock
    attachment = queue._host.entropy.uuid7(clock.now())
    parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    for number, part in enumerate(parts, 1):
        await store.put_part(attachment, number, part)
    digests = [base64.b64encode(hashlib.sha256(part).digest()).decode() for part in parts]
    await store.put_manifest(Manifest(attachment, name, "image/jpeg", len(data), tuple(digests)))
    return {"id": attachment, "size": len(data), "parts": len(parts)}


async def waiting(queue: fieldpost.Queue) -> int:
    return (await queue._host.store.counters()).get("open", 0)


async def test_fifty_tickets_with_files_over_a_line_that_breaks(
    example: SimpleNamespace, site: Site, tmp_path: Path
) -> None:
    """Nothing lost, nothing doubled, every file byte for byte; and the queue is closed and opened
    again on the way."""
    chance = random.Random(17)
    wanted: dict[str, list[bytes]] = {}
    async with await opened(example, site, tmp_path / "queue") as queue:
        await queue.pause("until all are saved")
        for n in range(TICKETS):
            files = [chance.randbytes(chance.choice([0, 1, 700, 70_000])) for _ in range(n % 3)]
            files = [file or b"\r\n--" for file in files]
            if n == 7:
                files.append(chance.randbytes(PART_BYTES + 17))
            held = [await attach(queue, f'pümp "{n}".jpg', data) for data in files]
            options = {"attachments": held} if held else {}
            payload = {"summary": f"Pump {n}", "description": "größer", "severity": "high"}
            item = await queue.enqueue("ticket", payload, **options)
            wanted[item.id] = files
        await queue.resume()
    with sabotage(site.proxy, chance):
        async with asyncio.timeout(PATIENCE_S):
            while not await some_rounds(example, site, tmp_path / "queue"):
                pass  # closed and opened again
    hit = site.proxy.counts
    print(dict(hit))
    assert min(hit[mode] for mode in MODES) >= 2, f"too few faults: {hit}"
    await compare(site, wanted, queue_path=tmp_path / "queue", example=example)


async def some_rounds(example: SimpleNamespace, site: Site, path: Path) -> bool:
    """Whether all is delivered."""
    async with await opened(example, site, path) as queue:
        for _ in range(10):
            await queue.sync()
            if not await waiting(queue):
                return True
    return False


@contextlib.contextmanager
def sabotage(proxy: FaultProxy, chance: random.Random) -> Iterator[None]:
    """Every few requests the next one suffers a fault."""
    stopped = threading.Event()

    def run() -> None:
        at, n = len(proxy.seen), 0
        while not stopped.is_set():
            at += chance.randint(2, 8)
            while not proxy.wait_until(lambda at=at: len(proxy.seen) >= at, 0.2):
                if stopped.is_set():
                    return
            methods = METHODS[n % len(METHODS)]
            mode = MODES[n % len(MODES)]
            proxy.fault = Fault(mode, times=1, prefix="/trk/rest/", methods=methods)
            n += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        proxy.fault = Fault()


async def compare(
    site: Site, wanted: dict[str, list[bytes]], *, queue_path: Path, example: SimpleNamespace
) -> None:
    issues = site.issues()
    assert sorted(issue["external_id"] for issue in issues) == sorted(wanted), "lost or doubled"
    linked = 0
    async with await opened(example, site, queue_path) as queue:
        for issue in issues:
            item_id = issue["external_id"]
            detail = await queue.detail(item_id)
            assert (detail["state"], detail["remote_id"]) == ("completed", f"issue{issue['id']}")
            numbers = sorted(int(file["id"]) for file in issue["files"])
            there = [site.get(f"file/{n}/binary_content", "*/*") for n in numbers]
            assert there == wanted[item_id], f"files of issue{issue['id']}"
            linked += len(numbers)
    # A piece of a request that was cut carries no name of ours, and belongs to no issue.
    whole = [f for f in site.data("file?@fields=external_id")["collection"] if f["external_id"]]
    assert len(whole) == linked, "a file was made twice"


async def test_refusals_are_told_in_the_trackers_words(
    example: SimpleNamespace, site: Site, tmp_path: Path
) -> None:
    """And at the field that a person filled in; corrected, it goes."""
    example.PRIORITIES["low"] = "none of these"
    async with await opened(example, site, tmp_path / "queue") as queue:
        item = await queue.enqueue("ticket", {"summary": "Pump 3", "severity": "low"})
        await queue.sync()
        detail = await queue.detail(item.id)
        assert detail["state"] == str(State.FAILED)
        assert "none of these" in repr(detail["history"][-1])
        assert list(detail["history"][-1]["fields"]) == ["severity"]
        await queue.edit(item.id, {"summary": "Pump 3", "severity": "high"})
        await queue.sync()
        assert (await queue.get(item.id)).state is State.COMPLETED
    assert [issue["title"] for issue in site.issues()] == ["Pump 3"]


async def test_a_wrong_password_is_said_and_loses_nothing(
    example: SimpleNamespace, site: Site, tmp_path: Path
) -> None:
    wrong = await example.open_queue(site.url, f"{USER}:no", tmp_path / "queue")
    async with wrong as queue:
        item = await queue.enqueue("ticket", {"summary": "Pump 3"})
        status = await queue.sync()
        assert status["lanes"]["tracker"]["connection"] == "signed_out"
        assert (await queue.get(item.id)).state is State.PENDING
    async with await opened(example, site, tmp_path / "queue") as queue:
        await queue.sync()
        assert (await queue.get(item.id)).state is State.COMPLETED
    assert len(site.issues()) == 1


async def test_an_issue_that_somebody_changes_meanwhile(
    example: SimpleNamespace, site: Site, tmp_path: Path
) -> None:
    """The link to a file is made under the issue's @etag: one that is stale is read again."""
    adapter = example.Roundup("tracker", token=LOGIN, url=site.url)
    transport = HttpTransport(MemoryStore(KeyRing.ephemeral()))
    reading = None
    try:
        body = json.dumps({"title": "Pump 3", "external_id": "e"}).encode()
        made = await transport.send(adapter.request([body], ()))
        number = json.loads(made.body)["data"]["id"]
        script = adapter.attach(
            None, Manifest("a", "x.jpg", "image/jpeg", 1, ("d",)), f"issue{number}", again=False
        )
        asked, seen = next(script), []
        while True:
            if isinstance(asked, Upload):
                body = asked.before + b"x" + asked.after
                asked = replace(asked.request, body=body)
            if asked.method == "PATCH" and 412 not in seen:
                await changed(adapter, transport, number)
            answer = await transport.send(asked)
            seen.append(answer.status)
            asked = script.send(answer)
    except StopIteration as end:
        reading = end.value
    finally:
        await transport.close()
    assert reading is not None
    assert reading.outcomes[0].cls == "accepted"
    assert seen == [200, 201, 200, 412, 200, 200]
    (issue,) = site.issues()
    assert (issue["title"], len(issue["files"])) == ("Pump 4", 1)


async def changed(adapter: Any, transport: HttpTransport, number: str) -> None:
    read = await transport.send(adapter._asking("GET", f"issue/{number}"))
    change = {"title": "Pump 4", "@etag": json.loads(read.body)["data"]["@etag"]}
    path = f"issue/{number}"
    done = await transport.send(adapter._asking("PUT", path, json.dumps(change).encode()))
    assert done.status == 200

"""The queue on CPython, against the real gateway application: the pair of engine and server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from tests.gateway.wires import client_of

import fieldpost
from fieldpost.engine.errors import RescueUnreadable
from fieldpost.hosts.cpython.open import open_queue
from fieldpost.ports import Manifest, Tabs
from fieldpost.runtime.queue import Queue
from gateway.gateway import Gateway
from gateway.settings import Settings

URL = "http://127.0.0.1/"


@pytest.fixture
def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    opened = Gateway(Settings(data=tmp_path / "gateway"))
    yield opened
    opened.close()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(gateway) as client:
        yield client


async def arrived(client: httpx.AsyncClient, item_id: str) -> dict[str, object] | None:
    answer = await client.get(f"/api/v1/operations/{item_id}")
    return answer.json() if answer.status_code == 200 else None


async def attach(queue: Queue, parts: list[bytes]) -> dict[str, object]:
    """What the glue does in a browser: parts, then the manifest, then the item."""
    store = queue._host.store
    attachment_id = queue._host.entropy.uuid7(queue._host.clock.now())
    for n, data in enumerate(parts, 1):
        await store.put_part(attachment_id, n, data)
    digests = tuple(base64.b64encode(hashlib.sha256(p).digest()).decode() for p in parts)
    size = sum(map(len, parts))
    at = queue._host.clock.now()  # what nothing refers to yet is kept for a day
    manifest = Manifest(attachment_id, "a.bin", "application/x", size, digests, at)
    await store.put_manifest(manifest)
    return {"id": attachment_id, "size": size, "parts": len(parts)}


async def test_engine_and_gateway_agree_on_the_whole_wire(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    path = tmp_path / "queue"
    async with await fieldpost.open(URL, path=path, client=client) as queue:
        big = await attach(queue, [os.urandom(1024 * 1024), b"rest"])
        text = await queue.enqueue("ticket", {"summary": "text", "severity": "high"})
        file = await queue.enqueue("ticket", {"summary": "file"}, attachments=[big])
        other = await queue.enqueue("feedback", {"rating": 5, "comment": "fine"})
        status = await queue.sync()
        assert status["counts"]["completed"] == 3, status
        assert (await queue.catalogue() or {})["destinations"][0]["name"] == "inbox"
        for item in (text, file, other):
            found = await arrived(client, item.id)
            assert found is not None
            assert found["status"] == "delivered"
            shown = await queue.detail(item.id)
            assert shown["remote_id"] == found["remote_id"]
        assert (await queue.verify())["ok"]


async def test_everything_is_there_again_after_a_restart(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    path = tmp_path / "queue"
    down = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(502)))
    async with await fieldpost.open(URL, path=path, client=down) as queue:
        item = await queue.enqueue("ticket", {"summary": "kept"}, unique_key="k")
        assert (await queue.sync())["connection"] == "unreachable"
    async with await fieldpost.open(URL, path=path, client=client) as queue:
        assert (await queue.get(item.id)).is_open
        with pytest.raises(fieldpost.QueueError) as error:
            await queue.enqueue("ticket", {"summary": "again"}, unique_key="k")
        assert error.value.code == "QUEUE_DUPLICATE"
        await queue.sync()
        assert await arrived(client, item.id)


async def test_two_processes_share_a_queue_and_one_drains(tmp_path: Path) -> None:
    """A lane's lock is the kernel's: a second opener is told that somebody is draining it."""
    path = tmp_path / "queue"
    async with await fieldpost.open(URL, path=path, client=_refusing()) as first:
        held = asyncio.Event()
        free = asyncio.Event()

        async def work(_leadership: object) -> None:
            held.set()
            await free.wait()

        leading = asyncio.create_task(_lead(first._host.tabs, work))
        await held.wait()
        script = (
            "import asyncio, sys; from pathlib import Path\n"
            "from fieldpost.hosts.cpython.system import FileLockTabs\n"
            "async def work(_): pass\n"
            "tabs = FileLockTabs(Path(sys.argv[1]))\n"
            "lead = tabs.lead(work, lane=sys.argv[2], wait_ms=1, steal_after_ms=1)\n"
            "print(asyncio.run(lead))"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(fieldpost.__file__).parents[1])}
        for lane, led in (("gateway", "False"), ("another", "True")):
            words = [sys.executable, "-c", script, str(path), lane]
            second = await asyncio.to_thread(
                subprocess.run, words, capture_output=True, text=True, env=environment, check=True
            )
            assert second.stdout.strip() == led
        free.set()
        assert await leading


async def _lead(tabs: Tabs, work: Any) -> bool:
    return await tabs.lead(work, lane="gateway", wait_ms=1, steal_after_ms=1)


def _refusing() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(502)))


async def test_a_rescue_file_moves_everything_and_both_copies_have_one_effect(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    content = [os.urandom(1024 * 1024), b"end"]
    async with await fieldpost.open(URL, path=tmp_path / "lost", client=_refusing()) as queue:
        file = await attach(queue, content)
        item = await queue.enqueue("ticket", {"summary": "secret summary"}, attachments=[file])
        plain = await queue.enqueue("ticket", {"summary": "plain"})
        made = await queue.rescue_out("correct horse battery")
    assert made["items"] == 2
    rescue = Path(unquote(urlsplit(made["url"]).path))
    assert b"secret summary" not in rescue.read_bytes()
    assert rescue.stat().st_mode & 0o777 == 0o600

    async with await fieldpost.open(URL, path=tmp_path / "new", client=client) as queue:
        with pytest.raises(RescueUnreadable):
            await queue.rescue_in("wrong horse", made["url"])
        assert (await queue.status())["waiting"] == 0
        assert await queue.rescue_in("correct horse battery", made["url"]) == {
            "added": 2,
            "known": 0,
        }
        assert await queue.rescue_in("correct horse battery", made["url"]) == {
            "added": 0,
            "known": 2,
        }
        await queue.sync()
        first = await arrived(client, item.id)
        assert first is not None
        assert first["status"] == "delivered"

    async with await fieldpost.open(URL, path=tmp_path / "lost", client=client) as queue:
        await queue.sync()
        assert (await queue.get(plain.id)).state == "completed"
        assert (await queue.detail(item.id))["remote_id"] == first["remote_id"]


async def test_a_truncated_rescue_file_is_refused_whole(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    async with await fieldpost.open(URL, path=tmp_path / "q", client=_refusing()) as queue:
        for n in range(3):
            await queue.enqueue("ticket", {"summary": str(n)})
        made = await queue.rescue_out("pass phrase")
    rescue = Path(unquote(urlsplit(made["url"]).path))
    lines = rescue.read_text().splitlines(keepends=True)
    rescue.write_text("".join(lines[:-2]))
    async with await fieldpost.open(URL, path=tmp_path / "r", client=client) as queue:
        with pytest.raises(RescueUnreadable):
            await queue.rescue_in("pass phrase", made["url"])
        assert (await queue.status())["waiting"] == 0


WRITER = """
import asyncio, sys, fieldpost, httpx
async def main():
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(502)))
    queue = await fieldpost.open("http://127.0.0.1/", path=sys.argv[1], client=client)
    for n in range(100000):
        item = await queue.enqueue("ticket", {"summary": f"n{n}"})
        print(item.id, flush=True)
asyncio.run(main())
"""


async def test_killed_while_enqueuing_every_saved_item_is_there(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    path = tmp_path / "queue"
    environment = {**os.environ, "PYTHONPATH": str(Path(fieldpost.__file__).parents[1])}
    words = [sys.executable, "-c", WRITER, str(path)]
    saved: list[str] = []
    for round_ in range(3):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        until = time.monotonic() + 60
        for line in process.stdout:
            saved.append(line.strip())
            if len(saved) >= 20 * (round_ + 1):
                break
            assert time.monotonic() < until
        process.send_signal(signal.SIGKILL)
        # What it said before it died counts too; a torn last line was not said.
        rest = process.stdout.read().splitlines(keepends=True)
        saved += [line.strip() for line in rest if line.endswith("\n")]
        process.wait()
        process.stdout.close()
    async with await fieldpost.open(URL, path=path, client=client) as queue:
        await queue.sync()
        status = await queue.status()
        assert status["waiting"] == 0
        for item_id in saved:
            assert (await queue.get(item_id)).state == "completed"
        assert (await queue.verify())["ok"]


async def test_a_policy_or_breaker_out_of_bounds_is_refused_before_anything_is_opened(
    tmp_path: Path,
) -> None:
    for wrong in ({"policy": "itms"}, {"policy": {"base_ms": 0}}, {"breaker": {"failures": 1}}):
        with pytest.raises(ValueError, match=r"policy|breaker"):
            await open_queue("https://post.example/", path=tmp_path / "q", **wrong)
    assert not (tmp_path / "q").exists()
    queue = await open_queue("https://post.example/", policy="api", breaker="production")
    assert (await queue.status())["lane"]["opens_at"] == 3
    await queue.close()

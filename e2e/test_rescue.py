"""Rescue files in the browser: out of one device, into another and into CPython, one effect."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e.machines import Device, Gateway, expect_sent, open_outbox, save_ticket, wait_ready_offline
from playwright.sync_api import expect

from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.rescue import RescueFiles
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.faultproxy import Fault, FaultProxy

CONTENT = bytes(range(256)) * 8
PHRASE = "correct horse battery staple"


async def read_on_cpython(rescue: Path) -> tuple[str, bytes | None]:
    """Summary and file of the one item in it, as another host reads them."""
    store = MemoryStore(KeyRing.ephemeral())
    (line,) = await RescueFiles(store, rescue.parent).read(PHRASE, rescue.as_uri())
    item = json.loads(line)
    (attachment,) = item["attachments"]
    return item["payload"]["summary"], await store.part(attachment["id"], 1)


def test_out_of_one_device_into_another(
    device: Device,
    new_device: Callable[..., Device],
    visited: Path,
    gateway: Gateway,
    line: FaultProxy,
    tmp_path: Path,
) -> None:
    line.fault = Fault("down")
    page = device.open()
    page.get_by_label("Attachments").set_input_files(
        {
            "name": "plan.bin",
            "mimeType": "application/octet-stream",
            "buffer": bytes(range(256)) * 8,
        }
    )
    save_ticket(page, "To be rescued")
    wait_ready_offline(page)
    page.get_by_role("link", name="About").click()
    page.get_by_label("Passphrase for the new file").fill(PHRASE)
    with page.expect_download() as started:
        page.get_by_role("button", name="Export rescue file").click()
    rescue = tmp_path / "rescue.txt"
    started.value.save_as(rescue)
    assert b"rescued" not in rescue.read_bytes()

    with ThreadPoolExecutor() as thread:  # this one's event loop is Playwright's
        summary, content = thread.submit(asyncio.run, read_on_cpython(rescue)).result()
    assert (summary, content) == ("To be rescued", CONTENT)

    other = new_device()
    shutil.copytree(visited, other.profile, ignore=shutil.ignore_patterns("Singleton*"))
    page = other.open()
    wait_ready_offline(page)
    page.get_by_role("link", name="About").click()
    page.get_by_label("Rescue file to read").set_input_files(rescue)
    page.get_by_label("Passphrase of the file").fill(PHRASE)
    page.get_by_role("button", name="Import rescue file").click()
    expect(page.get_by_text("1 added, 0 were here already.")).to_be_visible()
    open_outbox(page)
    expect(page.get_by_text("To be rescued", exact=True)).to_be_visible()
    line.fault = Fault()
    for each in (other, device):  # both have it now, and both deliver
        each.page.bring_to_front()
        open_outbox(each.page)
        each.page.get_by_role("button", name="Sync now").click()
        expect_sent(each.page, "To be rescued")
    assert gateway.inbox() == ["To be rescued"]

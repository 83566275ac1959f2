"""The folder of `make dist` on any static host, in a sub-path, with no gateway anywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.machines import BOOT_MS, Device, open_outbox, save_ticket, wait_ready_offline
from e2e.static_host import StaticHost
from playwright.sync_api import Playwright, expect

NO_SERVER = "There is no server at this address to send to. It stays saved on this device."


@pytest.fixture
def host(site: Path, tmp_path: Path) -> Iterator[StaticHost]:
    shutil.copytree(site, tmp_path / "www" / "tools" / "fieldpost")
    with StaticHost(tmp_path / "www") as started:
        yield started


@pytest.fixture
def device(playwright: Playwright, host: StaticHost, tmp_path: Path) -> Iterator[Device]:
    made = Device(playwright, tmp_path / "profile", f"{host.origin}/tools/fieldpost/")
    yield made
    made.close()


@pytest.mark.full
def test_without_a_gateway_it_captures_and_says_what_it_cannot_do(
    device: Device, host: StaticHost
) -> None:
    page = device.open()
    wait_ready_offline(page)
    save_ticket(page, "Nobody to send it to")
    open_outbox(page)
    row = page.get_by_role("listitem").filter(has_text="Nobody to send it to")
    expect(row).to_contain_text(NO_SERVER)
    expect(page.get_by_role("status")).to_contain_text("no gateway, so nothing can be sent")
    expect(page.get_by_role("status")).to_contain_text("1 waiting")

    host.stop()
    page.reload()
    page.get_by_role("link", name="Capture").click()
    save_ticket(page, "And nobody is there at all")
    device.close()

    page = device.open()
    wait_ready_offline(page)
    open_outbox(page)
    for title in ("Nobody to send it to", "And nobody is there at all"):
        row = page.get_by_role("listitem").filter(has_text=title)
        expect(row).to_be_visible(timeout=BOOT_MS)
    expect(page.get_by_role("status")).to_contain_text("2 waiting")

    host.start()
    page.get_by_role("button", name="Sync now").click()
    for title in ("Nobody to send it to", "And nobody is there at all"):
        row = page.get_by_role("listitem").filter(has_text=title)
        expect(row).to_contain_text(NO_SERVER)
    assert not [m for m in device.console if m.startswith("pageerror")], device.console

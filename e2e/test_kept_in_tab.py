"""When the storage fails at Save: kept in this tab, said so, rescued, and written back once."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from e2e.attaching import MIB, arrived_files, chosen, form_ready, some_bytes
from e2e.faulty_storage import FAULTY, asked_before_leaving, break_engine, break_storage
from e2e.looks import AXE, Looks, sizes
from e2e.machines import (
    BOOT_MS,
    Device,
    Gateway,
    expect_sent,
    save_ticket,
    variants,
    wait_ready_offline,
    wait_until,
)
from e2e.pictures import CAMERA, photo
from playwright.sync_api import Locator, Page, expect

from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.rescue import RescueFiles
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.faultproxy import Fault, FaultProxy

PHRASE = "correct horse battery staple"
TITLE = "Not saved, kept in this tab only"


def alarm(page: Page) -> Locator:
    return page.get_by_role("alert").filter(has_text=TITLE)


def summary(page: Page) -> Locator:
    return page.get_by_label("Summary", exact=True)


def write(page: Page, text: str) -> None:
    summary(page).fill(text)
    page.get_by_role("button", name="Save", exact=True).click()


def keep(page: Page, text: str, number: int) -> None:
    """Save; it is the ``number``-th that this tab holds, and the form is free for the next one."""
    write(page, text)
    expect(alarm(page)).to_contain_text(f"{TITLE}: {number} item")
    expect(summary(page)).to_have_value("")
    expect(summary(page)).to_be_focused()


def opened(device: Device, fault: str = "") -> Page:
    """The app in a tab whose storage fails when told to."""
    page = device.open("/healthz")
    return faulty(page, device.url, fault)


def faulty(page: Page, url: str, fault: str = "") -> Page:
    page.add_init_script(f"({FAULTY})(); breakStorage({fault!r});")
    page.goto(url)
    page.locator("html[data-app=ready]").wait_for(timeout=BOOT_MS)
    return page


def expect_written_back(page: Page) -> None:
    expect(alarm(page)).to_have_count(0, timeout=BOOT_MS)
    expect(page.get_by_text("Saved on this device after all").first).to_be_visible()


async def read_on_cpython(rescue: Path) -> list[tuple[str | None, dict[int, bytes | None]]]:
    store = MemoryStore(KeyRing.ephemeral())
    told = []
    for line in await RescueFiles(store, rescue.parent).read(PHRASE, rescue.as_uri()):
        item = json.loads(line)
        files: dict[int, bytes | None] = {}
        for one in item["attachments"]:
            for n in range(1, one["parts"] + 1):
                files[n] = await store.part(one["id"], n)
        told.append((item["payload"].get("summary"), files))
    return told


def make_rescue_file(page: Page, target: Path) -> Path:
    page.get_by_role("button", name="Make a rescue file").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Passphrase for the new file").fill("too short")
    dialog.get_by_role("button", name="Make rescue file").click()
    expect(dialog).to_contain_text("at least 12 characters")
    dialog.get_by_label("Passphrase for the new file").fill(PHRASE)
    with page.expect_download() as started:
        dialog.get_by_role("button", name="Make rescue file").click()
    expect(dialog.get_by_role("status")).to_contain_text("Keep the passphrase apart")
    page.keyboard.press("Escape")
    started.value.save_as(target)
    return target


@pytest.mark.parametrize("how", variants("lied", full=("put", "abort", "lost")))
def test_kept_said_and_written_back_once(
    device: Device, gateway: Gateway, tmp_path: Path, how: str
) -> None:
    page = opened(device)
    wait_ready_offline(page)
    form_ready(page)
    break_storage(page, how)
    break_engine(page, how)
    plan = some_bytes(tmp_path / "plan.bin", 2_500_000)
    shot = photo(page, tmp_path / "shot.jpg", 640, 480)
    page.get_by_label("Keep photos as they are").check()
    page.get_by_label("Attachments", exact=True).set_input_files([str(plan), str(shot)])
    for name in ("plan.bin", "shot.jpg"):
        expect(chosen(page, name)).to_contain_text("only in this tab")
    keep(page, "With a photo", 1)
    expect(alarm(page)).to_contain_text("with 2 attachments")
    expect(page.locator("#ticket-note")).to_have_text(TITLE)
    keep(page, "The second one", 2)
    expect(page.get_by_role("status").first).to_contain_text("2 not saved")
    page.get_by_role("link", name="Outbox").click()
    rows = page.get_by_role("list", name="Not saved items").get_by_role("listitem")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("With a photo")
    expect(rows.nth(0)).to_contain_text("Not saved")
    expect(alarm(page)).to_be_visible()  # on every screen
    page.get_by_role("link", name="Capture").click()
    with asked_before_leaving(page) as asked:
        page.evaluate("() => { setTimeout(() => location.reload()); }")
        expect(alarm(page)).to_be_visible()
        wait_until(page, "() => true")
    assert asked == ["beforeunload"]
    assert gateway.inbox() == []

    break_engine(page, "")
    break_storage(page, "")
    page.evaluate("() => { dispatchEvent(new Event('focus')); }")
    expect_written_back(page)
    expect(page.get_by_role("status").first).not_to_contain_text("not saved")
    expect_sent(page, "The second one")
    expect_sent(page, "With a photo")
    assert sorted(gateway.inbox()) == ["The second one", "With a photo"]
    # In order: the first to arrive is number 1.
    assert arrived_files(gateway) == {"plan.bin": plan.read_bytes(), "shot.jpg": shot.read_bytes()}
    assert CAMERA in shot.read_bytes()
    expect(page.get_by_role("list", name="Not saved items")).to_have_count(0)
    with asked_before_leaving(page) as asked:
        page.reload()
    assert asked == []


@pytest.mark.full
def test_the_rescue_file_of_a_tab_and_its_return_have_one_effect(
    device: Device,
    new_device: Callable[..., Device],
    visited: Path,
    gateway: Gateway,
    tmp_path: Path,
) -> None:
    """The page's storage does not open at all, from the start."""
    page = opened(device, "open")
    expect(page.get_by_role("status").first).to_contain_text("Storage problem", timeout=BOOT_MS)
    plan = some_bytes(tmp_path / "plan.bin", 1_200_000)
    page.get_by_label("Attachments", exact=True).set_input_files([str(plan)])
    expect(chosen(page, "plan.bin")).to_contain_text("only in this tab")
    keep(page, "Kept and rescued", 1)
    page.get_by_role("link", name="Feedback").click()
    page.get_by_role("radio", name="5").check(force=True)
    page.get_by_label("Comment").fill("Words of praise")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(alarm(page)).to_contain_text("2 items")
    rescue = make_rescue_file(page, tmp_path / "rescue.txt")
    assert b"rescued" not in rescue.read_bytes()

    with ThreadPoolExecutor() as thread:  # this one's event loop is Playwright's
        told = thread.submit(asyncio.run, read_on_cpython(rescue)).result()
    content = plan.read_bytes()
    assert told == [("Kept and rescued", {1: content[:MIB], 2: content[MIB:]}), (None, {})]

    other = new_device()
    shutil.copytree(visited, other.profile, ignore=shutil.ignore_patterns("Singleton*"))
    there = other.open()
    wait_ready_offline(there)
    there.get_by_role("link", name="About").click()
    there.get_by_label("Rescue file to read").set_input_files(rescue)
    there.get_by_label("Passphrase of the file").fill(PHRASE)
    there.get_by_role("button", name="Import rescue file").click()
    expect(there.get_by_text("2 added, 0 were here already.")).to_be_visible()
    expect_sent(there, "Kept and rescued")
    expect_sent(there, "Words of praise")
    expect(there.get_by_role("status").first).not_to_contain_text("waiting")
    assert sorted(gateway.inbox()) == ["5 of 5: Words of praise", "Kept and rescued"]
    other.close()

    break_storage(page, "")  # and after all it is written here as well
    expect_written_back(page)
    page.get_by_role("link", name="Ticket").click()
    save_ticket(page, "The next one")
    expect_sent(page, "The next one")
    expect(page.get_by_role("status").first).not_to_contain_text("waiting")
    assert sorted(gateway.inbox()) == [
        "5 of 5: Words of praise",
        "Kept and rescued",
        "The next one",
    ]
    arrived = [arrived_files(gateway, one) for one in ("FP-000001", "FP-000002")]
    assert arrived.count({"plan.bin": content}) == 1


@pytest.mark.full
def test_of_several_tabs_each_keeps_its_own(device: Device, gateway: Gateway) -> None:
    first = opened(device)
    wait_ready_offline(first)
    second = device.context.new_page()
    faulty(second, device.url)
    form_ready(second)
    summary(first).fill("Draft of the first, then kept")
    expect(first.get_by_text("Draft kept on this device")).to_be_visible()
    summary(second).fill("Draft of the second")
    expect(second.get_by_text("Draft kept on this device")).to_be_visible()
    break_storage(first, "put")
    keep(first, "Draft of the first, then kept", 1)
    summary(first).fill("What comes next in the first")
    expect(first.get_by_role("status").first).to_contain_text("Storage problem")
    save_ticket(second, "Draft of the second")
    expect(second.get_by_role("alert")).to_have_count(0)
    expect_sent(second, "Draft of the second")
    break_storage(first, "")
    expect_written_back(first)
    expect(first.get_by_text("Draft kept on this device")).to_be_visible()
    expect(summary(first)).to_have_value("What comes next in the first")
    first.reload()
    expect(summary(first)).to_have_value("What comes next in the first", timeout=BOOT_MS)
    expect_sent(first, "Draft of the first, then kept")
    assert sorted(gateway.inbox()) == ["Draft of the first, then kept", "Draft of the second"]


@pytest.mark.full
def test_left_all_the_same_its_draft_is_still_there(device: Device, gateway: Gateway) -> None:
    """The browser asked, somebody left: what was a draft before the storage failed is one again."""
    page = opened(device)
    wait_ready_offline(page)
    summary(page).fill("Saved as a draft first")
    expect(page.get_by_text("Draft kept on this device")).to_be_visible()
    break_storage(page, "put")
    keep(page, "Saved as a draft first", 1)
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(summary(page)).to_have_value("Saved as a draft first", timeout=BOOT_MS)
    save_ticket(page, "Saved as a draft first")
    expect_sent(page, "Saved as a draft first")
    assert gateway.inbox() == ["Saved as a draft first"]


@pytest.mark.full
def test_a_storage_that_falls_silent_is_given_up_on(device: Device, gateway: Gateway) -> None:
    """It neither takes nor refuses (and took it, as is found when it speaks again)."""
    page = opened(device)
    wait_ready_offline(page)
    break_storage(page, "silent")
    write(page, "Into silence")
    expect(page.locator("#ticket-note")).to_have_text("Saving…")
    expect(alarm(page)).to_contain_text("does not answer", timeout=BOOT_MS)
    break_storage(page, "")
    expect_written_back(page)
    expect_sent(page, "Into silence")
    assert gateway.inbox() == ["Into silence"]


@pytest.mark.full
def test_a_storage_deleted_under_the_open_app(device: Device, gateway: Gateway) -> None:
    """What is saved then lands in the one that is made anew; the page need not be loaded again."""
    page = device.open()
    wait_ready_offline(page)
    page.evaluate(
        """() => new Promise((resolve, reject) => {
          const deleting = indexedDB.deleteDatabase('fieldpost');
          deleting.onsuccess = resolve;
          deleting.onerror = () => reject(deleting.error);
        })"""
    )
    write(page, "Saved after that")
    expect(page.get_by_text("Saved on this device").first).to_be_visible(timeout=BOOT_MS)
    expect(alarm(page)).to_have_count(0)
    page.reload()
    expect_sent(page, "Saved after that")
    assert gateway.inbox() == ["Saved after that"]


# --- the browser deletes everything between two visits (REQUIREMENTS part 4, number 24) ----------

WIPED = "The browser has deleted what this app kept on this device"


def wipe(page: Page, url: str) -> None:
    """As a browser does that needs the room: everything but the cookies."""
    session = page.context.new_cdp_session(page)
    types = "indexeddb,cache_storage,service_workers,local_storage,file_systems"
    asked = {"origin": url.rstrip("/"), "storageTypes": types}
    session.send("Storage.clearDataForOrigin", asked)
    session.detach()


@pytest.mark.full
def test_what_the_browser_deleted_is_told_until_it_is_read(
    device: Device, line: FaultProxy
) -> None:
    line.fault = Fault("down")
    page = device.open()
    wait_ready_offline(page)
    save_ticket(page, "One that waits")
    save_ticket(page, "And another one")
    expect(page.get_by_role("status").first).to_contain_text("2 waiting")
    page.goto("about:blank")
    wipe(page, device.url)
    line.fault = Fault()
    page.goto(device.url)
    told = page.get_by_role("alert").filter(has_text=WIPED)
    expect(told).to_contain_text("2 items that had not been sent", timeout=BOOT_MS)
    page.reload()
    expect(told).to_contain_text("2 items", timeout=BOOT_MS)  # until somebody has read it
    told.get_by_role("button", name="I have read this").click()
    expect(told).to_have_count(0)
    page.reload()
    form_ready(page)
    wait_ready_offline(page)
    expect(told).to_have_count(0)


@pytest.mark.full
def test_nothing_is_told_of_what_had_been_sent(device: Device, gateway: Gateway) -> None:
    page = device.open()
    wait_ready_offline(page)
    save_ticket(page, "Sent in time")
    expect_sent(page, "Sent in time")
    expect(page.get_by_role("status").first).not_to_contain_text("waiting")
    wait_until(page, "() => !document.cookie.includes('fieldpost.')")
    page.goto("about:blank")
    wipe(page, device.url)
    page.goto(device.url)
    form_ready(page)
    wait_ready_offline(page)
    expect(page.get_by_text(WIPED)).to_have_count(0)


# --- how it looks ----------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "scheme"), sizes())
def test_the_alarm_looks_right(device: Device, line: FaultProxy, width: int, scheme: str) -> None:
    looks = Looks(device, width, scheme)
    page = looks.open()
    wait_ready_offline(page)
    page.evaluate(f"({FAULTY})()")
    break_storage(page, "put")
    files = [{"name": "plan.bin", "mimeType": "application/octet-stream", "buffer": b"x" * 90_000}]
    page.set_input_files("#attachments", files)
    expect(chosen(page, "plan.bin")).to_contain_text("only in this tab")
    looks.at(page, "kept-file")
    keep(page, "Pump 3 leaks from the left valve", 1)
    looks.at(page, "kept-one")
    keep(page, "Pump 4 as well", 2)
    page.get_by_role("link", name="Outbox").click()
    expect(page.get_by_role("list", name="Not saved items")).to_be_visible()
    looks.at(page, "kept-outbox")
    page.get_by_role("button", name="Make a rescue file").click()
    looks.at(page, "kept-rescue")
    page.get_by_role("button", name="Make rescue file").click()
    expect(page.get_by_role("dialog")).to_contain_text("at least 12 characters")
    looks.at(page, "kept-rescue-wrong")
    page.get_by_role("dialog").get_by_label("Passphrase for the new file").fill(PHRASE)
    page.get_by_role("button", name="Make rescue file").click()
    expect(page.get_by_role("dialog")).to_contain_text("Keep the passphrase apart")
    looks.at(page, "kept-rescued")
    page.keyboard.press("Escape")
    break_storage(page, "")
    page.get_by_role("button", name="Try to save now").click()
    expect_written_back(page)
    looks.at(page, "kept-written")
    page.evaluate(
        "() => { document.cookie = 'fieldpost.fieldpost.lost=2:' + (Date.now() - 7200000); }"
    )
    page.reload()
    expect(page.get_by_text(WIPED)).to_be_visible(timeout=BOOT_MS)
    page.evaluate(AXE.read_text())
    looks.at(page, "lost")
    assert looks.wrong == []

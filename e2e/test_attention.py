"""What needs a person: corrected, tried again together, discarded and brought back; a save that
waits for room; the settings of sending."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from e2e.attaching import MIB, choose, expect_stored, some_bytes
from e2e.looks import Looks, press_to, shoot, sizes
from e2e.machines import (
    BOOT_MS,
    Device,
    Gateway,
    expect_sent,
    open_outbox,
    save_ticket,
    wait_ready_offline,
)
from playwright.sync_api import Locator, Page, expect

from fieldpost.testing.faultproxy import FaultProxy

#: The gateway with an inbox that judges by what a summary says.
PICKY = (str(Path(__file__).parent / "picky_gateway.py"),)


@pytest.fixture
def picky(gateway: Gateway) -> Gateway:
    gateway.stop()
    gateway.program = PICKY
    return gateway.start()


def open_attention(page: Page) -> None:
    page.get_by_role("link", name="Attention", exact=True).click()
    expect(page.get_by_role("heading", name="Attention")).to_be_visible()


def row(page: Page, summary: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=summary)


def sync(page: Page) -> None:
    open_outbox(page)
    page.get_by_role("button", name="Sync now").click()


def test_a_refused_ticket_is_corrected_and_arrives_once(
    device: Device, picky: Gateway, line: FaultProxy
) -> None:
    """By keyboard alone, from the refusal to the delivery."""
    page = device.open()
    wait_ready_offline(page)
    save_ticket(page, "Refuse: vague")
    open_outbox(page)
    link = page.get_by_role("link", name="1 item needs your attention")
    expect(link).to_be_visible(timeout=BOOT_MS)
    expect(page.get_by_text("Nothing is waiting")).to_be_visible()
    press_to(page, "1 item needs your attention")
    keys = page.keyboard
    keys.press("Enter")
    refused = row(page, "Refuse: vague")
    expect(refused).to_contain_text("It is not as the server needs it.")
    expect(refused).to_contain_text("says too little")
    expect(page.locator("#attention-badge")).to_have_text("1")
    press_to(page, "Edit")
    keys.press("Enter")
    dialog = page.get_by_role("dialog", name="Correct and send")
    summary = dialog.get_by_label("Summary")
    expect(summary).to_be_focused()
    expect(summary).to_have_attribute("aria-invalid", "true")
    expect(dialog.locator("#edit-summary-error")).to_have_text("Says too little.")
    keys.press("Control+A")
    keys.press("Delete")
    press_to(page, "Save and send")
    keys.press("Enter")
    expect(dialog.locator("#edit-summary-error")).to_contain_text("Say in a few words")
    expect(summary).to_be_focused()
    keys.type("Pump 4 leaks at the left valve")
    press_to(page, "Save and send")
    keys.press("Enter")
    expect(dialog).not_to_be_visible()
    expect(page.get_by_text("Nothing needs you")).to_be_visible()
    expect_sent(page, "Pump 4 leaks at the left valve")
    assert picky.inbox() == ["Pump 4 leaks at the left valve"]
    page.get_by_role("button", name="Pump 4 leaks at the left valve").click()
    expect(page.get_by_role("dialog")).to_contain_text("Corrected")


def test_discarded_and_brought_back_alone_and_together(device: Device, picky: Gateway) -> None:
    page = device.open()
    wait_ready_offline(page)
    save_ticket(page, "Refuse: one")
    save_ticket(page, "Refuse: two")
    open_attention(page)
    one, two = row(page, "Refuse: one"), row(page, "Refuse: two")
    expect(two).to_contain_text("says too little", timeout=BOOT_MS)
    one.get_by_role("button", name="Discard").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Why? (optional)")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(one).to_be_visible()
    one.get_by_role("button", name="Discard").click()
    dialog.get_by_label("Why? (optional)").fill("Reported by phone")
    dialog.get_by_role("button", name="Discard").click()
    expect(one).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(one).to_be_visible()

    page.get_by_label("Select Refuse: one").check()
    page.get_by_label("Select Refuse: two").check()
    bar = page.locator(".chosen")
    expect(bar).to_contain_text("2 selected")
    bar.get_by_role("button", name="Discard").click()
    expect(dialog).to_contain_text("Discard 2 items?")
    dialog.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("Nothing needs you")).to_be_visible()
    page.get_by_role("button", name="Undo").last.click()
    expect(two).to_be_visible()
    one.get_by_role("button", name="Refuse: one", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Reported by phone")
    assert picky.inbox() == []


def test_after_an_outage_all_go_out_with_one_retry(
    device: Device, picky: Gateway, line: FaultProxy
) -> None:
    page = device.open()
    wait_ready_offline(page)
    save_ticket(page, "Busy: one")
    save_ticket(page, "Busy: two")
    open_outbox(page)
    for tried in range(1, 5):
        expect(row(page, "Busy: two")).to_contain_text(re.compile(f"Tried {tried} time"))
        expect(row(page, "Busy: one")).to_contain_text(re.compile(f"Tried {tried} time"))
        page.get_by_role("button", name="Sync now").click()
    open_attention(page)
    said = page.get_by_text("2 items could not be delivered while the server was away.")
    expect(said).to_be_visible()
    expect(row(page, "Busy: one")).to_contain_text("Not delivered")
    shoot(page, "attention-outage")
    (picky.data / "works-again").touch()
    page.get_by_role("button", name="Retry all", exact=True).click()
    expect(page.get_by_text("Nothing needs you")).to_be_visible()
    expect_sent(page, "Busy: one")
    expect_sent(page, "Busy: two")
    assert sorted(picky.inbox()) == ["Busy: one", "Busy: two"]


def downloaded(page: Page, button: Locator) -> tuple[str, bytes]:
    """(name, content) of what a press saves."""
    with page.expect_download() as saving:
        button.click()
    return saving.value.suggested_filename, saving.value.path().read_bytes()


#: (id) -> takes the bytes of an attachment from the device.
DROP = "async (id) => (await fieldpostGlue.open('fieldpost')).dropFile(id)"


@pytest.mark.full
def test_a_dead_letter_is_taken_elsewhere(device: Device, picky: Gateway, tmp_path: Path) -> None:
    """As text, as a file, its attachments byte for byte; and what is gone is said to be."""
    device.options |= {"permissions": ["clipboard-read", "clipboard-write"]}
    page = device.open()
    wait_ready_offline(page)
    large = some_bytes(tmp_path / "log of the pump.bin", 2 * MIB + 100)
    page_of_theirs = tmp_path / "report.html"
    page_of_theirs.write_text("<script>document.title = 'ours'</script>")
    choose(page, large, page_of_theirs)
    expect_stored(page, large.name, page_of_theirs.name)
    page.get_by_label("Description").fill("Left valve")
    save_ticket(page, "Refuse: vague")
    open_attention(page)
    refused = row(page, "Refuse: vague")
    expect(refused).to_contain_text("says too little", timeout=BOOT_MS)
    refused.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Take it elsewhere")
    expect(dialog).to_contain_text("A copy is not encrypted")
    expect(dialog).to_contain_text("Once it is entered elsewhere, discard it here.")

    name, content = downloaded(page, dialog.get_by_role("button", name="Save as a file"))
    told = json.loads(content)
    assert re.fullmatch(r"ticket-[0-9a-f]{8}\.json", name)
    assert told["payload"]["summary"] == "Refuse: vague"
    assert told["answer"]["fields"] == {"summary": "says too little"}
    assert [file["name"] for file in told["attachments"]] == [large.name, page_of_theirs.name]
    assert [event["outcome"] for event in told["history"]] == ["permanent"]
    assert b'\n  "payload": {\n    "summary": "Refuse: vague",\n' in content

    dialog.get_by_role("button", name="Copy as text").click()
    expect(dialog).to_contain_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "Summary: Refuse: vague\nDescription: Left valve\n" in copied
    assert f"Attachments: {large.name}, {page_of_theirs.name}" in copied

    for file in (large, page_of_theirs):
        button = dialog.get_by_role("button", name=f"Save {file.name}")
        assert downloaded(page, button) == (file.name, file.read_bytes())
    expect(dialog).to_contain_text("Saved as report.html.")

    # From the item's detail, too; a file that went meanwhile is said to be gone.
    page.keyboard.press("Escape")
    page.evaluate(DROP, told["attachments"][0]["id"])
    refused.get_by_role("button", name="Refuse: vague", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Export").click()
    gone = dialog.get_by_role("button", name="Save Attachment")  # its name went with it
    gone.click()
    expect(dialog).to_contain_text("It is no longer on this device.")
    expect(gone).to_be_disabled()


# --- how it looks --------------------------------------------------------------------------------


def prepare(page: Page, folder: Path) -> None:
    wait_ready_offline(page)
    save_ticket(page, "Refuse: the pump in the cellar of the left wing makes a noise")
    file = some_bytes(folder / "the log of the whole pump in the cellar.bin", 1000)
    choose(page, file)
    expect_stored(page, file.name)
    save_ticket(page, "Refuse: second")
    open_attention(page)
    expect(row(page, "Refuse: second")).to_contain_text("says too little", timeout=BOOT_MS)


@pytest.mark.parametrize(("width", "scheme"), sizes())
def test_both_screens_are_accessible(
    device: Device, picky: Gateway, tmp_path: Path, width: int, scheme: str
) -> None:
    looks = Looks(device, width, scheme)
    page = looks.open()

    def look(state: str) -> None:
        looks.at(page, state)

    open_attention(page)
    expect(page.get_by_text("Nothing needs you")).to_be_visible(timeout=BOOT_MS)
    look("attention-empty")
    page.get_by_role("link", name="Capture").click()
    prepare(page, tmp_path)
    look("attention")
    page.get_by_label("Select Refuse: second").check()
    expect(page.locator(".chosen")).to_be_visible()
    look("attention-chosen")
    page.locator(".chosen").get_by_role("button", name="Clear").click()
    row(page, "Refuse: second").get_by_role("button", name="Edit").click()
    expect(page.get_by_role("dialog").get_by_label("Summary")).to_be_focused()
    look("edit")
    page.keyboard.press("Escape")
    row(page, "Refuse: second").get_by_role("button", name="Discard").click()
    expect(page.get_by_role("dialog").get_by_label("Why? (optional)")).to_be_focused()
    look("discard")
    page.keyboard.press("Escape")
    row(page, "Refuse: second").get_by_role("button", name="Export").click()
    expect(page.get_by_role("dialog", name="Take it elsewhere")).to_be_visible()
    look("export")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_text("What you save is sent by itself.")).to_be_visible()
    look("settings")
    page.get_by_text("Oldest first", exact=True).click()
    expect(page.get_by_text("Saved. It counts from now on.")).to_be_visible()
    page.get_by_text("At set times", exact=True).click()
    expect(page.get_by_label("Times of day, as 07:30, 18:00")).to_have_value("18:00")
    look("settings-scheduled")
    page.reload()
    expect(page.get_by_label("Oldest first")).to_be_checked(timeout=BOOT_MS)
    assert not looks.wrong

"""Bad input and a browser that gives no storage: said where it is, nothing lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from e2e.attaching import KEYS, form_ready
from e2e.machines import (
    BOOT_MS,
    Device,
    Gateway,
    expect_sent,
    open_outbox,
    save_ticket,
    variants,
    wait_ready_offline,
)
from e2e.sites import with_engine
from playwright.sync_api import Locator, Page, Playwright, expect

from fieldpost.testing.faultproxy import Fault, FaultProxy

DOWN = Fault("down")
STRICT = (str(Path(__file__).parent / "strict_gateway.py"),)


def field(page: Page, label: str) -> Locator:
    return page.get_by_role("form", name="Ticket").get_by_label(label, exact=True)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def expect_wrong(page: Page, label: str, words: str) -> None:
    """Said at the field, for eyes and for screen readers."""
    wrong = field(page, label)
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(page.locator(f"#{wrong.get_attribute('aria-describedby')}")).to_contain_text(words)


def expect_kept(page: Page, words: str) -> None:
    """Said what is the matter, and held by the tab; the form is free."""
    told = page.get_by_role("alert").filter(has_text="Not saved, kept in this tab only: 1 item.")
    expect(told).to_contain_text(words)
    expect(field(page, "Summary")).to_have_value("")


def expect_not_saved(page: Page, words: str, summary: str) -> None:
    expect(page.get_by_text("Not saved.")).to_contain_text(words)
    expect(field(page, "Summary")).to_have_value(summary)


# --- fields ----------------------------------------------------------------------------------


def test_what_is_missing_or_too_long_is_said_at_the_field(device: Device, gateway: Gateway) -> None:
    page = device.open()
    form_ready(page)
    field(page, "Description").fill("x" * 20_001)
    field(page, "Requester email").fill("not an address")
    save(page)
    expect_wrong(page, "Summary", "Say in a few words what it is about.")
    expect_wrong(page, "Description", "At most 20000 characters: 1 too many.")
    expect_wrong(page, "Requester email", "name@example.org")
    expect(field(page, "Summary")).to_be_focused()
    expect(page.get_by_text("3 fields need a look.")).to_be_visible()

    field(page, "Summary").fill("s" * 201)
    expect_wrong(page, "Summary", "At most 200 characters: 1 too many.")
    field(page, "Summary").fill("s" * 200)
    expect(field(page, "Summary")).not_to_have_attribute("aria-invalid", "true")
    save(page)
    expect(field(page, "Description")).to_be_focused()
    expect(field(page, "Description")).to_have_value("x" * 20_001)
    field(page, "Description").fill("x" * 20_000)
    field(page, "Requester email").fill("ann@example.org")
    save(page)
    expect(page.get_by_text("Saved on this device").first).to_be_visible()
    expect_sent(page, "s" * 59 + "…")
    assert gateway.inbox() == ["s" * 200]


@pytest.fixture
def strict_gateway(gateway: Gateway) -> Gateway:
    gateway.stop()
    gateway.program = STRICT
    return gateway.start()


def test_what_the_gateway_demands_is_checked_without_it(
    device: Device, strict_gateway: Gateway, line: FaultProxy
) -> None:
    page = device.open()
    expect(field(page, "Category").get_by_role("option", name="Pumps")).to_be_attached(
        timeout=BOOT_MS
    )
    line.fault = DOWN
    page.reload()
    expect(field(page, "Category").get_by_role("option", name="Pumps")).to_be_attached(
        timeout=BOOT_MS
    )
    field(page, "Summary").fill("Seal worn")
    field(page, "Description").fill("y" * 81)
    save(page)
    expect_wrong(page, "Description", "At most 80 characters: 1 too many.")
    expect_wrong(page, "Category", "This is needed here.")
    expect(field(page, "Description")).to_be_focused()
    field(page, "Description").fill("y" * 80)
    field(page, "Category").select_option("pumps")
    save(page)
    expect(page.get_by_text("Saved on this device").first).to_be_visible()
    line.fault = Fault()
    expect_sent(page, "Seal worn")


@pytest.mark.full
def test_what_the_gateway_rejects_is_shown_and_can_be_tried_or_given_up(
    device: Device, gateway: Gateway, line: FaultProxy
) -> None:
    """Saved under the rules of yesterday, while nobody could tell today's."""
    line.fault = DOWN
    page = device.open()
    wait_ready_offline(page)
    save_ticket(page, "Without a category")
    gateway.stop()
    gateway.program = STRICT
    gateway.start()
    line.fault = Fault()
    open_outbox(page)
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_role("status")).to_contain_text("1 needs attention")
    page.get_by_role("link", name="Attention", exact=True).click()
    row = page.get_by_role("listitem").filter(has_text="Without a category")
    expect(row).to_contain_text("Not accepted")
    row.get_by_role("button", name="Without a category", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Some fields are missing or not allowed.")
    expect(dialog).to_contain_text(re.compile("category", re.IGNORECASE))
    page.keyboard.press("Escape")

    row.get_by_role("button", name="Discard").click()
    dialog.get_by_role("button", name="Discard").click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("Not accepted")
    assert gateway.inbox() == []

    gateway.stop()
    gateway.program = ("-m", "gateway")
    gateway.start()
    row.get_by_role("button", name="Retry").click()
    expect_sent(page, "Without a category")
    assert gateway.inbox() == ["Without a category"]


# --- storage ---------------------------------------------------------------------------------


MISSING = "Object.defineProperty(globalThis, 'indexedDB', { value: undefined });"
REFUSED = """Object.defineProperty(globalThis, 'indexedDB', {
  get() { throw new DOMException('The operation is insecure.', 'SecurityError'); },
});"""
ENGINE_WITHOUT = f"""
import js
js.eval({MISSING!r})
from fieldpost import browser
call = await browser.serve(gateway="./")
__export__ = ["call"]
"""


@pytest.mark.parametrize("how", [MISSING, REFUSED], ids=["missing", "refused"])
def test_without_storage_it_says_so_and_keeps_what_is_typed(device: Device, how: str) -> None:
    page = device.open("/healthz")
    page.add_init_script(how)
    page.goto(device.url)
    expect(page.get_by_text("This browser gives the app no storage")).to_be_visible(timeout=BOOT_MS)
    expect(page.get_by_role("status")).to_contain_text("Storage problem")
    field(page, "Summary").fill("Kept in the tab")
    save(page)
    expect_kept(page, "no storage")


@pytest.mark.full
def test_an_engine_without_storage_does_not_push_itself_forward(
    playwright: Playwright, site: Path, tmp_path: Path
) -> None:
    """The page says what is the matter once; the engine's own failure adds no riddles."""
    tree = with_engine(site, tmp_path / "site", ENGINE_WITHOUT)
    gateway = Gateway(tmp_path / "data", tree).start()
    device = Device(playwright, tmp_path / "profile", gateway.url)
    page = device.open("/healthz")
    page.add_init_script(MISSING)
    page.goto(device.url)
    expect(page.get_by_text("The part that sends does not start")).to_be_visible(timeout=BOOT_MS)
    expect(page.get_by_text("This browser gives the app no storage").first).to_be_visible()
    field(page, "Summary").fill("Kept in the tab")
    save(page)
    expect_kept(page, "no storage")
    device.close()
    gateway.stop()


HOLD_OPEN = """() => new Promise((resolve) => {
  const opening = indexedDB.open('fieldpost');
  opening.onsuccess = () => {
    window.held = opening.result;  // deaf to `versionchange`, as an old version may be
    const deleting = indexedDB.deleteDatabase('fieldpost');
    deleting.onblocked = () => resolve();
  };
})"""


@pytest.mark.full
def test_storage_held_by_another_tab_is_waited_for(device: Device, gateway: Gateway) -> None:
    other = device.open("/healthz")
    other.evaluate(HOLD_OPEN)
    page = device.tab()
    expect(page.get_by_text("Another tab holds an older version")).to_be_visible(timeout=BOOT_MS)
    field(page, "Summary").fill("Behind the other tab")
    save(page)
    expect_kept(page, "Another tab")
    other.close()
    expect(page.get_by_role("status")).not_to_contain_text("Storage problem")
    expect(page.get_by_text("Saved on this device after all").first).to_be_visible()
    expect_sent(page, "Behind the other tab")
    assert gateway.inbox() == ["Behind the other tab"]


UPGRADE = """() => new Promise((resolve, reject) => {
  const opening = indexedDB.open('fieldpost', 1000);
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => { opening.result.close(); resolve(); };
})"""


def test_a_newer_version_in_another_tab_is_not_written_over(device: Device) -> None:
    page = device.open()
    wait_ready_offline(page)
    field(page, "Summary").fill("Typed in the old tab")
    other = device.context.new_page()
    other.goto(device.url + "/healthz")
    other.evaluate(UPGRADE)
    save(page)
    expect_kept(page, "newer version of the app")


def test_a_full_storage_is_said_and_saving_works_once_there_is_room(
    device: Device, gateway: Gateway
) -> None:
    page = device.open("/healthz")  # before the first write: Chromium asks for room now and then
    session = device.context.new_cdp_session(page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": device.url, "quotaSize": 1})
    page.goto(device.url)
    form_ready(page)
    field(page, "Summary").fill("No room for this")
    save(page)
    expect_not_saved(page, "storage of this device is full", "No room for this")
    expect(page.get_by_role("status")).to_contain_text("Storage problem")
    note = page.locator("#ticket-note")
    expect(note).to_contain_text("It saves itself when there is room.")
    assert page.evaluate(KEYS, "inbox") == []
    page.get_by_role("link", name="Attention", exact=True).click()
    expect(page.get_by_text("A ticket is not saved yet")).to_be_visible()
    page.get_by_role("link", name="Look at it").click()
    note.get_by_role("button", name="Keep as a draft").click()
    expect(note).not_to_contain_text("saves itself")
    expect(field(page, "Summary")).to_have_value("No room for this")
    save(page)
    expect(note).to_contain_text("It saves itself when there is room.")

    session.send("Storage.overrideQuotaForOrigin", {"origin": device.url})
    expect(page.get_by_text("There was room again: No room for this")).to_be_visible()
    expect(field(page, "Summary")).to_have_value("")
    expect(page.get_by_role("status")).not_to_contain_text("Storage problem")
    expect_sent(page, "No room for this")
    assert gateway.inbox() == ["No room for this"]


# --- surroundings ----------------------------------------------------------------------------


def test_without_a_secure_connection_it_says_so(
    playwright: Playwright, site: Path, tmp_path: Path
) -> None:
    gateway = Gateway(tmp_path / "data", site, more=("--allow-host", "fieldpost.test")).start()
    device = Device(
        playwright,
        tmp_path / "profile",
        f"http://fieldpost.test:{gateway.port}/",
        flags=("--host-resolver-rules=MAP fieldpost.test 127.0.0.1",),
    )
    page = device.open()
    assert page.evaluate("isSecureContext") is False
    expect(page.get_by_text("not opened over a secure connection").first).to_be_visible(
        timeout=BOOT_MS
    )
    field(page, "Summary").fill("In the clear")
    save(page)
    expect_kept(page, "Open it with https")
    device.close()
    gateway.stop()


MOMENTS = {
    "at once": lambda page: None,
    "when it says Saving": lambda page: (
        page.get_by_text("Saving…").or_(page.get_by_text("Saved on this device")).first.wait_for()
    ),
    "when it says Saved": lambda page: page.get_by_text("Saved on this device").first.wait_for(),
}


@pytest.mark.parametrize(
    "moment", variants("when it says Saved", full=["at once", "when it says Saving"])
)
def test_a_tab_closed_after_save_before_the_engine_is_up(
    device: Device, gateway: Gateway, moment: str
) -> None:
    """What was kept as a draft becomes an item or stays a draft: never neither, never both."""
    page = device.open()
    form_ready(page)
    field(page, "Summary").fill("Closed in a hurry")
    page.get_by_text("Draft kept on this device").wait_for()
    page.reload()
    form_ready(page)
    expect(field(page, "Summary")).to_have_value("Closed in a hurry")
    save(page)
    MOMENTS[moment](page)
    page.close()

    other = device.context.new_page()
    device.watch(other)
    other.goto(device.url)
    form_ready(other)
    wait_ready_offline(other)
    said = moment == "when it says Saved"
    drafted = field(other, "Summary").input_value() == "Closed in a hurry"
    if drafted:
        assert not said
        expect(other.get_by_role("status")).not_to_contain_text("waiting")
        assert gateway.inbox() == []
    else:
        expect_sent(other, "Closed in a hurry")
        assert gateway.inbox() == ["Closed in a hurry"]

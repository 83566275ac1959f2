"""For everybody: by keyboard alone, with a screen reader, on a small phone, in the dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from e2e.attaching import arrived_files, form_ready
from e2e.looks import SIDEWAYS, Looks, press_to, shoot, sizes
from e2e.machines import (
    BOOT_MS,
    ROOT,
    Device,
    Gateway,
    expect_sent,
    open_outbox,
    save_ticket,
    wait_ready_offline,
)
from playwright.sync_api import Page, Route, expect

from fieldpost.testing.faultproxy import Fault, FaultProxy


def test_a_ticket_by_keyboard_alone(device: Device, gateway: Gateway) -> None:
    page = device.open()
    form_ready(page)
    keys = page.keyboard
    press_to(page, "Summary")
    keys.type("Typed without a mouse")
    press_to(page, "Description")
    keys.type("Two lines")
    keys.press("Enter")
    keys.type("of text")
    press_to(page, "Save")
    keys.press("Space")
    expect(page.get_by_text("Saved on this device").first).to_be_visible()
    expect(page.get_by_label("Summary", exact=True)).to_be_focused()

    press_to(page, "Outbox", "Shift+Tab")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Outbox")).to_be_visible()
    press_to(page, "Sent")
    keys.press("Enter")
    row = page.get_by_role("listitem").filter(has_text="Typed without a mouse")
    expect(row).to_be_visible(timeout=BOOT_MS)
    press_to(page, "Typed without a mouse")
    keys.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("of text")
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    press_to(page, "Close")
    press_to(page, "Close")  # the focus goes round inside the dialog, and comes back
    keys.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(row.get_by_role("button").first).to_be_focused()
    assert gateway.inbox() == ["Typed without a mouse"]


@pytest.mark.full
def test_a_save_before_the_app_is_up_takes_its_files_along(
    new_device: Callable[..., Device], gateway: Gateway
) -> None:
    """The form is there at once, Python a moment later, on a first visit some seconds."""
    device = new_device(service_workers="block")  # or the page asks it, and not the network
    page = device.open()
    page.get_by_label("Description").fill("Of another ticket")
    expect(page.get_by_text("Draft kept on this device")).to_be_visible(timeout=BOOT_MS)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/pyscript/core.js", hold)
    page.reload(wait_until="commit")
    page.set_input_files(
        "#attachments", [{"name": "early.txt", "mimeType": "text/plain", "buffer": b"bird"}]
    )
    page.get_by_label("Summary", exact=True).fill("Early")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#ticket-note")).to_have_text("Saving…")
    assert page.locator("html[data-app=ready]").count() == 0
    held[0].continue_()
    expect(page.get_by_text("Saved on this device").first).to_be_visible(timeout=BOOT_MS)
    expect(page.get_by_label("Summary", exact=True)).to_have_value("")
    expect(page.get_by_label("Description")).to_have_value("Of another ticket")
    expect_sent(page, "Early")
    assert arrived_files(gateway) == {"early.txt": b"bird"}
    page.get_by_role("button", name="Early").click()
    expect(page.get_by_role("dialog")).to_contain_text("early.txt")
    expect(page.get_by_role("dialog")).not_to_contain_text("Of another ticket")


# --- how it looks, in every state ----------------------------------------------------------------


class Look:
    """Goes through the states of the app and calls `at` in each."""

    def __init__(self, page: Page, line: FaultProxy, at: Callable[[Page, str], None]) -> None:
        self.page, self.line, self.at = page, line, at

    def through(self) -> None:
        page, at = self.page, self.at
        wait_ready_offline(page)
        at(page, "capture-empty")
        page.get_by_label("Requester email").fill("no address")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator("#ticket-summary-error")).not_to_be_empty()
        at(page, "capture-errors")
        page.get_by_label("Requester email").fill("")
        page.set_input_files("#attachments", [{**PICTURE}])
        shown = page.get_by_role("listitem").filter(has_text="valve")
        expect(shown).to_contain_text("kB")
        page.get_by_label("Description").fill("The valve in room 3 drips.\nSince this morning.")
        page.get_by_label("Severity").select_option("high")
        self.line.fault = Fault("down")
        page.get_by_label("Summary", exact=True).fill("Pump 3 leaks from the left valve")
        expect(page.locator("#ticket-note")).not_to_contain_text("a look")
        at(page, "capture-filled")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved on this device").first).to_be_visible()
        at(page, "capture-saved")
        page.get_by_role("link", name="Feedback").click()
        expect(page.get_by_label("Comment")).to_be_visible()
        at(page, "feedback")
        page.get_by_role("link", name="Ticket").click()
        save_ticket(page, "A" + "very" * 40 + "longword")
        open_outbox(page)
        row = page.get_by_role("listitem").filter(has_text="Pump 3 leaks")
        expect(row).to_contain_text("The server is not answering")
        at(page, "outbox-waiting")
        page.get_by_role("link", name="Sent").click()
        expect(page.get_by_text("Nothing was sent yet")).to_be_visible()
        at(page, "outbox-nothing-sent")
        self.line.fault = Fault()
        page.get_by_role("button", name="Sync now").click()
        expect_sent(page, "Pump 3 leaks from the left valve")
        expect(page.get_by_role("status")).not_to_contain_text("waiting")
        at(page, "outbox-sent")
        page.get_by_text("Pump 3 leaks from the left valve", exact=True).click()
        expect(page.get_by_role("dialog")).to_contain_text("FP-0000")
        at(page, "detail")
        page.get_by_role("button", name="Close").click()
        page.get_by_role("link", name="Waiting").click()
        expect(page.get_by_text("Nothing is waiting")).to_be_visible()
        at(page, "outbox-nothing-waiting")
        page.get_by_role("link", name="About").click()
        expect(page.get_by_text("Storage in use")).to_be_visible()
        at(page, "about")


#: A real picture, so that it is reduced and shown small.
PICTURE: Any = {
    "name": "valve.png",
    "mimeType": "image/png",
    "buffer": (ROOT / "static/icons/icon-512.png").read_bytes(),
}


@pytest.mark.parametrize(("width", "scheme"), sizes())
def test_every_state_is_accessible(
    device: Device, line: FaultProxy, width: int, scheme: str
) -> None:
    looks = Looks(device, width, scheme)
    Look(looks.open(), line, looks.at).through()
    assert not looks.wrong


@pytest.mark.full
def test_nothing_scrolls_sideways_at_320_px(device: Device, line: FaultProxy) -> None:
    device.options |= {"viewport": {"width": 320, "height": 568}, "has_touch": True}
    page = device.open()
    wrong: list[tuple[str, Any]] = []

    def look(page: Page, state: str) -> None:
        shoot(page, f"{state}-320")
        wrong.extend((state, one) for one in page.evaluate(SIDEWAYS))

    Look(page, line, look).through()
    assert not wrong

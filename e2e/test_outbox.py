"""Several items of the outbox at once; a server left in peace, by itself and by hand."""

from __future__ import annotations

import pytest
from e2e.looks import Looks, press_to, sizes
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

from fieldpost.testing.faultproxy import Fault, FaultProxy

#: What stands before the server answers for it, and names a time that no test waits for.
DOWN_FOR_MINUTES = Fault("http_503_retry_after", retry_after=300)


def row(page: Page, summary: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=summary)


def bar(page: Page) -> Locator:
    return page.get_by_role("group", name="Selected items")


def pause(page: Page) -> None:
    open_outbox(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=BOOT_MS)


def save(page: Page, *summaries: str) -> None:
    page.get_by_role("link", name="Capture").click()
    for summary in summaries:
        save_ticket(page, summary)
    open_outbox(page)
    for summary in summaries:
        expect(row(page, summary)).to_be_visible(timeout=BOOT_MS)


@pytest.mark.full
def test_several_are_cancelled_brought_back_and_made_urgent_by_keyboard(
    device: Device, gateway: Gateway
) -> None:
    page = device.open()
    wait_ready_offline(page)
    pause(page)
    save(page, "Pump one", "Pump two", "Pump three")
    keys = page.keyboard
    press_to(page, "Select")
    keys.press("Enter")
    expect(bar(page)).to_contain_text("0 of 3 selected")
    expect(page.get_by_role("button", name="Done")).to_be_focused()
    press_to(page, "Select Pump three")
    keys.press("Space")
    press_to(page, "Select Pump one")
    keys.press("Space")
    expect(bar(page)).to_contain_text("2 of 3 selected")
    press_to(page, "Cancel", "Shift+Tab")
    keys.press("Enter")
    dialog = page.get_by_role("dialog", name="Cancel 2 items?")
    expect(dialog.get_by_label("Why? (optional)")).to_be_focused()
    keys.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(bar(page).get_by_role("button", name="Cancel")).to_be_focused()
    keys.press("Enter")
    expect(dialog).to_be_visible()
    # Closed and asked for again before the browser tells that it was closed.
    page.evaluate("""() => {
        document.getElementById("ask").close();
        document.activeElement.click();
    }""")
    expect(dialog.get_by_label("Why? (optional)")).to_be_focused()
    keys.type("Said on the phone")
    press_to(page, "Cancel them")
    keys.press("Enter")
    expect(page.get_by_text("2 items cancelled")).to_be_visible()
    expect(row(page, "Pump one")).to_have_count(0)
    expect(bar(page)).to_contain_text("0 of 1 selected")
    press_to(page, "Undo")
    keys.press("Enter")
    expect(page.get_by_text("2 items back in the queue")).to_be_visible()
    expect(row(page, "Pump three")).to_be_visible()

    # Made urgent, the one that was saved last goes first.
    press_to(page, "Select Pump three", "Shift+Tab")
    keys.press("Space")
    press_to(page, "Priority", "Shift+Tab")
    keys.press("Enter")
    dialog = page.get_by_role("dialog", name="Priority of this item")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Normal")).to_be_checked()
    press_to(page, "Normal")
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    expect(dialog.get_by_label("Critical")).to_be_checked()
    press_to(page, "Change")
    keys.press("Enter")
    expect(page.get_by_text("1 item now of critical priority")).to_be_visible()
    expect(row(page, "Pump three")).to_contain_text("Critical priority")
    keys.press("Escape")
    expect(bar(page)).to_have_count(0)
    page.get_by_role("button", name="Pump one", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Said on the phone")
    keys.press("Escape")
    page.get_by_role("button", name="Resume").click()
    expect_sent(page, "Pump one")
    assert gateway.inbox() == ["Pump two", "Pump one", "Pump three"]


def test_what_could_not_be_cancelled_is_said_item_by_item(
    device: Device, gateway: Gateway, line: FaultProxy
) -> None:
    page = device.open()
    wait_ready_offline(page)
    line.fault = DOWN_FOR_MINUTES
    save(page, "Perhaps sent")
    expect(row(page, "Perhaps sent")).to_contain_text("Checking whether it arrived")
    save(page, "Not sent yet")
    page.get_by_role("button", name="Select", exact=True).click()
    bar(page).get_by_role("button", name="Select all").click()
    expect(bar(page)).to_contain_text("2 of 2 selected")
    bar(page).get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel them").click()
    expect(page.get_by_text("1 item cancelled")).to_be_visible()
    left = page.get_by_role("region", name="1 item left as before")
    expect(left).to_contain_text("Perhaps sent")
    expect(left).to_contain_text("It may have arrived")
    expect(bar(page)).to_contain_text("1 of 1 selected")
    left.get_by_role("button", name="Close").click()
    expect(left).to_have_count(0)

    # What is left can go at once, although the server named a later time.
    line.fault = Fault()
    bar(page).get_by_role("button", name="Send now").click()
    expect(page.get_by_text("1 item is sent now, with all else that can go")).to_be_visible()
    expect_sent(page, "Perhaps sent")
    assert gateway.inbox() == ["Perhaps sent"]


def open_settings(page: Page) -> Locator:
    page.get_by_role("link", name="Settings").click()
    card = page.get_by_role("region", name="Server", exact=True)
    expect(card).to_be_visible(timeout=BOOT_MS)
    return card


def fail_until_left_in_peace(page: Page) -> Locator:
    """The server's guard opens after five failures: the save's own, and four tries by hand."""
    save(page, "Ticket for a broken server")
    card = open_settings(page)
    expect(card).to_contain_text("1 of 5, then it is left in peace")
    for failures in range(2, 6):
        open_outbox(page)
        page.get_by_role("button", name="Sync now").click()
        card = open_settings(page)
        said = "left in peace." if failures == 5 else f"{failures} of 5"
        expect(card).to_contain_text(said)
    return card


def test_a_failing_server_is_left_in_peace_stopped_by_hand_and_started_afresh(
    device: Device, gateway: Gateway, line: FaultProxy
) -> None:
    page = device.open()
    wait_ready_offline(page)
    line.fault = DOWN_FOR_MINUTES
    card = fail_until_left_in_peace(page)
    expect(card).to_contain_text("failed again and again")
    expect(card).to_contain_text("Next try")
    expect(card).to_contain_text("in 5 min")

    # A try by hand ahead of its time: it says that it is there and fails again with the item.
    card.get_by_role("button", name="Try now").click()
    expect(card).to_contain_text("7 requests, 14 % went well")
    expect(card).to_contain_text("failed again and again")

    # Stopped by hand while the server works again: asked first, and then nothing is sent.
    line.fault = Fault()
    card.get_by_role("button", name="Stop sending to it").click()
    dialog = page.get_by_role("dialog", name="Stop sending to this server?")
    expect(dialog).to_contain_text("1 item waits now.")
    dialog.get_by_role("button", name="Leave it").click()
    expect(card).to_contain_text("failed again and again")
    card.get_by_role("button", name="Stop sending to it").click()
    dialog.get_by_role("button", name="Stop sending").click()
    expect(card).to_contain_text("stopped by hand")
    expect(card).not_to_contain_text("Next try")
    before = len(line.seen)
    open_outbox(page)
    said = page.get_by_text("Nothing is sent now. Sending to this server was stopped by hand.")
    page.get_by_role("button", name="Sync now").click()
    expect(said).to_be_visible()
    page.get_by_role("button", name="Dismiss").last.click()
    page.get_by_role("button", name="Select", exact=True).click()
    page.get_by_label("Select Ticket for a broken server").check()
    bar(page).get_by_role("button", name="Send now").click()
    expect(said).to_be_visible()
    page.keyboard.press("Escape")
    # Each is taken into the queue by a turn of the engine: when the second is there, every turn
    # that was asked for before is over.
    save(page, "Saved meanwhile")
    save(page, "Saved after that")
    expect(row(page, "Saved after that")).to_contain_text("stopped by hand")
    assert [one for one in list(line.seen)[before:] if one.path.startswith("/api/")] == []

    # Another tab, and the next morning, know of it.
    page.reload()
    card = open_settings(page)
    expect(card).to_contain_text("stopped by hand")
    card.get_by_role("button", name="Start afresh").click()
    dialog = page.get_by_role("dialog", name="Start afresh with this server?")
    expect(dialog).to_contain_text("3 items wait now.")
    dialog.get_by_role("button", name="Start afresh").click()
    expect(card).to_contain_text("takes what is sent")
    expect(card).to_contain_text("0 of 5")
    expect_sent(page, "Saved after that")
    expect_sent(page, "Ticket for a broken server")
    assert sorted(gateway.inbox()) == [
        "Saved after that",
        "Saved meanwhile",
        "Ticket for a broken server",
    ]


# --- how it looks --------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize(("width", "scheme"), sizes())
def test_select_mode_and_the_server_are_accessible(
    device: Device, gateway: Gateway, line: FaultProxy, width: int, scheme: str
) -> None:
    looks = Looks(device, width, scheme)
    page = looks.open()
    wait_ready_offline(page)
    line.fault = DOWN_FOR_MINUTES
    card = fail_until_left_in_peace(page)
    looks.at(page, "server-open")
    card.get_by_role("button", name="Stop sending to it").click()
    expect(page.get_by_role("dialog", name="Stop sending to this server?")).to_be_visible()
    looks.at(page, "server-ask")
    page.get_by_role("dialog").get_by_role("button", name="Stop sending").click()
    expect(card).to_contain_text("stopped by hand")
    looks.at(page, "server-held")
    more = [f"Pump {n} in the cellar of the left wing makes a noise" for n in range(9)]
    save(page, *more)
    expect(page.get_by_text("stopped by hand").first).to_be_visible()
    page.get_by_role("button", name="Select", exact=True).click()
    looks.at(page, "select-none")
    page.get_by_label("Select Pump 8").check()
    # Touched anywhere, the row is selected; no detail opens.
    row(page, "Pump 7").click()
    expect(page.get_by_label("Select Pump 7")).to_be_checked()
    expect(page.get_by_role("dialog")).to_have_count(0)
    looks.at(page, "select")
    bar(page).get_by_role("button", name="Priority").click()
    expect(page.get_by_role("dialog", name="Priority of 2 items")).to_be_visible()
    looks.at(page, "select-priority")
    page.get_by_role("dialog").get_by_text("High", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Change").click()
    expect(row(page, "Pump 8")).to_contain_text("High priority")
    bar(page).get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog", name="Cancel 2 items?")).to_be_visible()
    looks.at(page, "select-cancel")
    page.keyboard.press("Escape")
    assert not looks.wrong

"""The whole trip as a newcomer makes it: visit, leave the network, save, close, come back, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.machines import (
    Device,
    Gateway,
    expect_sent,
    open_outbox,
    save_ticket,
    variants,
    wait_reacts,
    wait_ready_offline,
)
from playwright.sync_api import expect

from fieldpost.testing.faultproxy import Fault, FaultProxy

DOWN = Fault("down")
#: Whether the form could be seen once the page had been read, before its Python.
NOTE_FORM = """addEventListener('DOMContentLoaded', () => {
  window.FORM_SHOWN = document.getElementById('view-capture')?.checkVisibility();
});"""
#: Screen -> what is empty there until its Python has drawn it.
SCREENS = {
    "outbox": "#outbox-list",
    "attention": "#attention-list",
    "settings": "#settings",
    "about": "#about-facts",
}
#: What stands there, and where the focus is, as soon as everybody has heard of a click on a link.
CLICKED = """([hash, slot]) => new Promise((resolve) => {
  addEventListener('hashchange', () => resolve({
    text: document.querySelector(slot).textContent, focus: document.activeElement.id,
  }), { once: true });
  document.querySelector(`nav a[href="${hash}"]`).click();
})"""


def test_first_visit_becomes_ready_for_offline_use(
    new_device: Callable[..., Device], gateway: Gateway
) -> None:
    """From an empty profile: the form saves before the engine is up, and nothing goes wrong."""
    device = new_device()
    page = device.open()
    save_ticket(page, "Before the engine")
    wait_ready_offline(page)
    expect_sent(page, "Before the engine")
    assert gateway.inbox() == ["Before the engine"]
    assert not [m for m in device.console if m.startswith(("error", "pageerror"))], device.console


def test_captured_offline_closed_reopened_and_delivered_once(
    device: Device, gateway: Gateway, line: FaultProxy, tmp_path: object
) -> None:
    line.fault = DOWN
    page = device.open()
    save_ticket(page, "Pump 3 leaks")
    open_outbox(page)
    expect(page.get_by_text("Pump 3 leaks", exact=True)).to_be_visible()
    device.close()

    page = device.open()
    open_outbox(page)
    expect(page.get_by_text("Pump 3 leaks", exact=True)).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("1 waiting")
    assert gateway.inbox() == []

    line.fault = Fault()
    page.get_by_role("button", name="Sync now").click()
    expect_sent(page, "Pump 3 leaks")
    assert gateway.inbox() == ["Pump 3 leaks"]
    row = page.get_by_role("listitem").filter(has_text="Pump 3 leaks")
    expect(row).to_contain_text("FP-000001")


@pytest.mark.full
@pytest.mark.parametrize("by", variants("click", full=["address"]))
def test_every_screen_opens_without_a_network_after_one_visit(
    by: str, new_device: Callable[..., Device], line: FaultProxy
) -> None:
    """Their modules are loaded only when they are opened, which was never done on this device."""
    device = new_device()
    page = device.open()
    wait_ready_offline(page)
    page.goto("about:blank")  # or its next address would only be another hash of the same page
    page.add_init_script(NOTE_FORM)
    line.fault = DOWN
    for name, slot in SCREENS.items():
        if by == "click":
            page.goto(device.url)
            wait_reacts(page)
            drawn = page.evaluate(CLICKED, [f"#{name}", slot])
            assert drawn["text"], f"{name} was not there when its link had been heard"
            assert drawn["focus"] == "main"
        else:
            page.goto(f"{device.url}#{name}")
            assert not page.evaluate("FORM_SHOWN"), "another screen was asked for"
            wait_reacts(page)
            assert page.locator(slot).text_content(), f"{name} came later than the page"
        expect(page.get_by_role("heading", level=1)).to_have_text(name.capitalize())
        expect(page.get_by_label("Main").locator("[aria-current]")).to_have_attribute(
            "href", f"#{name}"
        )
        page.goto("about:blank")
    assert not [m for m in device.console if m.startswith("pageerror")], device.console


def test_the_network_coming_back_sends_by_itself(
    device: Device, gateway: Gateway, line: FaultProxy
) -> None:
    """The browser says `offline` and `online`; the page forwards both to the engine."""
    page = device.open()
    wait_ready_offline(page)
    context = device.context
    assert context is not None
    context.set_offline(True)
    expect(page.get_by_role("status")).to_contain_text("No network")
    save_ticket(page, "From the cellar")
    open_outbox(page)
    row = page.get_by_role("listitem").filter(has_text="From the cellar")
    expect(row).to_contain_text("No network")
    before = len([s for s in line.seen if s.path.endswith("/operations")])
    assert before == 0
    context.set_offline(False)
    expect_sent(page, "From the cellar")
    assert gateway.inbox() == ["From the cellar"]


@pytest.mark.full
def test_the_gateway_may_be_down_for_long(
    device: Device, gateway: Gateway, line: FaultProxy
) -> None:
    page = device.open()
    wait_ready_offline(page)
    gateway.kill()
    line.fault = DOWN
    save_ticket(page, "Server room is hot")
    open_outbox(page)
    row = page.get_by_role("listitem").filter(has_text="Server room is hot")
    expect(row).to_contain_text("The server is not answering")
    expect(page.get_by_role("status")).to_contain_text("not answering")
    gateway.start()
    line.fault = Fault()
    expect_sent(page, "Server room is hot")
    assert gateway.inbox() == ["Server room is hot"]


def test_feedback_goes_the_same_way(device: Device, gateway: Gateway) -> None:
    page = device.open()
    page.get_by_role("link", name="Feedback").click()
    page.get_by_label("4", exact=True).check()
    page.get_by_label("Comment").fill("Quick help, thank you")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved on this device").first).to_be_visible()
    expect_sent(page, "Quick help, thank you")


def test_undo_takes_a_save_back(device: Device, gateway: Gateway, line: FaultProxy) -> None:
    line.fault = DOWN
    page = device.open()
    save_ticket(page, "Saved by mistake")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Summary", exact=True)).to_have_value("Saved by mistake")
    line.fault = Fault()
    page.get_by_label("Summary", exact=True).fill("Saved on purpose")
    page.get_by_role("button", name="Save", exact=True).click()
    expect_sent(page, "Saved on purpose")
    assert gateway.inbox() == ["Saved on purpose"]

"""Bad days on the line: whatever answers in place of the gateway, the item arrives once."""

from __future__ import annotations

import signal

import pytest
from e2e.machines import (
    Device,
    Gateway,
    expect_sent,
    open_outbox,
    save_ticket,
    variants,
    wait_ready_offline,
)
from playwright.sync_api import expect

from fieldpost.testing.faultproxy import Fault, FaultProxy

#: Fault -> why the item is not moving, as its row says.
SAID = {
    "html_200": "A sign-in page is in the way",
    "wrong_id": "Tried 1 time. Next try in",
    "http_500": "Tried 1 time. Next try in",
    "http_503_retry_after": "The server is not answering",
    "captive_portal": "A sign-in page is in the way",
    "redirect_login": "A sign-in page is in the way",
}
ANSWERS = [*SAID]


@pytest.mark.parametrize("mode", variants(*ANSWERS[:2], full=ANSWERS[2:]))
def test_an_answer_that_proves_nothing_leaves_the_item_here(
    device: Device, gateway: Gateway, line: FaultProxy, mode: str
) -> None:
    page = device.open()
    wait_ready_offline(page)
    line.fault = Fault(mode, prefix="/api/v1/operations")
    save_ticket(page, f"Under {mode}")
    line.wait_for(mode)
    open_outbox(page)
    row = page.get_by_role("listitem").filter(has_text=f"Under {mode}")
    expect(row).to_contain_text(SAID[mode])
    line.fault = Fault()
    page.get_by_role("button", name="Sync now").click()
    expect_sent(page, f"Under {mode}")
    assert gateway.inbox() == [f"Under {mode}"]


@pytest.mark.parametrize("mode", variants("cut_after", full=["cut_before", "cut_during"]))
def test_a_connection_cut_at_any_moment_has_one_effect(
    device: Device, gateway: Gateway, line: FaultProxy, mode: str
) -> None:
    """`cut_after`: the gateway has it and its answer is lost."""
    page = device.open()
    wait_ready_offline(page)
    line.fault = Fault(mode, times=1, prefix="/api/v1/operations")
    save_ticket(page, f"Cut {mode}")
    line.wait_for(mode)
    expect_sent(page, f"Cut {mode}")
    assert gateway.inbox() == [f"Cut {mode}"]
    posts = [s for s in line.seen if s.method == "POST"]
    assert len(posts) == 2
    page.get_by_text(f"Cut {mode}", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("FP-000001")


def test_the_gateway_killed_between_ledger_and_answer(
    device: Device, gateway: Gateway, line: FaultProxy
) -> None:
    page = device.open()
    wait_ready_offline(page)
    line.fault = Fault("cut_after", prefix="/api/v1/operations")
    save_ticket(page, "Ledger then nothing")
    line.wait_for("cut_after")
    gateway.stop(signal.SIGKILL)
    line.fault = Fault("down")
    gateway.start()
    line.fault = Fault()
    expect_sent(page, "Ledger then nothing")
    assert gateway.inbox() == ["Ledger then nothing"]


@pytest.mark.full
def test_a_slow_gateway_is_waited_for(device: Device, gateway: Gateway, line: FaultProxy) -> None:
    page = device.open()
    wait_ready_offline(page)
    line.fault = Fault("slow", times=1, seconds=4, prefix="/api/v1/operations")
    save_ticket(page, "Patience")
    expect_sent(page, "Patience")
    assert len([s for s in line.seen if s.method == "POST"]) == 1
    assert gateway.inbox() == ["Patience"]

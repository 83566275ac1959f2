"""A gateway that knows its devices: captured before, delivered once the token is entered."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from e2e.machines import ROOT, Device, Gateway, open_outbox, save_ticket, wait_ready_offline
from playwright.sync_api import expect


@pytest.mark.full
def test_a_device_signs_in_with_the_token_that_the_gateway_printed(
    device: Device, gateway: Gateway
) -> None:
    gateway.stop()
    words = [sys.executable, "-m", "gateway", "pair", "--data", str(gateway.data)]
    told = subprocess.run(
        [*words, "--name", "Van 3"], cwd=ROOT / "py", capture_output=True, text=True, check=True
    )
    token = max(re.findall(r"\S+", told.stdout), key=len)
    gateway.start()

    page = device.open()
    wait_ready_offline(page)
    save_ticket(page, "From a paired van")
    expect(page.get_by_role("status")).to_contain_text("paired devices only")
    open_outbox(page)
    row = page.get_by_role("listitem").filter(has_text="From a paired van")
    expect(row).to_contain_text("Enter its token under About")

    page.get_by_role("link", name="About").click()
    page.get_by_label("Device token").fill(token)
    page.get_by_role("button", name="Use this token").click()
    open_outbox(page, "Sent")
    expect(page.get_by_text("From a paired van", exact=True)).to_be_visible()

    device.close()
    page = device.open()  # the token is kept
    save_ticket(page, "And the next day")
    open_outbox(page, "Sent")
    expect(page.get_by_text("And the next day", exact=True)).to_be_visible()

"""A phone whose battery runs low: text goes, files wait and say why, and go once it charges."""

from __future__ import annotations

from pathlib import Path

from e2e.attaching import arrived_files, choose, expect_stored, parts_sent, some_bytes
from e2e.machines import BOOT_MS, Device, Gateway, expect_sent, open_outbox, save_ticket
from playwright.sync_api import expect

from fieldpost.testing.faultproxy import FaultProxy

#: A machine without a battery says that it is full and charging: the page gets one that is not.
BATTERY = """
const battery = Object.assign(new EventTarget(), { level: 0.1, charging: false });
navigator.getBattery = async () => battery;
window.plugIn = () => {
  battery.charging = true;
  battery.dispatchEvent(new Event('chargingchange'));
};
"""


def test_files_wait_for_power(
    device: Device, gateway: Gateway, line: FaultProxy, tmp_path: Path
) -> None:
    page = device.open()
    page.add_init_script(BATTERY)
    page.reload()
    choose(page, some_bytes(tmp_path / "log.bin", 100_000))
    expect_stored(page, "log.bin")
    save_ticket(page, "Pump 3 leaks")
    open_outbox(page)
    told = page.get_by_text("Its files wait because the battery is low.")
    expect(told.first).to_be_visible(timeout=BOOT_MS)
    assert parts_sent(line) == []
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_label("Spare the battery")).to_be_checked()
    expect(page.get_by_text("Files wait because the battery is low.", exact=True)).to_be_visible()
    page.evaluate("plugIn()")
    expect_sent(page, "Pump 3 leaks")
    assert [len(data) for data in arrived_files(gateway).values()] == [100_000]

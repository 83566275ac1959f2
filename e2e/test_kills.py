"""kill -9 of the whole browser while saving and while sending: 0 lost, 0 doubled."""

from __future__ import annotations

import random
from urllib.parse import unquote

import pytest
from e2e.machines import BOOT_MS, Device, Gateway, variants, wait_ready_offline
from playwright.sync_api import Error, Page, expect

from fieldpost.testing.faultproxy import Fault, FaultProxy

SAVE = """async (n) => {
  // What the form does at Save, many times over: one capture after the other, said when durable.
  const device = await fieldpostGlue.open('fieldpost');
  for (let i = 0; ; i++) {
    const id = fieldpostGlue.uuid7();
    const payload = { summary: `round ${n} item ${i}` };
    await device.capture(JSON.stringify({ id, at: Date.now(), data: { kind: 'ticket', payload } }));
    await fetch('/__saved__/' + encodeURIComponent(payload.summary)).catch(() => {});
  }
}"""


def saved_so_far(line: FaultProxy) -> set[str]:
    """Summaries whose "saved" left the page before the kill: these must all be found."""
    return {unquote(s.path.removeprefix("/__saved__/")) for s in line.seen if "__saved__" in s.path}


@pytest.mark.parametrize("seed", variants(*range(1), full=range(1, 35), soak=range(35, 200)))
def test_killed_while_saving_and_again_while_sending(
    device: Device, gateway: Gateway, line: FaultProxy, seed: int
) -> None:
    chance = random.Random(seed)
    page = device.open()
    page.wait_for_function("window.fieldpostGlue", timeout=BOOT_MS)
    line.fault = Fault("cut_before", prefix="/api/")
    page.evaluate(f"setTimeout(() => ({SAVE})({seed}))")
    wait_for_saves(line, chance.randrange(3, 40))
    device.kill()
    with pytest.raises(Error):
        page.evaluate("1")
    saved = saved_so_far(line)
    assert len(saved) >= 3

    mode = chance.choice(["pass", "cut_before", "cut_during", "cut_after", "slow"])
    hit = line.counts[mode]
    line.fault = Fault(mode, prefix="/api/v1/operations", times=1, seconds=2)
    page = device.open()
    line.wait_for(mode, hit + 1)
    page.wait_for_timeout(chance.random() * 300)  # the moment of the kill is the random variable
    device.kill()

    line.fault = Fault()
    page = device.open()
    delivered = drained(page, gateway)
    assert saved <= set(delivered), "lost"
    assert len(delivered) == len(set(delivered)), "doubled"


def wait_for_saves(line: FaultProxy, count: int) -> None:
    assert line.wait_until(lambda: len(saved_so_far(line)) >= count, BOOT_MS / 1000)


def drained(page: Page, gateway: Gateway) -> list[str]:
    """Once nothing waits any more: what is in the gateway's inbox."""
    wait_ready_offline(page)
    # Before the engine has spoken, the line may not know yet that anything waits.
    expect(page.get_by_role("status")).to_contain_text("Online", timeout=BOOT_MS)
    expect(page.get_by_role("status")).not_to_contain_text("waiting", timeout=BOOT_MS)
    return gateway.inbox()

"""`make run DEMO=1`: a person breaks the lines on the switchboard, and everything arrives once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.looks import Looks
from e2e.machines import ROOT, Device
from playwright.sync_api import Page, Playwright, expect

pytestmark = pytest.mark.full
#: Those that may be believed soon after a send that nobody answered (Jira: after five minutes).
QUICK = ("postgrest", "salesforce", "webhook", "zendesk")
SETTLED_MS = 90_000


@dataclass
class Demo:
    process: subprocess.Popen[str]
    url: str


@pytest.fixture(params=[()])
def demo(site: Path, request: pytest.FixtureRequest) -> Iterator[Demo]:
    only = [word for name in request.param for word in ("--system", name)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.demo", "--site", str(site), *only],
        env={**os.environ, "PYTHONPATH": str(ROOT / "py")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.match(r"The switchboard is at (http://\S+/) ", process.stdout.readline())
    assert found is not None
    yield Demo(process, found[1])
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    process.stdout.close()


@pytest.fixture
def browser(playwright: Playwright, demo: Demo, tmp_path: Path) -> Iterator[Device]:
    device = Device(playwright, tmp_path / "profile", demo.url)
    yield device
    device.close()


def number(page: Page, name: str) -> int:
    return int(page.locator(f'[data-count="{name}"]').inner_text())


def wait_for(page: Page, expression: str, timeout: int = 60_000) -> None:
    """``expression`` of ``of(name)``, the count that the page shows."""
    of = "(name) => Number(document.querySelector(`[data-count='${name}']`).textContent)"
    page.wait_for_function(f"() => {{ const of = {of}; return {expression}; }}", timeout=timeout)


@pytest.mark.parametrize("demo", [QUICK], indirect=True, ids=["quick"])
def test_a_storm_is_switched_on_and_everything_arrives(browser: Device, demo: Demo) -> None:
    page = browser.open()
    wait_for(page, "of('total.captured') > 3")
    devices = page.locator("section", has=page.get_by_role("heading", name="Devices to the"))
    page.get_by_role("button", name="Storm for 30 s").click()
    expect(page.get_by_role("status")).to_contain_text("s to go")
    expect(devices.locator("select")).to_have_value("mixed")
    expect(devices.locator('[data-line-count="hit"]')).not_to_have_text("0")
    wait_for(page, "of('total.captured') > 20")
    page.get_by_role("button", name="Stop writing").click()
    expect(page.get_by_role("button", name="Write on")).to_be_visible()
    page.get_by_role("button", name="Calm").click()
    expect(page.get_by_role("status")).to_be_hidden()
    expect(devices.locator("select")).to_have_value("pass")
    wait_for(page, "of('total.delivered') === of('total.captured')", SETTLED_MS)
    assert number(page, "total.lost") == 0
    assert number(page, "total.doubled") == 0
    page.get_by_role("link", name="Zendesk's inbox").click()
    expect(page.get_by_role("listitem").first).to_be_visible()
    picture = page.get_by_role("img").first
    expect(picture).to_have_attribute("alt", re.compile(r"photo-\d+-\d+\.png"))
    assert picture.evaluate("async (i) => { await i.decode(); return i.naturalWidth; }") == 96
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0
    assert [line for line in browser.console if line.startswith("pageerror")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_everybody_can_use_it(browser: Device, demo: Demo, width: int, scheme: str) -> None:
    looks = Looks(browser, width, scheme)
    page = looks.open()
    wait_for(page, "of('total.delivered') > 8")
    looks.at(page, "switchboard")
    page.get_by_role("button", name="Storm for 30 s").click()
    expect(page.get_by_role("status")).to_contain_text("s to go")
    looks.at(page, "switchboard-storm")
    page.get_by_role("link", name="Salesforce's inbox").click()
    expect(page.get_by_role("img").first).to_be_visible()
    page.evaluate((ROOT / "node_modules/axe-core/axe.min.js").read_text())
    looks.at(page, "vendor-inbox")
    assert looks.wrong == []

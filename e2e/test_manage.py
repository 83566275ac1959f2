"""The gateway's own queue, on the gateway's own page: what only a person can settle is settled
there, and the device hears of it; destinations are tried before anybody relies on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from e2e.attaching import form_ready
from e2e.desks import destinations_file, serving
from e2e.looks import Looks, sizes
from e2e.machines import BOOT_MS, Device, Gateway, open_outbox, wait_ready_offline
from playwright.sync_api import Locator, Page, expect
from tests.gateway.desk import SECRET, Desk
from tests.gateway.wires import DEVICE, envelope, operation, ticket

from fieldpost.testing.vendors.base import lose_answer
from gateway.settings import Settings
from gateway.storage import open_devices


@pytest.fixture
def counter(gateway: Gateway, tmp_path: Path) -> Iterator[Desk]:
    """Nobody can ask it whether something has arrived; a desk that can be asked stands beside."""
    with ExitStack() as stack:
        counter, desk = (stack.enter_context(serving(Desk())) for _ in range(2))
        counter.wants = {"required": ["summary"], "choices": {"severity": ["high", "low"]}}
        file = destinations_file(
            tmp_path / "destinations.toml",
            counter=("counter", "The counter", counter),
            desk=("desk", "The desk", desk),
        )
        gateway.stop()
        gateway.program = ("-m", "tests.gateway.desk_gateway")
        gateway.more = ("--destinations", str(file))
        gateway.start()
        yield counter
        gateway.stop()


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=text)


def go(page: Page, name: str) -> None:
    """To a screen of the gateway's page."""
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()


def capture(page: Page, summary: str) -> None:
    """For the counter, saved."""
    page.get_by_role("link", name="Capture").click()
    form_ready(page)
    form = page.get_by_role("form", name="Ticket")
    destination = form.get_by_label("Destination")
    expect(destination.get_by_role("option", name="The counter")).to_be_attached(timeout=BOOT_MS)
    destination.select_option(label="The counter")
    form.get_by_label("Summary").fill(summary)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved on this device").first).to_be_visible()


def test_what_only_a_person_can_settle_ends_on_the_device(
    device: Device, counter: Desk, gateway: Gateway
) -> None:
    page = device.open()
    wait_ready_offline(page)
    counter.faults = [lose_answer, lose_answer]
    capture(page, "Pump 3 leaks")
    open_outbox(page)
    page.get_by_role("button", name="Sync now").click()
    on_its_way = "At the gateway, on its way to The counter"
    expect(row(page, "Pump 3 leaks")).to_contain_text(on_its_way, timeout=BOOT_MS)

    # The service worker of the app controls this browser; the gateway's page is not its business.
    assert device.context is not None
    desk = device.context.new_page()
    device.watch(desk)
    desk.goto(device.url + "/manage")
    expect(desk).to_have_url(re.compile(r"/manage/$"))
    expect(desk.get_by_text("The queue of this gateway")).to_be_visible()
    lost = row(desk, "Pump 3 leaks")
    expect(lost).to_contain_text("The counter", timeout=BOOT_MS)
    expect(lost.get_by_role("button", name="It is there")).to_be_visible(timeout=BOOT_MS)
    expect(desk.get_by_role("link", name="Capture")).to_have_count(0)
    go(desk, "Attention")
    expect(lost).to_contain_text("May have arrived")
    # The person looks at the counter: it came, though nobody said so.
    assert [record.fields["summary"] for record in counter.records] == ["Pump 3 leaks"]
    lost.get_by_role("button", name="It is there").click()
    expect(desk.get_by_text("Taken as sent")).to_be_visible()
    expect(desk.get_by_text("Nothing needs you")).to_be_visible()
    go(desk, "Outbox")
    desk.get_by_role("link", name="Sent").click()
    lost.get_by_role("button", name="Pump 3 leaks").click()
    expect(desk.get_by_role("dialog")).to_contain_text("by hand (at the gateway)")
    desk.keyboard.press("Escape")

    # Another one never got there.
    counter.records.clear()
    capture(page, "Door 4 stuck")
    desk.get_by_role("link", name="Waiting").click()
    again = row(desk, "Door 4 stuck").get_by_role("button", name="Send it again")
    expect(again).to_be_visible(timeout=BOOT_MS)
    counter.records.clear()
    again.click()
    expect(row(desk, "Door 4 stuck")).to_have_count(0, timeout=BOOT_MS)
    assert [record.fields["summary"] for record in counter.records] == ["Door 4 stuck"]

    open_outbox(page, "Sent")
    expect(row(page, "Pump 3 leaks")).to_be_visible(timeout=BOOT_MS)
    sent = row(page, "Door 4 stuck")
    expect(sent).to_contain_text("In The counter as D-1", timeout=BOOT_MS)

    # Nothing of the gateway's page is kept: without the gateway there is none.
    gateway.stop()
    expect(desk.get_by_role("status").first).to_contain_text("does not answer", timeout=BOOT_MS)
    gateway.start()
    expect(desk.get_by_role("status").first).to_contain_text("Gateway answers", timeout=BOOT_MS)


def hand_over(gateway: Gateway, token: str, summary: str, destination: str = "counter") -> None:
    """As a device does."""
    body = envelope(operation(ticket(summary=summary), destination=destination))
    headers = {"Content-Type": "application/json", "Fieldpost-Device": DEVICE}
    headers["Authorization"] = f"Bearer {token}"
    said = httpx.post(f"{gateway.url}api/v1/operations", content=body, headers=headers).json()
    assert said["results"][0]["status"] == "handed_over", said


@pytest.mark.full
@pytest.mark.parametrize(("width", "scheme"), sizes())
def test_every_screen_in_both_schemes_small_and_large(
    new_device: Callable[..., Device],
    counter: Desk,
    gateway: Gateway,
    width: int,
    scheme: str,
) -> None:
    devices = open_devices(Settings(data=gateway.data))
    van, kim = devices.pair("Van 3"), devices.pair("Kim", role="operator")
    counter.faults = [lose_answer]
    hand_over(gateway, van, "Pump 3 leaks")
    hand_over(gateway, van, "Water in the cellar, up to the second step of the old stairs")
    counter.refuses["Door 4 stuck"] = "says too little"
    hand_over(gateway, van, "Door 4 stuck")
    device = new_device()
    device.url += "/manage/"
    looks = Looks(device, width, scheme)
    device.options |= {"http_credentials": {"username": "kim", "password": kim}}
    page = looks.open()
    expect(page.get_by_text("You are Kim.")).to_be_visible(timeout=BOOT_MS)
    lost = row(page, "Pump 3 leaks")
    expect(lost.get_by_role("button", name="It is there")).to_be_visible(timeout=BOOT_MS)
    looks.at(page, "manage-waiting")
    lost.get_by_role("button", name="Pump 3 leaks").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Van 3")
    expect(dialog.get_by_role("button", name="Export")).to_have_count(0)
    looks.at(page, "manage-detail")
    page.keyboard.press("Escape")
    go(page, "Attention")
    expect(row(page, "Door 4 stuck")).to_contain_text("says too little", timeout=BOOT_MS)
    expect(row(page, "Pump 3 leaks")).to_contain_text("Look at the destination")
    looks.at(page, "manage-attention")
    go(page, "Settings")
    expect(page.get_by_role("heading", name="Server: counter")).to_be_visible(timeout=BOOT_MS)
    looks.at(page, "manage-settings")
    assert "this device" not in page.locator("#view-settings").inner_text()

    go(page, "Destinations")
    card = page.get_by_role("region", name="The counter")
    card.get_by_role("button", name="Test connection").click()
    expect(card.get_by_text("It answers, and lets the gateway in.")).to_be_visible()
    card.get_by_text("Mapping preview: tickets").click()
    expect(card.get_by_text("from severity, translated")).to_be_visible()
    looks.at(page, "manage-destinations")
    counter.authorised = lambda _ask: False  # type: ignore[method-assign]
    card.get_by_role("button", name="Test connection").click()
    expect(card.get_by_text("its credential is refused")).to_be_visible()
    dry_run(page, card, looks)

    go(page, "Devices")
    paired = page.get_by_role("region", name="Van 3")
    expect(paired).to_contain_text("Waiting", timeout=BOOT_MS)
    expect(page.get_by_text("You are signed in with this token.")).to_be_visible()
    looks.at(page, "manage-devices")
    paired.get_by_role("button", name="Revoke Van 3").click()
    expect(dialog).to_contain_text("its token stops working at once")
    looks.at(page, "manage-revoke")
    dialog.get_by_role("button", name="Revoke").click()
    expect(paired).to_have_count(0)
    assert [each.name for each in devices.all()] == ["Kim"]
    assert SECRET.split()[1] not in page.content()
    assert looks.wrong == []


def dry_run(page: Page, card: Locator, looks: Looks) -> None:
    """What is missing is said at the field, else the request is shown, without a secret."""
    card.get_by_role("button", name="Dry run").click()
    dialog = page.get_by_role("dialog", name="Dry run: The counter")
    summary = dialog.get_by_label("Summary")
    summary.fill("")
    dialog.get_by_role("button", name="Show the request").click()
    expect(summary).to_have_attribute("aria-invalid", "true")
    expect(summary).to_be_focused()
    looks.at(page, "manage-dry-run-wrong")
    summary.fill("Pump 7 hums")
    dialog.get_by_role("button", name="Show the request").click()
    request = dialog.locator("pre")
    expect(request).to_contain_text("POST http://127.0.0.1")
    expect(request).to_contain_text("(credential counter): •••")
    expect(request).to_contain_text('"summary": "Pump 7 hums"')
    expect(request).to_contain_text('"priority": 2')
    looks.at(page, "manage-dry-run")
    page.keyboard.press("Escape")


@pytest.mark.full
def test_a_gateway_with_nothing_behind_it_says_so(
    new_device: Callable[..., Device], gateway: Gateway
) -> None:
    page = new_device().open("/manage/#destinations")
    expect(page.get_by_text("Nothing is behind this gateway")).to_be_visible(timeout=BOOT_MS)
    go(page, "Devices")
    expect(page.get_by_text("No device is paired")).to_be_visible()
    devices = open_devices(Settings(data=gateway.data))
    devices.pair("Office", role="reader")
    expect(page.get_by_role("status").first).to_contain_text("does not know you", timeout=BOOT_MS)

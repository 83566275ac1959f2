"""Several systems behind the gateway: the form asks for what each wants, also without a network;
an item is followed to where it belongs."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.attaching import choose, chosen, expect_stored, form_ready, some_bytes
from e2e.desks import destinations_file, serving
from e2e.looks import Looks, sizes
from e2e.machines import (
    BOOT_MS,
    STEP_MS,
    Device,
    Gateway,
    open_outbox,
    wait_ready_offline,
)
from playwright.sync_api import Locator, Page, expect
from tests.gateway.desk import Desk

from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.rescue import RescueFiles
from fieldpost.ports import Request, Response
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.faultproxy import Fault, FaultProxy
from fieldpost.testing.vendors.base import Fault as VendorFault
from fieldpost.testing.vendors.base import Vendor

DOWN = Fault("down")
PHRASE = "correct horse battery staple"
WANTS = {
    "required": ["summary", "category", "impact", "place.room"],
    "choices": {"category": ["door", "lift"], "impact": ["one", "many"]},
    "max_length": {"description": 40},
    "file_bytes": 3_000_000,
}


@dataclass
class Systems:
    desk: Desk
    board: Desk


@pytest.fixture
def systems(gateway: Gateway, tmp_path: Path) -> Iterator[Systems]:
    """Two systems behind the gateway, which knows what the desk wants."""
    with ExitStack() as stack:
        desk, board = (stack.enter_context(serving(Desk())) for _ in range(2))
        desk.wants = WANTS
        board.wants = {"required": ["summary"]}
        file = destinations_file(
            tmp_path / "destinations.toml",
            desk=("desk", "The desk", desk),
            board=("board", "Notice board", board),
        )
        gateway.stop()
        gateway.program = ("-m", "tests.gateway.desk_gateway")
        gateway.more = ("--destinations", str(file))
        gateway.start()
        wait_discovered(gateway)
        yield Systems(desk, board)
        gateway.stop()


def wait_discovered(gateway: Gateway) -> None:
    """The gateway has asked the desk for its form."""
    end = time.monotonic() + STEP_MS / 1000
    while time.monotonic() < end:
        told = httpx.get(f"{gateway.url}api/v1/destinations").json()["destinations"]
        fields = {one["name"]: one["fields"] for one in told}
        if "impact" in fields["desk"]["ticket"]["required"]:
            return
        time.sleep(0.05)
    raise AssertionError("the gateway never asked what the desk wants")


def held_until(go_on: threading.Event) -> VendorFault:
    """The system is slow to take the next item."""

    def hold(_vendor: Vendor, _request: Request, go: Callable[[], Response]) -> Response:
        assert go_on.wait(STEP_MS / 1000)
        return go()

    return hold


def knows_all(page: Page) -> Locator:
    """The form offers the destinations; their choice."""
    page.get_by_role("link", name="Capture").click()
    destination = form(page).get_by_label("Destination")
    expect(destination.get_by_role("option", name="The desk")).to_be_attached(timeout=BOOT_MS)
    return destination


def form(page: Page) -> Locator:
    return page.get_by_role("form", name="Ticket")


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=text)


def fill_desk(page: Page, summary: str) -> None:
    form(page).get_by_label("Summary").fill(summary)
    form(page).get_by_label("Category").select_option("lift")
    form(page).get_by_label("Impact").select_option("many")
    form(page).get_by_label("Room").fill("12 b")


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def test_what_a_desk_wants_is_asked_offline_and_arrives_there(
    device: Device, systems: Systems, line: FaultProxy, tmp_path: Path
) -> None:
    page = device.open()
    wait_ready_offline(page)
    knows_all(page)
    line.fault = DOWN
    page.reload()  # nothing but this device is there to ask
    form_ready(page)
    destination = knows_all(page)
    form(page).get_by_label("Summary").fill("Lift 2 stands still")
    save(page)
    expect(page.get_by_text("Choose where it belongs.")).to_be_visible()
    destination.select_option(label="The desk")
    expect(page.get_by_text("Choose where it belongs.")).to_have_count(0)
    impact, room = form(page).get_by_label("Impact"), form(page).get_by_label("Room")
    save(page)
    for field in (form(page).get_by_label("Category"), impact, room):
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description("This is needed here.")
    expect(form(page).get_by_label("Category")).to_be_focused()
    expect(page.get_by_text("3 fields need a look.")).to_be_visible()
    fill_desk(page, "Lift 2 stands still")
    photo = some_bytes(tmp_path / "lift.bin", 2_500_000)
    choose(page, photo)
    expect_stored(page, photo.name)
    save(page)
    expect(page.get_by_text("Saved on this device").first).to_be_visible()
    open_outbox(page)
    expect(row(page, "Lift 2 stands still")).to_contain_text("for The desk", timeout=BOOT_MS)

    go_on = threading.Event()
    systems.desk.faults = [held_until(go_on)]
    line.fault = Fault()
    page.get_by_role("button", name="Sync now").click()
    waiting = row(page, "Lift 2 stands still")
    expect(waiting).to_contain_text("At the gateway, on its way to The desk", timeout=BOOT_MS)
    go_on.set()
    open_outbox(page, "Sent")
    sent = row(page, "Lift 2 stands still")
    expect(sent).to_contain_text("In The desk as D-1", timeout=BOOT_MS)
    link = sent.get_by_role("link", name="D-1")
    expect(link).to_have_attribute("href", f"{systems.desk.url}/show/D-1")
    expect(link).to_have_attribute("rel", "noopener")
    expect(link).to_have_attribute("target", "_blank")
    [record] = systems.desk.records
    assert [data for _, _, data in record.files] == [photo.read_bytes()]
    assert record.fields["impact"] == "many"
    assert record.fields["place"] == {"room": "12 b"}
    assert systems.board.records == []
    # The choice is remembered, also by a page that was just loaded.
    page.reload()
    expect(knows_all(page)).to_have_value("desk")


@pytest.mark.full
def test_the_form_follows_the_destination_and_nothing_typed_is_lost(
    device: Device, systems: Systems, line: FaultProxy, tmp_path: Path
) -> None:
    """Choices, lengths, files and further fields; through a reload, an Undo, and a rescue file."""
    page = device.open()
    wait_ready_offline(page)
    destination = knows_all(page)
    line.fault = DOWN
    fill = form(page).get_by_label
    fill("Summary").fill("Door 4")
    fill("Category").select_option("network")
    fill("Description").fill("x" * 41)
    file = some_bytes(tmp_path / "door.bin", 3_000_001)
    choose(page, file)
    expect_stored(page, file.name)
    destination.select_option(label="The desk")
    expect(fill("Category")).to_have_accessible_description(
        "This choice is not offered here. Choose another."
    )
    expect(fill("Description")).to_have_accessible_description("At most 40 characters: 1 too many.")
    expect(fill("Impact")).not_to_have_attribute("aria-invalid", "true")  # nobody was there yet
    expect(chosen(page, file.name)).to_contain_text("at most 3.0 MB can be attached")
    expect(page.get_by_text("cannot be sent along. Remove it, then save.")).to_be_visible()

    destination.select_option(label="Notice board")
    expect(fill("Impact")).to_have_count(0)
    expect(fill("Category")).not_to_have_attribute("aria-invalid", "true")
    expect(chosen(page, file.name)).to_contain_text("Notice board takes no files.")
    chosen(page, file.name).get_by_role("button", name="Remove").click()
    small = some_bytes(tmp_path / "small.bin", 1000)
    choose(page, small)
    expect(chosen(page, small.name)).to_contain_text("Notice board takes no files.")

    destination.select_option(label="The desk")
    expect_stored(page, small.name)  # what was refused for the board is taken along now
    fill_desk(page, "Door 4")
    fill("Description").fill("")
    expect(page.get_by_text("Draft kept on this device")).to_be_visible()
    destination.select_option(label="Notice board")
    destination.select_option(label="The desk")
    expect(fill("Room")).to_have_value("12 b")
    draft = page.get_by_text("Draft kept on this device")
    expect(draft).not_to_have_attribute("data-old", "")  # the last choice is in it, too

    page.reload()
    form_ready(page)
    expect(fill("Room")).to_have_value("12 b")
    expect(fill("Impact")).to_have_value("many")
    expect(knows_all(page)).to_have_value("desk")
    expect_stored(page, small.name)
    save(page)
    page.get_by_role("button", name="Undo").click()
    expect(fill("Room")).to_have_value("12 b")
    expect(fill("Summary")).to_have_value("Door 4")
    save(page)
    expect(page.get_by_text("Saved on this device").first).to_be_visible()
    expect(fill("Room")).to_have_value("")
    expect(destination).to_have_value("desk")

    open_outbox(page)
    expect(row(page, "Door 4")).to_contain_text("for The desk", timeout=BOOT_MS)
    page.get_by_label("Show only").select_option(label="Notice board")
    expect(page.get_by_text("Nothing for Notice board")).to_be_visible()
    page.get_by_label("Show only").select_option(label="The desk")
    expect(row(page, "Door 4")).to_be_visible()
    page.get_by_role("link", name="About").click()
    page.get_by_label("Passphrase for the new file").fill(PHRASE)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Export rescue file").click()
    rescue = tmp_path / "rescue.txt"
    saving.value.save_as(rescue)
    with ThreadPoolExecutor(1) as pool:  # this thread's loop is Playwright's
        (item,) = pool.submit(asyncio.run, items_of(rescue)).result()
    assert item["destination"] == "desk"
    assert item["payload"]["place"] == {"room": "12 b"}


async def items_of(rescue: Path) -> list[dict[str, Any]]:
    store = MemoryStore(KeyRing.ephemeral())
    lines = await RescueFiles(store, rescue.parent).read(PHRASE, rescue.as_uri())
    return [json.loads(line) for line in lines]


@pytest.mark.full
@pytest.mark.parametrize(("width", "scheme"), sizes())
def test_a_refused_file_names_its_ticket_and_goes_again(
    device: Device, systems: Systems, tmp_path: Path, width: int, scheme: str
) -> None:
    """On the way it is looked at what all of this looks like."""
    looks = Looks(device, width, scheme)
    page = looks.open()
    wait_ready_offline(page)
    destination = knows_all(page)
    destination.select_option(label="The desk")
    save(page)
    expect(form(page).get_by_label("Impact")).to_have_attribute("aria-invalid", "true")
    looks.at(page, "destination-asks")
    systems.desk.largest = 1_000
    fill_desk(page, "Lift 2 stands still")
    large = some_bytes(tmp_path / "the log of lift 2.bin", 1_200)
    choose(page, large)
    expect_stored(page, large.name)
    save(page)
    expect(page.get_by_text("Saved on this device").first).to_be_visible()
    go_on = threading.Event()
    fill_desk(page, "Door 4")
    systems.desk.faults = []
    save(page)
    page.get_by_role("link", name="Attention", exact=True).click()
    refused = row(page, f"A file that was refused: {large.name}")
    expect(refused).to_contain_text("Belongs to “Lift 2 stands still”", timeout=BOOT_MS)
    expect(refused.get_by_role("button", name="Edit")).to_have_count(0)
    looks.at(page, "destination-refused-file")
    refused.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Take it elsewhere")
    with page.expect_download() as saving:
        dialog.get_by_role("button", name=f"Save {large.name}").click()
    assert saving.value.path().read_bytes() == large.read_bytes()
    page.keyboard.press("Escape")

    systems.desk.largest = 1_000_000
    systems.desk.faults = [held_until(go_on)]
    refused.get_by_role("button", name="Retry").click()
    open_outbox(page)
    again = row(page, f"A file that was refused: {large.name}")
    expect(again).to_contain_text("At the gateway, on its way to The desk", timeout=BOOT_MS)
    looks.at(page, "destination-at-the-gateway")
    go_on.set()
    open_outbox(page, "Sent")
    expect(row(page, "Lift 2 stands still").first).to_contain_text("In The desk as D-")
    expect(again).to_contain_text("In The desk as D-")
    record = next(r for r in systems.desk.records if r.fields["summary"] == "Lift 2 stands still")
    assert [data for _, _, data in record.files] == [large.read_bytes()]
    looks.at(page, "destination-sent")
    page.get_by_role("button", name="Lift 2 stands still", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("In The desk as D-")
    looks.at(page, "destination-detail")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("heading", name="Destinations")).to_be_visible()
    page.get_by_role("heading", name="Destinations").scroll_into_view_if_needed()
    looks.at(page, "destination-settings")
    assert not looks.wrong

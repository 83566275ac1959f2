"""A new version is offered, loses nothing, and the app starts without any server at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.attaching import MIB, arrived_files, choose, expect_stored, some_bytes
from e2e.machines import (
    STEP_MS,
    Device,
    Gateway,
    expect_sent,
    open_outbox,
    save_ticket,
    variants,
    wait_ready_offline,
)
from e2e.sites import copy_of, edit, edit_app, publish, until
from playwright.sync_api import Page, expect

from fieldpost.testing.faultproxy import Fault, FaultProxy

OPERATIONS = "/api/v1/operations"
OFFER = "An update is ready."
NEXT = "Fieldpost, the next version"
#: As long as a page holds its requests for an update (`app.updates`).
HELD_MS = 40_000
LOOK = "navigator.serviceWorker.ready.then((registration) => registration.update())"
VERSION = """() => new Promise((resolve) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = ({ data }) => resolve(data.version);
  navigator.serviceWorker.controller.postMessage({ type: 'STATUS' }, [channel.port2]);
})"""
PHOTO = {"name": "pump.txt", "mimeType": "text/plain", "buffer": b"drips from the left valve"}


@pytest.fixture
def tree(site: Path, tmp_path: Path) -> Path:
    """The same version as the device has visited, in a folder that may change."""
    return copy_of(site, tmp_path / "site")


@pytest.fixture
def gateway(tree: Path, tmp_path: Path) -> Iterator[Gateway]:
    started = Gateway(tmp_path / "data", tree).start()
    yield started
    started.stop()


def bring_out_next(tree: Path) -> None:
    """Another version in the same place: a page and a module differ, and so do list and worker."""
    edit(tree / "index.html", "<title>Fieldpost</title>", f"<title>{NEXT}</title>")
    edit_app(tree, '"Waiting"', '"Waiting here"')
    publish(tree)


def write_half_a_form(page: Page) -> None:
    page.get_by_label("Summary", exact=True).fill("Half a summ")
    page.get_by_label("Description").fill("Line one\nLine two")
    page.get_by_label("Severity").select_option("high")
    page.get_by_label("Requester name").fill("Ada")
    page.set_input_files("#attachments", [PHOTO])
    expect(page.get_by_role("listitem").filter(has_text="pump.txt")).to_contain_text("25 B")


def expect_half_a_form(page: Page) -> None:
    expect(page.get_by_label("Summary", exact=True)).to_have_value("Half a summ")
    expect(page.get_by_label("Description")).to_have_value("Line one\nLine two")
    expect(page.get_by_label("Severity")).to_have_value("high")
    expect(page.get_by_label("Requester name")).to_have_value("Ada")
    expect(page.get_by_role("listitem").filter(has_text="pump.txt")).to_contain_text("25 B")


@pytest.mark.full
def test_an_update_keeps_the_queue_the_form_and_the_other_tab(
    device: Device, gateway: Gateway, line: FaultProxy, tree: Path
) -> None:
    page = device.open()
    wait_ready_offline(page)
    line.fault = Fault("cut_before", prefix=OPERATIONS)
    save_ticket(page, "Waits through the update")
    other = device.tab()
    wait_ready_offline(other)
    other.get_by_label("Summary", exact=True).fill("Typed in the other tab")
    write_half_a_form(page)
    before = page.evaluate(VERSION)

    bring_out_next(tree)
    page.evaluate(LOOK)
    expect(page.get_by_text(OFFER)).to_be_visible()
    assert page.title() == other.title() == "Fieldpost", "offered, not forced"
    assert page.evaluate(VERSION) == before
    expect_half_a_form(page)

    page.get_by_role("button", name="Update now").click()
    expect(page).to_have_title(NEXT)
    expect_half_a_form(page)
    wait_ready_offline(page)
    expect(page.get_by_role("status")).to_contain_text("1 waiting")
    assert page.evaluate(VERSION) != before
    expect_half_a_form(page)

    # The other tab has not asked: it goes on as it was, on the same queue.
    assert other.title() == "Fieldpost"
    expect(other.get_by_label("Summary", exact=True)).to_have_value("Typed in the other tab")
    other.get_by_role("button", name="Save", exact=True).click()
    expect(other.get_by_text("Saved on this device").first).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("2 waiting")
    open_outbox(other)
    expect(other.get_by_text("Waits through the update", exact=True)).to_be_visible()

    line.fault = Fault()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved on this device").first).to_be_visible()
    open_outbox(page)
    page.get_by_role("button", name="Sync now").click()  # by itself once the breaker's time is over
    wanted = ["Half a summ", "Typed in the other tab", "Waits through the update"]
    for tab in (page, other):
        for summary in wanted:
            expect_sent(tab, summary)
    assert sorted(gateway.inbox()) == wanted


@pytest.mark.full
def test_an_update_that_nobody_accepts_is_offered_again(
    device: Device, gateway: Gateway, tree: Path
) -> None:
    page = device.open()
    wait_ready_offline(page)
    bring_out_next(tree)
    for _ in range(2):
        page.reload()  # looks for a newer version, and is no acceptance
        expect(page.get_by_text(OFFER)).to_be_visible()
        assert page.title() == "Fieldpost"
        page.get_by_role("button", name="Dismiss").click()
        expect(page.get_by_text(OFFER)).not_to_be_visible()
    page.reload()
    page.get_by_role("button", name="Update now").click()
    expect(page).to_have_title(NEXT)


@pytest.mark.full
@pytest.mark.parametrize("sender", ["this tab", "the other tab"])
def test_an_update_in_the_middle_of_sending(
    device: Device, gateway: Gateway, line: FaultProxy, tree: Path, tmp_path: Path, sender: str
) -> None:
    """Each tab holds its requests for the moment in which the new version takes over: one that
    reached the old one then would keep it for minutes."""
    file = some_bytes(tmp_path / "film.bin", 40 * MIB)
    page = device.open()
    wait_ready_offline(page)
    line.fault = Fault("slow", methods=("PUT",), seconds=0.2)
    choose(page, file)
    expect_stored(page, "film.bin")
    save_ticket(page, "Film of the belt")
    line.wait_for("slow", 2)
    other = device.tab()
    wait_ready_offline(other)
    bring_out_next(tree)
    page.evaluate(LOOK)
    asks, stays = (page, other) if sender == "this tab" else (other, page)
    expect(asks.get_by_text(OFFER)).to_be_visible()
    assert line.counts["slow"] < 40, "it is still being sent"
    asks.get_by_role("button", name="Update now").click()
    expect(asks).to_have_title(NEXT, timeout=15_000)
    assert stays.title() == "Fieldpost"
    line.fault = Fault()
    for tab in (page, other):
        expect_sent(tab, "Film of the belt")
    assert gateway.inbox() == ["Film of the belt"]
    assert arrived_files(gateway) == {"film.bin": file.read_bytes()}


@pytest.mark.full
def test_an_update_that_cannot_take_over_says_what_to_do(
    device: Device, gateway: Gateway, tree: Path
) -> None:
    """The browser keeps the old version: a page of another kind may ask for something all the time.
    Here the next one does not ask to be let in, so that this is certain."""
    page = device.open()
    wait_ready_offline(page)
    bring_out_next(tree)
    edit(tree / "service-worker.js", "self.skipWaiting()", "Promise.resolve()")
    page.evaluate(LOOK)
    page.get_by_role("button", name="Update now").click()
    expect(page.get_by_text("Updating…")).to_be_visible()
    save_ticket(page, "Saved meanwhile")
    refused = page.get_by_text("The update could not start")
    expect(refused).to_be_visible(timeout=HELD_MS + STEP_MS)
    assert page.title() == "Fieldpost"
    expect_sent(page, "Saved meanwhile")  # what sends was started again
    # As it says.
    assert device.context is not None
    blank, workers = device.context.new_page(), device.context.service_workers
    assert len(workers) == 2, "the old one and the next"
    page.close()
    until(blank, lambda: len(device.context.service_workers) == 1)
    blank.goto(device.url)
    expect(blank).to_have_title(NEXT)
    expect_sent(blank, "Saved meanwhile")
    assert gateway.inbox() == ["Saved meanwhile"]


@pytest.mark.parametrize("start", variants("plainly", full=["from its snapshot"]))
def test_the_first_reload_works_without_a_server_and_without_the_http_cache(
    device: Device, line: FaultProxy, start: str
) -> None:
    """Everything comes from the service worker's cache: app, engine, wheels, micropip."""
    if start == "plainly":
        page = device.open("/healthz")
        assert page.evaluate("caches.delete('fieldpost-snapshot')")
        device.close()
    for folder in ("Cache", "Code Cache"):
        shutil.rmtree(device.profile / "Default" / folder)
    seen = len(line.seen)
    line.fault = Fault("down")

    page = device.open()
    wait_ready_offline(page)
    until(page, lambda: any(f"Pyodide {start}" in said for said in device.console))
    save_ticket(page, "Nobody there at all")
    open_outbox(page)
    row = page.get_by_role("listitem").filter(has_text="Nobody there at all")
    expect(row).to_contain_text("The server is not answering")
    assert {(s.mode, s.status) for s in line.seen[seen:]} <= {("down", 0)}
    errors = [said for said in device.console if said.startswith("pageerror")]
    assert not errors

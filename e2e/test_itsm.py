"""From the form to the four desks that people use, with a photo, captured without a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e.attaching import choose, expect_stored, form_ready, some_bytes
from e2e.desks import serving
from e2e.machines import BOOT_MS, Device, Gateway, open_outbox, wait_ready_offline
from playwright.sync_api import Page, expect

from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.faultproxy import Fault, FaultProxy
from fieldpost.testing.vendors import jira, salesforce, servicenow, zendesk
from fieldpost.testing.vendors.base import Vendor

DOWN = Fault("down")


@dataclass(frozen=True)
class Of:
    """One desk: its module, what the configuration says besides where it is (``at`` names the
    setting for that), and what its record calls the summary."""

    module: Any
    title: str
    at: str
    settings: str
    summary: tuple[str, ...]


DESKS = {
    "servicenow": Of(servicenow, "ServiceNow", "url", "", ("short_description",)),
    "jira": Of(jira, "Jira", "base_url", 'project_key = "ED"', ("summary",)),
    "zendesk": Of(zendesk, "Zendesk", "url", "", ("subject",)),
    "salesforce": Of(salesforce, "Salesforce", "url", "", ("Subject",)),
}


@pytest.fixture
def desks(gateway: Gateway, tmp_path: Path) -> Iterator[dict[str, Vendor]]:
    """The four fakes, each at an address of its own, behind the gateway."""
    clock, made, tables = FakeClock(), {}, []
    with ExitStack() as stack:
        for name, of in DESKS.items():
            _, vendor, credentials = of.module.bench(clock)
            stack.enter_context(serving(vendor))
            [headers] = credentials.values()
            given = ", ".join(f'{header} = "{text}"' for header, text in headers.items())
            settings = ", ".join(filter(None, [f'{of.at} = "{vendor.url}"', of.settings]))
            tables.append(
                f'[destinations.{name}]\ntype = "{name}"\ntitle = "{of.title}"\n'
                f"settings = {{ {settings} }}\n"
                f"[destinations.{name}.credential]\n"
                f'type = "headers"\nheaders = {{ {given} }}\n'
            )
            made[name] = vendor
        file = tmp_path / "destinations.toml"
        file.write_text("\n".join(tables))
        file.chmod(0o600)
        gateway.stop()
        gateway.more = ("--destinations", str(file))
        gateway.start()
        yield made
        gateway.stop()


@pytest.mark.full
def test_a_ticket_with_a_photo_gets_to_each_of_the_four(
    device: Device, desks: dict[str, Vendor], line: FaultProxy, tmp_path: Path
) -> None:
    page = device.open()
    wait_ready_offline(page)
    page.get_by_role("link", name="Capture").click()
    form = page.get_by_role("form", name="Ticket")
    destination = form.get_by_label("Destination")
    for of in DESKS.values():
        expect(destination.get_by_role("option", name=of.title)).to_be_attached(timeout=BOOT_MS)
    line.fault = DOWN
    page.reload()
    form_ready(page)
    photos = {}
    for n, (name, of) in enumerate(DESKS.items()):
        photos[name] = some_bytes(tmp_path / f"{name}.bin", 300_000 + n)
        destination.select_option(label=of.title)
        form.get_by_label("Summary").fill(f"Pump for {of.title}")
        form.get_by_label("Description").fill("Since this morning.")
        form.get_by_label("Severity").select_option("high")
        form.get_by_label("Requester name").fill("Ada Byron")
        form.get_by_label("Requester email").fill("ada@example.org")
        choose(page, photos[name])
        expect_stored(page, photos[name].name)
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved on this device").first).to_be_visible()
        expect(form.get_by_label("Summary")).to_have_value("")
    assert all(vendor.records == [] for vendor in desks.values())
    line.fault = Fault()
    open_outbox(page)
    page.get_by_role("button", name="Sync now").click()
    open_outbox(page, "Sent")
    for name, of in DESKS.items():
        record = arrived(page, of, desks[name])
        assert [data for _, _, data in record.files] == [photos[name].read_bytes()]
        fields = record.fields.get("fields", record.fields)
        assert fields[of.summary[0]] == f"Pump for {of.title}"
        if isinstance(desks[name], servicenow.FakeServiceNow):
            assert fields["caller_id"] == servicenow.user("Ada Byron", "ada@example.org")["sys_id"]


def arrived(page: Page, of: Of, vendor: Vendor) -> Any:
    """Its row says where it is, with a link; the one record over there."""
    row = page.get_by_role("listitem").filter(has_text=f"Pump for {of.title}")
    expect(row).to_contain_text(f"In {of.title} as", timeout=BOOT_MS)
    [record] = vendor.records
    named = record.number
    href = row.get_by_role("link", name=named).get_attribute("href")
    assert href is not None
    assert href.startswith(vendor.url)
    return record

"""Straight from the browser: a person signs in at a system of another origin, and the device
delivers there by itself, with no gateway in between."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.attaching import choose, expect_stored, some_bytes
from e2e.looks import AXE, Looks, sizes
from e2e.machines import (
    BOOT_MS,
    Device,
    open_outbox,
    wait_reacts,
    wait_ready_offline,
)
from e2e.sites import until
from e2e.static_host import StaticHost
from e2e.test_secrecy import in_clear
from e2e.vendors import vendors
from playwright.sync_api import Locator, Page, Playwright, expect

from fieldpost.testing.vendors.authorization import CLIENT, FakeSignIn
from fieldpost.testing.vendors.base import lose_answer
from fieldpost.testing.vendors.postgrest import JWT, PUBLISHABLE, FakePostgREST
from fieldpost.testing.vendors.salesforce import FakeSalesforce
from gateway import cli

CONFIG = """
[destinations.salesforce]
direct = true
type = "salesforce"
title = "Salesforce"
settings = {{ instance_url = "{salesforce}" }}
oauth = {{ client_id = "{client}", scope = "api refresh_token openid" }}

[destinations.supabase]
direct = true
type = "postgrest"
title = "Supabase"
settings = {{ url = "{supabase}/rest/v1", table = "field_items", apikey = "{key}" }}
oauth = {{ dialect = "supabase", provider = "google" }}
"""


@dataclass
class Place:
    """An app on a static host, and two systems elsewhere."""

    salesforce: FakeSignIn
    supabase: FakeSignIn
    host: StaticHost

    @property
    def app(self) -> str:
        return f"{self.host.origin}/app/"


@pytest.fixture
def place(site: Path, tmp_path: Path) -> Iterator[Place]:
    salesforce = FakeSignIn(FakeSalesforce(), credential="Bearer session")
    supabase = FakeSignIn(FakePostgREST(), credential=f"Bearer {JWT}", dialect="supabase")
    with vendors(salesforce, supabase):
        tree = tmp_path / "www" / "app"
        shutil.copytree(site, tree)
        config = tmp_path / "destinations.toml"
        urls = {"salesforce": salesforce.url, "supabase": supabase.url}
        config.write_text(CONFIG.format(client=CLIENT, key=PUBLISHABLE, **urls))
        assert cli.main(["direct", "--destinations", str(config), "--site", str(tree)]) == 0
        with StaticHost(tmp_path / "www") as host:
            for one in (salesforce, supabase):
                one.origins = {host.origin}
            yield Place(salesforce, supabase, host)


@pytest.fixture
def device(playwright: Playwright, place: Place, tmp_path: Path) -> Iterator[Device]:
    made = Device(playwright, tmp_path / "profile", place.app)
    yield made
    made.close()


def form(page: Page) -> Locator:
    return page.get_by_role("form", name="Ticket")


def card(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title)


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=text)


def save(page: Page, summary: str, to: str) -> None:
    page.get_by_role("link", name="Capture").click()
    destination = form(page).get_by_label("Destination")
    expect(destination.get_by_role("option", name=to)).to_be_attached(timeout=BOOT_MS)
    destination.select_option(label=to)
    form(page).get_by_label("Summary").fill(summary)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(form(page).get_by_label("Summary")).to_have_value("")


def sign_in(page: Page, title: str, person: str) -> None:
    """From Settings to the system's own page, and back."""
    page.get_by_role("link", name="Settings").click()
    card(page, title).get_by_role("button", name=f"Sign in to {title}").click(timeout=BOOT_MS)
    page.get_by_role("link", name=f"Sign in as {person}").click(timeout=BOOT_MS)


def expect_signed_in(page: Page, title: str, person: str) -> None:
    expect(card(page, title)).to_contain_text(f"Signed in as {person}", timeout=BOOT_MS)


def expect_delivered(page: Page, summary: str, words: str) -> None:
    open_outbox(page, "Sent")
    expect(row(page, summary).first).to_contain_text(words, timeout=BOOT_MS)


def test_offline_then_a_sign_in_then_each_is_delivered_once(
    device: Device, place: Place, tmp_path: Path
) -> None:
    page = device.open()
    wait_ready_offline(page)
    page.context.set_offline(True)
    photo = some_bytes(tmp_path / "lift 2.jpg", 1_300)
    page.get_by_role("link", name="Capture").click()
    choose(page, photo)
    expect_stored(page, photo.name)
    save(page, "Lift 2 stands still", "Salesforce")
    save(page, "Meter read", "Supabase")
    open_outbox(page)
    expect(row(page, "Lift 2 stands still")).to_contain_text("No network")
    page.context.set_offline(False)
    said = "It waits until you sign in to Salesforce, under Settings."
    expect(row(page, "Lift 2 stands still")).to_contain_text(said, timeout=BOOT_MS)
    page.get_by_role("link", name="Attention", exact=True).click()
    main = page.get_by_role("main")
    expect(main).to_contain_text("You are not signed in to Salesforce. 1 item waits for it.")
    assert place.salesforce.inner.requests == place.supabase.inner.requests == []

    page.get_by_role("link", name="Capture").click()
    form(page).get_by_label("Summary").fill("Half a sentence")
    sign_in(page, "Salesforce", "anna")
    expect_signed_in(page, "Salesforce", "Anna")
    assert page.url == place.app + "#settings"  # neither code nor state stays in the address
    expect_delivered(page, "Lift 2 stands still", "In Salesforce as 0")
    (case,) = place.salesforce.inner.records
    assert place.salesforce.by[case.op] == "anna"
    assert [data for _, _, data in case.files] == [photo.read_bytes()]
    link = row(page, "Lift 2 stands still").first.get_by_role("link", name=case.number)
    expect(link).to_have_attribute("href", f"{place.salesforce.url}/{case.id}")
    sign_in(page, "Supabase", "bert")
    expect_signed_in(page, "Supabase", "bert@example.org")
    expect_delivered(page, "Meter read", "In Supabase")
    assert len(place.supabase.inner.records) == 1
    page.get_by_role("link", name="Capture").click()
    expect(form(page).get_by_label("Summary")).to_have_value("Half a sentence")

    # A line that is cut after the case is made: looked up, not made again.
    place.salesforce.inner.faults = [lose_answer]
    save(page, "Door 4", "Salesforce")
    expect_delivered(page, "Door 4", "In Salesforce as 0")
    assert len(place.salesforce.inner.records) == 2
    assert not [m for m in device.console if m.startswith("pageerror")], device.console
    device.close()
    secrets = {
        "access": next(iter(place.salesforce.families[0].access)),
        "refresh": place.salesforce.families[0].refresh,
        "supabase": place.supabase.families[0].refresh,
    }
    assert in_clear(device.profile, secrets) == []


@pytest.mark.full
def test_tokens_that_ended_are_renewed_once_by_two_tabs(device: Device, place: Place) -> None:
    page = device.open()
    wait_ready_offline(page)
    sign_in(page, "Salesforce", "anna")
    expect_signed_in(page, "Salesforce", "Anna")
    other = device.tab()
    wait_ready_offline(other)
    for n, tab in enumerate((page, other)):
        tab.context.set_offline(True)
        save(tab, f"Item {n}", "Salesforce")
        save(tab, f"Row {n}", "Supabase")
    place.salesforce.end_tokens()
    page.context.set_offline(False)
    for n, tab in enumerate((page, other)):
        expect_delivered(tab, f"Item {n}", "In Salesforce as 0")
    assert place.salesforce.said.count("refresh") == 1
    assert "reuse" not in place.salesforce.said
    assert len(place.salesforce.inner.records) == 2


@pytest.mark.full
def test_a_sign_in_that_was_ended_there_costs_nothing_but_another_one(
    device: Device, place: Place
) -> None:
    page = device.open()
    wait_ready_offline(page)
    sign_in(page, "Salesforce", "anna")
    expect_signed_in(page, "Salesforce", "Anna")
    place.salesforce.end_tokens()
    place.salesforce.refuses = True
    save(page, "Lift 2 stands still", "Salesforce")
    page.get_by_role("link", name="Settings").click()
    salesforce = card(page, "Salesforce")
    expect(salesforce).to_contain_text("Salesforce ended the sign-in", timeout=BOOT_MS)
    expect(salesforce).to_contain_text("1 item waits")

    sign_in(page, "Salesforce", "bert")  # somebody else, on the same device
    note = page.locator("#notes")
    expect(note).to_contain_text("1 item for Salesforce was saved by Anna", timeout=BOOT_MS)
    expect(salesforce).to_contain_text("Signed out; last signed in as Anna.")

    salesforce.get_by_role("button", name="Sign in to Salesforce").click()
    page.get_by_role("link", name="Deny").click()
    expect(note).to_contain_text("Salesforce did not let you in", timeout=BOOT_MS)
    page.goto(f"{place.app}?code=guessed&state=guessed")
    expect(note).to_contain_text("was not begun on this device", timeout=BOOT_MS)

    sign_in(page, "Salesforce", "anna")
    expect_signed_in(page, "Salesforce", "Anna")
    expect_delivered(page, "Lift 2 stands still", "In Salesforce as 0")
    assert [place.salesforce.by[each.op] for each in place.salesforce.inner.records] == ["anna"]
    page.get_by_role("link", name="Settings").click()
    salesforce.get_by_role("button", name="Sign out").click()
    expect(salesforce).to_contain_text("Signed out; last signed in as Anna.")
    until(page, lambda: "revoke" in place.salesforce.said)


def test_no_origin_is_reached_that_is_not_named(device: Device, place: Place) -> None:
    page = device.open()
    wait_reacts(page)
    reach = """async (url) => {
      const blocked = new Promise((seen) => addEventListener('securitypolicyviolation',
        (event) => seen(event.effectiveDirective), { once: true }));
      const asked = fetch(url, { method: 'POST', body: 'x' }).then((r) => 'answered ' + r.status);
      return Promise.race([blocked, asked.catch(() => blocked)]);
    }"""
    with vendors(FakeSalesforce()) as (foreign,):
        foreign_url = foreign.line.url
        assert page.evaluate(reach, foreign_url) == "connect-src"
        assert foreign.vendor.requests == []
    token = f"{place.salesforce.url}/services/oauth2/token"
    assert page.evaluate(reach, token) == "answered 400"


@pytest.mark.full
@pytest.mark.parametrize(("width", "scheme"), sizes())
def test_what_it_looks_like(device: Device, place: Place, width: int, scheme: str) -> None:
    looks = Looks(device, width, scheme)
    page = looks.open()
    wait_ready_offline(page)
    save(page, "Lift 2 stands still", "Salesforce")
    page.get_by_role("link", name="Attention", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("You are not signed in to Salesforce.")
    looks.at(page, "direct-attention")
    page.get_by_role("link", name="Settings").click()
    expect(card(page, "Salesforce")).to_contain_text("1 item waits")
    card(page, "Salesforce").scroll_into_view_if_needed()
    looks.at(page, "direct-signed-out")
    sign_in(page, "Salesforce", "anna")
    expect_signed_in(page, "Salesforce", "Anna")
    page.evaluate(AXE.read_text())  # the page was left
    expect(page.locator("#notes")).to_contain_text("Signed in to Salesforce as Anna")
    looks.at(page, "direct-signed-in")
    expect_delivered(page, "Lift 2 stands still", "In Salesforce as 0")
    looks.at(page, "direct-sent")
    assert not looks.wrong

"""The whole trip in Firefox ESR and WebKitGTK, as a newcomer makes it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.browsers import Browser, Firefox, WebKit, missing, wait
from e2e.machines import Gateway
from playwright.sync_api import Playwright

# selenium's own, of how it calls itself
pytestmark = pytest.mark.filterwarnings("ignore:setting remote_server_addr:DeprecationWarning")

STATUS = "document.getElementById('status').textContent"
READY = f"{STATUS}.includes('Ready for offline use')"
SAVED = "document.getElementById('ticket-note').textContent.includes('Saved on this device')"


def listed(title: str) -> str:
    return (
        "[...document.querySelectorAll('#outbox-list li .title')]"
        f".some((title) => title.textContent === '{title}')"
    )


def skip_unless_there(name: str) -> None:
    if absent := missing(name):
        pytest.skip(f"not installed: {', '.join(absent)}")


@pytest.fixture(params=["firefox", "webkit"])
def opened(
    request: pytest.FixtureRequest, playwright: Playwright, tmp_path: Path
) -> Iterator[Callable[[], Browser]]:
    """Opens the browser on the test's profile; what is still open at the end is closed."""
    skip_unless_there(request.param)
    live: list[Browser] = []

    def opener() -> Browser:
        for browser in live:
            browser.close()
        live.clear()
        profile = tmp_path / "profile"
        profile.mkdir(exist_ok=True)
        firefox = request.param == "firefox"
        live.append(Firefox(playwright, profile) if firefox else WebKit(profile))
        return live[0]

    yield opener
    for browser in live:
        browser.close()


def save(browser: Browser, summary: str) -> None:
    browser.js("void (location.hash = '#capture/ticket')")
    browser.fill("#summary", summary)
    browser.click("#ticket-save")
    wait(browser, SAVED)


@pytest.mark.full
def test_the_whole_trip(opened: Callable[[], Browser], gateway: Gateway) -> None:
    browser = opened()
    browser.goto(gateway.url)
    wait(browser, READY)
    gateway.stop()
    save(browser, "Cellar, no network")
    browser.js("void (location.hash = '#outbox/waiting')")
    wait(browser, listed("Cellar, no network"))

    browser.reload()
    wait(browser, READY)
    wait(browser, listed("Cellar, no network"))
    save(browser, "After a reload")

    browser = opened()  # closed and opened again: the next morning, still no network
    browser.goto(gateway.url + "#outbox/waiting")
    wait(browser, READY)
    wait(browser, f"{STATUS}.includes('2 waiting')")
    wait(browser, listed("After a reload"))

    gateway.start()
    wait(browser, "document.querySelector('[data-act=sync]') !== null")
    browser.click("[data-act=sync]")
    browser.js("void (location.hash = '#outbox/sent')")
    wait(browser, listed("Cellar, no network"))
    wait(browser, listed("After a reload"))
    assert sorted(gateway.inbox()) == ["After a reload", "Cellar, no network"]


@pytest.mark.full
def test_firefox_asks_whether_to_keep_the_storage_and_nobody_answers(
    playwright: Playwright, gateway: Gateway, tmp_path: Path
) -> None:
    """Its `storage.persist()` then never resolves: nothing else may wait for it."""
    skip_unless_there("firefox")
    browser = Firefox(playwright, tmp_path / "profile", prefs={})
    browser.goto(gateway.url)
    wait(browser, READY)
    save(browser, "Before the prompt")
    save(browser, "Behind the prompt")
    browser.js("void (location.hash = '#outbox/sent')")
    wait(browser, listed("Behind the prompt"))
    browser.js("void (location.hash = '#about')")
    wait(browser, "document.getElementById('about-facts').textContent.includes('did not say')")
    browser.close()
    assert sorted(gateway.inbox()) == ["Before the prompt", "Behind the prompt"]

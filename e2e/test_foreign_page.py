"""A stranger's page: PyScript, the wheel, ten lines, on another origin than the gateway."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.machines import BOOT_MS, CHROMIUM, FLAGS, ROOT, Gateway
from e2e.static_host import StaticHost
from playwright.sync_api import Page, Playwright

PAGES = ROOT / "e2e" / "pages"
TEN_LINES = (PAGES / "ten_lines.html").read_text()
EXAMPLE = "http://127.0.0.1:8000/"


def script_of(html: str) -> str:
    start = html.index('<script type="py"')
    return html[start : html.index("</script>", start)]


def test_the_readme_quotes_the_page_that_is_tested() -> None:
    assert script_of(TEN_LINES) in (ROOT / "README.md").read_text()
    lines = script_of(TEN_LINES).split("\n")[1:]
    assert len(lines) <= 10


@pytest.fixture
def gateway(site: Path, tmp_path: Path) -> Iterator[Gateway]:
    """Not started: each test says whom it lets in."""
    made = Gateway(tmp_path / "data", site)
    yield made
    made.stop()


@pytest.fixture
def host(site: Path, tmp_path: Path, gateway: Gateway) -> Iterator[StaticHost]:
    """A plain static server with what a stranger copies: PyScript, Pyodide, lock, wheels."""
    folder = tmp_path / "www"
    shutil.copytree(ROOT / "node_modules/@pyscript/core/dist", folder / "vendor/pyscript")
    shutil.copytree(site / "static/vendor/pyodide", folder / "vendor/pyodide")
    shutil.copytree(site / "static/wheels", folder / "wheels")
    shutil.copy(PAGES / "pyscript.toml", folder)
    assert EXAMPLE in TEN_LINES
    (folder / "index.html").write_text(TEN_LINES.replace(EXAMPLE, gateway.url))
    with StaticHost(folder) as started:
        yield started


@pytest.fixture
def page(playwright: Playwright) -> Iterator[Page]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser.new_page()
    browser.close()


def said_by(page: Page, host: StaticHost) -> str:
    """Load the page; what its last line printed."""
    with page.expect_console_message(lambda m: "waiting." in m.text, timeout=BOOT_MS) as said:
        page.goto(host.origin)
    return said.value.text.strip()


@pytest.mark.full
def test_ten_lines_deliver_to_a_gateway_that_knows_their_origin(
    page: Page, host: StaticHost, gateway: Gateway
) -> None:
    """Also what an earlier visit saved while the gateway was not there."""
    assert said_by(page, host) == "0 sent, 1 waiting. The server is not answering."
    gateway.more = ("--allow-origin", host.origin)
    gateway.start()
    index = host.folder / "index.html"  # the same again within a minute would be the same item
    index.write_text(index.read_text().replace("Pump 3", "Pump 4"))
    assert said_by(page, host) == "2 sent, 0 waiting."
    assert sorted(gateway.inbox()) == ["Pump 3 leaks", "Pump 4 leaks"]


@pytest.mark.full
def test_a_gateway_that_does_not_know_the_origin_gets_nothing(
    page: Page, host: StaticHost, gateway: Gateway
) -> None:
    gateway.more = ("--allow-origin", "http://127.0.0.1:1")
    gateway.start()
    assert said_by(page, host).startswith("0 sent, 1 waiting.")
    assert gateway.inbox() == []

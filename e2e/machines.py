"""What the browser tests run against: a real gateway process, and browsers with real profiles."""

from __future__ import annotations

import contextlib
import html
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Error, Page, Playwright, expect

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("FIELDPOST_CHROMIUM") or shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

#: A page must be usable, and the engine up, well within this; it is a limit, not a wait.
BOOT_MS = 90_000
STEP_MS = 30_000
expect.set_options(timeout=STEP_MS)

#: What a tab shows and how its service workers stand; null until that is known.
TOLD = """() => {
  globalThis.TOLD ??= navigator.serviceWorker.getRegistrations().then((all) => {
    TOLD.text = all.map(({ scope, installing, waiting, active }) =>
      [scope, ...[installing, waiting, active].map((one) => one?.state)].join(' '));
  });
  return TOLD.text && [document.title, ...TOLD.text, document.body.innerText].join('\\n');
}"""


def free_port() -> int:
    """A port that stays free until it is used: below those that connections are given (from 32768
    on Linux, RFC 6335 section 6 has 49152), and of this worker's own (the lines' are beside them,
    `conftest.front_port`)."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = range(24_000 + 500 * worker, 24_500 + 500 * worker)
    return next(port for port in _CHANCE.sample(mine, len(mine)) if is_free(port))


_CHANCE = random.SystemRandom()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class Gateway:
    """The gateway as `make run` starts it, on a folder of its own."""

    data: Path
    site: Path = ROOT / "dist"
    port: int = field(default_factory=free_port)
    #: What Python runs, and what it is told besides.
    program: tuple[str, ...] = ("-m", "gateway")
    more: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> Gateway:
        words = [sys.executable, *self.program, "--site", str(self.site), "--data", str(self.data)]
        self.process = subprocess.Popen(
            [*words, "--port", str(self.port), *self.more],
            env={**os.environ, "PYTHONPATH": str(ROOT / "py"), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "Fieldpost is at" in line:
                return self
        raise AssertionError("the gateway did not start:\n" + "".join(said))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def inbox(self) -> list[str]:
        """The summaries in the inbox page that people see, newest first."""
        page = httpx.get(self.url + "inbox")
        page.raise_for_status()
        found = re.findall(r'class="summary"[^>]*>(?:<a[^>]*>)?([^<]+)', page.text)
        return [html.unescape(text).strip() for text in found]

    def metric(self, name: str) -> float:
        text = httpx.get(self.url + "metrics").text
        return sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


@dataclass
class Device:
    """One browser with a profile that survives: `kill` is power loss, `open` the next morning."""

    playwright: Playwright
    profile: Path
    url: str
    context: BrowserContext | None = None
    options: dict[str, object] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    console: list[str] = field(default_factory=list)

    def open(self, path: str = "") -> Page:
        self.context = self.playwright.chromium.launch_persistent_context(
            str(self.profile),
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS, *self.flags],
            **self.options,
        )
        self.context.set_default_timeout(STEP_MS)
        page = self.context.pages[0] if self.context.pages else self.context.new_page()
        self.watch(page)
        page.goto(self.url + path)
        return page

    def watch(self, page: Page) -> None:
        page.on("console", lambda m: self.console.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.console.append(f"pageerror: {e}"))

    def last_words(self) -> str:
        """What its tabs show, how their service workers stand, and the end of the console: for
        the report of a test that failed. A tab that does not answer is given five seconds."""
        said = []
        for page in self.context.pages if self.context is not None else []:
            said.append(page.url)
            try:
                said.append(page.wait_for_function(TOLD, timeout=5_000).json_value())
            except Error as error:
                said.append(f"no answer: {error.message}")
        return "\n".join([*said, "console:", *self.console[-40:]])

    @contextlib.contextmanager
    def undriven(self) -> Iterator[None]:
        """The same browser and profile with nobody at the controls."""
        words = [CHROMIUM or "chromium", "--headless=new", f"--user-data-dir={self.profile}"]
        browser = subprocess.Popen(
            [*words, *FLAGS, *self.flags, self.url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            browser.terminate()
            browser.wait(20)

    @property
    def page(self) -> Page:
        assert self.context is not None
        return self.context.pages[0]

    def tab(self) -> Page:
        assert self.context is not None
        page = self.context.new_page()
        self.watch(page)
        page.goto(self.url)
        return page

    def pids(self) -> list[int]:
        """The browser's processes, by the profile they were started with."""
        found = subprocess.run(
            ["pgrep", "-f", "--", f"--user-data-dir={self.profile}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in found.stdout.split()]

    def kill(self) -> None:
        """kill -9 of the whole browser, as when the battery dies."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # its parent took it along
        if self.context is not None:
            # What is left of it on our side; it may notice in the middle that the browser is gone.
            with contextlib.suppress(Error):
                self.context.close()
            self.context = None

    def close(self) -> None:
        if self.context is not None:
            self.context.close()
            self.context = None


def variants(*always: Any, full: Iterable[Any] = (), soak: Iterable[Any] = ()) -> list[Any]:
    """Values of one parameter; those of `full` are left to `make test-full`: each of these tests
    starts a browser and two Pythons, and `make test` is to be had in minutes."""
    marked = [(always, []), (full, pytest.mark.full), (soak, pytest.mark.soak)]
    return [pytest.param(v, id=str(v), marks=marks) for values, marks in marked for v in values]


# --- what a person does ---------------------------------------------------------------------


def wait_until(page: Page, predicate: str, *, ms: int = BOOT_MS) -> None:
    """Until this JavaScript function, which may be async, says something true.

    (`Page.wait_for_function` takes the promise itself for a true answer.)
    """
    page.evaluate(
        f"""async (most) => {{
          for (const end = performance.now() + most; !(await ({predicate})());) {{
            if (performance.now() > end) throw new Error('waited too long');
            await new Promise((next) => setTimeout(next, 50));
          }}
        }}""",
        ms,
    )


def wait_snapshot_kept(page: Page) -> None:
    """Until the memory snapshot is there from which the next start begins."""
    wait_until(page, "async () => (await (await caches.open('fieldpost-snapshot')).keys()).length")


def wait_reacts(page: Page) -> None:
    """Until the page's Python has come up."""
    expect(page.locator("html[data-app=ready]")).to_be_attached(timeout=BOOT_MS)


def wait_ready_offline(page: Page) -> None:
    expect(page.get_by_role("status")).to_contain_text("Ready for offline use", timeout=BOOT_MS)


def save_ticket(page: Page, summary: str) -> None:
    """Fill in and save; returns when "Saved on this device" stands there."""
    page.get_by_label("Summary", exact=True).fill(summary)
    page.get_by_role("button", name="Save", exact=True).click()
    # What is said may be of the one before: the form is empty when this one is saved.
    expect(page.get_by_label("Summary", exact=True)).to_have_value("")
    expect(page.get_by_text("Saved on this device").first).to_be_visible()


def open_outbox(page: Page, view: str = "Waiting") -> None:
    page.get_by_role("link", name="Outbox").click()
    page.get_by_role("link", name=view).click()


def expect_sent(page: Page, summary: str) -> None:
    open_outbox(page, "Sent")
    expect(page.get_by_text(summary, exact=True).first).to_be_visible(timeout=BOOT_MS)

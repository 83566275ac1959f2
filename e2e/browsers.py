"""One small interface over Firefox (Playwright, WebDriver BiDi) and WebKitGTK (selenium, Xvfb).

Debian: firefox-esr; webkit2gtk-driver xvfb python3-gi gir1.2-webkit2-4.1. No display is needed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

from e2e.machines import BOOT_MS
from playwright.sync_api import Playwright
from selenium import webdriver
from selenium.webdriver.common.by import By

#: Has `gi`, which no package index offers; wkbrowser.py runs with it.
SYSTEM_PYTHON = Path("/usr/bin/python3")
WKBROWSER = Path(__file__).parent / "wkbrowser.py"
#: On in Safari, off in WebKitGTK unless asked for.
WK_FEATURES = "StorageAPI,StorageAPIEstimate,FileSystem,FileSystemWritableStream,AccessHandle"
FIREFOX_PREFS = {
    # React to the system's link state, which the remote agent switches off.
    "network.manage-offline-status": True,
    # Else `storage.persist()` waits for ever on a prompt. The app must not wait for it.
    "dom.storageManager.prompt.testing": True,
    "dom.storageManager.prompt.testing.allow": True,
}


class Browser(Protocol):
    """A browser with one profile; what a test needs of it and no more."""

    def goto(self, url: str) -> None: ...
    def reload(self) -> None: ...
    def js(self, expression: str) -> Any:
        """The value of an expression, awaited."""

    def click(self, css: str) -> None: ...
    def fill(self, css: str, text: str) -> None: ...
    def close(self) -> None: ...


def wait(browser: Browser, expression: str, ms: int = 3 * BOOT_MS) -> Any:
    """Until the expression is something true, which is returned. Raises `TimeoutError`."""
    end = time.monotonic() + ms / 1000
    while not (value := browser.js(expression)):
        if time.monotonic() > end:
            said = browser.js("document.body.innerText")
            raise TimeoutError(f"{expression}\n{said}")
        time.sleep(0.05)  # between two looks: WebDriver has no events to wait for
    return value


def missing(name: str) -> list[str]:
    """What has to be installed before this browser can be driven."""
    if name == "firefox":
        return [p for p in ("firefox-esr",) if not shutil.which(p)]
    absent = [p for p in ("WebKitWebDriver", "Xvfb") if not shutil.which(p)]
    if (
        not SYSTEM_PYTHON.exists()
        or subprocess.run(
            [SYSTEM_PYTHON, "-c", "import gi; gi.require_version('WebKit2', '4.1')"],
            capture_output=True,
            check=False,
        ).returncode
    ):
        absent.append("gir1.2-webkit2-4.1")
    return absent


class Firefox:
    def __init__(self, playwright: Playwright, profile: Path, prefs: dict[str, Any] | None = None):
        self._context = playwright.firefox.launch_persistent_context(
            str(profile),
            channel="moz-firefox",
            executable_path=shutil.which("firefox-esr"),
            headless=True,
            firefox_user_prefs=FIREFOX_PREFS if prefs is None else prefs,
        )
        pages = self._context.pages
        self._page = pages[0] if pages else self._context.new_page()

    def goto(self, url: str) -> None:
        self._page.goto(url)

    def reload(self) -> None:
        self._page.reload()

    def js(self, expression: str) -> Any:
        return self._page.evaluate(expression)

    def click(self, css: str) -> None:
        self._page.locator(css).click()

    def fill(self, css: str, text: str) -> None:
        self._page.locator(css).fill(text)

    def close(self) -> None:
        self._context.close()


class WebKit:
    def __init__(self, profile: Path):
        read, write = os.pipe()
        # -noreset: else the session's start hangs once the first client has left.
        words = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x900x24"]
        self._display = subprocess.Popen(
            [*words, "-nolisten", "tcp", "-noreset"], pass_fds=[write], stderr=subprocess.DEVNULL
        )
        os.close(write)
        with os.fdopen(read) as said:
            display = said.readline().strip()  # its newline is the last it says
        environment = {
            **os.environ,
            "DISPLAY": ":" + display,
            "GDK_BACKEND": "x11",
            "NO_AT_BRIDGE": "1",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",  # else daemons are left behind
            "WK_DATA": str(profile),
            "WK_FEATURES": WK_FEATURES,
        }
        options = webdriver.WebKitGTKOptions()
        options.binary_location = str(WKBROWSER)
        service = webdriver.WebKitGTKService(shutil.which("WebKitWebDriver"), env=environment)
        try:
            self._driver = webdriver.WebKitGTK(options=options, service=service)
        except Exception:
            self._end_display()
            raise
        self._driver.set_script_timeout(120)

    def _end_display(self) -> None:
        self._display.terminate()
        self._display.wait()

    def goto(self, url: str) -> None:
        self._driver.get(url)

    def reload(self) -> None:
        self._driver.refresh()

    def js(self, expression: str) -> Any:
        script = (
            "const done = arguments[0];"
            f"(async () => ({expression}))().then((value) => done(JSON.stringify({{ value }})),"
            " (error) => done(JSON.stringify({ error: String(error) })));"
        )
        told = json.loads(self._driver.execute_async_script(script))
        if "error" in told:
            raise RuntimeError(told["error"])
        return told.get("value")

    def click(self, css: str) -> None:
        self._driver.find_element(By.CSS_SELECTOR, css).click()

    def fill(self, css: str, text: str) -> None:
        field = self._driver.find_element(By.CSS_SELECTOR, css)
        field.clear()
        field.send_keys(text)

    def close(self) -> None:
        self._driver.quit()
        self._end_display()

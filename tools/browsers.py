"""Browsers for the tests: use what is there, fetch what is not, say what was done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.paths import BuildError, run, say

# The tests take the browser from here; empty means Playwright's own.
VARIABLE = "FIELDPOST_CHROMIUM"
INSTALLED = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
# Firefox (driven by Playwright), WebKitGTK (driven by selenium under Xvfb).
OTHERS = {
    "firefox-esr": "firefox-esr",
    "webkit2gtk-driver": "WebKitWebDriver",
    "xvfb": "Xvfb",
    "python3-gi": None,
    "gir1.2-webkit2-4.1": None,
}


def _starts(program: str) -> bool:
    """Ubuntu's chromium-browser may be a note that says to install a snap."""
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and any(c.isdigit() for c in done.stdout)


def _installed() -> str | None:
    named = [os.environ.get(VARIABLE), *(shutil.which(name) for name in INSTALLED), str(MAC)]
    return next((path for path in named if path and Path(path).exists() and _starts(path)), None)


def _playwrights_own() -> bool:
    """Whether Playwright's Chromium is downloaded and starts."""
    code = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as p: p.chromium.launch().close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode == 0


def may_apt() -> bool:
    """Whether packages can be installed here without asking anybody."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt(packages: list[str], env: dict[str, str] | None = None) -> None:
    """Install Debian packages, as root. Raises `BuildError`."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive", **(env or {})}
    try:
        run(["apt-get", "install", "-y", "--no-install-recommends", *packages], env=quiet)
    except BuildError:
        # A fresh machine has no package lists yet.
        run(["apt-get", "update"], env=quiet)
        run(["apt-get", "install", "-y", "--no-install-recommends", *packages], env=quiet)


def _download() -> bool:
    words = [sys.executable, "-m", "playwright", "install", "chromium"]
    if may_apt():
        words.append("--with-deps")
    try:
        run(words)
    except BuildError:
        return False
    return _playwrights_own()


def chromium() -> str:
    """Path of a Chromium that starts, or "" for Playwright's own; installs one if it has to."""
    found = _installed()
    if found:
        say(f"Tests use the installed browser {found}")
        return found
    if _playwrights_own():
        say("Tests use Playwright's Chromium")
        return ""
    say("No Chromium is installed: downloading Playwright's")
    if _download():
        return ""
    if may_apt():
        say("That did not work: apt-get install chromium")
        apt(["chromium"])
        found = _installed()
        if found:
            return found
    raise BuildError(
        f"The tests need Chromium. Install one (Debian: apt install chromium), or set {VARIABLE}."
    )


def others() -> None:
    """Firefox and WebKit for `make test-full`; without them their tests skip with a reason."""
    absent = [
        package
        for package, program in OTHERS.items()
        if (shutil.which(program) is None if program else not _has_package(package))
    ]
    if not absent:
        return
    if not may_apt():
        say(f"Not installed, and not root on a system with apt: {', '.join(absent)}")
        return
    say(f"apt-get install {' '.join(absent)}")
    try:
        apt(absent)
    except BuildError as problem:
        say(f"That did not work; tests in those browsers are skipped. {problem}")


def _has_package(name: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Status}", name], capture_output=True, text=True, check=False
    )
    return done.stdout.endswith("ok installed")

"""The built folder, and a server and a browser for it."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

import pytest
from playwright.sync_api import Playwright, sync_playwright
from tools import build
from tools.paths import DIST

MEDIA_TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm", ".toml": "text/plain"}


class _Files(http.server.SimpleHTTPRequestHandler):
    """A static host that knows nothing of us, and keeps a list of what it was asked for."""

    extensions_map: ClassVar[dict[str, str]] = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        **MEDIA_TYPES,
    }
    asked: list[tuple[int, str]]

    def __init__(self, *args: object, asked: list[tuple[int, str]], **named: object) -> None:
        self.asked = asked
        super().__init__(*args, **named)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.asked.append((HTTPStatus(int(code)).value, self.path))

    def log_error(self, format: str, *args: object) -> None:
        """Failures are in `asked` already."""


class Host:
    """Serves `folder`'s parent, so that the app lives under a path as on most static hosts."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[int, str]] = []
        handler = functools.partial(_Files, directory=str(folder.parent), asked=self.asked)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/{folder.name}/"
        self._open = True

    def stop(self) -> None:
        """No network from now on."""
        if self._open:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._open = False


@pytest.fixture(scope="session")
def dist() -> Path:
    """The served folder, built when it is not up to date."""
    build.build()
    return DIST


def chromium() -> str | None:
    """As `make test` found it; None is Playwright's own."""
    return os.environ.get("FIELDPOST_CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """One driver for the module."""
    with sync_playwright() as play:
        yield play

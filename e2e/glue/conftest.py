"""The glue in a page of Chromium, served by a small server that also plays a gateway's bad days."""

from __future__ import annotations

import contextlib
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tools.bundle import bundle
from tools.node import install_modules
from tools.paths import GLUE_SOURCE, MODULES, ROOT

HERE = Path(__file__).parent
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".html": "text/html"}
TYPES |= {".wasm": "application/wasm", ".json": "application/json"}


class Site(http.server.ThreadingHTTPServer):
    """Serves files by prefix; `released` ends the requests to /slow."""

    daemon_threads = True

    def __init__(self, roots: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.roots = roots
        self.released = threading.Event()
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.seen.append(path)
        if path == "/redirect":
            self.answer(302, b"", {"Location": "/echo"})
        elif path == "/slow":
            self.server.released.wait(30)
            with contextlib.suppress(BrokenPipeError):  # who asked has given up, as is wanted
                self.answer(200, b"late")
        elif path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif path == "/echo":
            self.echo()
        else:
            self.file(path)

    do_POST = do_PUT = do_GET  # noqa: N815 - the base class's names

    def echo(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = {"method": self.command, "headers": {k.lower(): v for k, v in self.headers.items()}}
        self.answer(201, json.dumps(told | {"size": len(body)}).encode(), {"X-Test": "yes"})

    def file(self, path: str) -> None:
        for prefix, root in self.server.roots.items():
            found = root / path.removeprefix(prefix) if path.startswith(prefix) else None
            if root.is_file():
                found = root if path == prefix else None
            if found and found.is_file():
                kind = TYPES.get(found.suffix, "application/octet-stream")
                return self.answer(200, found.read_bytes(), {"Content-Type": kind})
        return self.answer(404, b"")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="session")
def glue_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The glue, bundled from its source as it is now."""
    install_modules()
    target = tmp_path_factory.mktemp("glue") / "glue.js"
    bundle(GLUE_SOURCE, target, "--format=iife", "--global-name=fieldpostGlue")
    return target


@pytest.fixture(scope="session")
def site(glue_js: Path) -> Iterator[Site]:
    roots = {
        "/glue.js": glue_js,
        "/page/": HERE / "page",
        "/js/": GLUE_SOURCE.parent,
        "/pyodide/": MODULES / "pyodide",
        "/vectors/": ROOT / "tests/vectors",
    }
    server = Site(roots)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser a module: Playwright's loop must not be running when async tests start."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A profile of its own; its pages share the storage."""
    made = chromium.new_context()
    yield made
    made.close()


@pytest.fixture
def open_page(context: BrowserContext, site: Site) -> Any:
    """Opens another tab of the profile, with the glue loaded."""

    def opened() -> Page:
        page = context.new_page()
        page.goto(f"{site.url}/page/index.html")
        return page

    return opened


@pytest.fixture
def page(open_page: Any) -> Page:
    made: Page = open_page()
    return made

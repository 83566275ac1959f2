"""Where the browser benchmarks run: the built app and the benchmark pages on one real gateway."""

from __future__ import annotations

import re
import selectors
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.machines import BOOT_MS, CHROMIUM, FLAGS, Gateway, wait_ready_offline, wait_snapshot_kept
from playwright.sync_api import BrowserContext, Page, Playwright
from tools.paths import DIST, MODULES

HERE = Path(__file__).parent
_ANSWER = re.compile(rb"HTTP/1\.1 [2-5]\d\d ")

#: Keeps the times (ms since the navigation began) of the attribute that says the form reacts, and
#: of a worker's word that it is up.
NOTE_READY = """
window.ready = new Promise((resolve) => {
  const channel = new BroadcastChannel('bench');
  channel.onmessage = ({ data }) => JSON.parse(data).ready && resolve(performance.now());
});
window.formReady = new Promise((resolve) => {
  const look = () => document.documentElement.dataset.app === 'ready' && resolve(performance.now());
  new MutationObserver(look).observe(document, { attributes: true, subtree: true });
});
"""


class Relay:
    """Passes connections through and counts what the browser is sent: bytes on the wire, headers
    included, and answers. Unlike the page's DevTools it also sees workers and service workers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.bytes = self.answers = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    source = client if key.fileobj is client else server
                    try:
                        data = source.recv(1 << 16)
                        key.data.sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    if source is server:
                        with self._lock:
                            self.bytes += len(data)
                            self.answers += len(_ANSWER.findall(data))

    def close(self) -> None:
        self._listening.close()


def make_site(folder: Path) -> Path:
    """The served folder with the benchmark pages in it."""
    site = folder / "site"
    shutil.copytree(DIST, site)
    shutil.copytree(HERE / "site", site / "bench")
    shutil.copyfile(MODULES / "dexie/dist/dexie.mjs", site / "bench/dexie.mjs")
    return site


@dataclass
class World:
    """A gateway with the site, and one browser profile that has visited the app."""

    playwright: Playwright
    folder: Path
    gateway: Gateway
    relay: Relay
    context: BrowserContext
    first_visit: dict[str, float]

    def page(self, path: str) -> Page:
        """A new page of the profile, loaded until its navigation is committed."""
        page = self.context.new_page()
        page.goto(self.relay.url + path, wait_until="commit")
        return page


def _launch(playwright: Playwright, profile: Path) -> BrowserContext:
    context = playwright.chromium.launch_persistent_context(
        str(profile), executable_path=CHROMIUM, headless=True, args=FLAGS
    )
    context.add_init_script(NOTE_READY)
    context.set_default_timeout(BOOT_MS)
    return context


@contextmanager
def world(playwright: Playwright, folder: Path) -> Iterator[World]:
    """Starts everything and makes the first visit, measured."""
    gateway = Gateway(folder / "data", make_site(folder)).start()
    relay = Relay(gateway.port)
    context = _launch(playwright, folder / "profile")
    try:
        first = _first_visit(context, relay)
        yield World(playwright, folder, gateway, relay, context, first)
    finally:
        context.close()
        relay.close()
        gateway.stop()


def _first_visit(context: BrowserContext, relay: Relay) -> dict[str, float]:
    page = context.pages[0]
    page.goto(relay.url, wait_until="commit")
    found: dict[str, float] = {"form": said(page, "window.formReady")}
    wait_ready_offline(page)
    found["offline"] = page.evaluate("performance.now()")
    found |= {"bytes": relay.bytes, "answers": relay.answers}
    wait_snapshot_kept(page)
    found["snapshot_bytes"] = relay.bytes - found["bytes"]
    page.goto("about:blank")
    return found


def said(page: Page, promise: str) -> float:
    """What a promise of the page resolves to. Raises instead of waiting for ever."""
    late = f"new Promise((_, no) => setTimeout(no, {BOOT_MS}, new Error('too late')))"
    value: float = page.evaluate(f"Promise.race([{promise}, {late}])")
    return value


def call(page: Page, side: str, name: str, *args: Any) -> Any:
    """``side``: fieldpost (the Python worker) or plain (the JavaScript one)."""
    return page.evaluate("([side, name, args]) => window[side](name, ...args)", [side, name, args])

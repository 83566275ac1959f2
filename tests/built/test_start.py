"""The served folder in a browser: every way the engine can start, and what the worker keeps.

With a page of its own in place of the app's, so that a failure here is one of the build.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright
from tools import assets, build, pack
from tools.paths import ROOT

from .conftest import Host, chromium

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; worker-src 'self' blob:; "
    "connect-src 'self' blob:; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'"
)
INDEX = f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>Build test</title>
<link rel="manifest" href="./manifest.webmanifest">
<link rel="icon" href="./static/icons/icon.svg">
<script src="./static/vendor/fieldpost-glue.js"></script>
<script type="module" src="./static/vendor/pyscript/core.js"></script></head><body>
<script type="py" worker name="engine" src="./py/app/engine.py" config="./pyscript.toml"></script>
<script type="mpy" src="./py/app/main.py" config="./py/app/mpy.json"></script>
</body></html>"""
#: For what the service worker does by itself: no interpreter has to start.
QUIET = '<!doctype html><html lang="en"><title>Quiet</title></html>'
ENGINE = """
import json, random, sys
import fieldpost, rfc8785

def facts():
    return json.dumps({
        "modules": sorted(name for name in sys.modules if name.split(".")[0] == "fieldpost"),
        "random": random.random(),
        "micropip": "micropip" in sys.modules,
        "canonical": rfc8785.dumps({"b": 1, "a": 2}).decode(),
    })

async def install_more():
    import pyodide_js
    await pyodide_js.loadPackage("micropip")
    import micropip
    await micropip.install("rfc8785")
    return "micropip" in sys.modules

__export__ = ["facts", "install_more"]
"""
MAIN = """
import asyncio
from pyscript import window, workers

async def start():
    try:
        window.ENGINE = await workers["engine"]
        window.FACTS = await window.ENGINE.facts()
    except Exception as error:
        window.FAILED = str(error)

asyncio.create_task(start())
"""
INTERPRETER = '{"interpreter": "./static/vendor/micropython/interpreter.mjs"}'
STARTED = re.compile(r"fieldpost: Pyodide (plainly|from its snapshot) in \d+ ms")
ASK = """() => new Promise((resolve) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = ({ data }) => resolve(data);
  navigator.serviceWorker.controller.postMessage({ type: 'STATUS' }, [channel.port2]);
})"""
ENSURE = "import('./static/vendor/pyodide/snapshot.mjs').then((m) => m.ensureSnapshot())"
DAMAGE = """async () => {
  const cache = await caches.open('fieldpost-snapshot');
  const [key] = await cache.keys();
  const bytes = new Uint8Array(await (await cache.match(key)).arrayBuffer());
  bytes.fill(7, 200000, 20000000);
  await cache.put(key, new Response(bytes));
}"""
SNAPSHOTS = "caches.open('fieldpost-snapshot').then((c) => c.keys()).then((k) => k.length)"

NEEDS_CPYTHON = re.compile(r"^(import|from) (sqlite3|cryptography|httpx|jwcrypto|redis)\b", re.M)
OTHER_HOSTS = ("fieldpost.hosts.cpython", "fieldpost.stores.redis", "fieldpost.testing")


def publish(tree: Path, note: str = "") -> None:
    """Our page instead of the app's; list and service worker made anew, as the build does."""
    shutil.rmtree(tree / "py/app", ignore_errors=True)
    (tree / "py/app").mkdir(parents=True)
    (tree / "index.html").write_text(INDEX)
    (tree / "quiet.html").write_text(QUIET)
    (tree / "py/app/engine.py").write_text(ENGINE)
    (tree / "py/app/main.py").write_text(f"{MAIN}# {note}\n")
    (tree / "py/app/modules.pack").write_bytes(pack.packed({}))
    (tree / "py/app/mpy.json").write_text(INTERPRETER)
    build.add_service_worker(tree)


@pytest.fixture
def tree(dist: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "some-path"
    shutil.copytree(dist, copy)
    publish(copy)
    return copy


@pytest.fixture
def host(tree: Path) -> Iterator[Host]:
    serving = Host(tree)
    yield serving
    serving.stop()


@pytest.fixture
def context(playwright: Playwright, tmp_path: Path) -> Iterator[BrowserContext]:
    """A profile on disk, as people have: the one in memory keeps no large files in its cache."""
    fresh = playwright.chromium.launch_persistent_context(
        tmp_path / "profile",
        executable_path=chromium(),
        args=["--no-sandbox", "--disable-background-networking"],
    )
    fresh.set_default_timeout(60_000)
    yield fresh
    fresh.close()


class Visit:
    """One page load up to the engine's first answer, and everything the page said on the way."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.page.wait_for_function("window.FACTS || window.FAILED")
        assert not self.page.evaluate("window.FAILED"), self.said
        self.facts: dict[str, Any] = json.loads(self.page.evaluate("FACTS"))

    @property
    def way(self) -> str:
        """How Pyodide started, from what the wrapper says."""
        found = [match[1] for match in map(STARTED.match, self.said) if match]
        assert len(found) == 1, self.said
        return found[0]

    def close(self) -> None:
        self.page.close()


def install_worker(page: Page) -> dict[str, Any]:
    """Register the service worker; on this very visit it takes control and is ready."""
    page.evaluate("navigator.serviceWorker.register('./service-worker.js')")
    page.wait_for_function("navigator.serviceWorker.controller")
    return page.evaluate(ASK)


@pytest.fixture
def visit(context: BrowserContext, host: Host) -> Callable[[], Visit]:
    return lambda: Visit(context, host.url)


@pytest.mark.full
def test_a_first_visit_asks_for_listed_files_only_and_then_works_offline(
    visit: Callable[[], Visit], host: Host, tree: Path
) -> None:
    first = visit()
    assert first.way == "plainly"
    assert first.facts["micropip"], "a plain start installs through micropip"
    assert first.facts["canonical"] == '{"a":2,"b":1}'
    foreign = [u for u in first.requests if not u.startswith((host.url, "blob:", "data:"))]
    assert not foreign
    assert not [line for line in first.said if line.startswith("error:")], first.said

    assert install_worker(first.page) == {
        "type": "STATUS",
        "ready": True,
        "version": assets.version_of(assets.list_assets(tree)),
    }
    assert not [path for code, path in host.asked if code >= 400]
    # The service worker asks whether what the page has just loaded is still right: 304.
    sent = [path.split("?")[0].split("/", 2)[2] for code, path in host.asked if code == 200]
    again = [path for path in set(sent) for _ in range(sent.count(path) - 1) if path]
    assert sum((tree / path).stat().st_size for path in again) < 500_000, again
    first.close()

    host.stop()
    offline = visit()
    assert offline.way == "plainly"
    assert offline.facts["modules"] == first.facts["modules"]


@pytest.mark.full
def test_a_start_from_the_snapshot(visit: Callable[[], Visit], host: Host) -> None:
    plain = visit()
    install_worker(plain.page)
    assert plain.page.evaluate(ENSURE) == "made"
    assert plain.page.evaluate(ENSURE) == "present"
    plain.close()

    host.stop()
    first, second = visit(), visit()
    assert first.way == second.way == "from its snapshot"
    assert first.facts["canonical"] == '{"a":2,"b":1}'
    assert not first.facts["micropip"], "nothing is installed again"
    assert first.facts["random"] != second.facts["random"]
    # There is no file to import from any more: a module that is not in it would be missing.
    assert modules_for_browsers() - set(first.facts["modules"]) == set()
    assert first.page.evaluate("ENGINE.install_more()") is True
    second.close()

    first.page.evaluate(DAMAGE)
    first.close()
    mended = visit()
    assert mended.way == "plainly"
    assert [line for line in mended.said if "the snapshot did not load" in line]
    assert mended.page.evaluate(SNAPSHOTS) == 0


def modules_for_browsers() -> set[str]:
    """All of fieldpost but what needs CPython: other hosts' modules, and what those import."""
    source = ROOT / "py"
    names = {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for path in (source / "fieldpost").rglob("*.py")
        if not NEEDS_CPYTHON.search(path.read_text())
    }
    return {name for name in names if not name.startswith(OTHER_HOSTS)}


def test_an_update_waits_until_it_is_accepted(
    context: BrowserContext, tree: Path, host: Host
) -> None:
    page = context.new_page()
    page.goto(f"{host.url}quiet.html")
    before = install_worker(page)
    read = "fetch('./py/app/main.py').then((answer) => answer.text())"

    publish(tree, note="the new version")
    page.evaluate("navigator.serviceWorker.ready.then((r) => r.update())")
    page.wait_for_function(
        "async () => (await navigator.serviceWorker.ready).waiting?.state === 'installed'"
    )
    for _ in range(2):
        assert page.evaluate(ASK) == before
        assert "the new version" not in page.evaluate(read)
        page.reload()  # is no acceptance

    page.evaluate("""() => {
      navigator.serviceWorker.addEventListener('controllerchange', () => { window.TAKEN = true; });
      return navigator.serviceWorker.ready.then((r) => r.waiting.postMessage({
        type: 'SKIP_WAITING' }));
    }""")
    page.wait_for_function("window.TAKEN")
    host.stop()
    page.reload()
    after = page.evaluate(ASK)
    assert after["ready"]
    assert after["version"] != before["version"]
    assert "the new version" in page.evaluate(read)


def test_a_host_that_serves_something_else_is_not_installed(
    context: BrowserContext, tree: Path, host: Host
) -> None:
    """Half of an update, or a sign-in page in the way: the hash in the list refuses it."""
    (tree / "py/app/main.py").write_text("<html>Please sign in</html>")
    page = context.new_page()
    page.goto(f"{host.url}quiet.html")
    state = page.evaluate("""() => navigator.serviceWorker.register('./service-worker.js').then(
      (registration) => new Promise((resolve) => {
        const worker = registration.installing;
        worker.addEventListener('statechange', () => resolve(worker.state));
      }))""")
    assert state == "redundant"


def test_the_worker_leaves_everything_else_to_the_network(
    context: BrowserContext, host: Host
) -> None:
    page = context.new_page()
    page.goto(f"{host.url}quiet.html")
    install_worker(page)
    for path in ("api/v1/operations", "inbox", "healthz"):
        status = page.evaluate(f"fetch('./{path}').then((answer) => answer.status)")
        assert status == 404, "the host answers, which does not know it"
    host.stop()
    page.goto(f"{host.url}?source=pwa")
    assert page.title() == "Build test"

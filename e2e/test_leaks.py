"""No proxy between Python and JavaScript is left over, in the engine's worker and in the page.

A queue runs for weeks: whatever stays alive after an item was saved and sent adds up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.machines import BOOT_MS, Device, Gateway, open_outbox, wait_ready_offline
from e2e.sites import engine_of, publish, until, with_engine
from playwright.sync_api import Page, expect

#: The app's engine, and what it weighs: JavaScript objects that Python holds, Python objects that
#: JavaScript holds, and memory.
ENGINE = """
import gc, json, sys
import pyodide_js
pyodide_js._module.enable_pyproxy_allocation_tracing()
del pyodide_js

{engine}

def weigh():
    import pyodide_js
    gc.collect()
    module = pyodide_js._module
    return json.dumps({{
        "js": module._hiwire_num_refs(),
        "py": module.pyproxy_alloc_map.size,
        "blocks": sys.getallocatedblocks(),
        "bytes": module.HEAP8.length,
    }})

__export__ = ["call", "weigh"]
"""
PUBLISH = """

import asyncio, gc
from pyscript import window, workers

async def publish():
    window.ENGINE = await workers["engine"]
    window.collect = gc.collect

asyncio.create_task(publish())
"""
ENQUEUE = """async ([from, to]) => {
  for (let i = from; i < to; i++) {
    const payload = { summary: `Number ${i}`, description: 'x'.repeat(500) };
    const args = JSON.stringify({ kind: 'ticket', payload });
    const told = JSON.parse(await ENGINE.call('enqueue', args));
    if (!told.ok) throw new Error(JSON.stringify(told));
  }
}"""
#: MicroPython keeps what it holds of JavaScript, and what JavaScript holds of it, in these tables.
PAGE = """() => {
  collect();
  gc();
  return {
    js: proxy_js_ref.filter((one) => one !== undefined).length,
    py: proxy_js_map.size,
    elements: document.querySelectorAll('*').length,
  };
}"""


@pytest.fixture
def gateway(site: Path, tmp_path: Path) -> Iterator[Gateway]:
    engine = (site / "py/app/engine.py").read_text().replace('__export__ = ["call"]', "")
    main = (site / "py/app/main.py").read_text()
    tree = with_engine(site, tmp_path / "site", ENGINE.format(engine=engine))
    (tree / "py/app/main.py").write_text(main + PUBLISH)
    publish(tree)
    started = Gateway(tmp_path / "data", tree).start()
    yield started
    started.stop()


@pytest.mark.full
def test_a_thousand_items_leave_nothing_behind(
    new_device: Callable[..., Device], gateway: Gateway
) -> None:
    device = new_device()
    device.flags = ("--js-flags=--expose-gc",)
    page = device.open()
    wait_ready_offline(page)
    open_outbox(page)
    page.wait_for_function("window.ENGINE && window.collect !== undefined")
    engine = engine_of(page)

    def weigh() -> tuple[dict[str, int], dict[str, int]]:
        """Both sides, when all is sent and what was let go has been collected."""
        expect(page.get_by_role("status")).not_to_contain_text("waiting", timeout=BOOT_MS)
        until(page, lambda: not status(page)["syncing"])
        engine.evaluate("gc()")
        return json.loads(page.evaluate("ENGINE.weigh()")), page.evaluate(PAGE)

    page.evaluate(ENQUEUE, [0, 200])  # caches fill, pages of the list are as long as they get
    sent(gateway, page, 200)
    engine_before, page_before = weigh()
    page.evaluate(ENQUEUE, [200, 1200])
    sent(gateway, page, 1200)

    # The last of them are let go by the browser's collector in its own time.
    def grown(name: str, allowed: int) -> bool:
        return weigh()[0][name] - engine_before[name] <= allowed

    until(page, lambda: grown("js", 5) and grown("py", 5), BOOT_MS)
    until(page, lambda: weigh()[1]["py"] - page_before["py"] <= 20, BOOT_MS)
    until(page, lambda: weigh()[1]["js"] - page_before["js"] <= 20, BOOT_MS)
    engine_after, page_after = weigh()
    assert engine_after["blocks"] - engine_before["blocks"] < 2_000, "two an item"
    assert engine_after["bytes"] - engine_before["bytes"] < 4 * 1024 * 1024
    assert page_after["elements"] - page_before["elements"] < 100


def status(page: Page) -> dict[str, object]:
    told: dict[str, object] = json.loads(page.evaluate("ENGINE.call('status', '{}')"))["ok"]
    return told


def sent(gateway: Gateway, page: Page, count: int) -> None:
    until(page, lambda: status(page)["sent"] == count, BOOT_MS)
    assert gateway.metric("fieldpost_operations_total") == count

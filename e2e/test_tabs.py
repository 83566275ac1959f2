"""Several tabs: one state, one drainer; when it goes or freezes, another one takes over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from e2e.machines import (
    BOOT_MS,
    Device,
    Gateway,
    expect_sent,
    open_outbox,
    save_ticket,
    wait_ready_offline,
)
from e2e.sites import WATCH_LOCK, edit_app, engine_of, publish, until, with_engine
from playwright.sync_api import Page, expect

from fieldpost.testing.faultproxy import Fault, FaultProxy

OPERATIONS = "/api/v1/operations"
CAPTURE = """async ([who, count]) => {
  const device = await fieldpostGlue.open('fieldpost');
  for (let i = 0; i < count; i++) {
    const data = { kind: 'ticket', payload: { summary: `${who} ${i}` } };
    await device.capture(JSON.stringify({ id: fieldpostGlue.uuid7(), at: Date.now(), data }));
  }
}"""
SHOWN = "() => document.querySelector('#status').textContent"


def two_tabs(device: Device) -> tuple[Page, Page]:
    first = device.open()
    wait_ready_offline(first)
    second = device.tab()
    wait_ready_offline(second)
    return first, second


def sends(gateway: Gateway) -> float:
    """Operations that the gateway was asked for, repeated ones included."""
    return gateway.metric("fieldpost_operations_total")


@pytest.mark.full
def test_both_show_the_same_and_deliver_once(
    device: Device, gateway: Gateway, line: FaultProxy
) -> None:
    first, second = two_tabs(device)
    line.fault = Fault("down")
    save_ticket(first, "From the first tab")
    save_ticket(second, "From the second tab")
    for page in (first, second):
        expect(page.get_by_role("status")).to_contain_text("2 waiting")
        open_outbox(page)
        for name in ("From the first tab", "From the second tab"):
            expect(page.get_by_text(name, exact=True)).to_be_visible()
    assert gateway.inbox() == []

    line.fault = Fault()
    second.get_by_role("button", name="Sync now").click()
    for page in (first, second):
        expect_sent(page, "From the first tab")
        expect_sent(page, "From the second tab")
        expect(page.get_by_role("status")).not_to_contain_text("waiting")
    assert first.evaluate(SHOWN) == second.evaluate(SHOWN)
    assert sorted(gateway.inbox()) == ["From the first tab", "From the second tab"]
    assert sends(gateway) == 2


def test_both_capture_at_once_and_nothing_is_sent_twice(device: Device, gateway: Gateway) -> None:
    first, second = two_tabs(device)
    engines = [engine_of(page) for page in (first, second)]
    for engine in engines:
        engine.evaluate(WATCH_LOCK)
    count = 20  # one page of the inbox shows 50
    for page, who in ((first, "one"), (second, "two")):
        page.evaluate(f"(args) => {{ window.DONE = ({CAPTURE})(args) }}", [who, count])
    for page in (first, second):
        page.evaluate("DONE")
        page.reload()  # its engine is a new one: it adopts what the former one had not
        wait_ready_offline(page)
    until(first, lambda: len(gateway.inbox()) == 2 * count, BOOT_MS)
    for page in (first, second):
        expect(page.get_by_role("status")).not_to_contain_text("waiting")
    wanted = [f"{who} {i}" for who in ("one", "two") for i in range(count)]
    assert sorted(gateway.inbox()) == sorted(wanted)
    assert sends(gateway) == 2 * count


@pytest.mark.full
def test_when_the_tab_that_drains_is_closed_the_other_takes_over(
    device: Device, gateway: Gateway, line: FaultProxy
) -> None:
    first, second = two_tabs(device)
    for page in (first, second):
        engine_of(page).evaluate(WATCH_LOCK)
    line.fault = Fault("slow", seconds=60, prefix=OPERATIONS)
    save_ticket(first, "Begun in the first tab")
    until(first, lambda: sends(gateway) == 1)  # the gateway has it, the answer is on its way
    assert engine_of(first).evaluate("DRAINING")
    assert not engine_of(second).evaluate("DRAINING")
    save_ticket(second, "Waits for the first tab")
    line.fault = Fault()
    first.close()
    expect_sent(second, "Begun in the first tab")
    expect_sent(second, "Waits for the first tab")
    assert sorted(gateway.inbox()) == ["Begun in the first tab", "Waits for the first tab"]
    assert engine_of(second).evaluate("LED") >= 1


@pytest.mark.full
def test_a_dead_worker_is_noticed_and_replaced(device: Device, gateway: Gateway) -> None:
    """It dies without a word; what is captured meanwhile is sent by the next one, once."""
    page = device.open()
    wait_ready_offline(page)
    dead = engine_of(page)
    page.evaluate("""() => {
      document.querySelector('script[worker][name="engine"]').xworker.terminate();
    }""")
    died = time.monotonic()
    save_ticket(page, "While nobody could send")
    note = page.get_by_text("stopped answering and is being started again")
    expect(note).to_be_visible(timeout=12_000)
    assert time.monotonic() - died < 10
    save_ticket(page, "While it was being started")
    for name in ("While nobody could send", "While it was being started"):
        expect_sent(page, name)
    assert sorted(gateway.inbox()) == ["While it was being started", "While nobody could send"]
    assert sends(gateway) == 2
    assert engine_of(page) != dead


#: Counts the transactions that this context has open.
WATCH_STORAGE = """() => {
  globalThis.OPEN = 0;
  const begin = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (...asked) {
    const made = begin.apply(this, asked);
    OPEN += 1;
    for (const end of ['complete', 'abort']) made.addEventListener(end, () => { OPEN -= 1; });
    return made;
  };
}"""
#: Stops this worker's thread, timers and answers, until somebody asks for openapi.json. Between two
#: transactions: whoever stands still in one makes all others wait to write, which is not looked at
#: here.
STAND_STILL = """(url) => {
  setTimeout(function stand() {
    if (OPEN) {
      setTimeout(stand);
      return;
    }
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const cell = new Int32Array(memory.buffer);
    for (;;) {
      const asking = new XMLHttpRequest();
      asking.open('GET', `${url}/metrics`, false);
      asking.send();
      if (/route="openapi"/.test(asking.responseText)) break;
      Atomics.wait(cell, 0, 0, 100);
    }
    globalThis.THAWED = DRAINING;
  });
}"""


class TestFrozen:
    """A tab that stands still keeps the drain lock and stops beating.

    (What the DevTools protocol calls freezing leaves dedicated workers running, and a stopped
    process takes the service worker along: so it is the worker's thread that is stopped.)
    """

    @pytest.fixture
    def gateway(self, site: Path, tmp_path: Path) -> Iterator[Gateway]:
        """With an app that waits 3 s, not 30 s, before it takes a frozen tab's place."""
        engine = (site / "py/app/engine.py").read_text()
        quick = engine.replace('gateway="./"', 'gateway="./", steal_after_ms=3_000')
        assert quick != engine
        tree = with_engine(site, tmp_path / "impatient", quick)
        # Nor must its page take it for dead: whoever froze it froze the page as well.
        edit_app(tree, "PING_WAIT_MS = 7000", "PING_WAIT_MS = 600000")
        publish(tree)
        started = Gateway(tmp_path / "data", tree).start()
        yield started
        started.stop()

    @pytest.mark.full
    def test_it_is_replaced_and_when_thawed_changes_nothing(
        self, new_device: Callable[..., Device], gateway: Gateway, line: FaultProxy
    ) -> None:
        device = new_device()
        first, second = two_tabs(device)
        for page in (first, second):
            engine_of(page).evaluate(WATCH_LOCK)
        frozen = engine_of(first)
        frozen.evaluate(WATCH_STORAGE)
        line.fault = Fault("slow", times=1, seconds=5, prefix=OPERATIONS)
        save_ticket(first, "Held by the frozen tab")
        until(second, lambda: sends(gateway) == 1)
        frozen.evaluate(STAND_STILL, line.url)
        save_ticket(second, "Waits for the lock")
        expect_sent(second, "Waits for the lock")
        expect_sent(second, "Held by the frozen tab")
        assert engine_of(second).evaluate("STOLEN") == 1
        assert sorted(gateway.inbox()) == ["Held by the frozen tab", "Waits for the lock"]
        httpx.get(gateway.url + "openapi.json").raise_for_status()
        # Thawed, it reads the answer that waited for it: too late, the row has moved on.
        until(first, lambda: frozen.evaluate("globalThis.THAWED"))
        until(first, lambda: not frozen.evaluate("DRAINING"))
        save_ticket(first, "After the thaw")
        expect_sent(second, "After the thaw")
        wanted = ["After the thaw", "Held by the frozen tab", "Waits for the lock"]
        assert sorted(gateway.inbox()) == wanted
        for page in (first, second):
            expect(page.get_by_role("status")).not_to_contain_text("waiting")
            expect_sent(page, "Held by the frozen tab")
            page.get_by_text("Held by the frozen tab", exact=True).click()
            expect(page.get_by_role("dialog")).to_contain_text("FP-000001")

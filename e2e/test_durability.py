"""Saved means durable (invariant 2): strict transactions, and "Saved" only after `complete`.

A kill cannot tell strict from relaxed durability: the operating system keeps what the browser gave
it. So what is asked of the browser is looked at here, in the page and in the engine's worker.
"""

from __future__ import annotations

import pytest
from e2e.machines import BOOT_MS, Device, Gateway, expect_sent, save_ticket, variants
from playwright.sync_api import Page, Worker, expect

from fieldpost.testing.faultproxy import Fault, FaultProxy

#: Notes every readwrite transaction of this context: its stores, what was asked, what was given.
#: (PyScript has a database of its own for what it installs; nothing of the queue lies there.)
WATCH = """() => {
  globalThis.WRITES = [];
  const begin = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    const tx = begin.call(this, stores, mode, options);
    if (mode === 'readwrite' && this.name.startsWith('fieldpost')) {
      WRITES.push([[stores].flat().join('+'), options?.durability ?? 'default', tx.durability]);
    }
    return tx;
  };
  return typeof fieldpostGlue;
}"""

#: Holds back the `complete` of every transaction that writes to the inbox until LET_GO() is called.
#: COMPLETED counts those that the browser has really completed.
HOLD = """() => {
  const held = [];
  globalThis.COMPLETED = 0;
  globalThis.HOLDING = true;
  globalThis.LET_GO = () => { HOLDING = false; for (const go of held.splice(0)) go(); };
  const begin = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    const tx = begin.call(this, stores, mode, options);
    if (mode !== 'readwrite' || ![stores].flat().includes('inbox')) return tx;
    const add = EventTarget.prototype.addEventListener;
    add.call(tx, 'complete', () => { COMPLETED += 1; });
    const later = (listener) => (event) => {
      if (HOLDING) held.push(() => listener(event)); else listener(event);
    };
    tx.addEventListener = (type, listener, how) =>
      add.call(tx, type, type === 'complete' ? later(listener) : listener, how);
    return tx;
  };
}"""

#: Resolves after n frames were painted.
FRAMES = """(n) => new Promise((resolve) => {
  const step = () => (n-- > 0 ? requestAnimationFrame(step) : resolve());
  step();
})"""


def started(worker: Worker, watched: list[tuple[Worker, str]]) -> None:
    """The wrapper goes in before Pyodide is up: the glue is not there yet."""
    watched.append((worker, worker.evaluate(WATCH)))


def writes(where: Page | Worker) -> list[list[str]]:
    found: list[list[str]] = where.evaluate("WRITES")
    return found


def test_every_write_of_page_and_engine_asks_for_strict_durability(
    device: Device, gateway: Gateway
) -> None:
    watched: list[tuple[Worker, str]] = []
    page = device.open("/healthz")
    page.add_init_script(f"({WATCH})()")
    page.on("worker", lambda worker: started(worker, watched))
    page.goto(device.url)
    page.set_input_files(
        "#attachments", [{"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"}]
    )
    expect(page.get_by_role("listitem").filter(has_text="a.txt")).to_contain_text("1 B")
    page.get_by_label("Description").fill("kept as a draft first")
    expect(page.get_by_text("Draft kept on this device")).to_be_visible()
    save_ticket(page, "Written durably")
    expect_sent(page, "Written durably")

    by_page = writes(page)
    assert {stores for stores, *_ in by_page} >= {"inbox+items+meta+drafts", "drafts", "blobs"}
    engines = [(worker, before) for worker, before in watched if is_engine(worker)]
    assert len(engines) == 1
    ((engine, before),) = engines
    assert before == "undefined", "the engine's storage was open before it was watched"
    by_engine = writes(engine)
    assert any("inbox" in stores and "items" in stores for stores, *_ in by_engine), "adopted"
    assert any("journal" in stores for stores, *_ in by_engine)
    weak = [w for w in by_page + by_engine if w[1:] != ["strict", "strict"]]
    assert not weak


def is_engine(worker: Worker) -> bool:
    return bool(worker.evaluate("typeof fieldpostGlue === 'object'"))


@pytest.mark.parametrize("name", variants("Ticket", full=["Feedback"]))
def test_saved_is_said_only_after_the_transaction_has_completed(
    device: Device, line: FaultProxy, name: str
) -> None:
    line.fault = Fault("down")
    page = device.open()
    page.wait_for_function("document.documentElement.dataset.app === 'ready'", timeout=BOOT_MS)
    page.evaluate(HOLD)
    page.get_by_role("link", name=name, exact=True).click()
    form = page.get_by_role("form", name=name)
    if name == "Ticket":
        form.get_by_label("Summary").fill("Not yet durable")
    else:
        form.get_by_label("5", exact=True).check()
        form.get_by_label("Comment").fill("Not yet durable")
    form.get_by_role("button", name="Save").click()
    page.wait_for_function("COMPLETED > 0")
    page.evaluate(FRAMES, 30)  # the browser is done; the page has not heard of it
    expect(form).to_contain_text("Saving…")
    assert not form.get_by_text("Saved on this device").is_visible()
    field = "Summary" if name == "Ticket" else "Comment"
    expect(form.get_by_label(field)).to_have_value("Not yet durable")

    page.evaluate("LET_GO()")
    expect(form.get_by_text("Saved on this device")).to_be_visible()
    expect(form.get_by_label(field)).to_have_value("")

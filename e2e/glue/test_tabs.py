"""The lanes' locks and the channel over two tabs of one profile."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

LEAD = """async ([wait, steal, lane]) => {
  const held = await (await fieldpostGlue.open("t")).lead(lane ?? "a", wait, steal);
  if (held) window.held = held;
  return held && { stolen: held.stolen, lost: held.lost };
}"""


@pytest.fixture
def tabs(open_page: Any) -> tuple[Page, Page]:
    return open_page(), open_page()


def test_one_leads_and_hands_over(tabs: tuple[Page, Page]) -> None:
    first, second = tabs
    assert first.evaluate(LEAD, [1000, 60_000]) == {"stolen": False, "lost": False}
    assert second.evaluate(LEAD, [100, 60_000]) is None
    assert first.evaluate(LEAD, [100, 60_000]) is None  # nor twice in the same context
    first.evaluate("held.release()")
    assert second.evaluate(LEAD, [1000, 60_000]) == {"stolen": False, "lost": False}
    assert first.evaluate(LEAD, [1000, 60_000, "b"]) == {"stolen": False, "lost": False}
    second.close()  # a tab that goes away leaves no lock behind
    assert first.evaluate(LEAD, [1000, 60_000]) == {"stolen": False, "lost": False}


def test_a_holder_that_stands_still_is_replaced(tabs: tuple[Page, Page]) -> None:
    first, second = tabs
    assert first.evaluate(LEAD, [1000, 500])
    taken = None
    for _ in range(20):
        taken = taken or second.evaluate(LEAD, [100, 500])
    assert taken == {"stolen": True, "lost": False}
    assert first.evaluate("held.lost") is True
    first.evaluate("held.release()")  # too late, and harmless
    assert first.evaluate(LEAD, [100, 60_000]) is None


def test_a_holder_that_beats_is_left_alone(tabs: tuple[Page, Page]) -> None:
    first, second = tabs
    assert first.evaluate(LEAD, [1000, 1000])
    first.evaluate("{ window.beating = setInterval(() => held.beat(), 50); undefined }")
    assert [second.evaluate(LEAD, [200, 1000]) for _ in range(12)] == [None] * 12
    assert first.evaluate("held.lost") is False


def test_no_silent_fallback_without_web_locks(tabs: tuple[Page, Page]) -> None:
    first, _ = tabs
    first.evaluate("{ Object.defineProperty(navigator, 'locks', { value: undefined }); undefined }")
    told = first.evaluate("fieldpostGlue.open('t').then((d) => outcome(d.lead('a', 100, 1000)))")
    assert told["code"] == "QUEUE_ERROR"
    assert "Web Locks" in told["message"]


def test_changes_are_announced_ten_times_a_second_and_the_last_always(
    tabs: tuple[Page, Page],
) -> None:
    first, second = tabs
    first.evaluate(
        """async () => {
        const device = await fieldpostGlue.open("t");
        window.heard = [];
        window.leave = device.subscribe((text) => heard.push(JSON.parse(text)));
        }"""
    )
    took = second.evaluate(
        """async () => {
        const device = await fieldpostGlue.open("t");
        const start = performance.now();
        let revision = 0;
        while (performance.now() - start < 450) {
          device.announce(++revision);
          await new Promise((go) => { const c = new MessageChannel(); c.port1.onmessage = go; c.port2.postMessage(0); });
        }
        device.announce(1_000_000);
        return [performance.now() - start, revision];
        }"""
    )
    first.wait_for_function("heard.some((m) => m.revision === 1_000_000)")
    heard = first.evaluate("heard")
    assert took[1] > 100
    assert 2 <= len(heard) <= took[0] / 100 + 2
    assert {message["type"] for message in heard} == {"changed"}
    first.evaluate("leave()")
    second.evaluate(
        'fieldpostGlue.open(\'t\').then((d) => d.tell(\'{"type": "link", "online": false}\'))'
    )
    assert len(first.evaluate("heard")) == len(heard)

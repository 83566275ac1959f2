"""Runs inside Pyodide: the store contract, and the ports over the glue. Answers are JSON text."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from itertools import count
from typing import Any

from tests.contract.upgrading import Upgraded

from fieldpost.engine.errors import AttachmentUnreadable, QueueError
from fieldpost.engine.model import Item
from fieldpost.hosts.browser.interop import Device
from fieldpost.hosts.browser.link import BrowserLink
from fieldpost.hosts.browser.rescue import BrowserRescueBox
from fieldpost.hosts.browser.store_indexeddb import IndexedDBStore
from fieldpost.hosts.browser.system import BrowserClock, BrowserEntropy
from fieldpost.hosts.browser.tabs import BrowserTabs
from fieldpost.hosts.browser.transport_fetch import FetchTransport
from fieldpost.ports import Commit, Leadership, NoAnswer, Put, Request
from fieldpost.testing.storecontract import CASES

_NAMES = (f"contract-{n}" for n in count(1))


class Reopened:
    """A store that is reopened on the same database."""

    def __init__(self, name: str):
        self._name = name
        self.store: IndexedDBStore | None = None

    async def __call__(self) -> IndexedDBStore:
        if self.store is not None:
            await self.store.close()
        self.store = IndexedDBStore(await Device.open(self._name))
        return self.store


async def contract(case: str) -> str:
    """Run one case; the empty text, or the traceback."""
    reopen = Reopened(next(_NAMES))
    try:
        await CASES[case](await reopen(), reopen)
    except (AssertionError, QueueError) as error:
        return "".join(traceback.format_exception(error))
    assert reopen.store is not None
    await reopen.store.close()
    return ""


async def requests(site: str) -> str:
    """Each way a request can go, by name."""
    device = await Device.open(next(_NAMES))
    store, transport = IndexedDBStore(device), FetchTransport(device)
    await store.put_part("a", 1, b"x" * 1000)
    answers: dict[str, Any] = {}
    post = Request("POST", f"{site}/echo", {"Content-Type": "application/json"}, b"{}")
    answer = await transport.send(post)
    answers["echo"] = [answer.status, answer.headers["x-test"], json.loads(answer.body)["size"]]
    answer = await transport.send(Request("GET", f"{site}/redirect"))
    answers["redirect"] = [answer.status, answer.redirected]
    answer = await transport.send_part(Request("PUT", f"{site}/echo"), "a", 1)
    told = json.loads(answer.body)
    answers["part"] = [told["size"], told["headers"]["content-digest"]]
    for name, url, timeout in (
        ("timeout", f"{site}/slow", 100),
        ("cut", f"{site}/cut", 5000),
        ("refused", "http://127.0.0.1:1/", 5000),
    ):
        try:
            await transport.send(Request("GET", url, timeout_ms=timeout))
        except NoAnswer as error:
            answers[name] = error.reason
    try:
        await transport.send_part(Request("PUT", f"{site}/echo"), "a", 2)
    except AttachmentUnreadable as error:
        answers["missing part"] = error.code
    sending = asyncio.ensure_future(transport.send(Request("GET", f"{site}/slow")))
    await asyncio.sleep(0)
    sending.cancel()
    answers["cancelled"] = await asyncio.wait({sending}) and sending.cancelled()
    await device.close()
    return json.dumps(answers)


async def ports() -> str:
    """Clock, entropy, link, tabs and rescue box, once each."""
    device = await Device.open(next(_NAMES))
    tabs, entropy, clock = BrowserTabs(device), BrowserEntropy(), BrowserClock()
    link = BrowserLink(tabs)
    heard: list[bool] = []
    leave = link.subscribe(heard.append)
    link.report(False)
    link.report(False)
    leave()
    link.report(True)
    link.close()
    led: list[bool] = []

    async def work(leadership: Leadership) -> None:
        leadership.beat()
        led.append(leadership.lost or leadership.stolen)
        inner = await BrowserTabs(device).lead(work, lane="a", wait_ms=50, steal_after_ms=60_000)
        led.append(inner)

    led.append(await tabs.lead(work, lane="a", wait_ms=1000, steal_after_ms=60_000))
    tabs.announce(7)
    box = BrowserRescueBox(device)
    line = json.dumps({"type": "item", "id": "x", "title": "漏水", "attachments": []})
    back = await box.read("long enough", await box.write("long enough", [line]))
    before = clock.monotonic()
    await clock.sleep(1)
    told = {
        "heard": heard,
        "led": led,
        "rescued": [json.loads(text) for text in back] == [json.loads(line)],
        "ids": len({entropy.uuid7(clock.now()) for _ in range(1000)}),
        "fractions": all(0 <= entropy.fraction() < 1 for _ in range(1000)),
        "slept": clock.monotonic() > before,
    }
    await device.close()
    return json.dumps(told)


async def upgraded(name: str, told_json: str) -> str:
    """All that holds of a database of an older version; the empty text, or the traceback."""
    told = json.loads(told_json)
    device = await Device.open(name)
    store = IndexedDBStore(device)
    try:
        await Upgraded(store, told).all()
        draft = json.loads(await device.call("loadDraft", "ticket"))
        assert draft == told.get("draft", draft)
    except (AssertionError, QueueError) as error:
        return "".join(traceback.format_exception(error))
    await store.close()
    return ""


def _rows(entropy: BrowserEntropy, n: int) -> tuple[Put, ...]:
    return tuple(
        Put(
            Item(entropy.uuid7(i), "ticket", "create", "inbox", entropy.uuid7(i), i, i, size=600),
            {"head": b"h" * 100, "body": b'{"summary":"' + b"b" * 580 + b'"}'},
            {"fingerprint": f"fp{i}"},
            insert=True,
        )
        for i in range(n)
    )


async def bulk(n: int) -> float:
    """Milliseconds of one commit of ``n`` encrypted rows, Python's part included."""
    store = IndexedDBStore(await Device.open(next(_NAMES)))
    puts = _rows(BrowserEntropy(), n)
    start = time.perf_counter()
    await store.commit(Commit(puts=puts))
    took = time.perf_counter() - start
    await store.close()
    return took * 1000


async def proxies_left(n: int) -> str:
    """How many more PyProxies and JsProxies live after ``n`` of each operation."""
    import pyodide_js  # noqa: PLC0415 - measured in the browser

    store = IndexedDBStore(await Device.open(next(_NAMES)))
    entropy = BrowserEntropy()
    counted = []
    for _ in range(2):
        for put in _rows(entropy, n):
            await store.commit(Commit(puts=(put,)))
            await store.get([put.item.id], ["body"])
            await store.counters()
        module = pyodide_js._module
        counted.append([module.pyproxy_alloc_map.size, module._hiwire_num_refs()])
    await store.close()
    return json.dumps(counted)

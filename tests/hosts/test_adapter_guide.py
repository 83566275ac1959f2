"""The example of docs/adapters.md, taken out of the document and run against a server as the one it
speaks of: it keeps keys, and can be asked for an order by its key."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import fieldpost
from fieldpost.destinations.base import Declaration, Lookup
from fieldpost.engine.errors import InvalidItem

GUIDE = Path(__file__).parents[2] / "docs/adapters.md"
ORDER = {"article": "Pump 3", "pieces": 2}


class Warehouse:
    """Not reached until `opened`. ``orders``: key -> (number, order); ``posts``: keys as they came;
    ``lose``: this many answers to orders do not arrive; ``takes_lost``: and those orders count all
    the same; ``keeps_keys``: the same key is one order;
    ``page``: what a network's sign-in page answers in its place."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, int, dict[str, Any]]] = []
        self.posts: list[str] = []
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self.lose = 0
        self.keeps_keys = True
        self.takes_lost = True
        self.page = b""
        # Bound and not listening: the port is ours, and whoever connects is refused.
        handler = partial(Handler, self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
        self._server.server_bind()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def opened(self) -> None:
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def take(self, key: str, order: dict[str, Any]) -> dict[str, Any] | None:
        """The answer; None where the connection ends without one."""
        self.posts.append(key)
        lost = self.lose > 0
        self.lose -= lost
        known = self.keeps_keys and self.found(key) is not None
        if not known and (self.takes_lost or not lost):
            self.orders.append((key, len(self.orders) + 1, order))
        return None if lost else self.found(key)

    def found(self, key: str) -> dict[str, Any] | None:
        numbers = [number for known, number, _ in self.orders if known == key]
        return {"key": key, "number": numbers[0]} if numbers else None


class Handler(BaseHTTPRequestHandler):
    def __init__(self, warehouse: Warehouse, *args: Any):
        self._warehouse = warehouse
        super().__init__(*args)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._warehouse.page:
            self._answer(200, self._warehouse.page, "text/html")
            return
        self._warehouse.tokens.add(self.headers["Authorization"])
        answer = self._warehouse.take(self.headers["Idempotency-Key"], json.loads(body))
        if answer is not None:
            self._answer(201, json.dumps(answer).encode())

    def do_GET(self) -> None:
        key = parse_qs(urlsplit(self.path).query)["key"][0]
        self._warehouse.asked.append(key)
        found = self._warehouse.found(key)
        answer = found or {"code": "NO_SUCH_ORDER", "title": "There is no such order."}
        self._answer(200 if found else 404, json.dumps(answer).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing: the output is the tests'."""


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    made = Warehouse()
    yield made
    made.close()


@pytest.fixture
def example(tmp_path: Path) -> SimpleNamespace:
    """What the document's block defines."""
    (block,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    module = tmp_path / "guide.py"
    module.write_text(block)
    return SimpleNamespace(**runpy.run_path(str(module)))


async def state(queue: fieldpost.Queue, item: fieldpost.Item) -> str:
    return str((await queue.get(item.id)).state)


async def arrived(queue: fieldpost.Queue, item: fieldpost.Item) -> None:
    async with asyncio.timeout(20):
        while await state(queue, item) != "completed":
            await queue.sync()


async def test_an_order_saved_without_a_network_arrives_once_there_is_one(
    example: SimpleNamespace, warehouse: Warehouse, tmp_path: Path
) -> None:
    async with await example.open_queue(warehouse.url, tmp_path / "queue") as queue:
        order = await queue.enqueue("order", ORDER)
        status = await queue.sync()
        lane = status["lanes"]["warehouse"]
        assert (lane["connection"], lane["waiting"]) == ("unreachable", 1)
        assert await state(queue, order) == "pending"  # no byte left, so it cannot have arrived
    warehouse.opened()
    async with await example.open_queue(warehouse.url, tmp_path / "queue") as queue:
        status = await queue.sync()
        assert status["lanes"]["warehouse"]["connection"] == "online"
        detail = await queue.detail(order.id)
        assert (detail["state"], detail["remote_id"]) == ("completed", "1")
    assert warehouse.orders == [(order.send_id, 1, ORDER)]
    assert warehouse.tokens == {"Bearer the warehouse's own token"}


@pytest.mark.parametrize("keeps_keys", [True, False])
async def test_an_answer_that_is_lost_doubles_nothing_where_keys_are_kept(
    example: SimpleNamespace, warehouse: Warehouse, keeps_keys: bool
) -> None:
    """The other server is why the declaration must be true: nothing here could make up for it."""
    warehouse.opened()
    warehouse.lose, warehouse.keeps_keys = 1, keeps_keys
    async with await example.open_queue(warehouse.url) as queue:
        order = await queue.enqueue("order", ORDER)
        await arrived(queue, order)
    assert warehouse.posts == [order.send_id] * 2
    assert len(warehouse.orders) == (1 if keeps_keys else 2)


@pytest.mark.parametrize("taken", [True, False])
async def test_after_the_window_it_is_asked_instead(
    example: SimpleNamespace, warehouse: Warehouse, taken: bool
) -> None:
    """The keys are forgotten: sent again unasked, it would be doubled."""
    warehouse.opened()
    warehouse.lose, warehouse.keeps_keys, warehouse.takes_lost = 1, False, taken
    over: Declaration = replace(example.KEPT_FOR_A_DAY, replay_window_ms=0, lookup=Lookup())
    made = example.Warehouse("warehouse", over, url=warehouse.url)
    lane = fieldpost.Lane(made, kinds=frozenset({"order"}))
    async with await fieldpost.open(None, lanes=[lane], kinds=[example.ORDER]) as queue:
        order = await queue.enqueue("order", ORDER)
        await arrived(queue, order)
    assert warehouse.asked[-1] == order.send_id
    assert warehouse.posts == [order.send_id] * (1 if taken else 2)
    assert len(warehouse.orders) == 1


async def test_a_sign_in_page_is_not_a_delivery(
    example: SimpleNamespace, warehouse: Warehouse
) -> None:
    warehouse.opened()
    warehouse.page = b"<h1>Welcome to the hotel</h1>"
    async with await example.open_queue(warehouse.url) as queue:
        order = await queue.enqueue("order", ORDER)
        status = await queue.sync()
        assert status["lanes"]["warehouse"]["connection"] == "sign_in_page"
        warehouse.page = b""
        await arrived(queue, order)
    assert len(warehouse.orders) == 1


@pytest.mark.parametrize(
    ("kind", "payload", "options", "wrong"),
    [
        ("ticket", {"summary": "Pump 3"}, {}, {"kind": "goes by none of the lanes"}),
        ("order", ORDER, {"lane": "archive"}, {"lane": "must be one of warehouse"}),
        ("ticket", {"summary": "x"}, {"lane": "warehouse"}, {"kind": "is not taken by warehouse"}),
        (
            "order",
            ORDER,
            {
                "attachments": [
                    {"id": "00000000-0000-7000-8000-000000000000", "size": 1, "parts": 1}
                ]
            },
            {"attachments": "cannot be sent to warehouse"},
        ),
        ("order", {"article": "Pump 3", "pieces": 0}, {}, {"pieces": "must be at least 1"}),
    ],
)
async def test_what_the_guide_says_is_refused_is_refused(
    example: SimpleNamespace,
    kind: str,
    payload: dict[str, Any],
    options: dict[str, Any],
    wrong: dict[str, str],
) -> None:
    async with await example.open_queue("http://127.0.0.1:1/") as queue:
        with pytest.raises(InvalidItem) as refused:
            await queue.enqueue(kind, payload, **options)
        assert refused.value.fields == wrong
        assert (await queue.status())["waiting"] == 0


async def test_a_pause_of_one_lane_is_no_pause_of_the_queue(
    example: SimpleNamespace, warehouse: Warehouse
) -> None:
    warehouse.opened()
    lanes = [
        fieldpost.Lane(example.Warehouse(name, url=warehouse.url), kinds=kinds)
        for name, kinds in (("warehouse", frozenset({"order"})), ("spare", frozenset()))
    ]
    async with await fieldpost.open(None, lanes=lanes, kinds=[example.ORDER]) as queue:
        await queue.pause("stocktaking", lane="warehouse")
        paused = await queue.enqueue("order", ORDER)
        other = await queue.enqueue("order", ORDER | {"pieces": 3}, lane="spare")
        status = await queue.sync()
        assert (await state(queue, paused), await state(queue, other)) == ("pending", "completed")
        assert status["paused"] is None
        assert status["lanes"]["warehouse"]["paused"] == "stocktaking"
        assert status["lanes"]["spare"]["paused"] is None
        assert {turn["lane"] for turn in await queue.history()} == {"spare"}
        await queue.pause("by hand")
        assert (await queue.status())["paused"] == "by hand"
        await queue.resume()
        await queue.sync()
        assert await state(queue, paused) == "completed"

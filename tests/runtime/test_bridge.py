"""The one function a page calls."""

from __future__ import annotations

import json
from typing import Any

from tests.runtime.worlds import World

from fieldpost.runtime.bridge import Bridge


async def call(bridge: Bridge, method: str, **args: Any) -> Any:
    return json.loads(await bridge.call(method, json.dumps(args)))


async def test_what_a_screen_needs_comes_as_json() -> None:
    world = World()
    bridge = Bridge(world.queue, world.link.set)
    await call(bridge, "link", online=False)
    made = (await call(bridge, "enqueue", kind="ticket", payload={"summary": "x"}))["ok"]
    rows = (await call(bridge, "list", view="waiting"))["ok"]["rows"]
    assert [row["id"] for row in rows] == [made["id"]]
    assert (await call(bridge, "status"))["ok"]["connection"] == "offline"
    cancelled = (await call(bridge, "cancel", id=made["id"], reason="by hand"))["ok"]
    assert cancelled["state"] == "cancelled"
    assert cancelled["can"] == ["restore"]
    restored = (await call(bridge, "restore", id=made["id"], reason="by hand"))["ok"]
    assert restored["state"] == "pending"
    assert [entry["text"] for entry in restored["history"]] == ["by hand", "by hand"]
    assert (await call(bridge, "ping"))["ok"]["beat"] == 1


async def test_errors_cross_with_code_sentence_and_advice() -> None:
    world = World()
    bridge = Bridge(world.queue, world.link.set)
    error = (await call(bridge, "detail", id="nothing"))["error"]
    assert error["code"] == "QUEUE_ITEM_NOT_FOUND"
    assert error["todo"]
    assert (await call(bridge, "no such method"))["error"]["code"] == "QUEUE_INVALID_ITEM"
    refused = await call(bridge, "enqueue", kind="ticket", payload={})
    assert refused["error"]["fields"] == {"summary": "is required"}

"""Killed at every await of the whole trip: nothing lost, nothing doubled, and the books balance."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime.worlds import DEVICE, World

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.errors import QueueError
from fieldpost.engine.transitions import State
from fieldpost.ports import Capture
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.testing.crashing import Crash, Crasher
from fieldpost.testing.fakes import Fault, lose_answer


def crashing_queue(world: World, crasher: Crasher) -> Queue:
    store = crasher.wrap(world.store)
    host = Host(
        store, crasher.wrap(world.gateway), world.clock, world.entropy, world.link, world.tabs
    )
    return Queue(host, GatewayDestination("https://post.example/", DEVICE), owner="doomed")


async def capture(world: World, summary: str, attachments: list[object] | None = None) -> str:
    """What the page does at Save: durable before "Saved" is shown, without the engine."""
    item_id = world.entropy.uuid7(world.clock.now())
    data = {"kind": "ticket", "payload": {"summary": summary}, "attachments": attachments or []}
    await world.store.capture(Capture(item_id, world.clock.now(), json.dumps(data).encode()))
    return item_id


async def trip(world: World, crasher: Crasher) -> set[str]:
    """Captures, an attachment, a call of the API, three syncs; returns the ids known to be
    saved."""
    saved = {
        await capture(world, "first"),
        await capture(world, "second", [await world.attach(parts=2)]),
    }
    queue = crashing_queue(world, crasher)
    try:
        item = await queue.enqueue("ticket", {"summary": "third"})
        saved.add(item.id)
        for _ in range(3):
            await queue.sync()
            world.clock.advance(10 * 60_000)
    except (Crash, QueueError):
        assert crasher.dead
    return saved


async def check_books(world: World, saved: set[str]) -> None:
    """After any crash: everything saved arrived once, and counters, rows and journal agree."""
    await world.settle()
    assert sorted(world.gateway.inbox) == sorted(set(world.gateway.inbox)), "doubled"
    assert saved <= set(world.gateway.inbox), "lost"
    status = await world.queue.status()
    assert status["counts"]["completed"] == len(world.gateway.inbox)
    assert status["waiting"] == 0
    verified = await world.queue.verify()
    assert verified["ok"], verified["problems"]


async def dry_run(faults: list[Fault]) -> Crasher:
    crasher, world = Crasher(), World()
    world.gateway.faults = list(faults)
    await trip(world, crasher)
    return crasher


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("faults", [[], [lose_answer]], ids=["clean", "lost-answer"])
async def test_a_crash_at_every_await_loses_and_doubles_nothing(
    after: bool, faults: list[Fault]
) -> None:
    calls = (await dry_run(faults)).calls
    assert calls > 30, "the trip no longer passes through what it is meant to test"
    for at in range(1, calls + 1):
        world, crasher = World(), Crasher(at, after=after)
        world.gateway.faults = list(faults)
        saved = await trip(world, crasher)
        assert crasher.dead, f"call {at} was never reached"
        world.restart()
        await check_books(world, saved)


async def test_crashing_twice_in_a_row_is_no_worse() -> None:
    calls = (await dry_run([])).calls
    for at in range(1, calls + 1, 3):
        world = World()
        saved = await trip(world, Crasher(at))
        world.restart()
        second = Crasher(max(1, calls - at), after=True)
        queue = crashing_queue(world, second)
        try:
            for _ in range(3):
                await queue.sync()
        except (Crash, QueueError):
            assert second.dead
        world.restart()
        await check_books(world, saved)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=st.lists(
        st.sampled_from(
            [
                "enqueue",
                "capture",
                "sync",
                "offline",
                "online",
                "crash",
                "lose",
                "jump",
                "cancel",
                "second tab",
            ]
        ),
        min_size=1,
        max_size=25,
    ),
    crash_at=st.integers(1, 40),
    after=st.booleans(),
)
def test_any_history_conserves_every_item(script: list[str], crash_at: int, after: bool) -> None:
    asyncio.run(_history(script, crash_at, after))


async def _history(script: list[str], crash_at: int, after: bool) -> None:
    world, saved, cancelled = World(), set(), set()
    for act in script:
        match act:
            case "enqueue":
                saved.add((await world.queue.enqueue("ticket", {"summary": "x"})).id)
            case "capture":
                saved.add(await capture(world, "y"))
            case "sync":
                await world.queue.sync()
            case "offline" | "online":
                world.link.set(act == "online")
            case "lose":
                world.gateway.faults.append(lose_answer)
            case "jump":
                world.clock.jump(-3_600_000)
            case "second tab":
                await world.open("second").sync()
            case "cancel":
                page = await world.store.page([State.PENDING], limit=1)
                for stored in page.rows:
                    cancelled.add((await world.queue.cancel(stored.item.id)).id)
            case "crash":
                crasher = Crasher(crash_at, after=after)
                try:
                    await crashing_queue(world, crasher).sync()
                except (Crash, QueueError):
                    assert crasher.dead
                world.restart()
    world.link.set(True)
    world.gateway.faults.clear()
    await check_books(world, saved - cancelled)
    assert not cancelled & set(world.gateway.inbox)

"""The end of a world: the faults stop, everything gets to its end, and it was the right one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fieldpost.engine.transitions import State

from .network import FAULTS, Weather
from .people import act, revive_failed, sign_in
from .world import World

#: Virtual seconds after the faults end within which everything gets to its end.
CALM_S = 3 * 3600.0
_LOOK_EVERY_S = 10.0
#: After so much calm the dates that people set come: the clock jumps on to them.
_DATES_S = 3600.0
#: The contexts' clocks drift.
_SLACK_MS = 10_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """``counts``: kind of event -> how often; ``steps``: callbacks run; ``virtual_s``: how long it
    took in the world; ``checks``: places where the invariants were looked at."""

    seed: int
    hash: str
    steps: int
    events: int
    commits: int
    checks: int
    items: int
    virtual_s: float
    counts: Counter[str]


def run_world(world: World, story: Callable[[World], Coroutine[Any, Any, None]]) -> Outcome:
    """Tell ``story``, end all faults, and see that everything got to its right end."""

    async def whole() -> None:
        await story(world)
        await calm(world)

    loop = world.loop
    try:
        loop.run_until_complete(loop.spawn(None, whole()))
        world.look_for_errors()
        if loop.failure is not None:
            raise loop.failure
    finally:
        outcome = _outcome(world)
        loop.end()
    return outcome


async def calm(world: World) -> None:
    """All faults end: nobody breaks anything any more, and a person tidies up."""
    world.say(None, "faults end")
    end_faults(world)
    await asyncio.sleep(1)
    tab = world.awake() or await world.open()
    sign_in(world, tab)
    for each in world.tabs:
        act(world, each, "resume", each.queue.resume)
    await asyncio.sleep(1)
    until = world.loop.time() + CALM_S
    while not settled(world):
        world.look_for_errors()
        if world.loop.time() > until:
            world.violated("liveness", _left(world))
        tab = world.awake() or await world.open()
        if not world.network.under_way:
            revive_failed(world, tab)
        world.gateway.deliver_later(world.gateway_clock())
        if world.loop.time() > until - CALM_S + _DATES_S:
            _let_dates_come(world)
        await asyncio.sleep(_LOOK_EVERY_S)
    await asyncio.sleep(1)
    verdict(world)
    problems = (await (world.awake() or await world.open()).queue.verify())["problems"]
    if problems:
        world.violated("journal", problems[0])


def end_faults(world: World) -> None:
    world.loop.forget_steps()
    weather = world.network.weather
    weather.chance, weather.portal, weather.kinds = 0.0, False, FAULTS
    weather.latency = Weather().latency
    world.set_online(True)
    moods = world.disk.moods
    moods.failing, moods.fail_at, moods.full, moods.slow = 0.0, 0, False, 0.0
    for process in world.network.processes:
        world.network.restart(process)
    for tab in world.tabs:
        world.thaw(tab)


def settled(world: World) -> bool:
    """Nothing waits, and nobody's fault is left among the dead letters."""
    state, expected = world.disk.state, world.expected
    if state.inbox or world.network.under_way:
        return False
    for id_, row in state.rows.items():
        # What is never done over there may be unknown for ever, and is asked about for ever.
        endless = id_ in expected.poison and row.item.state is State.UNKNOWN
        if row.item.is_open and not endless:
            return False
    special = expected.poison | expected.refused | expected.broken
    return not any(
        row.item.state is State.FAILED and id_ not in special for id_, row in state.rows.items()
    )


def _let_dates_come(world: World) -> None:
    """Waiting for a person's own date is right, however far a jump of the clock has put it."""
    rows = (row.item for row in world.disk.state.rows.values())
    clock = world.gateway_clock() + world.offset_ms
    dates = [i.not_before for i in rows if i.is_open and (i.not_before or 0) > clock - _SLACK_MS]
    if dates:
        world.jump(max(d or 0 for d in dates) - clock + 2 * _SLACK_MS)


def verdict(world: World) -> None:
    """Each item ended as it had to."""
    expected, gateway = world.expected, world.gateway
    for id_, row in world.disk.state.rows.items():
        state, count, name = row.item.state, gateway.effects[id_], f"…{id_[-4:]}"
        right = {State.COMPLETED}
        if id_ in expected.poison | expected.refused:
            right = {State.FAILED}
        if id_ in expected.poison:
            right |= {State.UNKNOWN, State.IN_PROGRESS}  # tried for ever: perhaps just now
        if id_ in expected.broken:
            right.add(State.FAILED)
        if id_ in expected.by_hand:
            right |= {State.CANCELLED, State.DISCARDED}
        if state not in right:
            world.violated("verdict", f"{name} ended {state}")
        if state is State.COMPLETED and count != 1:
            world.violated("verdict", f"{name} is sent and took effect {count} times")
        if state is State.CANCELLED and count and not row.item.attempt:
            world.violated("verdict", f"{name} was cancelled before it was sent, and arrived")
    for id_ in world.monitor.saved - world.disk.state.rows.keys():
        world.violated("conservation", f"…{id_[-4:]} is gone")


def _left(world: World) -> str:
    rows = [row.item for row in world.disk.state.rows.values()]
    left = [f"…{i.id[-4:]} {i.state}" for i in rows if i.is_open or i.state is State.FAILED]
    inbox = [f"…{id_[-4:]} in the inbox" for id_ in world.disk.state.inbox]
    return f"after {CALM_S / 3600:.0f} h of calm: " + ", ".join((left + inbox)[:8])


def _outcome(world: World) -> Outcome:
    return Outcome(
        seed=world.seed,
        hash=world.trace.hash,
        steps=world.loop.steps,
        events=world.trace.events,
        commits=world.disk.commits,
        checks=world.monitor.checks,
        items=len(world.disk.state.rows),
        virtual_s=world.loop.time(),
        counts=world.trace.counts,
    )

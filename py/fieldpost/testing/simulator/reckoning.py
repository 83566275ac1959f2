"""The end of a world: the faults stop, everything gets to its end, and it was the right one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from fieldpost.engine.model import Item
from fieldpost.engine.transitions import State

from .lanes import reset_breakers, trial
from .network import FAULTS, Weather
from .order import OUT
from .people import act, give_up_hopeless, holding_for_nothing, revive_failed, sign_in
from .world import Tab, World

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
    # In one tab: the others hear of it.
    act(world, tab, "resume", tab.queue.resume)
    if world.config.related:
        act(world, tab, "tidy up", lambda: _no_window(tab))
    if world.config.lanes:
        reset_breakers(world, tab)
    await asyncio.sleep(1)
    if world.config.lanes:
        await trial(world)
    until = world.loop.time() + CALM_S
    gives_up = world.rng.random() < 0.7
    while not settled(world) or (gives_up and holding_for_nothing(world)):
        world.look_for_errors()
        if world.loop.time() > until:
            world.violated("liveness", _left(world))
        tab = world.awake() or await world.open()
        if not world.network.under_way:
            revive_failed(world, tab)
            if gives_up:
                give_up_hopeless(world, tab)
        world.deliver_later()
        if world.loop.time() > until - CALM_S + _DATES_S:
            _let_dates_come(world)
        await asyncio.sleep(_LOOK_EVERY_S)
    await asyncio.sleep(1)
    verdict(world)
    problems = (await (world.awake() or await world.open()).queue.verify())["problems"]
    if problems:
        world.violated("journal", problems[0])


async def _no_window(tab: Tab) -> None:
    """Settings go back to "always"."""
    await tab.queue.configure(maintenance=[])


def end_faults(world: World) -> None:
    world.loop.forget_steps()
    weather = world.network.weather
    weather.chance, weather.portal, weather.kinds = 0.0, False, FAULTS
    weather.latency = Weather().latency
    world.set_online(True)
    moods = world.disk.moods
    moods.failing, moods.fail_at, moods.full, moods.slow = 0.0, 0, False, 0.0
    world.network.troubles.clear()
    for process in world.network.all_processes():
        world.network.restart(process)
    for tab in world.tabs:
        world.thaw(tab)


def settled(world: World) -> bool:
    """Nothing waits but for what only a person can decide, and nobody's fault is left among the
    dead letters."""
    state = world.disk.state
    if state.inbox or world.network.under_way:
        return False
    stays = Stays(world)
    return all(
        row.item.state is State.COMPLETED or stays.so(row.item) for row in state.rows.values()
    )


class Stays:
    """Which rows stay as they are until a person decides: what was given up or is taken nowhere,
    and what waits for such a one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, bool] = {}

    def so(self, item: Item) -> bool:
        found = self._known.get(item.id)
        if found is None:
            found = self._known[item.id] = self._find(item)
        return found

    def _find(self, item: Item) -> bool:
        world = self._world
        if item.state in OUT:
            return True
        if item.state is State.BLOCKED:
            return any(map(self.so, self._holders(item)))
        if item.state is State.FAILED:
            return world.hopeless(item.id)
        # What is never done over there may be unknown for ever, and is asked about for ever.
        return item.state is State.UNKNOWN and item.id in world.expected.poison

    def _holders(self, item: Item) -> Iterator[Item]:
        """A circle of them would wait for itself and be nobody's decision: not so, at first."""
        self._known[item.id] = False
        rows = self._world.disk.state.rows
        return (rows[id_].item for id_ in self._world.monitor.order.holders(item) if id_ in rows)


def _let_dates_come(world: World) -> None:
    """Waiting for a person's own date is right, however far a jump of the clock has put it."""
    rows = (row.item for row in world.disk.state.rows.values())
    clock = world.gateway_clock() + world.offset_ms
    dates = [i.not_before for i in rows if i.is_open and (i.not_before or 0) > clock - _SLACK_MS]
    if dates:
        world.jump(max(d or 0 for d in dates) - clock + 2 * _SLACK_MS)


def verdict(world: World) -> None:
    """Each item ended as it had to."""
    stays = Stays(world)
    for id_, row in world.disk.state.rows.items():
        item, count, name = row.item, world.effects(id_), f"…{id_[-4:]}"
        state = item.state
        if state not in _right(world, item) and not (state is State.BLOCKED and stays.so(item)):
            world.violated("verdict", f"{name} ended {state}")
        if state is State.COMPLETED and count != 1:
            world.violated("verdict", f"{name} is sent and took effect {count} times")
        if state in (State.CANCELLED, State.EXPIRED) and count and not item.attempt:
            world.violated("verdict", f"{name} was {state} before it was sent, and arrived")
    for id_ in world.monitor.saved - world.disk.state.rows.keys():
        world.violated("conservation", f"…{id_[-4:]} is gone")


def _right(world: World, item: Item) -> set[State]:
    """The ends that are right for it."""
    id_, expected = item.id, world.expected
    unwelcome = id_ in expected.poison | expected.refused
    right = {State.FAILED} if unwelcome else {State.COMPLETED}
    if id_ in expected.mended:
        right.add(State.COMPLETED)
    if id_ in expected.poison:
        right |= {State.UNKNOWN, State.IN_PROGRESS}  # tried for ever: perhaps just now
    if world.hopeless(id_):
        right.add(State.FAILED)
    if id_ in expected.by_hand:
        right |= {State.CANCELLED, State.DISCARDED}
    if id_ in world.monitor.order.went_along:
        right.add(State.CANCELLED)
    if expected.wishes[id_].expires_at is not None:
        right.add(State.EXPIRED)
    return right


def _left(world: World) -> str:
    rows = [row.item for row in world.disk.state.rows.values()]
    stays = Stays(world)
    waits = [i for i in rows if i.state is not State.COMPLETED and not stays.so(i)]
    left = [f"…{i.id[-4:]} {i.state}" for i in waits]
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

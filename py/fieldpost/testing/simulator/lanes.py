"""What happens in worlds with several destinations: one is away while the others are well, lanes
are paused and held by hand; and the trial of the bulkheads between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fieldpost.engine.transitions import State
from fieldpost.runtime.lane import ACTIONS as WORDS

from .network import TROUBLES
from .people import act, capture, enqueue, new_id, sign_in
from .sites import ARCHIVE, ARCHIVED, HOME
from .world import Tab, World

#: Seconds within which an item arrives while another destination is in trouble.
BULKHEAD_S = 45.0
_LOOK_EVERY_S = 1.0
_HERE = (State.COMPLETED, State.HANDED_OVER)
#: How a person stops a lane.
_STOPPED = ("paused", "held")


def begin_trouble(world: World) -> None:
    """One destination is not as it should be, for some time."""
    host = world.sites[_lane(world)].host
    troubles = world.network.troubles

    def ends() -> None:
        if troubles.pop(host, ""):
            world.say(None, "trouble ends", host)

    if host not in troubles:
        troubles[host] = TROUBLES[int(world.rng.random() * len(TROUBLES))]
        world.say(None, f"trouble: {troubles[host]}", host)
        world.loop.outside(5 + world.rng.random() * 120, ends)


def save_many(world: World, tab: Tab) -> None:
    """So many that one lane has several requests to send at once."""
    kind = ARCHIVED if world.rng.random() < 0.5 else "ticket"
    for _ in range(3 + int(world.rng.random() * 4)):
        parts = int(world.rng.random() < 0.2) * 2
        act(world, tab, "save many", lambda p=parts: enqueue(world, tab, parts=p, kind=kind))  # type: ignore[misc]


def pause_lane(world: World, tab: Tab) -> None:
    lane = _lane(world)
    act(world, tab, "pause lane", lambda: tab.queue.pause("by hand", lane))


def resume_lane(world: World, tab: Tab) -> None:
    lane = _lane(world)
    act(world, tab, "resume lane", lambda: tab.queue.resume(lane))


def word_on_breaker(world: World, tab: Tab) -> None:
    lane, word = _lane(world), WORDS[int(world.rng.random() * len(WORDS))]
    act(world, tab, f"breaker {word}", lambda: tab.queue.breaker(word, lane))


def reset_breakers(world: World, tab: Tab) -> None:
    """What a person held back goes again."""
    for lane in world.sites:
        act(world, tab, "breaker reset", lambda name=lane: tab.queue.breaker("reset", name))  # type: ignore[misc]


async def trial(world: World) -> None:
    """One destination is in trouble, or its lane stopped by hand, and has work to do; what is saved
    for the other one arrives in time. Everything else is well."""
    ill, well = (HOME, ARCHIVE) if world.rng.random() < 0.5 else (ARCHIVE, HOME)
    tab, trouble = await _tab(world), _one_of(world, (*TROUBLES, *_STOPPED))
    world.say(None, f"trial: {trouble}", ill)
    for each in world.tabs:  # one that did not hear of it stops the lane for a minute
        sign_in(world, each)
    if trouble == "paused":
        act(world, tab, "pause lane", lambda: tab.queue.pause("trial", ill))
    elif trouble == "held":
        act(world, tab, "breaker force_open", lambda: tab.queue.breaker("force_open", ill))
    else:
        world.network.troubles[world.sites[ill].host] = trouble
    for n in range(4):
        act(world, tab, "save", lambda p=n // 3: enqueue(world, tab, parts=p, lane=ill))  # type: ignore[misc]
    for _ in range(2):
        await _arrives_in_time(world, well)
    world.network.troubles.clear()
    tab = await _tab(world)
    act(world, tab, "resume", tab.queue.resume)
    reset_breakers(world, tab)


async def _arrives_in_time(world: World, lane: str) -> None:
    tab = await _tab(world)
    item_id, began = new_id(tab), world.loop.time()
    more: dict[str, Any] = {"kind": ARCHIVED} if lane == ARCHIVE else {}
    save = capture if world.rng.random() < 0.5 else enqueue
    act(world, tab, "save on trial", lambda: save(world, tab, id=item_id, **more))
    while not _here(world, item_id):
        await asyncio.sleep(_LOOK_EVERY_S)
        waits = world.loop.time() - began
        if waits > BULKHEAD_S:
            text = f"…{item_id[-4:]} waits {waits:.0f} s for {lane} while the other is in trouble"
            world.violated("bulkhead", text)
    world.say(None, "arrived on trial", f"…{item_id[-4:]} {world.loop.time() - began:.0f} s")


def _here(world: World, item_id: str) -> bool:
    row = world.disk.state.rows.get(item_id)
    return row is not None and row.item.state in _HERE


async def _tab(world: World) -> Tab:
    return world.awake() or await world.open()


def _lane(world: World) -> str:
    return _one_of(world, tuple(world.sites))


def _one_of(world: World, words: tuple[str, ...]) -> str:
    return words[int(world.rng.random() * len(words))]


#: Name -> (weight, what is done in a tab). Actions of the worlds with several lanes.
LANES: dict[str, tuple[float, Callable[[World, Tab], None]]] = {
    "save many": (2, save_many),
    "pause lane": (2, pause_lane),
    "resume lane": (3, resume_lane),
    "breaker": (3, word_on_breaker),
}

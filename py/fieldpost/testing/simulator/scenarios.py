"""Stories for a world: chaos from a seed, and five that can be watched (REQUIREMENTS U90).

Each ends with asserts of its own; after it the faults end and the reckoning follows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from fieldpost.engine.limits import BATCH_ITEMS_MAX
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State

from .actions import ACTIONS, change_weather
from .gateway import TOKEN, Backend, ModelGateway
from .meddling import meddle
from .people import act, capture, counters, enqueue
from .reckoning import Outcome, run_world
from .world import Config, World

Story = Callable[[World], Coroutine[Any, Any, None]]

#: Share of the seeds whose people save items that have to do with one another.
RELATED_SHARE = 0.33
#: Share of those with a second destination, and of the others that still send several at once.
LANES_SHARE, WIDE_SHARE = 0.31, 0.1
_BATCHES = (1, 2, 5, BATCH_ITEMS_MAX)
_POLICIES = ("itsm", "itsm", "api", "interactive", "browser")


async def chaos(world: World) -> None:
    """Actions drawn by weight, at moments of their own."""
    rng = world.rng
    names = [name for name, action in ACTIONS.items() if action.fits(world.config)]
    weights = [ACTIONS[name].weight for name in names]
    for _ in range(world.config.tabs):
        await world.open()
    if rng.random() < 0.7:
        change_weather(world)
    for _ in range(20 + int(rng.random() * 50)):
        if not world.tabs and rng.random() < 0.5:
            await world.open()
        (name,) = rng.choices(names, weights)
        await ACTIONS[name].do(world)
        if rng.random() < 0.6:
            await asyncio.sleep(rng.expovariate(1 / 12.0))
        world.look_for_errors()


def chaos_config(seed: int) -> Config:
    """What kind of world a seed has."""
    return Config(
        tabs=1 + seed % 3,
        gateways=1 + seed // 3 % 2,
        policy=PRESETS[_POLICIES[seed % len(_POLICIES)]],
        steal_after_ms=30_000 if seed % 4 else 12_000,
        later=seed % 5 == 4,
        token=TOKEN if seed % 7 == 3 else None,
        related=random.Random(f"related {seed}").random() < RELATED_SHARE,  # noqa: S311 - a draw
        **_lanes(random.Random(f"sites {seed}")),  # noqa: S311 - a draw
    )


def _lanes(rng: random.Random) -> dict[str, Any]:
    """Of `Config`: destinations, and how many requests may be under way."""
    lanes = rng.random() < LANES_SHARE
    if not lanes and rng.random() >= WIDE_SHARE:
        return {}
    wide = rng.randint(1, 4), rng.randint(1, 4)
    batch = rng.choice(_BATCHES)
    return {"lanes": lanes, "wide": wide, "requests": rng.randint(2, 8), "batch": batch}


async def normal(world: World) -> None:
    """A day without trouble: two tabs, tickets with and without files, all delivered at once."""
    first, second = await world.open(), await world.open()
    for n in range(6):
        tab = first if n % 2 else second
        act(world, tab, "capture", lambda t=tab, p=n % 3: capture(world, t, parts=p))  # type: ignore[misc]
        await asyncio.sleep(20)
    act(world, first, "enqueue", lambda: enqueue(world, first))
    await asyncio.sleep(120)
    _expect(world, counters(world)["state:completed"] == 7, "everything is sent")
    sent = [row.item for row in world.disk.state.rows.values()]
    _expect(world, all(item.attempts == 0 for item in sent), "no try was burnt")


async def error_recovery(world: World) -> None:
    """Lost answers, errors, a killed gateway and a killed tab, one after the other."""
    tab = await world.open()
    weather = world.network.weather
    for fault in ("lose answer", "error 500 after", "wrong ids", "gateway killed after"):
        weather.chance, weather.kinds = 1.0, (fault,)
        act(world, tab, "capture", lambda: capture(world, tab, parts=1))
        await asyncio.sleep(15)
    _expect(world, counters(world)["state:completed"] == 0, "nothing is called sent unproved")
    world.kill(tab)
    weather.chance = 0.0
    await world.open()
    await asyncio.sleep(600)
    _expect(world, counters(world)["state:completed"] == 4, "all of it recovered")


async def offline(world: World) -> None:
    """An hour without a network: capture goes on, the tab is closed and opened, then all of it
    goes out by itself."""
    tab = await world.open()
    world.set_online(False)
    for _ in range(5):
        act(world, tab, "capture", lambda: capture(world, tab, parts=1))
        await asyncio.sleep(300)
    _expect(world, not world.gateway.effects, "nothing can have arrived")
    world.kill(tab)
    again = await world.open()
    act(world, again, "enqueue", lambda: enqueue(world, again))
    await asyncio.sleep(1_800)
    _expect(world, counters(world)["open"] == 6, "all of it waits")
    sent = [row.item for row in world.disk.state.rows.values()]
    _expect(world, all(item.attempts == 0 for item in sent), "being offline burns no try")
    world.set_online(True)
    await asyncio.sleep(30)
    _expect(world, counters(world)["state:completed"] == 6, "it goes out as soon as it can")


async def load(world: World) -> None:
    """Three hundred items at once from three tabs, over a slow line, in batches."""
    tabs = [await world.open() for _ in range(3)]
    world.network.weather.latency = 0.5
    for tab in tabs:

        async def many(t: Any = tab) -> None:
            for _ in range(100):
                await enqueue(world, t)

        act(world, tab, "a hundred items", many)
    await asyncio.sleep(300)
    _expect(world, counters(world)["state:completed"] == 300, "all of it is sent")
    requests = world.trace.counts["answered"]
    _expect(world, requests < 100, f"in batches, not one by one ({requests} requests)")


async def degradation(world: World) -> None:
    """It gets worse and worse: slow, limited, failing, a portal, gone; and the queue holds."""
    tab = await world.open()
    weather = world.network.weather
    steps: tuple[tuple[float, tuple[str, ...]], ...] = (
        (0.3, ("delay", "reorder", "double")),
        (0.5, ("limited 429", "busy 503")),
        (0.8, ("error 500 before", "bad gateway 502", "lose request")),
        (1.0, ("portal page", "redirect")),
        (1.0, ("lose request",)),
    )
    for chance, kinds in steps:
        weather.chance, weather.kinds = chance, kinds
        world.say(None, "worse", ", ".join(kinds))
        for _ in range(3):
            act(world, tab, "capture", lambda: capture(world, tab))
        await asyncio.sleep(90)
    rows = [row.item for row in world.disk.state.rows.values()]
    _expect(world, len(rows) == 15, "all of it was saved")
    _expect(world, all(item.state is not State.FAILED for item in rows), "nothing was given up")
    late = counters(world)["open"]
    _expect(world, late >= 3, "what could not be sent waits")
    weather.chance = 0.0
    await asyncio.sleep(900)
    _expect(world, counters(world)["state:completed"] == 15, "all of it arrived")


def _expect(world: World, holds: bool, text: str) -> None:
    world.say(None, "so" if holds else "NOT SO", text)
    if not holds:
        world.violated("scenario", f"not so: {text}")


#: Name -> (story, the world it is told in, from the seed).
SCENARIOS: dict[str, tuple[Story, Callable[[int], Config]]] = {
    "chaos": (chaos, chaos_config),
    "normal": (normal, lambda _: Config(tabs=2)),
    "error-recovery": (error_recovery, lambda _: Config(tabs=1)),
    "offline": (offline, lambda _: Config(tabs=1)),
    "load": (load, lambda _: Config(tabs=3, gateways=2)),
    "degradation": (degradation, lambda _: Config(tabs=1)),
}


def run(
    seed: int,
    scenario: str = "chaos",
    *,
    gateway: Callable[[], Backend] = ModelGateway,
    watch: Callable[[str], None] | None = None,
) -> Outcome:
    """Run one world to its end. Raises `Violation`."""
    story, config = SCENARIOS[scenario]
    world = World(seed, config(seed), scenario=scenario, gateway=gateway, watch=watch)
    if scenario == "chaos":
        meddle(world, seed)
    return run_world(world, story)

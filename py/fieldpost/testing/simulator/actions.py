"""What happens in the chaos of a world: a table of actions, drawn by weight.

Add one with an entry in `ACTIONS`; it gets the world and may open, kill, freeze, save, break.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .families import FAMILIES
from .gateway import POISON, REFUSED
from .lanes import LANES, begin_trouble
from .network import FAULTS
from .people import act, capture, enqueue, lose_blob, new_id, person, sign_in, way
from .world import Config, Tab, World

_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Action:
    """``weight``: how often, against the others; ``related``, ``lanes``: only where items have to
    do with one another, or take several lanes (`Config`)."""

    weight: float
    do: Callable[[World], Awaitable[None]]
    related: bool = False
    lanes: bool = False

    def fits(self, config: Config) -> bool:
        return config.related >= self.related and config.lanes >= self.lanes


def _in_a_tab(do: Callable[[World, Tab], None]) -> Callable[[World], Awaitable[None]]:
    async def action(world: World) -> None:
        tab = world.awake()
        if tab is not None:
            do(world, tab)

    return action


def _simple(do: Callable[[World], None]) -> Callable[[World], Awaitable[None]]:
    async def action(world: World) -> None:
        do(world)

    return action


# --- people ---------------------------------------------------------------------------------------


def _capture(world: World, tab: Tab) -> None:
    act(world, tab, "capture", lambda: capture(world, tab, **way(world)))


def _capture_files(world: World, tab: Tab) -> None:
    parts = 1 + int(world.rng.random() * 3)
    more = way(world)
    act(world, tab, "capture files", lambda: capture(world, tab, parts=parts, **more))


def _enqueue(world: World, tab: Tab) -> None:
    chance = world.rng.random()
    nature = POISON if chance < 0.1 else REFUSED if chance < 0.16 else ""
    act(world, tab, "enqueue", lambda: enqueue(world, tab, nature=nature, **way(world)))


def _enqueue_twice(world: World, tab: Tab) -> None:
    """The same item by two callers at once: idempotent on its id."""
    item_id, other = new_id(tab), world.awake() or tab
    for each in (tab, other):
        act(world, each, "enqueue same", lambda t=each: enqueue(world, t, id=item_id))  # type: ignore[misc]


def _enqueue_later(world: World, tab: Tab) -> None:
    wait = int(world.rng.random() * 600_000)
    until = tab.clock.now() + wait
    act(world, tab, "enqueue later", lambda: enqueue(world, tab, not_before=until))


def _burst(world: World, tab: Tab) -> None:
    for _ in range(2 + int(world.rng.random() * 3)):
        act(world, tab, "enqueue", lambda: enqueue(world, tab, **way(world)))


def _person_twice(world: World, tab: Tab) -> None:
    """The same item in two tabs, or by two clicks: one of them comes too late."""
    names = ("cancel", "cancel", "restore", "retry")
    person(world, tab, names[int(world.rng.random() * 4)], beside=world.awake() or tab)


def _sync(world: World, tab: Tab) -> None:
    act(world, tab, "sync by hand", tab.queue.sync)


def _pause(world: World, tab: Tab) -> None:
    act(world, tab, "pause", tab.queue.pause)


def _resume(world: World, tab: Tab) -> None:
    act(world, tab, "resume", tab.queue.resume)


# --- contexts -------------------------------------------------------------------------------------


async def _open(world: World) -> None:
    if len(world.tabs) < 4:
        await world.open()


def _kill(world: World) -> None:
    """-9 at any await that the next moments hold."""
    if world.tabs:
        tab = world.tabs[int(world.rng.random() * len(world.tabs))]
        steps = int(world.rng.random() ** 2 * 200)
        world.loop.after_steps(steps, lambda: world.kill(tab))


async def _close(world: World) -> None:
    tab = world.awake()
    if tab is not None and len(world.tabs) > 1:
        world.tabs.remove(tab)
        act(world, tab, "closed", tab.queue.close)


def _freeze(world: World) -> None:
    """Rather the one that holds the lock; it wakes up late and goes on."""
    holders = world.locks.holders()
    leading = [t for t in world.tabs if t.place in holders]
    tab = leading[0] if leading and world.rng.random() < 0.8 else world.awake()
    if tab is not None:
        steps = int(world.rng.random() ** 2 * 100)
        world.loop.after_steps(steps, lambda: world.freeze(tab))
        world.loop.outside(5 + world.rng.random() * 120, world.thaw, tab)


async def _courier(world: World) -> None:
    """A sync event: the courier boots, drains once and sleeps, or is killed while it works."""
    tab = await world.open(courier=True, start=False)

    async def run() -> None:
        await tab.queue.sync()

    act(world, tab, "courier syncs", run)
    world.loop.outside(20 + world.rng.random() * 40, world.kill, tab)


def _power(world: World) -> None:
    world.power_loss()


# --- clocks, storage, network, gateway ------------------------------------------------------------


def _jump(world: World) -> None:
    """Far, or a little: what lies between would only make the run long (a retry that is due
    within a day waits for its time)."""
    far = world.rng.random() < 0.6
    days = 2 + world.rng.random() * 28
    size = int(days * _DAY_MS) if far else int(world.rng.random() * 120_000)
    world.jump(-size if world.rng.random() < 0.6 else size)


def _disk_fails_next(world: World) -> None:
    world.disk.moods.fail_at = 1 + int(world.rng.random() * 40)


def _disk_flaky(world: World) -> None:
    moods = world.disk.moods
    moods.failing = 0.0 if moods.failing else 0.1
    world.say(None, "storage flaky" if moods.failing else "storage steady")


def _disk_full(world: World) -> None:
    def ends() -> None:
        world.disk.moods.full = False
        world.say(None, "storage has room")

    if not world.disk.moods.full:
        world.disk.moods.full = True
        world.say(None, "storage fills up")
        world.loop.outside(2 + world.rng.random() * 60, ends)


def _disk_slow(world: World) -> None:
    world.disk.moods.slow = 0.0 if world.disk.moods.slow else 0.3


def _link(world: World) -> None:
    if world.network.weather.online:
        world.set_online(False)
        world.loop.outside(1 + world.rng.random() * 60, world.set_online, True)


def change_weather(world: World) -> None:
    """Some of the faults of the line, with some likelihood."""
    weather = world.network.weather
    weather.chance = (0.1, 0.2, 0.4, 0.7)[int(world.rng.random() * 4)]
    count = 1 + int(world.rng.random() * len(FAULTS))
    weather.kinds = tuple(world.rng.sample(FAULTS, count))
    weather.latency = (0.02, 0.2, 2.0)[int(world.rng.random() * 3)]
    world.say(None, "weather", f"{weather.chance} {weather.latency}")


def _portal(world: World) -> None:
    weather = world.network.weather

    def ends() -> None:
        weather.portal = False
        world.say(None, "portal gone")

    if not weather.portal:
        weather.portal = True
        world.say(None, "portal in the way")
        world.loop.outside(5 + world.rng.random() * 60, ends)


def _gateway_killed(world: World) -> None:
    processes = world.network.all_processes()
    world.network.kill(processes[int(world.rng.random() * len(processes))])


def _token(world: World) -> None:
    """The token expires; a person signs in again sometime."""
    world.gateway.token = f"token-{int(world.rng.random() * 1e9)}"
    world.say(None, "token expires")


def _deliver_later(world: World) -> None:
    world.deliver_later()


#: Name -> action. Others may be added before a world runs.
ACTIONS: dict[str, Action] = {
    "capture": Action(10, _in_a_tab(_capture)),
    "capture files": Action(6, _in_a_tab(_capture_files)),
    "enqueue": Action(8, _in_a_tab(_enqueue)),
    "enqueue twice": Action(2, _in_a_tab(_enqueue_twice)),
    "enqueue later": Action(2, _in_a_tab(_enqueue_later)),
    "burst": Action(2, _in_a_tab(_burst)),
    "cancel": Action(2, _in_a_tab(lambda w, t: person(w, t, "cancel"))),
    "retry": Action(2, _in_a_tab(lambda w, t: person(w, t, "retry"))),
    "discard": Action(1, _in_a_tab(lambda w, t: person(w, t, "discard"))),
    "restore": Action(2, _in_a_tab(lambda w, t: person(w, t, "restore"))),
    "person twice": Action(3, _in_a_tab(_person_twice)),
    "sync": Action(3, _in_a_tab(_sync)),
    "pause": Action(1, _in_a_tab(_pause)),
    "resume": Action(2, _in_a_tab(_resume)),
    "sign in": Action(2, _in_a_tab(sign_in)),
    "open": Action(3, _open),
    "kill": Action(7, _simple(_kill)),
    "close": Action(1, _close),
    "freeze": Action(4, _simple(_freeze)),
    "courier": Action(2, _courier),
    "power loss": Action(2, _simple(_power)),
    "clock jump": Action(3, _simple(_jump)),
    "storage fails": Action(3, _simple(_disk_fails_next)),
    "storage flaky": Action(1, _simple(_disk_flaky)),
    "storage full": Action(1, _simple(_disk_full)),
    "storage slow": Action(1, _simple(_disk_slow)),
    "blob lost": Action(0.7, _simple(lose_blob)),
    "link": Action(3, _simple(_link)),
    "weather": Action(5, _simple(change_weather)),
    "portal": Action(1.5, _simple(_portal)),
    "gateway killed": Action(3, _simple(_gateway_killed)),
    "token expires": Action(0.7, _simple(_token)),
    "deliver later": Action(2, _simple(_deliver_later)),
    **{name: Action(weight, _in_a_tab(do), True) for name, (weight, do) in FAMILIES.items()},
    "trouble": Action(5, _simple(begin_trouble), lanes=True),
    **{name: Action(weight, _in_a_tab(do), lanes=True) for name, (weight, do) in LANES.items()},
}

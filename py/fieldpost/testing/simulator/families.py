"""What people do in worlds whose items have to do with one another: lines of one entity, chains and
fans of parents and children, dates, settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldpost.engine.scheduling import STRATEGIES
from fieldpost.engine.transitions import OPEN_STATES, State

from .gateway import POISON, REFUSED
from .people import act, capture, enqueue, new_id, person, way
from .world import MARKER, Tab, World

_ENTITIES = 2
_MINUTE = 60_000
_DAY_MINUTES = 24 * 60
#: What a person does to an item that others wait for.
_ABOUT_PARENTS = ("cancel", "discard", "restore", "retry", "edit")


def save(world: World, tab: Tab, name: str, *, id: str = "", **more: Any) -> str:
    """Begin to save an item, by the page or by the API; its id."""
    item_id = id or new_id(tab)
    nature = more.pop("nature", "")
    save_by = capture if world.rng.random() < 0.6 else enqueue
    more |= way(world)
    act(world, tab, name, lambda: save_by(world, tab, nature=nature, id=item_id, **more))
    return item_id


def save_in_line(world: World, tab: Tab) -> None:
    """One item of an entity, or some, one after the other."""
    entity = _entity(world)

    async def saving() -> None:
        for _ in range(1 + int(world.rng.random() ** 2 * 4)):
            parts = int(world.rng.random() < 0.15)
            save_by = capture if world.rng.random() < 0.6 else enqueue
            more = {"entity": entity, **way(world)}
            await save_by(world, tab, parts=parts, nature=nature(world), **more)

    act(world, tab, "save in line", saving)


def save_child(world: World, tab: Tab) -> None:
    """Of one to three items that are here, in the inbox of whatever tab or as rows, sent or not."""
    known = [*world.disk.state.rows, *world.disk.state.inbox][-12:]
    if known:
        count = 1 + int(world.rng.random() ** 2 * 3)
        parents = world.rng.sample(known, min(count, len(known)))
        save(world, tab, "save child", nature=nature(world), **_below(world, parents))


def save_chain(world: World, tab: Tab) -> None:
    """Three and more, each the child of the one before, from whatever tab is at hand."""

    async def saving() -> None:
        at, parent = tab, ""
        for _ in range(3 + int(world.rng.random() * 3)):
            more = _below(world, [parent]) if parent else {}
            save_by = capture if world.rng.random() < 0.6 else enqueue
            more |= way(world)
            parent = await world.loop.spawn(at.place, save_by(world, at, **more))
            if world.rng.random() < 0.5:
                at = world.awake() or tab

    act(world, tab, "save chain", saving)


def save_fan(world: World, tab: Tab) -> None:
    """A parent, which may be refused, and its children from several tabs."""

    async def saving() -> None:
        chance = world.rng.random()
        bad = REFUSED if chance < 0.25 else POISON if chance < 0.35 else ""
        more: dict[str, Any] = {"entity": _entity(world)} if world.rng.random() < 0.4 else {}
        parent = await capture(world, tab, nature=bad, **more, **way(world))
        for _ in range(2 + int(world.rng.random() * 3)):
            save(world, world.awake() or tab, "save child", **_below(world, [parent]))

    act(world, tab, "save fan", saving)


def save_expiring(world: World, tab: Tab) -> None:
    """Worth nothing after some seconds or minutes."""
    until = tab.clock.now() + int(world.rng.random() ** 2 * 300_000)
    entity = {"entity": _entity(world)} if world.rng.random() < 0.5 else {}
    save(world, tab, "save expiring", expires_at=until, **entity)


def save_dated(world: World, tab: Tab) -> None:
    """A date that holds up its line and its children."""
    until = tab.clock.now() + int(world.rng.random() * 300_000)
    save(world, tab, "save for later", not_before=until, entity=_entity(world))


def about_parent(world: World, tab: Tab) -> None:
    """Something happens to an item that others wait for."""
    rows = world.disk.state.rows.values()
    parents = {id_ for row in rows for id_ in row.item.parents}
    name = _ABOUT_PARENTS[int(world.rng.random() * len(_ABOUT_PARENTS))]
    person(world, tab, name, among=lambda item: item.id in parents)


def about_line(world: World, tab: Tab) -> None:
    """Something happens to an item that stands in a line with others, or left it."""
    rows = [row.item for row in world.disk.state.rows.values()]
    behind = {item.entity for item in rows if item.entity and item.state is State.BLOCKED}
    names = ("edit", "edit", "cancel", "restore", "restore", "discard")
    name = names[int(world.rng.random() * len(names))]
    person(world, tab, name, among=lambda item: item.entity in behind)


def prioritise(world: World, tab: Tab) -> None:
    """What is urgent goes first, but not before what it waits for."""
    rows = [row.item for row in world.disk.state.rows.values()]
    waiting = [item.id for item in rows if item.state in OPEN_STATES]
    if waiting:
        id_ = waiting[int(world.rng.random() * len(waiting))]
        priority = 1 + int(world.rng.random() * 10)
        act(world, tab, "person: priority", lambda: tab.queue.set_priority([id_], priority))


def choose_strategy(world: World, tab: Tab) -> None:
    strategy = STRATEGIES[int(world.rng.random() * len(STRATEGIES))]
    _configure(world, tab, f"settings: {strategy}", strategy=strategy)


def open_window(world: World, tab: Tab) -> None:
    """Maintenance from about now on, or disruptive work only in some minutes."""
    minute = tab.clock.now() // _MINUTE
    if world.rng.random() < 0.7:
        begins, use = minute - 1 + int(world.rng.random() * 2), "closed"
    else:
        begins, use = minute + int(world.rng.random() * 5), "disruptive"
    ends = begins + 1 + int(world.rng.random() * 6)
    window = {"from": _clock(begins), "to": _clock(ends), "use": use}
    _configure(world, tab, f"settings: {use}", maintenance=[window], disruptive_kinds=["ticket"])


def no_window(world: World, tab: Tab) -> None:
    _configure(world, tab, "settings: no window", maintenance=[])


def nature(world: World) -> str:
    chance = world.rng.random()
    return POISON if chance < 0.03 else REFUSED if chance < 0.1 else ""


def _below(world: World, parents: list[str]) -> dict[str, Any]:
    more: dict[str, Any] = {"depends_on": parents}
    if world.rng.random() < 0.4:
        more["on_parent_failed"] = "cancel"
    if world.rng.random() < 0.3:
        more["entity"] = _entity(world)
    return more


def _entity(world: World) -> str:
    return f"{MARKER} pump {int(world.rng.random() * _ENTITIES)}"


def _configure(world: World, tab: Tab, name: str, **changes: Any) -> None:
    act(world, tab, name, lambda: tab.queue.configure(**changes))


def _clock(minute: int) -> str:
    hour, rest = divmod(minute % _DAY_MINUTES, 60)
    return f"{hour:02}:{rest:02}"


#: Name -> (weight, what is done in a tab). Actions of the worlds whose items are related.
FAMILIES: dict[str, tuple[float, Callable[[World, Tab], None]]] = {
    "save in line": (10, save_in_line),
    "save child": (8, save_child),
    "save chain": (2, save_chain),
    "save fan": (3, save_fan),
    "save expiring": (2, save_expiring),
    "save for later": (1, save_dated),
    "about a parent": (8, about_parent),
    "about a line": (20, about_line),
    "prioritise": (1, prioritise),
    "strategy": (2, choose_strategy),
    "window": (1, open_window),
    "no window": (1, no_window),
}

"""What people and pages do in a world: capture, attach, enqueue, take back, retry, sign in."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fieldpost.engine.errors import InvalidItem, QueueError
from fieldpost.engine.limits import PART_BYTES
from fieldpost.engine.model import Capture, Item
from fieldpost.engine.transitions import State
from fieldpost.ports import Manifest
from fieldpost.runtime import views

from .gateway import POISON, REFUSED
from .loop import now
from .sites import ARCHIVE, ARCHIVED, HOME, lane_of
from .wishes import wish_of
from .world import MARKER, Tab, World

TICKET = "ticket"
_SEVERITIES = ("low", "medium", "high", "critical")


def act(world: World, tab: Tab, name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Begin ``work`` in the tab; an error of the queue is shown to the person, who goes on."""

    async def doing() -> None:
        try:
            await work()
        except QueueError as error:
            world.say(tab.place, f"{name} refused", error.code)

    world.say(tab.place, name)
    world.loop.spawn(tab.place, doing())


def payload(
    world: World, item_id: str, nature: str = "", refers: Sequence[str] = (), kind: str = TICKET
) -> dict[str, Any]:
    """A ticket, or feedback; ``nature``: `POISON`, `REFUSED` or nothing special; ``refers``: ids of
    parents whose names at the destination belong into it."""
    severity = _SEVERITIES[int(world.rng.random() * len(_SEVERITIES))]
    if nature == POISON:
        world.expected.poison.add(item_id)
    elif nature == REFUSED:
        world.expected.refused.add(item_id)
    summary = f"{MARKER} {nature} {item_id[-6:]}".replace("  ", " ")
    said: dict[str, Any] = {"user": {"name": f"{MARKER} Beeblebrox"}}
    if kind == TICKET:
        said |= {"summary": summary, "severity": severity}
    else:
        said |= {"comment": summary, "rating": 1 + _SEVERITIES.index(severity)}
    return {**said, "related": [{"$ref": id_} for id_ in refers]} if refers else said


def wanted(world: World, item_id: str, said: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Keep what somebody is about to save."""
    wish = world.expected.wishes.setdefault(item_id, wish_of(more))
    wish.versions.append(said)
    wish.lanes.add(lane_of(world.sites, more["kind"], more.get("lane")))
    world.monitor.saving(item_id)


async def capture(
    world: World, tab: Tab, *, parts: int = 0, nature: str = "", id: str = "", **more: Any
) -> str:
    """What the page does at Save, without the engine: files, then the capture, then "Saved"."""
    item_id = id or new_id(tab)
    files = [await attach(tab, parts)] if parts else []
    more = {"kind": TICKET, **more}
    said = payload(world, item_id, nature, more.get("depends_on", ()), more["kind"])
    wanted(world, item_id, said, more)
    data = {"payload": said, "attachments": files, **more}
    await tab.store.capture(Capture(item_id, tab.clock.now(), json.dumps(data).encode()))
    world.monitor.acknowledged(item_id)
    world.say(tab.place, "saved", f"…{item_id[-4:]}{f' with {parts} parts' if parts else ''}")
    tab.queue.nudge()
    return item_id


async def enqueue(
    world: World, tab: Tab, *, nature: str = "", parts: int = 0, id: str = "", **more: Any
) -> str:
    """The API's way in."""
    item_id = id or new_id(tab)
    if parts:
        more["attachments"] = [await attach(tab, parts)]
    kind = more.pop("kind", TICKET)
    said = payload(world, item_id, nature, more.get("depends_on", ()), kind)
    wanted(world, item_id, said, {"kind": kind, **more})
    try:
        item = await tab.queue.enqueue(kind, said, id=item_id, **more)
    except InvalidItem:
        world.monitor.order.not_accepted(item_id)
        raise
    world.monitor.acknowledged(item.id)
    world.say(tab.place, "saved", f"…{item_id[-4:]}")
    return item_id


async def attach(tab: Tab, parts: int) -> dict[str, Any]:
    """Parts and manifest. Bytes are not what this is about: the parts are short, and called 1 MiB
    each."""
    attachment_id = new_id(tab)
    size, digests = (parts - 1) * PART_BYTES + 7, []
    for n in range(1, parts + 1):
        data = f"{MARKER} {attachment_id} {n}".encode()
        await tab.store.put_part(attachment_id, n, data)
        digests.append(base64.b64encode(hashlib.sha256(data).digest()).decode())
    manifest = Manifest(
        attachment_id, f"{MARKER}.jpg", "image/jpeg", size, tuple(digests), tab.clock.now()
    )
    await tab.store.put_manifest(manifest)
    return {"id": attachment_id, "size": size, "parts": parts}


def way(world: World) -> dict[str, Any]:
    """Kind and lane of an item, where there are several: mostly the kind tells the lane."""
    if not world.config.lanes:
        return {}
    chance = world.rng.random()
    if chance < 0.1:
        return {"lane": ARCHIVE} if chance < 0.05 else {"kind": ARCHIVED, "lane": HOME}
    return {"kind": ARCHIVED} if chance < 0.5 else {}


def new_id(tab: Tab) -> str:
    return tab.queue._host.entropy.uuid7(tab.clock.now())


def person(
    world: World,
    tab: Tab,
    act_name: str,
    *,
    beside: Tab | None = None,
    among: Callable[[Item], bool] = lambda _item: True,
) -> None:
    """cancel, retry, discard, restore or edit of some item for which the app offers it; ``beside``:
    in this tab too, at the same moment; ``among``: which items."""
    rows = [row.item for row in world.disk.state.rows.values()]
    offered = [item for item in rows if act_name in views.acts(item) and among(item)]
    if not offered:
        return
    item = offered[int(world.rng.random() * len(offered))]

    async def doing(where: Tab) -> None:
        if act_name in ("cancel", "discard"):
            world.expected.by_hand.add(item.id)  # also when nobody lives to see it done
        if act_name == "edit":
            await edit(world, where, item)
        else:
            await getattr(where.queue, act_name)(item.id)

    act(world, tab, f"person: {act_name}", lambda: doing(tab))
    if beside is not None:
        act(world, beside, f"person: {act_name}", lambda: doing(beside))


async def edit(world: World, tab: Tab, item: Item) -> None:
    """Say something else; what the gateway did not take is put right in half of the cases."""
    expected, item_id = world.expected, item.id
    wish, nature = expected.wishes[item_id], ""
    if item_id in expected.poison | expected.refused:
        nature = POISON if item_id in expected.poison else REFUSED
        if world.rng.random() < 0.5:
            nature = ""
            expected.mended.add(item_id)
    said = payload(world, item_id, nature, wish.parents, item.kind)
    said["description"] = f"{MARKER} corrected, version {len(wish.versions)}"
    wish.versions.append(said)
    await tab.queue.edit(item_id, said)


def sign_in(world: World, tab: Tab) -> None:
    """The person enters the token that is valid now, in one tab."""
    token = world.gateway.token
    if token is not None:
        act(world, tab, "sign in", lambda: tab.queue.sign_in(token))


def lose_blob(world: World) -> None:
    """The device loses a part of a file that is still to be sent (eviction, a bad sector)."""
    rows = [row.item for row in world.disk.state.rows.values()]
    waiting = [item for item in rows if item.is_open and item.attachments]
    if waiting:
        item = waiting[int(world.rng.random() * len(waiting))]
        parts = world.disk.state.parts.get(item.attachments[0].id, {})
        if parts:
            lost = max(parts)
            del parts[lost]
            world.expected.broken.add(item.id)
            world.say(None, "blob lost", f"…{item.id[-4:]} part {lost}")


def revive_failed(world: World, tab: Tab) -> None:
    """A person looks at the dead letters that are nobody's fault and retries them."""
    rows = [row.item for row in world.disk.state.rows.values()]
    for item in rows:
        if item.state is State.FAILED and not world.hopeless(item.id):
            act(world, tab, "person: retry", lambda id_=item.id: tab.queue.retry(id_))  # type: ignore[misc]


def holding_for_nothing(world: World) -> list[str]:
    """Dead letters that are taken nowhere, and hold others."""
    rows = {id_: row.item for id_, row in world.disk.state.rows.items()}
    blocked = [item for item in rows.values() if item.state is State.BLOCKED]
    holding = {id_ for item in blocked for id_ in world.monitor.order.holders(item)}
    dead = (id_ for id_ in sorted(holding & rows.keys()) if rows[id_].state is State.FAILED)
    return [id_ for id_ in dead if world.hopeless(id_)]


def give_up_hopeless(world: World, tab: Tab) -> None:
    """A person gives them up, and those that waited go on, or go with their parent."""
    for id_ in holding_for_nothing(world):
        world.expected.by_hand.add(id_)
        act(world, tab, "person: discard", lambda id_=id_: tab.queue.discard(id_))  # type: ignore[misc]


def counters(world: World) -> dict[str, int]:
    return now(world.disk.memory.counters())

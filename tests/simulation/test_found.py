"""What seeds of the simulator have found in the product, each as a test of its own."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import pytest
from tests.runtime.worlds import DEVICE, World

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.errors import DatabaseError
from fieldpost.engine.model import Capture
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Request, Response
from fieldpost.runtime.committer import Change
from fieldpost.runtime.device import TOKEN
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane
from fieldpost.testing.fakes import FakeGateway, lose_answer
from fieldpost.testing.simulator.gateway import problem


@dataclass(slots=True)
class Paired(FakeGateway):
    """Takes one token only."""

    token: str = "new"

    async def send(self, request: Request) -> Response:
        known = request.headers.get("Authorization") == f"Bearer {self.token}"
        if "/operations" in request.url and not known:
            return problem(401, "UNAUTHORISED")
        return await FakeGateway.send(self, request)


async def test_a_tab_takes_up_the_token_that_another_tab_was_given() -> None:
    """Seed 2: only the tab in which the person signed in could deliver; after it was closed,
    nobody did until a reload."""
    world = World(gateway=Paired())
    item = await world.queue.enqueue("ticket", {"summary": "Pump 3 leaks"})
    await world.queue.sync()
    assert (await world.queue.status())["connection"] == "signed_out"
    await world.store.commit(Commit(side={TOKEN: json.dumps("new")}))  # the other tab's sign_in
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.COMPLETED


@dataclass(slots=True)
class Locked(Paired):
    """Both destinations ask for a token. ``shown``: (host, what stood there for one)."""

    shown: set[tuple[str, str]] = field(default_factory=set)

    async def send(self, request: Request) -> Response:
        host, said = request.url.split("/")[2], request.headers.get("Authorization", "")
        self.shown.add((host, said))
        return await Paired.send(self, request)


async def test_another_destination_is_not_shown_the_device_s_token() -> None:
    """Seed 66: a second destination answered 401 and was shown the first one's token; its own was
    forgotten, so nothing went there until a reload."""
    gateway = Locked()
    second = GatewayDestination("https://archive.example/", DEVICE, "archive-token")
    lane = Lane(second, "archive", kinds=frozenset({"feedback"}))
    world = World(gateway=gateway, lanes=[lane])
    await world.store.commit(Commit(side={TOKEN: json.dumps("new")}))
    await world.queue.enqueue("feedback", {"rating": 3, "comment": "fine"})
    item = await world.queue.enqueue("ticket", {"summary": "Pump 3 leaks"})
    for _ in range(2):  # the second turn knows that both were signed out
        await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.COMPLETED
    said = {token for host, token in gateway.shown if host == "archive.example"}
    assert said == {"Bearer archive-token"}


@dataclass(slots=True)
class Robbed:
    """The drain lock as a context finds it that was granted it while frozen, and robbed of it."""

    stolen: bool = False
    stealable: bool = True
    lost: bool = True

    def beat(self) -> None: ...


async def test_who_lost_the_lock_before_waking_up_takes_nothing_from_the_drainer() -> None:
    """Seed 667: a tab frozen while it waited for the lock got it, lost it to a thief, woke up and
    took the thief's rows for left behind, while they were being sent."""
    world = World()
    item = await world.queue.enqueue("ticket", {"summary": "Pump 3 leaks"})
    seen: list[State] = []

    async def other_tab_wakes_up() -> None:
        driver = world.open("second")._driver
        await driver._drain(Robbed(), ask_now=False, by_hand=False)
        seen.append((await world.queue.get(item.id)).state)

    send = world.gateway.send

    class Sending:
        store = world.store

        async def send(self, request: Request) -> Response:
            if request.method == "POST" and not seen:
                await other_tab_wakes_up()
            return await send(request)

        send_part = world.gateway.send_part

    object.__setattr__(world.queue._driver.host, "transport", Sending())
    await world.queue.sync()
    assert seen == [State.IN_PROGRESS]
    assert (await world.queue.get(item.id)).state is State.COMPLETED


async def test_a_server_that_forgot_the_text_of_an_unanswered_part_gets_it_again() -> None:
    """Seed 0 with the ledger pruned early: the answer to a part was lost, then the server did not
    know the item any more, and what marks an attempt of parts was sent as if it were the text. The
    request was no JSON, and nothing that shared it was ever delivered."""
    world = World()
    world.gateway.faults = [lambda _gateway, _request, route: route(), lose_answer]
    item = await world.queue.enqueue(
        "ticket", {"summary": "Pump 3 leaks"}, attachments=[await world.attach(parts=2)]
    )
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.UNKNOWN
    world.gateway.ledger.clear()
    world.gateway.files.clear()
    await world.settle()
    assert (await world.queue.get(item.id)).state is State.COMPLETED
    assert world.gateway.inbox == [item.id]


async def test_a_parent_that_another_tab_adopts_at_that_moment_is_found() -> None:
    """Seed 20: the parent lay in the inbox when the child came, and was a row when this tab looked
    into the inbox; finding nothing there, it said that the parent was not here."""
    world = World()
    item_id, other = world.entropy.uuid7(world.clock.now()), world.open("second")
    data = json.dumps({"kind": "ticket", "payload": {"summary": "Pump 3 leaks"}}).encode()
    await world.store.capture(Capture(item_id, world.clock.now(), data))
    adopt = world.queue._intake.adopt

    async def too_late() -> int:
        await other._intake.adopt()
        return await adopt()

    with mock.patch.object(world.queue._intake, "adopt", too_late):
        child = await world.queue.enqueue("ticket", {"summary": "It grew"}, depends_on=[item_id])
    assert child.state is State.BLOCKED


@dataclass(slots=True)
class Apart(FakeGateway):
    """Two requests are under way together; the second one is answered when it is told to be."""

    both: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, request: Request) -> Response:
        first, answer = not self.ledger, self._answer(request)
        if request.method == "POST":
            if not first:
                self.both.set()
            await (self.both if first else self.go).wait()
        return answer


async def test_what_could_not_be_written_is_acknowledged_by_no_other_request() -> None:
    """Seed 130: of two requests under way one could not write its answer down; the other one wrote
    into the lane's record that the gateway may forget it."""
    world = World(gateway=Apart())
    destination = GatewayDestination("https://post.example/", DEVICE)
    destination.declaration = replace(destination.declaration, batch_items=1)
    queue = Queue(world.queue._host, [Lane(destination, requests=2)], owner="tab")
    lost, other = [await queue.enqueue("ticket", {"summary": f"Pump {n}"}) for n in (1, 2)]
    commit = queue._committer.commit

    async def failing(change: Change) -> Any:
        if any(write.put.item.id == lost.id for write in change.writes) and world.gateway.inbox:
            assert isinstance(world.gateway, Apart)
            world.gateway.go.set()
            raise DatabaseError
        return await commit(change)

    with mock.patch.object(queue._committer, "commit", failing), pytest.raises(DatabaseError):
        await queue.sync()
    assert (await queue.get(lost.id)).state is State.IN_PROGRESS
    assert (await queue.get(other.id)).state is State.COMPLETED
    record = await world.store.side("lane", "gateway")
    assert record is not None
    assert json.loads(record)["acks"] == [other.send_id]

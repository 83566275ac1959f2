"""Several lanes of one queue, several requests of one lane, and destinations of one's own."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.runtime.worlds import DEVICE, World

from fieldpost.destinations.adapter import ONE_BY_ONE, Adapter
from fieldpost.destinations.answers import ONLINE, read_json
from fieldpost.destinations.base import Declaration, Reading
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.config import QueueConfig
from fieldpost.engine.errors import AdapterError, ConfigError, InvalidItem, QueueError
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.transitions import State
from fieldpost.ports import NoAnswer, Request, Response
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane, Routes
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeGateway

TICKET = {"summary": "Pump 3 is leaking"}
FEEDBACK = {"rating": 3, "comment": "fine"}


class Archive(Adapter):
    """Takes one item a request, at archive.example."""

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:
        return self.signed(Request("POST", "https://archive.example/take", {}, intents[0]))

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        answer = read_json(response)
        if response.status == 201 and answer and answer.get("number"):
            return Reading(ONLINE, [Outcome(Class.DELIVERED, remote_id=str(answer["number"]))])
        return self.failed(len(items), response)


@dataclass(slots=True)
class Sites(FakeGateway):
    """The gateway at post.example and the archive at archive.example. ``hold``: requests of these
    hosts stay under way until they are let go; ``laps``: of the event loop that a request takes."""

    taken: list[dict[str, Any]] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    laps: int = 1
    hold: set[str] = field(default_factory=set)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    async def send(self, request: Request) -> Response:
        host = request.url.split("/")[2].partition(".")[0]
        counts = int(request.method == "POST")
        self.now[host] += counts
        self.most[host] = max(self.most[host], self.now[host])
        self.most["all"] = max(self.most["all"], self.now.total())
        try:
            if host in self.hold and request.method == "POST":
                self.held.set()
                await self.go.wait()
            for _ in range(self.laps):
                await asyncio.sleep(0)
            if host in self.away:
                raise NoAnswer("network")
            if host != "archive":
                return self._answer(request)
            self.taken.append(json.loads(request.body))
            body = json.dumps({"number": len(self.taken)}).encode()
            return Response(201, {"content-type": "application/json"}, body)
        finally:
            self.now[host] -= counts


def archive(**more: Any) -> Lane:
    return Lane(Archive("archive"), kinds=frozenset({"feedback"}), **more)


def two(**more: Any) -> World:
    return World(gateway=Sites(), lanes=[archive(**more)])


async def states(world: World) -> Counter[State]:
    counters = await world.store.counters()
    return Counter({s: counters[f"state:{s}"] for s in State if counters.get(f"state:{s}")})


async def sent(world: World, item_id: str) -> None:
    while (await world.queue.get(item_id)).state is not State.COMPLETED:  # noqa: ASYNC110 - a row has no event
        await asyncio.sleep(0)


# --- routes --------------------------------------------------------------------------------------


async def test_each_kind_goes_where_its_lane_leads() -> None:
    world = two()
    ticket = await world.queue.enqueue("ticket", TICKET)
    feedback = await world.queue.enqueue("feedback", FEEDBACK)
    chosen = await world.queue.enqueue("ticket", {"summary": "For the files"}, lane="archive")
    assert [ticket.lane, feedback.lane, chosen.lane] == ["gateway", "archive", "archive"]
    await world.queue.sync()
    assert world.gateway.inbox == [ticket.id]
    assert world.gateway.taken == [FEEDBACK, {"summary": "For the files"}]
    detail = await world.queue.detail(feedback.id)
    assert (detail["state"], detail["remote_id"]) == ("completed", "1")


async def test_what_no_lane_takes_is_said_when_it_comes() -> None:
    world = two()
    with pytest.raises(InvalidItem) as refused:
        await world.queue.enqueue("ticket", TICKET, lane="nowhere")
    assert refused.value.fields == {"lane": "must be one of gateway, archive"}
    with pytest.raises(InvalidItem) as refused:
        await world.queue.enqueue("feedback", FEEDBACK, attachments=[await world.attach(1)])
    assert refused.value.fields == {"attachments": "cannot be sent to archive"}
    only = Lane(Archive("narrow", Declaration("strong", None, 1, 1, kinds=frozenset({"log"}))))
    world.lanes = [only]
    with pytest.raises(InvalidItem) as refused:
        await world.open().enqueue("ticket", TICKET, lane="narrow")
    assert refused.value.fields == {"kind": "is not taken by narrow"}


@pytest.mark.parametrize(
    ("lanes", "name", "why"),
    [
        ([Lane(Archive("A"))], "lanes.A", "must be at most 64"),
        ([Lane(Archive("a")), Lane(Archive("a"))], "lanes.a", "is the name of two lanes"),
        (
            [archive(), Lane(Archive("b"), kinds=frozenset({"feedback"}))],
            "lanes.b",
            "feedback goes by another lane already",
        ),
        ([Lane(Archive("a"), failover="b")], "lanes.a", "has no other lane 'b' to fail over to"),
        ([Lane(Archive("a"), failover="a")], "lanes.a", "has no other lane 'a' to fail over to"),
        ([Lane(Archive("a"), requests=0)], "lanes.a", "requests must be 1 to 100"),
        ([Lane(Archive("a"), policy="never")], "lanes.a", "there is no retry policy 'never'"),
        ([Lane(Archive("a"), breaker="never")], "lanes.a", "there is no breaker 'never'"),
        ([], "lanes", "must name a destination"),
    ],
)
def test_lanes_that_cannot_be_are_refused_by_name(lanes: list[Lane], name: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Routes(lanes)
    assert refused.value.fields[name].startswith(why)


async def test_items_of_a_lane_that_is_gone_stay_and_say_so() -> None:
    world = two()
    item = await world.queue.enqueue("feedback", FEEDBACK)
    world.lanes = []
    world.restart()
    await world.queue.sync()
    row = (await world.queue.list())["rows"][0]
    assert (row["id"], row["why"]) == (
        item.id,
        "Nothing is set up here that could send it. It stays saved.",
    )
    world.lanes = [archive()]
    world.restart()
    await world.queue.sync()
    assert (await world.queue.get(item.id)).state is State.COMPLETED


# --- bulkheads -----------------------------------------------------------------------------------


async def test_a_lane_that_is_away_holds_up_no_other() -> None:
    """Known failure 9, over destinations: its breaker opens, the others' stay closed."""
    world = two()
    world.gateway.away = {"post"}
    for n in range(6):
        await world.queue.enqueue("ticket", {"summary": f"Ticket {n}"})
        await world.queue.enqueue("feedback", {"rating": 3, "comment": f"Answer {n}"})
        await world.queue.sync()
    assert await states(world) == {State.PENDING: 6, State.COMPLETED: 6}
    status = await world.queue.status()
    assert status["connection"] == "unreachable"
    lanes = {
        name: (lane["connection"], lane["lane"]["breaker"])
        for name, lane in status["lanes"].items()
    }
    assert lanes == {"gateway": ("unreachable", "open"), "archive": ("online", "closed")}
    assert {name: lane["waiting"] for name, lane in status["lanes"].items()} == {
        "gateway": 6,
        "archive": 0,
    }


async def test_a_slow_lane_is_still_at_it_while_the_other_sends_twice() -> None:
    world = two()
    world.gateway.hold = {"post"}
    slow = await world.queue.enqueue("ticket", TICKET)
    async with world.queue:
        await world.gateway.held.wait()
        for n in range(2):
            item = await world.queue.enqueue("feedback", {"rating": n + 1, "comment": "quick"})
            await sent(world, item.id)
        assert (await world.queue.get(slow.id)).state is State.IN_PROGRESS
        world.gateway.go.set()
        await sent(world, slow.id)


async def test_one_lane_is_paused_held_and_reset_without_the_others() -> None:
    world = two()
    await world.queue.pause("audit", "archive")
    await world.queue.breaker("force_open", "gateway")
    ticket = await world.queue.enqueue("ticket", TICKET)
    feedback = await world.queue.enqueue("feedback", FEEDBACK)
    await world.queue.sync()
    assert await states(world) == {State.PENDING: 2}
    whys = {row["id"]: row["why"] for row in (await world.queue.list())["rows"]}
    assert whys == {
        ticket.id: "Sending to this server was stopped by hand.",
        feedback.id: "Sending is paused.",
    }
    with pytest.raises(InvalidItem):
        await world.queue.pause("typo", "archvie")
    await world.queue.resume("archive")
    await world.queue.breaker("reset", "gateway")
    await world.queue.sync()
    assert await states(world) == {State.COMPLETED: 2}


async def test_who_recovers_a_lane_leaves_the_rows_of_others_alone() -> None:
    world = two()
    world.gateway.hold = {"archive"}
    item = await world.queue.enqueue("feedback", FEEDBACK)
    sending = asyncio.create_task(world.queue.sync())
    await world.gateway.held.wait()
    other = world.open("other tab")
    await world.queue.enqueue("ticket", TICKET)
    assert await other._loop.turn() is False  # the archive is being sent to over there
    assert (await world.queue.get(item.id)).state is State.IN_PROGRESS
    assert len(world.gateway.inbox) == 1
    world.gateway.go.set()
    await sending
    assert await states(world) == {State.COMPLETED: 2}
    assert len(world.gateway.taken) == 1


async def test_storage_trouble_of_one_lane_is_raised_and_the_others_turn_ends() -> None:
    world = two()
    await world.queue.enqueue("ticket", TICKET)
    await world.queue.enqueue("feedback", FEEDBACK)
    driver = world.queue._drivers["gateway"]

    async def fails(**_how: bool) -> bool:
        raise QueueError

    driver.drain = fails  # type: ignore[method-assign]
    with pytest.raises(QueueError):
        await world.queue.sync()
    assert await states(world) == {State.PENDING: 1, State.COMPLETED: 1}


# --- another way out -----------------------------------------------------------------------------


def failing_over() -> World:
    """The gateway, and the archive to take over from it."""
    world = World(gateway=Sites())
    home = Lane(GatewayDestination("https://post.example/", DEVICE), failover="archive")
    other = Lane(Archive("archive", replace(ONE_BY_ONE, kinds=frozenset({"ticket"}))), requests=2)
    world.queue = Queue(world.queue._host, [home, other], owner="tab")
    return world


async def test_what_never_arrived_goes_another_way_while_the_destination_is_away() -> None:
    world = failing_over()
    queue = world.queue
    await queue.sync()
    world.gateway.away = {"post"}
    lost = await queue.enqueue("ticket", {"summary": "May have arrived"})
    await queue._loop.turn()  # nobody answered: nobody knows
    waits = [await queue.enqueue("ticket", {"summary": f"Ticket {n}"}) for n in range(3)]
    other = await queue.enqueue("feedback", FEEDBACK)
    files = [await world.attach(1)]
    heavy = await queue.enqueue("ticket", {"summary": "With a photo"}, attachments=files)
    for _ in range(6):
        await queue.sync()
        world.clock.advance(1_000)
    assert (await queue.status())["lanes"]["gateway"]["lane"]["breaker"] == "open"
    assert sorted(t["summary"] for t in world.gateway.taken) == [f"Ticket {n}" for n in range(3)]
    for item in waits:
        row = await queue.detail(item.id)
        assert row["state"] == "completed"
        assert row["history"][0]["outcome"] == "redirect"
    assert (await queue.get(lost.id)).state is State.UNKNOWN
    for item in (lost, other, heavy):  # not taken there, or perhaps arrived here
        assert (await queue.get(item.id)).lane == "gateway"
    left = (await queue.redirect([lost.id], "archive")).left
    assert "may have arrived" in left[lost.id].message


async def test_a_person_sends_items_another_way_and_is_told_which_cannot() -> None:
    world = failing_over()
    queue = world.queue
    await queue.breaker("force_open", "gateway")
    one = await queue.enqueue("ticket", TICKET)
    other = await queue.enqueue("feedback", FEEDBACK)
    done = await queue.redirect([one.id, other.id], "archive", "the gateway moves house")
    assert done.ids == [one.id]
    assert done.left[other.id].as_dict()["fields"] == {"kind": "is not taken by archive"}
    await queue.sync()
    assert world.gateway.taken == [TICKET]
    with pytest.raises(InvalidItem):
        await queue.redirect([other.id], "nowhere")
    gone = (await queue.redirect([one.id], "gateway")).left[one.id]
    assert gone.code == "QUEUE_ILLEGAL_TRANSITION"


# --- several requests of one lane ----------------------------------------------------------------


class Single(GatewayDestination):
    """The gateway, taking one item a request."""

    declaration = Declaration("strong", None, batch_items=1, batch_bytes=1 << 20)


def wide(requests: int, gateway: Sites | None = None) -> World:
    """One lane that may have several requests under way."""
    world = World(gateway=gateway or Sites(laps=200))
    lane = Lane(Single("https://post.example/", DEVICE), requests=requests)
    world.queue = Queue(world.queue._host, [lane], owner="tab")
    return world


async def fill(world: World, count: int, **options: Any) -> list[str]:
    payloads = [{"summary": f"Ticket {n}"} for n in range(count)]
    return [item.id for item in await world.queue.enqueue_many("ticket", payloads, **options)]


@pytest.mark.parametrize("requests", [1, 2, 5])
async def test_as_many_requests_as_the_lane_may_have(requests: int) -> None:
    world = wide(requests)
    ids = await fill(world, 40)
    await world.queue.sync()
    assert world.gateway.most["post"] == requests
    assert sorted(world.gateway.inbox) == sorted(ids)
    assert await states(world) == {State.COMPLETED: 40}
    assert (await world.queue.verify())["ok"]


async def test_all_lanes_together_keep_to_the_queue_s_own_bound() -> None:
    world = World(gateway=Sites(laps=200))
    lanes = [Lane(Single("https://post.example/", DEVICE), requests=5), archive(requests=5)]
    config = QueueConfig.from_mapping({"requests": 3, "duplicates.window_ms": 0})
    world.queue = Queue(world.queue._host, lanes, owner="tab", config=config)
    await fill(world, 20)
    for n in range(20):
        await world.queue.enqueue("feedback", {"rating": 3, "comment": f"Answer {n}"})
    await world.queue.sync()
    assert await states(world) == {State.COMPLETED: 40}
    assert world.gateway.most["all"] == 3
    assert min(world.gateway.most["post"], world.gateway.most["archive"]) >= 1


async def test_items_of_one_entity_are_never_under_way_together() -> None:
    world = wide(5)
    ids = await fill(world, 12, entity="pump-3")
    others = await fill(world, 12)
    await world.queue.sync()
    in_order = [id_ for id_ in world.gateway.inbox if id_ in set(ids)]
    assert in_order == ids
    assert sorted(world.gateway.inbox) == sorted([*ids, *others])


@dataclass(slots=True)
class Watching(Sites):
    """``early``: what was acknowledged before its end was durable; ``together``: how many other
    requests were under way when each request left."""

    early: set[str] = field(default_factory=set)
    together: list[int] = field(default_factory=list)

    async def send(self, request: Request) -> Response:
        self.together.append(self.now["post"])
        if request.method == "POST":
            assert isinstance(self.store, MemoryStore)
            rows = self.store.durable_copy()._state.rows.values()
            durable = {r.item.send_id for r in rows if r.item.state is State.COMPLETED}
            self.early |= set(json.loads(request.body)["ack"]) - durable
        return await Sites.send(self, request)


async def test_what_is_acknowledged_is_durable_here_first() -> None:
    """With several requests under way the answer of one waits for its commit while another leaves:
    that one must not acknowledge it yet."""
    world = wide(4, Watching(laps=200))
    await fill(world, 60)
    await world.queue.sync()
    await fill(world, 1, priority=9)
    await world.queue.sync()
    assert world.gateway.early == set()
    assert len(world.gateway.acked) >= 60
    assert max(world.gateway.together) == 3


async def test_a_lane_that_fails_asks_with_one_request_until_it_is_well() -> None:
    world = wide(5, Watching(laps=200))
    await fill(world, 20)
    world.gateway.away = {"post"}
    for _ in range(6):
        await world.queue.sync()
        world.clock.advance(1_000)
    assert (await world.queue.status())["lane"]["breaker"] == "open"
    world.gateway.away = set()
    world.gateway.together.clear()
    await world.settle()
    assert await states(world) == {State.COMPLETED: 20}
    assert world.gateway.together[:4] == [0, 0, 0, 0]  # three probes close it


async def test_a_storage_that_fails_ends_all_of_a_lane_s_requests() -> None:
    world = wide(4)
    await fill(world, 30)
    commits = 0
    commit = world.queue._committer.commit

    async def failing(change: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == 6:
            raise QueueError
        return await commit(change)

    world.queue._committer.commit = failing  # type: ignore[method-assign]
    with pytest.raises(QueueError):
        await world.queue.sync()
    assert world.gateway.now.total() == 0
    await asyncio.sleep(0)  # the beat ends
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await world.settle()
    assert len(world.gateway.inbox) == len(set(world.gateway.inbox)) == 30


# --- adapters of one's own -----------------------------------------------------------------------


class Broken(Archive):
    """Cannot read what it is answered."""

    broken = True

    def read(self, items: Sequence[Item], response: Response) -> Reading:
        if self.broken:
            raise KeyError("number")
        return super().read(items, response)


async def test_a_mistake_in_an_adapter_stops_its_lane_only_and_loses_nothing() -> None:
    world = World(gateway=Sites())
    broken = Broken("archive", replace(ONE_BY_ONE, replay_window_ms=None))
    world.lanes = [Lane(broken, kinds=frozenset({"feedback"}))]
    world.queue = world.open()
    async with world.queue as queue:
        item = await queue.enqueue("feedback", FEEDBACK)
        ticket = await queue.enqueue("ticket", TICKET)
        await sent(world, ticket.id)
        with pytest.raises(AdapterError, match="`read` failed: KeyError"):
            await queue.sync()
        assert (await queue.status())["trouble"]["code"] == "QUEUE_ADAPTER_ERROR"
        broken.broken = False
        await queue.sync()
        assert (await queue.get(item.id)).state is State.COMPLETED
    assert world.gateway.taken[0] == FEEDBACK


async def test_an_adapter_that_can_not_be_asked_leaves_the_unanswered_to_a_person() -> None:
    world = two()
    world.gateway.away = {"archive"}
    item = await world.queue.enqueue("feedback", FEEDBACK)
    await world.settle(hours=1)
    row = (await world.queue.list())["rows"][0]
    assert row["state"] == "unknown"
    assert "Look at the destination" in row["why"]
    assert ONE_BY_ONE.lookup is None
    world.gateway.away = set()
    await world.queue.send_again(item.id)
    await world.settle(hours=1)
    assert (await world.queue.get(item.id)).state is State.COMPLETED
    assert world.gateway.taken == [FEEDBACK]

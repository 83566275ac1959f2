"""A lane's breaker, timeouts, batches, retries and health in the driver, through outages."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from email.utils import formatdate
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest
from tests.runtime.worlds import DEVICE, World

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.breaker import Breaker, rules_of
from fieldpost.engine.errors import InvalidItem, QueueError
from fieldpost.engine.kinds import Kind
from fieldpost.engine.retry import RetryPolicy
from fieldpost.engine.transitions import State
from fieldpost.ports import NoAnswer, Request, Response
from fieldpost.runtime.bridge import Bridge
from fieldpost.runtime.driver import Host
from fieldpost.runtime.lane import LaneState
from fieldpost.runtime.queue import Queue
from fieldpost.testing.crashing import Crash, Crasher
from fieldpost.testing.fakes import FakeClock, FakeGateway, answers

TICKET = {"summary": "Pump 3 is leaking", "severity": "high"}
MINUTE, YEAR = 60_000, 365 * 24 * 3600 * 1000


class StillClock(FakeClock):
    """Only the test moves it: who sleeps on it waits until somebody ends that. (The beat of a drain
    moves a `FakeClock` by five seconds whenever it gets its turn.)"""

    async def sleep(self, ms: float) -> None:
        await asyncio.Event().wait()


def still(**ports: Any) -> World:
    return World(clock=StillClock(), **ports)


async def turn(world: World) -> None:
    """One turn of the loop as its timer starts it: nobody asked, nothing came back."""
    world.queue._loop.lanes[0]._ask_now = False
    await world.queue._loop.turn()


async def lane(world: World) -> dict[str, Any]:
    return (await world.queue.status())["lane"]


async def until_open(world: World) -> int:
    """Let the server be away until the breaker opens; the number of failed requests."""
    world.gateway.down = True
    before = len(world.gateway.requests)
    while (health := await lane(world))["breaker"] == "closed":
        if health["next_probe_at"]:
            world.clock.advance(health["next_probe_at"] - world.clock.now())
        await turn(world)
    return len(world.gateway.requests) - before


async def wait_out(world: World) -> None:
    """Until the lane may be tried again, and not a millisecond longer."""
    health = await lane(world)
    world.clock.advance((health["next_probe_at"] or world.clock.now()) - world.clock.now())


async def started(count: int = 1) -> tuple[World, list[str]]:
    """A lane that is known to work, and items that wait."""
    world = still()
    await world.queue.sync()
    items = await world.queue.enqueue_many("ticket", [TICKET] * count)
    return world, [item.id for item in items]


def batches(world: World) -> list[int]:
    bodies = [r.body for r in world.gateway.requests if r.url.endswith("/operations")]
    return [len(json.loads(body)["operations"]) for body in bodies]


async def test_it_opens_after_its_threshold_and_then_nothing_is_asked_before_its_time() -> None:
    world, (item,) = await started()
    assert await until_open(world) == 5
    health = await lane(world)
    assert health["health"] == "critical"
    assert 45_000 <= health["next_probe_at"] - world.clock.now() <= 75_000
    asked = len(world.gateway.requests)
    for _ in range(10):
        await turn(world)
    assert len(world.gateway.requests) == asked
    found = await world.queue.get(item)
    assert (found.state, found.attempts) == (State.PENDING, 0)  # an outage burns no try


async def test_a_short_outage_keeps_nobody_waiting() -> None:
    world, (item,) = await started()
    world.gateway.down = True
    await turn(world)
    world.gateway.down = False
    health = await lane(world)
    assert health["breaker"] == "closed"
    assert health["next_probe_at"] - world.clock.now() <= 1_200
    await wait_out(world)
    items = await world.queue.enqueue_many("ticket", [TICKET] * 30)
    await turn(world)
    assert world.gateway.inbox == [item, *(i.id for i in items)]
    assert batches(world)[:5] == [1, 1, 2, 4, 8]  # the first got no answer


async def test_it_reacts_within_100_ms() -> None:
    """From the failure that opens it to a refused request: time of work, no clock is slept on."""
    world, _ = await started()
    world.gateway.down = True
    for _ in range(4):
        await wait_out(world)
        await turn(world)
    assert (await lane(world))["breaker"] == "closed"
    await wait_out(world)
    began, asked = perf_counter(), len(world.gateway.requests)
    await turn(world)
    await turn(world)
    elapsed_ms = (perf_counter() - began) * 1000
    assert (await lane(world))["breaker"] == "open"
    assert len(world.gateway.requests) == asked + 1
    assert elapsed_ms < 100


async def test_a_reload_keeps_it_and_the_server_that_is_back_closes_it() -> None:
    world, items = await started(40)
    await until_open(world)
    wait = (await lane(world))["next_probe_at"]
    world.restart()
    world.gateway.down = False
    health = await lane(world)
    assert (health["breaker"], health["next_probe_at"]) == ("open", wait)
    asked = len(world.gateway.requests)
    await turn(world)
    assert len(world.gateway.requests) == asked
    await wait_out(world)
    await turn(world)
    assert world.gateway.inbox == items
    health = await lane(world)
    assert health["breaker"] == "closed"
    assert health["health"] == "healthy"


async def test_the_wait_grows_while_probes_fail_and_a_person_may_ask_at_once() -> None:
    world, (item,) = await started()
    await until_open(world)
    waits = []
    for _ in range(4):
        health = await lane(world)
        waits.append(health["next_probe_at"] - world.clock.now())
        await wait_out(world)
        await turn(world)
    for n, wait in enumerate(waits):
        assert 0.75 * MINUTE * 2**n <= wait <= 1.25 * MINUTE * 2**n
    before = (await lane(world))["next_probe_at"]
    for _ in range(5):
        await world.queue.sync()  # in vain: the schedule stays
    assert (await lane(world))["next_probe_at"] == before
    world.gateway.down = False
    await world.queue.sync()
    assert world.gateway.inbox == [item]


class Frozen(FakeGateway):
    """Takes a request and never answers; ``left`` tells what was durable when it came."""

    def __init__(self) -> None:
        super().__init__()
        self.left: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, request: Request) -> Response:
        if self.down:
            raise NoAnswer("network", sent=False)
        text = await self.store.side("lane", "gateway")
        self.left.put_nowait(json.loads(text or "{}"))
        await asyncio.Event().wait()
        raise AssertionError


async def test_known_failure_23_a_probe_that_never_returns_has_failed() -> None:
    world = still(gateway=Frozen())
    await world.queue.enqueue("ticket", TICKET)
    await until_open(world)
    await wait_out(world)
    world.gateway.down = False
    probe = asyncio.create_task(turn(world))
    seen = await world.gateway.left.get()
    assert seen["breaker"]["mode"] == "half_open"
    assert seen["breaker"]["probes"] == [world.clock.now() + 40_000]
    probe.cancel()  # the tab is gone
    await asyncio.wait([probe])
    world.restart()
    world.gateway = FakeGateway(store=world.store)
    world.queue = world.open()
    assert (await lane(world))["breaker"] == "half_open"
    world.clock.advance(39_999)
    await turn(world)
    assert world.gateway.requests == []
    world.clock.advance(1)
    await turn(world)
    health = await lane(world)
    assert health["breaker"] == "open"
    assert health["next_probe_at"] - world.clock.now() >= 1.5 * MINUTE
    assert world.gateway.requests == []
    await wait_out(world)
    await turn(world)
    assert len(world.gateway.inbox) == 1


async def test_a_batch_that_is_a_probe_is_durable_with_its_deadline_before_it_leaves() -> None:
    seen: list[Any] = []

    class Gateway(FakeGateway):
        async def send(self, request: Request) -> Response:
            record = json.loads(await self.store.side("lane", "gateway") or "{}")
            seen.append((request.url.rpartition("/")[2], record.get("breaker", {}).get("probes")))
            return await FakeGateway.send(self, request)

    world = still(gateway=Gateway())
    await world.queue.enqueue_many("ticket", [TICKET] * 3)
    await until_open(world)
    await wait_out(world)
    world.gateway.down = False
    seen.clear()
    await turn(world)
    deadline = [world.clock.now() + 40_000]
    assert seen == [
        ("healthz", deadline),
        ("operations", deadline),
        ("operations", deadline),
        *seen[3:],
    ]
    assert (await lane(world))["breaker"] == "closed"


async def test_a_probe_whose_item_somebody_took_meanwhile_is_not_waited_for() -> None:
    world, (item,) = await started()
    await until_open(world)
    await wait_out(world)
    world.gateway.down = False
    other, ready = world.open("another tab"), world.store.ready

    async def ready_then_cancelled(*args: Any) -> Any:
        rows = await ready(*args)
        if rows:
            await other.cancel(item)
        return rows

    world.store.ready = ready_then_cancelled
    await turn(world)
    state = await world.queue._driver.lane_state()
    assert state.breaker.mode == "half_open"
    assert state.breaker.probes == ()
    assert world.gateway.inbox == []


async def _recovering(world: World, crasher: Crasher) -> None:
    """From an open breaker through its probes to the last item, or to the crash."""
    host = Host(
        crasher.wrap(world.store),
        crasher.wrap(world.gateway),
        world.clock,
        world.entropy,
        world.link,
        world.tabs,
    )
    queue = Queue(host, GatewayDestination("https://post.example/", DEVICE), owner="doomed")
    queue._loop.lanes[0]._ask_now = False
    for _ in range(3):
        await queue._loop.turn()
        world.clock.advance(2 * MINUTE)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_every_await_of_a_recovery_strands_nothing(after: bool) -> None:
    async def outage() -> tuple[World, list[str]]:
        world, items = await started(5)
        await until_open(world)
        world.gateway.down = False
        await wait_out(world)
        return world, items

    world, items = await outage()
    dry = Crasher()
    await _recovering(world, dry)
    assert sorted(world.gateway.inbox) == sorted(items)
    assert dry.calls > 20
    for at in range(1, dry.calls + 1):
        world, items = await outage()
        with pytest.raises((Crash, QueueError)):
            await _recovering(world, Crasher(at, after=after))
        world.restart()
        for _ in range(12):  # nobody asks: its own timer brings it back
            await turn(world)
            await wait_out(world)
        assert sorted(world.gateway.inbox) == sorted(items), f"at call {at}"
        assert (await world.queue.verify())["ok"]


@pytest.mark.parametrize("jump", [-10 * YEAR, -5_000, 10 * YEAR])
@pytest.mark.parametrize("outage", ["one failure", "open", "lost probe"])
async def test_clock_jumps_strand_no_lane_that_nobody_asks(jump: int, outage: str) -> None:
    world, (item,) = await started()
    world.gateway.down = True
    await turn(world)
    if outage != "one failure":
        await until_open(world)
    if outage == "lost probe":
        stored = await world.queue._driver.lane_state()
        await world.queue._driver.keep_lane(stored.probing(world.clock.now()))
    world.gateway.down = False
    world.clock.jump(jump)
    for _ in range(8):  # four minutes of the loop's own turns
        await turn(world)
        world.clock.advance(30_000)
    assert world.gateway.inbox == [item]


async def test_known_failure_22_what_waited_through_an_outage_begins_with_one_item() -> None:
    world, items = await started(150)
    await until_open(world)
    world.gateway.down = False
    await wait_out(world)
    before = len(batches(world))
    await turn(world)
    sizes = batches(world)[before:]
    assert sizes[:2] == [1, 1]  # half-open is degraded: half of one, half of two
    assert all(later <= 2 * max(sooner, 2) for sooner, later in pairwise(sizes))
    assert sum(sizes) == 150
    assert sorted(world.gateway.inbox) == sorted(items)


async def test_known_failure_22_items_that_failed_together_come_back_one_by_one() -> None:
    world, _ = await started(100)

    def busy(_gateway: FakeGateway, request: Request, route: Any) -> Response:
        value = json.loads(request.body)
        results = [
            {"id": op["id"], "send_id": op["send_id"], "status": "busy"}
            for op in value["operations"]
        ]
        body = json.dumps({"protocol": 1, "results": results, "pause_until": None}).encode()
        return Response(200, {"content-type": "application/json"}, body)

    world.gateway.faults = [busy]
    await turn(world)
    rows = await world.queue.list(limit=200)
    dues = sorted(row["due_at"] - world.clock.now() for row in rows["rows"])
    assert dues[0] >= 30_000
    assert dues[-1] >= 30_000 + 15_000  # eighty of them are beyond the burst, five a second
    for start in dues:
        assert sum(start <= due < start + 1_000 for due in dues) <= 30
    await world.settle()
    assert len(world.gateway.inbox) == 100


async def test_known_failure_26_a_million_tries_overflow_nothing() -> None:
    world, (item,) = await started()
    stored = (await world.store.get([item]))[0].item
    policy = RetryPolicy(30_000, factor=1_000.0, max_attempts=10**9)
    world.queue._driver.policy = policy
    from fieldpost.ports import Commit, Put  # noqa: PLC0415 - only this test writes rows itself

    await world.store.commit(Commit(puts=(Put(stored.changed(attempts=10**6)),)))
    world.gateway.faults = [answers(500, b"oops")]
    await turn(world)
    found = await world.queue.get(item)
    assert found.attempts == 10**6 + 1
    assert found.due_at == world.clock.now() + 24 * 3600 * 1000
    await world.settle(hours=48)
    assert world.gateway.inbox == [item]


async def test_retrying_an_item_ends_at_its_age() -> None:
    world, (item,) = await started()
    policy = RetryPolicy(10_000, factor=1, max_attempts=1_000, max_age_ms=100_000)
    world.queue._driver.policy = policy
    problem = json.dumps({"title": "No", "code": "BUSY", "detail": "Later."}).encode()
    world.gateway.faults = [
        answers(409, problem, content_type="application/problem+json") for _ in range(100)
    ]
    world.clock.advance(10 * MINUTE)  # waiting for its first try is no retrying
    for _ in range(30):
        await turn(world)
        world.clock.advance(10_000)
    found = await world.queue.get(item)
    assert found.state is State.FAILED
    assert found.attempts == 11
    world.gateway.faults.clear()
    await world.queue.retry(item)
    await world.queue.sync()
    assert world.gateway.inbox == [item]


async def test_retry_after_as_a_date_counts_from_the_answers_own_or_from_our_clock() -> None:
    for skew_ms in (None, -YEAR):
        world, _ = await started()
        since = world.clock.now() + (skew_ms or 0)
        headers = {"retry_after": formatdate(since / 1000 + 120, usegmt=True)}
        if skew_ms is not None:
            headers["date"] = formatdate(since / 1000, usegmt=True)
        world.gateway.faults = [answers(429, b"{}", content_type="application/json", **headers)]
        await turn(world)
        health = await lane(world)
        assert health["next_probe_at"] == world.clock.now() + 120_000
        assert health["breaker"] == "closed"


async def test_a_server_that_is_there_but_fails_every_item_is_left_alone_too() -> None:
    """/healthz answers well each time: that proves nothing, and must not close the breaker."""
    world, _ = await started(3)
    world.gateway.faults = [answers(503, b"down") for _ in range(1_000)]
    posts = []
    while (await lane(world))["breaker"] == "closed":
        await turn(world)
        await wait_out(world)
    assert len(batches(world)) == 5  # the good answers between them took nothing off
    for _ in range(240):  # two hours of turns
        await turn(world)
        world.clock.advance(30_000)
        posts.append(sum(r.url.endswith("/operations") for r in world.gateway.requests))
    assert posts[-1] < 30
    assert (await lane(world))["breaker"] == "open"


# --- by hand -------------------------------------------------------------------------------------


async def test_forced_open_nothing_is_sent_by_anyone_until_it_is_closed() -> None:
    world, (item,) = await started()
    asked = len(world.gateway.requests)
    health = await world.queue.breaker("force_open")
    assert health["breaker"] == "held"
    await world.queue.sync()
    world.restart()
    await world.queue.sync()
    world.clock.advance(YEAR)
    status = await world.queue.sync()
    assert len(world.gateway.requests) == asked
    assert status["connection"] == "held"
    assert "by hand" in status["connection_text"]
    assert "by hand" in (await world.queue.detail(item))["why"]
    assert (await world.queue.breaker("force_close"))["breaker"] == "closed"
    await world.queue.sync()
    assert world.gateway.inbox == [item]
    assert (await world.queue.verify())["ok"]
    await world.queue.enqueue("ticket", TICKET)
    await until_open(world)
    world.restart()
    assert (await lane(world))["breaker"] == "open"  # the word was followed once, not for ever


async def test_a_word_said_while_a_drain_is_under_way_is_not_written_over() -> None:
    class Slow(FakeGateway):
        async def send(self, request: Request) -> Response:
            response = await FakeGateway.send(self, request)
            if request.url.endswith("/operations") and len(self.inbox) == 100:
                await other.breaker("force_open")
                world.clock.advance(2_000)  # the drain listens once a second
            return response

    world = still(gateway=Slow())
    other = world.open("another tab")
    await world.queue.sync()
    await world.queue.enqueue_many("ticket", [TICKET] * 250)
    await world.queue.sync()
    assert len(world.gateway.inbox) == 100
    for queue in (world.queue, other):
        assert (await queue.status())["lane"]["breaker"] == "held"
    await other.breaker("reset")
    await world.queue.sync()
    assert len(world.gateway.inbox) == 250


async def test_forced_open_stops_between_two_parts_of_a_file() -> None:
    class Gateway(FakeGateway):
        async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
            if n == 2:
                await world.queue.breaker("force_open")
            return await FakeGateway.send_part(self, request, attachment_id, n)

    world = still(gateway=Gateway())
    attachment = await world.attach(parts=5)
    item = await world.queue.enqueue("ticket", TICKET, attachments=[attachment])
    await world.queue.sync()
    assert len(world.gateway.files[attachment["id"]]) == 2
    await world.queue.breaker("force_close")
    await world.queue.sync()
    assert world.gateway.inbox == [item.id]


async def test_reset_forgets_what_was_learnt() -> None:
    world, _ = await started()
    await until_open(world)
    health = await world.queue.breaker("reset")
    assert (health["breaker"], health["failures"], health["next_probe_at"]) == ("closed", 0, None)
    with pytest.raises(InvalidItem):
        await world.queue.breaker("explode")


async def test_a_page_may_see_it_and_act_on_it() -> None:
    world, (item,) = await started()
    bridge = Bridge(world.queue, world.link.set)

    async def call(method: str, **args: Any) -> Any:
        return json.loads(await bridge.call(method, json.dumps(args)))

    assert (await call("breaker", action="force_open"))["ok"]["breaker"] == "held"
    assert (await call("status"))["ok"]["lane"]["health"] == "critical"
    assert (await call("breaker", action="no"))["error"]["fields"].keys() == {"action"}
    assert (await call("breaker", action="force_close"))["ok"]["breaker"] == "closed"
    await world.queue.sync()
    assert world.gateway.inbox == [item]


# --- the record ----------------------------------------------------------------------------------


async def test_a_record_of_an_earlier_version_opens_and_one_of_now_opens_there() -> None:
    old = {
        "contact": "unreachable",
        "text": "The server is not answering.",
        "known": True,
        "failures": 3,
        "wait_until": 5_000,
        "batch": 25,
        "cursor": 7,
        "acks": ["a", "b"],
    }
    state = LaneState.load(json.dumps(old))
    assert (state.wait_ms(1_000), state.batch, state.cursor) == (4_000, 25, 7)
    assert (state.contact, state.failures, state.acks) == ("unreachable", 3, ("a", "b"))
    assert LaneState.load(state.dump()) == state
    assert {name: json.loads(state.dump())[name] for name in old} == old
    assert LaneState.load('{"breaker": {"later": 1}, "later": 2}').breaker == Breaker()
    assert LaneState.load(None) == LaneState()


async def test_the_rules_are_the_callers() -> None:
    world, _ = await started()
    world.queue._driver.rules = rules_of("redis")
    assert await until_open(world) == 2
    assert (await lane(world))["closes_at"] == 10


# --- timeouts, health, shedding ------------------------------------------------------------------


async def test_a_quick_lane_learns_a_short_timeout_and_a_timeout_makes_it_longer() -> None:
    world = still()
    attachment = await world.attach(parts=6)
    for n in range(7):
        files = [attachment] if n == 6 else []
        await world.queue.enqueue("ticket", TICKET, attachments=files)
        await world.queue.sync()
    timeouts = [r.timeout_ms for r in world.gateway.requests if "operations" in r.url]
    assert timeouts[0] == 30_000
    assert 10_000 <= timeouts[6] < 10_200  # the time of its bytes on a slow line included
    assert timeouts[7:12] == [30_000] * 5  # parts have a measure of their own
    assert timeouts[12] < 10_200

    def times_out(*_: Any) -> Response:
        raise NoAnswer("timeout")

    world.gateway.faults = [times_out]
    await world.queue.enqueue("ticket", TICKET)
    await world.queue.sync()
    await world.queue.sync()
    timeouts = [r.timeout_ms for r in world.gateway.requests if r.url.endswith("/operations")]
    assert 20_000 <= timeouts[-1] < 20_200
    world.restart()
    assert (await lane(world))["timeout_ms"] == 10_000


async def test_while_most_requests_fail_only_the_urgent_go_or_one_alone() -> None:
    world = still()
    await world.queue.sync()
    state = await world.queue._driver.lane_state()
    slot = (world.clock.now() // 30_000 * 30_000, 20, 6, 200)
    ill = replace(state, breaker=replace(state.breaker, window=(slot,)))
    await world.queue._driver.keep_lane(ill)
    assert (await lane(world))["health"] == "critical"
    low = {"summary": "x", "severity": "low"}
    for _ in range(6):
        await world.queue.enqueue("ticket", low)
        await world.queue.enqueue("ticket", TICKET)
    await turn(world)
    # Six urgent ones together, then one by one until three in four succeed again.
    assert batches(world)[:4] == [6, 1, 1, 1]
    assert len(world.gateway.inbox) == 12
    assert (await lane(world))["health"] == "degraded"


class Slow(FakeGateway):
    """Each request takes ``Slow.ms``."""

    ms = 6_000
    clock: Any = None

    async def send(self, request: Request) -> Response:
        if request.url.endswith("/operations"):
            Slow.clock.advance(Slow.ms)
        return await FakeGateway.send(self, request)


async def test_load_shedding_puts_off_what_is_low_and_drops_only_what_may_be_dropped() -> None:
    world = still(gateway=Slow())
    Slow.clock = world.clock
    world.queue.kinds.register(Kind("log", "message", droppable=True))
    await world.queue.sync()
    log = (await world.queue.enqueue("log", {"message": "x"}, priority=1)).id
    low = (await world.queue.enqueue("ticket", {"summary": "x"}, priority=2)).id
    high = (await world.queue.enqueue("ticket", {"summary": "x"}, priority=9)).id
    driver = world.queue._driver

    async def pressed(times: int) -> None:
        """A turn with a queue ``times`` as deep as the bound behind a slow server."""
        state = await driver.lane_state()
        slot = (world.clock.now() // 30_000 * 30_000, 9, 0, 9 * 6_000)
        state = replace(state, breaker=replace(state.breaker, window=(slot,)))
        await driver.keep_lane(state)
        counters = await world.store.counters()
        counted = world.store.counters

        async def deep() -> dict[str, int]:
            return {**counters, "open": 2_000 * times}

        world.store.counters = deep  # type: ignore[method-assign]
        await turn(world)
        world.store.counters = counted  # type: ignore[method-assign]

    await pressed(1)
    assert world.gateway.inbox[:1] == [high]
    for item in (low, log):
        stored = await world.queue.get(item)
        assert (stored.state, stored.ready, stored.attempts) == (State.PENDING, False, 0)
        assert "more urgent" in (await world.queue.detail(item))["why"]
    urgent = (await world.queue.enqueue("ticket", {"summary": "x"}, priority=9)).id
    world.clock.advance(MINUTE)
    await pressed(5)
    assert urgent in world.gateway.inbox
    assert (await world.queue.get(log)).state is State.EXPIRED
    assert (await world.queue.get(log)).error_code == "QUEUE_SHED"
    assert (await world.queue.get(low)).is_open
    await world.settle()
    assert sorted(world.gateway.inbox) == sorted([high, urgent, low])
    await world.queue.retry(log)
    await world.settle()
    assert log in world.gateway.inbox

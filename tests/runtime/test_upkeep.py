"""What goes by itself and when, the queue's own logs, and trying at once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.worlds import DEVICE, World

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.config import LogConfig, QueueConfig
from fieldpost.engine.limits import KindLimit, Limits
from fieldpost.engine.model import Item
from fieldpost.engine.retention import Retention
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.logfile import log_to_file
from fieldpost.ports import Request, Response
from fieldpost.runtime import online
from fieldpost.runtime.driver import Host
from fieldpost.runtime.logs import LogItems, redacted, wanted
from fieldpost.runtime.queue import Queue
from fieldpost.testing.fakes import FakeGateway, LocalTabs, answers
from fieldpost.testing.faultystore import Fault, FaultyStore

DAY = 24 * 3600 * 1000
log = logging.getLogger("fieldpost.testing_upkeep")


def queue_of(world: World, store: Any = None, clock: Any = None, **changes: Any) -> Queue:
    host = Host(
        store or world.store,
        world.gateway,
        clock or world.clock,
        world.entropy,
        world.link,
        world.tabs,
    )
    destination = GatewayDestination("https://post.example/", DEVICE)
    settings = {"logging": LogConfig(level="off")} | changes
    return Queue(host, destination, owner="tab", config=QueueConfig(**settings))


def ticket(n: int) -> dict[str, Any]:
    return {"summary": f"T{n}"}


async def ids(world: World) -> set[str]:
    return {row.item.id for row in (await world.store.page(tuple(State), limit=500)).rows}


async def days(world: World, queue: Queue, n: int) -> int:
    """So many days with a look on each, as an app that is used."""
    gone = 0
    for _ in range(n):
        world.clock.advance(DAY)
        gone += await queue.tidy()
    return gone


# --- retention ------------------------------------------------------------------------------------


async def test_delivered_goes_after_a_week_and_what_waits_stays() -> None:
    """With its attachment's bytes; the journal tells of it and verifies."""
    world = World()
    queue = queue_of(world)
    file = await world.attach()
    sent = await queue.enqueue("ticket", ticket(1), attachments=[file])
    await world.settle()
    assert (await queue.get(sent.id)).state is State.COMPLETED
    world.link.set(False)
    waiting = await queue.enqueue("ticket", ticket(2))
    assert await days(world, queue, 6) == 0
    assert await days(world, queue, 2) == 1
    assert await ids(world) == {waiting.id}
    assert await world.store.part(str(file["id"]), 1) is None
    assert (await world.store.counters())["removed"] == 1
    assert (await queue.verify())["ok"]
    await days(world, queue, 400)
    assert await ids(world) == {waiting.id}


async def test_dead_letters_stay_a_month_and_evidence_until_it_is_acknowledged() -> None:
    world = World()
    queue = queue_of(world)
    failed = await queue.enqueue("ticket", ticket(1))
    evidence = await queue.enqueue("evidence", {"bundle_id": "b1"})
    for item in (failed, evidence):
        await queue.cancel(item.id)
    kept = await queue.enqueue("evidence", {"bundle_id": "b2"})
    await world.settle()
    assert (await queue.get(kept.id)).state is State.COMPLETED
    assert await days(world, queue, 10) == 1  # the delivered evidence
    assert await ids(world) == {failed.id, evidence.id}
    await days(world, queue, 30)
    assert await ids(world) == {evidence.id}


async def test_what_others_wait_for_is_kept() -> None:
    world = World()
    queue = queue_of(world)
    problem = json.dumps({"title": "No", "code": "BAD_REQUEST"}).encode()
    refused = answers(400, problem, content_type="application/problem+json")
    world.gateway.faults = [refused] * 4
    parent = await queue.enqueue("ticket", ticket(1))
    first = await queue.enqueue("ticket", ticket(2), entity="pump")
    alone = await queue.enqueue("ticket", ticket(3), entity="door")
    await queue.sync()
    child = await queue.enqueue("ticket", ticket(4), depends_on=[parent.id])
    second = await queue.enqueue("ticket", ticket(5), entity="pump")
    assert (await queue.get(alone.id)).state is State.FAILED
    await days(world, queue, 60)
    assert await ids(world) == {parent.id, first.id, child.id, second.id}
    await queue.discard(first.id)
    await queue.retry(parent.id)
    await world.settle()
    assert (await queue.get(child.id)).state is State.COMPLETED
    assert (await queue.get(second.id)).state is State.COMPLETED


async def test_a_clock_that_jumps_ahead_removes_nothing() -> None:
    """Known failure 11: a year too far, and back; the app is away for a month."""
    world = World()
    queue = queue_of(world)
    item = await queue.enqueue("ticket", ticket(1))
    await world.settle()
    assert await queue.tidy() == 0
    for jump in (365 * DAY, -365 * DAY, 30 * DAY):
        world.clock.jump(jump)
        assert await queue.tidy() == 0
        world.restart()
        queue = queue_of(world)
    assert await ids(world) == {item.id}
    world.clock.advance(3600 * 1000)  # it is really so much later
    assert await queue.tidy() == 1


async def test_what_is_kept_for_longer_hides_nothing_behind_it() -> None:
    """150 rows that stay, then 150 that go: found in bounded looks."""
    world = World()
    queue = queue_of(world, retention=Retention(kinds={"feedback": None}))
    await queue.enqueue_many("feedback", [{"rating": 1, "comment": "c"}] * 150)
    await queue.enqueue_many("ticket", map(ticket, range(150)))
    await queue.sync()
    await queue.tidy()
    looks = []
    for _ in range(8):
        world.clock.advance(DAY)
        looks.append(await queue.tidy())
    for _ in range(4):
        world.clock.advance(3600 * 1000)
        looks.append(await queue.tidy())
    assert sum(looks) == 150
    assert (await world.store.counters())["state:completed"] == 150


async def test_the_loop_tidies_at_its_start_and_then_hourly() -> None:
    world = World()
    queue = queue_of(world)
    looked = []

    async def look() -> None:
        looked.append(world.clock.now())

    queue._loop._tidy = look
    await queue._loop._tidy_at_times()
    world.clock.advance(59 * 60_000)
    await queue._loop._tidy_at_times()
    world.clock.advance(60_000)
    await queue._loop._tidy_at_times()
    assert len(looked) == 2


# --- logs -----------------------------------------------------------------------------------------


@pytest.fixture
async def logged() -> AsyncIterator[tuple[World, Queue]]:
    """A queue whose logs are kept, attached as by `Queue.start`."""
    world = World()
    world.link.set(False)
    queue = queue_of(world, logging=LogConfig(level="warn"))
    queue._logs.attach()
    yield world, queue
    await queue._logs.detach()


async def kept(world: World, queue: Queue) -> list[dict[str, Any]]:
    """The payloads of the logs that are stored, oldest first."""
    handler = queue._logs
    await asyncio.sleep(0)  # what another thread or this one said comes in by the loop
    while handler._task is not None and not handler._task.done():
        await handler._task
    rows = (await world.store.page(tuple(State), limit=500, parts=("body",))).rows
    return [json.loads(row.parts["body"]) for row in rows if row.item.kind == "log"]


async def test_a_warning_becomes_an_item(logged: tuple[World, Queue]) -> None:
    world, queue = logged
    log.info("not of interest")
    log.warning("breaker opened", extra={"lane": "inbox", "item_id": "i1", "payload": {"a": 1}})
    (entry,) = await kept(world, queue)
    assert entry == {
        "level": "warn",
        "message": "breaker opened",
        "timestamp": world.clock.now(),
        "component": "fieldpost.testing_upkeep",
        "context": {"lane": "inbox"},
        "correlationId": "i1",
    }
    (row,) = (await world.store.page(tuple(State), limit=5)).rows
    assert row.item.priority == 2
    status = await queue.status()
    assert (status["logs"], status["waiting"]) == (1, 0)
    assert (await queue.list())["rows"] == []
    assert await queue.logs() == [entry]
    world.link.set(True)
    await queue.sync()
    assert world.gateway.inbox == [row.item.id]


async def test_from_another_thread_too(logged: tuple[World, Queue]) -> None:
    world, queue = logged
    await asyncio.to_thread(log.error, "from a thread")
    assert [entry["message"] for entry in await kept(world, queue)] == ["from a thread"]


async def test_no_secret_and_no_payload_gets_into_a_log(logged: tuple[World, Queue]) -> None:
    """Invariant 7: neither in words nor in an exception's text."""
    world, queue = logged
    secret = "c3VwZXItc2VjcmV0LXRva2VuLTEyMzQ1Njc4OTA"
    uuid = "0190a5b2-3c4d-7e5f-8a9b-0c1d2e3f4a5b"
    text = f"Bearer {secret} for ann@example.com at https://u:p@h.example/x?key={secret} {uuid}"
    try:
        raise ValueError(f"bad payload: Anna Schmidt {secret}")
    except ValueError:
        log.exception("%s; %s", text, secret)
    (entry,) = await kept(world, queue)
    shown = json.dumps(entry)
    for part in (secret, "ann@example.com", "u:p", "Anna"):
        assert part not in shown
    assert entry["error"]["message"] == "ValueError"
    assert "test_upkeep.py:" in entry["error"]["stack"]
    assert uuid in entry["message"]
    assert redacted("sync turn failed: QUEUE_DATABASE_ERROR") == (
        "sync turn failed: QUEUE_DATABASE_ERROR"
    )


async def test_what_repeats_is_counted(logged: tuple[World, Queue]) -> None:
    world, queue = logged
    for n in range(1_000):
        log.warning("still failing: %d", n)
    assert len(await kept(world, queue)) == 1
    world.clock.advance(60_000)
    log.warning("still failing: %d", 1_000)
    assert [entry.get("context") for entry in await kept(world, queue)] == [
        None,
        {"repeated": 999},
    ]


async def test_a_log_that_cannot_be_stored_is_not_logged() -> None:
    """It ends where it began: nothing is said, nothing raised, nothing tried again."""
    world = World()
    broken = FaultyStore(world.store, Fault(1, persistent=True))
    queue = queue_of(world, broken, logging=LogConfig(level="debug"))
    queue._logs.attach()
    log.error("the storage is gone")
    await queue._logs.detach()
    assert queue._logs.lost == 1
    assert broken.fired
    assert (await world.store.counters())["open"] == 0


async def test_what_is_said_while_a_log_is_stored_is_not_logged() -> None:
    world = World()
    said = []

    async def keep(entries: list[dict[str, Any]]) -> None:
        said.extend(entries)
        log.error("storing %d", len(said))

    handler = LogItems(LogConfig(level="debug"), world.clock, keep)
    handler.attach()
    log.error("first")
    await asyncio.sleep(0)
    assert handler._task is not None
    await handler._task
    log.error("second")  # only what the storing says is left out
    await handler.detach()
    assert [entry["message"] for entry in said] == ["first", "second"]
    handler.attach()
    log.error("third")
    await handler.detach()
    assert said[-1]["message"] == "third"


async def test_the_ring_drops_the_oldest_logs_and_nothing_else() -> None:
    world = World()
    world.link.set(False)
    limits = Limits(kinds={"log": KindLimit(items=50, ring=True)})
    queue = queue_of(world, limits=limits, logging=LogConfig(level="warn"))
    item = await queue.enqueue("ticket", ticket(1))
    queue._logs.attach()
    for n in range(220):
        world.clock.advance(1)
        log.warning(f"message {n}")  # noqa: G004 - each its own
        await kept(world, queue)
    await queue._logs.detach()
    messages = [int(entry["message"].split()[1]) for entry in await kept(world, queue)]
    assert messages == list(range(220 - len(messages), 220))
    assert 45 <= len(messages) <= 50
    assert item.id in await ids(world)
    room = next(row for row in (await queue.status())["limits"] if row["name"] == "log")
    assert (room["used"], room["warn"]) == (len(messages), False)
    assert (await queue.verify())["ok"]


def test_levels_and_the_debug_switch() -> None:
    """A57-A59: a level for all, and parts that speak at every level."""
    quiet, parts = LogConfig(level="error"), LogConfig("off", debug=("fieldpost:runtime*",))
    assert wanted(quiet, "fieldpost", logging.ERROR)
    assert not wanted(quiet, "fieldpost", logging.WARNING)
    assert wanted(parts, "fieldpost.runtime.loop", logging.DEBUG)
    assert not wanted(parts, "fieldpost.stores", logging.CRITICAL)
    assert wanted(LogConfig("off", ("fieldpost:*",)), "fieldpost", logging.DEBUG)
    assert wanted(LogConfig("off", ("*",)), "fieldpost.x", logging.DEBUG)
    assert not wanted(LogConfig("off"), "fieldpost", logging.CRITICAL)


async def test_the_logger_is_left_as_it_was() -> None:
    logger = logging.getLogger("fieldpost")
    before = (logger.level, list(logger.handlers))
    queue = queue_of(World(), logging=LogConfig(level="debug"))
    await queue.start()
    assert logger.level == logging.DEBUG
    await queue.close()
    assert (logger.level, logger.handlers) == before


async def test_a_log_file_is_renamed_when_it_is_full(tmp_path: Path) -> None:
    """A58: level, file, size, how many; for the owner only, and redacted."""
    path = tmp_path / "queue.log"
    config = LogConfig(level="info", file=str(path), file_bytes=2_000, files=2)
    end = log_to_file(config)
    try:
        log.debug("not of interest")
        for n in range(100):
            log.info("message %d for ann@example.com", n)
    finally:
        end()
    log.error("after the end")
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["queue.log", "queue.log.1", "queue.log.2"]
    assert all(file.stat().st_size <= 2_000 for file in tmp_path.iterdir())
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert path.read_text().splitlines()[-1].endswith("fieldpost.testing_upkeep message 99 for …")
    assert log_to_file(LogConfig(level="off"))() is None


# --- online first ---------------------------------------------------------------------------------


class PatientClock:
    """Sleeps of 10 ms end when the test says so, others never."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.over = asyncio.Event()

    def now(self) -> int:
        return self._world.clock.now()

    def monotonic(self) -> float:
        return self._world.clock.monotonic()

    async def sleep(self, ms: float) -> None:
        await (self.over if ms == 10 else asyncio.Event()).wait()


async def test_try_now_returns_the_end_when_it_comes_in_time() -> None:
    """A60."""
    world = World()
    queue = queue_of(world, clock=PatientClock(world))
    item = await queue.try_now("ticket", ticket(1))
    assert item.state is State.COMPLETED
    assert world.gateway.inbox == [item.id]


async def test_try_now_is_queued_when_there_is_no_network_or_no_server() -> None:
    world = World()
    queue = queue_of(world, clock=PatientClock(world))
    world.link.set(False)
    item = await queue.try_now("ticket", ticket(1))
    assert item.state is State.PENDING
    world.link.set(True)
    world.gateway.faults = [answers(503)] * 3
    again = await queue.try_now("ticket", ticket(2))
    assert again.is_open
    await world.settle()
    assert sorted(world.gateway.inbox) == sorted([item.id, again.id])


async def test_try_now_waits_no_longer_than_asked_and_the_sending_goes_on() -> None:
    answer = asyncio.Event()

    class SlowGateway(FakeGateway):
        async def send(self, request: Request) -> Response:
            if request.url.endswith("/operations"):
                clock.over.set()
                await answer.wait()
            return await FakeGateway.send(self, request)

    world = World(gateway=SlowGateway())
    clock = PatientClock(world)
    queue = queue_of(world, clock=clock)
    item: Item = await queue.try_now("ticket", ticket(1), timeout_ms=10)
    assert item.state is State.IN_PROGRESS
    answer.set()
    await asyncio.gather(*online._going_on)
    assert (await queue.get(item.id)).state is State.COMPLETED
    assert world.gateway.inbox == [item.id]


async def test_try_now_with_another_context_sending() -> None:
    """The lock is held elsewhere: what that context brings about is returned."""
    listening: asyncio.Queue[Any] = asyncio.Queue()

    class HeardTabs(LocalTabs):
        def subscribe(self, callback: Any) -> Any:
            listening.put_nowait(callback)
            return lambda: None

    world = World(tabs=HeardTabs())
    mine = queue_of(world, clock=PatientClock(world))
    holder = asyncio.Event()

    async def hold(_leadership: Any) -> None:
        await holder.wait()

    lock = asyncio.create_task(world.tabs.lead(hold, lane="gateway", wait_ms=0, steal_after_ms=0))
    await asyncio.sleep(0)
    trying = asyncio.create_task(mine.try_now("ticket", ticket(1)))
    tell = await listening.get()
    holder.set()
    await lock
    await world.queue.sync()
    tell({"type": "changed"})
    assert (await trying).state is State.COMPLETED

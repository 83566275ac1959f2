"""When and what is sent next, on a whole queue: strategies, schedules, windows, costs, history."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from tests.runtime.worlds import World

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.network import Hints
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Request, Response
from fieldpost.runtime.bridge import Bridge
from fieldpost.runtime.routes import Lane
from fieldpost.testing.fakes import FakeClock, FakeGateway, answers, lose_answer

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
#: 2026-01-06, a Tuesday, 12:00 UTC.
TUESDAY_NOON = 1_767_700_800_000


class HandClock(FakeClock):
    """Only the test moves it: the beat of a drain sleeps all the time."""

    async def sleep(self, ms: float) -> None:
        await asyncio.sleep(0)


class Narrow(FakeGateway):
    """Each request for operations takes a tenth of a second."""

    async def send(self, request: Request) -> Response:
        response = await FakeGateway.send(self, request)
        if request.url.endswith("/operations"):
            world_of[id(self)].clock.advance(100)
        return response


world_of: dict[int, World] = {}


def world(**more: Any) -> World:
    made = World(gateway=Narrow(), clock=HandClock(), **more)
    world_of[id(made.gateway)] = made
    made.clock.jump(TUESDAY_NOON - made.clock.now())
    return made


class Limited:
    """A destination that takes so many items in one request."""

    def __init__(self, inner: Any, batch_items: int):
        self._inner = inner
        self.declaration = replace(inner.declaration, batch_items=batch_items)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def limit(made: World, batch_items: int = 1) -> None:
    driver = made.queue._driver
    driver.destination = Limited(driver.destination, batch_items)


async def add(made: World, priority: int = 5, kind: str = "ticket", **options: Any) -> str:
    payload = {"summary": "x"} if kind == "ticket" else {"rating": 3, "comment": "x"}
    return (await made.queue.enqueue(kind, payload, priority=priority, **options)).id


async def why(made: World, item_id: str) -> str:
    return (await made.queue.detail(item_id))["why"]


# --- strategies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["fifo", "lifo", "priority"])
@pytest.mark.parametrize("batch", [1, 2, 100])
async def test_the_order_is_the_strategys_whatever_fits_into_a_batch(strategy, batch) -> None:
    made = world()
    priorities = [5, 2, 8, 5, 8]
    ids = [await add(made, priority) for priority in priorities]
    await made.queue.configure(strategy=strategy)
    limit(made, batch)
    await made.queue.sync()
    orders = {"fifo": [0, 1, 2, 3, 4], "lifo": [4, 3, 2, 1, 0], "priority": [2, 4, 0, 3, 1]}
    assert [ids.index(i) for i in made.gateway.inbox] == orders[strategy]


async def test_a_switch_takes_effect_at_the_next_claim_also_from_another_context() -> None:
    made = world()
    limit(made)
    other = made.open("other tab")
    ids = [await add(made, priority) for priority in (5, 2, 8, 5)]

    class Switching(Narrow):
        async def send(self, request: Request) -> Response:
            if request.url.endswith("/operations") and not self.inbox:
                await other.configure(strategy="lifo")
                made.queue._loop._heard({"type": "changed", "revision": -1})
            return await Narrow.send(self, request)

    made.gateway.__class__ = Switching
    await made.queue.sync()
    assert [ids.index(i) for i in made.gateway.inbox] == [2, 3, 1, 0]


async def test_weighted_and_adaptive_deliver_all_and_remember_what_they_learnt() -> None:
    for strategy in ("weighted", "adaptive"):
        made = world()
        await made.queue.configure(strategy=strategy)
        limit(made)
        ids = [await add(made, 1 + n % 10) for n in range(30)]
        await made.queue.sync()
        assert sorted(made.gateway.inbox) == sorted(ids)
        learnt = json.loads(await made.store.side("scheduling", "gateway") or "")["levels"]
        assert Counter(level[2] for level in learnt.values()) == {3: 10}
        assert all(0.9 < level[0] <= 1 for level in learnt.values())
        assert all(90 < level[1] <= 100 for level in learnt.values())


async def test_adaptive_turns_to_the_level_that_works() -> None:
    made = world()
    levels = {"8": [0.0, 4_000, 50, made.clock.now()], "6": [1.0, 10, 50, made.clock.now()]}
    record = json.dumps({"since": 0, "last": 0, "slot": 0, "levels": levels})
    await made.store.commit(Commit(side={("scheduling", "gateway"): record}))
    limit(made)
    await made.queue.configure(strategy="adaptive")
    failing, working = await add(made, 8), await add(made, 6)
    await made.queue.sync()
    assert made.gateway.inbox == [working, failing]


async def test_an_old_item_goes_next_though_urgent_ones_keep_coming() -> None:
    """More urgent items come than can be sent; the one of low priority goes within the bound."""
    made = world()
    limit(made)
    low: list[str] = []
    sent_after: list[int] = []

    class Busy(Narrow):
        async def send(self, request: Request) -> Response:
            response = await Narrow.send(self, request)
            if request.url.endswith("/operations"):
                made.clock.advance(20_000)
                if low[0] in self.inbox:
                    sent_after.append(made.clock.now() - start)
                elif len(self.inbox) < 200:
                    await add(made, 10)
            return response

    made.gateway.__class__ = Busy
    start = made.clock.now()
    await add(made, 10)
    low.append(await add(made, 1))
    await made.queue.configure(max_wait_minutes=15)
    await made.queue.sync()
    assert 15 * MINUTE <= sent_after[0] <= 16 * MINUTE


async def test_files_wait_for_texts_and_the_oldest_of_them_goes_first_with_fifo() -> None:
    made = world()
    await made.queue.configure(strategy="fifo")
    low = await add(made, 1, attachments=[await made.attach(parts=2)])
    urgent = await add(made, 10, attachments=[await made.attach(parts=2)])
    text = await add(made, 1)
    await made.queue.sync()
    assert made.gateway.inbox == [text, low, urgent]


# --- settings ------------------------------------------------------------------------------------


async def test_settings_are_durable_checked_and_journalled() -> None:
    made = world()
    before = await made.queue.settings()
    assert before["strategy"] == "priority"
    assert before["sync"] == "immediate"
    assert before["wait_for_unmetered"] is False
    window = {"days": ["sat"], "from": "22:00", "to": "06:00"}
    await made.queue.configure(strategy="fifo", maintenance=[window])
    made.restart()
    settings = await made.queue.settings()
    assert settings["strategy"] == "fifo"
    assert settings["maintenance"] == [window]
    with pytest.raises(InvalidItem) as wrong:
        await made.queue.configure(
            strategy="best", max_wait_minutes=0, batch_items=True, at_times=["9"], colour="red"
        )
    assert set(wrong.value.fields) == {
        "strategy",
        "max_wait_minutes",
        "batch_items",
        "at_times",
        "colour",
    }
    with pytest.raises(InvalidItem):
        await made.queue.configure(sync="scheduled")
    assert await made.queue.settings() == settings
    records = [json.loads(record.text) for _, record in await made.store.journal(0, 100)]
    assert [r["note"] for r in records] == ["configure maintenance strategy"]
    assert (await made.queue.verify())["ok"]


async def test_what_another_version_wrote_is_kept_and_what_is_strange_is_the_default() -> None:
    made = world()
    strange = {"strategy": "quantum", "batch_items": "many", "sync": "batched", "sparkle": 7}
    await made.store.commit(Commit(side={("settings", "queue"): json.dumps(strange)}))
    settings = await made.queue.settings()
    assert (settings["strategy"], settings["sync"], settings["batch_items"]) == (
        "priority",
        "batched",
        50,
    )
    await made.queue.configure(batch_items=20)
    kept = json.loads(await made.store.side("settings", "queue") or "")
    assert kept == {**strange, "batch_items": 20}


async def test_a_screen_reaches_it_through_the_bridge() -> None:
    bridge = Bridge(world().queue, lambda _online: None)
    changed = json.loads(await bridge.call("configure", '{"strategy": "weighted"}'))["ok"]
    assert changed == json.loads(await bridge.call("settings"))["ok"]
    error = json.loads(await bridge.call("configure", '{"sync": "now"}'))["error"]
    assert set(error["fields"]) == {"sync"}
    assert json.loads(await bridge.call("history"))["ok"] == []


# --- pauses --------------------------------------------------------------------------------------


async def test_lanes_pause_one_by_one_or_all_and_other_contexts_heed_it() -> None:
    made = world()
    made.lanes = [Lane(made.queue._driver.destination, "archive", frozenset({"log"}))]
    made.queue = made.open()
    await made.queue.pause("elsewhere", "archive")
    first = await add(made)
    assert (await made.queue.sync())["paused"] is None
    assert made.gateway.inbox == [first]
    other = made.open("other tab")
    await other.pause("lunch", "gateway")
    second = await add(made)
    assert (await made.queue.sync())["paused"] == "lunch"
    assert await why(made, second) == "Sending is paused."
    assert (await made.queue.settings())["paused"] == {"archive": "elsewhere", "gateway": "lunch"}
    await other.resume("gateway")
    await made.queue.sync()
    assert made.gateway.inbox == [first, second]
    await other.pause("all of it")
    await other.pause("and this", "gateway")
    await other.resume()
    assert (await made.queue.settings())["paused"] == {}


async def test_a_pause_of_another_context_stops_a_long_file_between_two_parts() -> None:
    made = world()
    other = made.open("other tab")

    class Pausing(Narrow):
        async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
            if n == 2:
                await other.pause("enough")
                made.queue._loop._heard({"type": "changed", "revision": -1})
            return await FakeGateway.send_part(self, request, attachment_id, n)

    made.gateway.__class__ = Pausing
    item = await add(made, attachments=[await made.attach(parts=5)])
    await made.queue.sync()
    assert (await made.queue.get(item)).attachments[0].acked == 2
    await other.resume()
    await made.queue.sync()
    assert made.gateway.inbox == [item]


# --- sync strategies -----------------------------------------------------------------------------


async def turn(made: World) -> None:
    """What the loop does when something happened or a timer rang."""
    await made.queue._loop.turn()


async def test_batched_waits_for_others_and_says_so() -> None:
    made = world()
    await made.queue.configure(sync="batched", batch_items=4, batch_seconds=60)
    first = await add(made)
    await turn(made)
    assert made.gateway.inbox == []
    assert await why(made, first) == (
        "Waits for more items to send together, until 12:01 at the latest."
    )
    held = (await made.queue.status())["held"]
    assert held["reason"] == "batched"
    assert held["until"] == TUESDAY_NOON + MINUTE
    assert await made.queue._loop.lanes[0]._delay_ms() == 30_000
    made.clock.advance(50_000)
    assert await made.queue._loop.lanes[0]._delay_ms() == 10_000
    made.clock.advance(10_000)
    await turn(made)
    assert made.gateway.inbox == [first]
    more = [await add(made) for _ in range(3)]
    await turn(made)
    assert made.gateway.inbox == [first]
    more.append(await add(made))
    await turn(made)
    assert made.gateway.inbox == [first, *more]


async def test_an_own_date_is_told_before_what_holds_the_lane() -> None:
    made = world()
    await made.queue.configure(sync="batched")
    item = await add(made, not_before=TUESDAY_NOON + HOUR)
    other = await add(made)
    assert await why(made, item) == "To be sent in 1 hour."
    rows = (await made.queue.list())["rows"]
    assert [row["why"][:15] for row in rows if row["id"] == other] == ["Waits for more "]
    await made.queue.sync()
    assert made.gateway.inbox == [other]
    assert (await made.queue.list("sent"))["rows"][0]["why"] == ""


async def test_a_paused_loop_wakes_when_another_context_resumes() -> None:
    made = world()
    other = made.open("other tab")
    await made.queue.pause()
    await turn(made)
    made.queue._loop.lanes[0]._wake.clear()
    await other.resume()
    made.queue._loop._heard({"type": "changed", "revision": other._committer.revision})
    assert made.queue._loop.lanes[0]._wake.is_set()
    item = await add(made)
    await turn(made)
    assert made.gateway.inbox == [item]


async def test_a_line_that_stands_again_wakes_a_context_that_committed_nothing() -> None:
    """It says 0, which is no revision: not of this context either."""
    made = world()
    other = made.open("other tab")
    await other.pause()
    await turn(made)
    lane = made.queue._loop.lanes[0]
    lane._wake.clear()
    await other.resume()
    assert made.queue._committer.revision == 0
    made.queue._loop._heard({"type": "changed", "revision": 0})
    assert lane._wake.is_set()


async def test_batched_sends_urgent_work_at_once_and_all_of_it_by_hand() -> None:
    made = world()
    await made.queue.configure(sync="batched", batch_items=4)
    low = await add(made, 2)
    await made.queue.sync()
    assert made.gateway.inbox == [low]
    two = [await add(made, 5), await add(made, 10)]
    await turn(made)
    assert sorted(made.gateway.inbox[1:]) == sorted(two)


async def test_scheduled_sends_at_its_times_late_rather_than_never() -> None:
    made = world()
    await made.queue.configure(sync="scheduled", at_times=["18:00"], utc_offset_minutes=60)
    item = await add(made)
    await turn(made)
    assert made.gateway.inbox == []
    assert await why(made, item) == "To be sent at 18:00."
    assert (await made.queue.status())["held"]["until"] == TUESDAY_NOON + 5 * HOUR
    made.clock.advance(5 * HOUR)
    made.gateway.down = True
    await turn(made)
    made.gateway.down = False
    made.clock.advance(2 * HOUR)
    made.restart()
    await turn(made)
    assert made.gateway.inbox == [item]
    late = await add(made)
    await turn(made)
    assert made.gateway.inbox == [item]
    assert await why(made, late) == "To be sent at 18:00."
    made.clock.advance(DAY)
    await turn(made)
    assert made.gateway.inbox == [item, late]


async def test_a_schedule_begins_with_its_next_time_and_survives_clock_jumps() -> None:
    made = world()
    made.clock.advance(5 * MINUTE)
    await made.queue.configure(sync="scheduled", every_minutes=60)
    item = await add(made)
    await turn(made)
    assert made.gateway.inbox == []
    made.clock.advance(54 * MINUTE)
    await turn(made)
    assert made.gateway.inbox == []
    made.clock.advance(MINUTE)
    await turn(made)
    assert made.gateway.inbox == [item]
    after = await add(made)
    made.clock.jump(-10 * 365 * DAY)  # the time kept lies in the future now: it holds up nothing
    await turn(made)
    await turn(made)
    assert made.gateway.inbox == [item, after]


# --- windows -------------------------------------------------------------------------------------


async def test_nothing_is_sent_in_a_closed_window_not_even_by_hand() -> None:
    made = world()
    window = {"days": ["tue"], "from": "11:00", "to": "13:00"}
    elsewhere = {"from": "00:00", "to": "00:00", "lane": "archive"}
    await made.queue.configure(maintenance=[window, elsewhere])
    item = await add(made)
    status = await made.queue.sync()
    assert made.gateway.requests == []
    assert status["held"]["until"] == TUESDAY_NOON + HOUR
    assert await why(made, item) == "Nothing is sent during maintenance, until 13:00."
    made.clock.advance(HOUR)
    await turn(made)
    assert made.gateway.inbox == [item]


async def test_a_window_that_begins_stops_a_turn_under_way() -> None:
    made = world()
    limit(made)

    class Slow(Narrow):
        async def send(self, request: Request) -> Response:
            response = await FakeGateway.send(self, request)
            made.clock.advance(10 * MINUTE)
            return response

    made.gateway.__class__ = Slow
    await made.queue.configure(maintenance=[{"from": "12:25", "to": "13:00"}])
    for _ in range(5):
        await add(made)
    await made.queue.sync()
    assert len(made.gateway.inbox) == 2  # the probe took ten minutes as well
    await made.settle(2)
    assert len(made.gateway.inbox) == 5


async def test_disruptive_work_waits_for_its_window_and_holds_up_nothing() -> None:
    made = world()
    window = {"days": ["tue"], "from": "22:00", "to": "23:00", "use": "disruptive"}
    await made.queue.configure(maintenance=[window], disruptive_kinds=["ticket"])
    heavy = [await add(made, 10) for _ in range(120)]
    light = await add(made, 1, "feedback")
    await made.queue.sync()
    assert made.gateway.inbox == [light]
    assert await why(made, heavy[0]) == "It is sent in the next maintenance window, at 22:00."
    assert (await made.queue.get(heavy[0])).ready is False
    made.clock.advance(10 * HOUR)
    await turn(made)
    assert sorted(made.gateway.inbox) == sorted([light, *heavy])


# --- networks that cost --------------------------------------------------------------------------


async def test_on_a_network_that_costs_it_waits_only_where_asked_to() -> None:
    made = world()
    made.around.network = Hints(type="cellular", downlink_mbps=1, rtt_ms=400)
    first = await add(made)
    await turn(made)
    assert made.gateway.inbox == [first]
    await made.queue.configure(wait_for_unmetered=True)
    made.restart()
    second = await add(made)
    await turn(made)
    assert made.gateway.inbox == [first]
    assert await why(made, second) == (
        "Waits for a network that costs nothing. Sync now sends it over mobile data."
    )
    assert (await made.queue.status())["network"]["metered"] is True
    await made.queue.sync()
    assert made.gateway.inbox == [first, second]


async def test_it_does_not_wait_for_a_free_network_for_ever() -> None:
    made = world()
    made.around.network = Hints(type="cellular", downlink_mbps=1, rtt_ms=400)
    await made.queue.configure(wait_for_unmetered=True)
    item = await add(made)
    made.clock.advance(DAY - 1)
    await turn(made)
    assert made.gateway.inbox == []
    made.clock.advance(1)
    await turn(made)
    assert made.gateway.inbox == [item]


async def test_a_megabyte_is_sent_and_then_all_of_it() -> None:
    made = world()
    made.around.network = Hints(type="cellular", downlink_mbps=1, rtt_ms=400)
    await made.queue.configure(wait_for_unmetered=True)

    class Mobile(Narrow):
        async def send(self, request: Request) -> Response:
            made.clock.advance(1_000 + len(request.body) // 100)
            return await FakeGateway.send(self, request)

    made.gateway.__class__ = Mobile
    for n in range(60):
        await made.queue.enqueue("ticket", {"summary": f"{n}", "description": "x" * 20_000})
        await turn(made)
        assert (made.gateway.inbox == []) is (n < 49)
    assert len(made.gateway.inbox) == 50  # the later ones wait again


async def test_batches_are_as_large_as_the_network_is_good() -> None:
    made = world()
    sizes: list[int] = []

    class Counting(FakeGateway):
        async def send(self, request: Request) -> Response:
            made.clock.advance(2_000)  # latency of a poor line
            if request.url.endswith("/operations"):
                sizes.append(len(json.loads(request.body)["operations"]))
            return await FakeGateway.send(self, request)

    made.gateway.__class__ = Counting
    for _ in range(25):
        await add(made)
    await made.queue.sync()
    assert sizes == [10, 10, 5]
    assert (await made.queue.status())["network"]["quality"] == "poor"


# --- progress and history ------------------------------------------------------------------------


async def test_progress_tells_speed_and_time_left() -> None:
    made = world()
    limit(made)
    seen: list[dict[str, Any]] = []

    class Watching(Narrow):
        async def send(self, request: Request) -> Response:
            response = await Narrow.send(self, request)
            made.clock.advance(400)
            if request.url.endswith("/operations"):
                seen.append((await made.queue.status())["progress"])
            return response

    made.gateway.__class__ = Watching
    ids = [await add(made) for _ in range(20)]
    size = (await made.queue.get(ids[0])).size
    await made.queue.sync()
    assert [p["done"] for p in seen] == list(range(20))
    last = seen[-1]
    assert (last["total"], last["bytes_done"], last["bytes_total"]) == (20, 19 * size, 20 * size)
    assert last["items_per_s"] == pytest.approx(2, abs=0.3)
    assert 0 < last["ms_left"] < 1_000
    assert last["bytes_per_s"] > 0
    assert (await made.queue.status())["progress"] is None


async def test_history_keeps_the_last_turns_that_did_something() -> None:
    made = world()
    assert await made.queue.history() == []
    await made.queue.sync()
    assert await made.queue.history() == []
    item = await add(made)
    await made.queue.sync()
    (turn_,) = await made.queue.history()
    size = (await made.queue.get(item)).size
    assert turn_["at"] >= TUESDAY_NOON
    assert (turn_["sent"], turn_["failed"], turn_["bytes"]) == (1, 0, size)
    assert turn_["ms"] >= 100
    assert (turn_["error"], turn_["by_hand"]) == (None, True)
    assert turn_["quality"] == "excellent"
    made.gateway.faults = [answers(500, b"oops")]
    await add(made)
    await made.queue.sync()
    failed = (await made.queue.history(1))[0]
    assert failed["sent"] == 0
    assert failed["error"]
    for _ in range(60):
        await add(made)
        made.clock.advance(MINUTE)
        await made.queue.sync()
    assert len(await made.queue.history()) == 50
    made.restart()
    times = [t["at"] for t in await made.queue.history(3)]
    assert times == sorted(times, reverse=True)


async def test_a_permanent_refusal_counts_as_failed() -> None:
    made = world()
    problem = json.dumps({"title": "No", "code": "BAD_REQUEST"}).encode()
    made.gateway.faults = [answers(400, problem, content_type="application/problem+json")]
    item = await add(made)
    await made.queue.sync()
    assert (await made.queue.get(item)).state is State.FAILED
    assert [(t["sent"], t["failed"]) for t in await made.queue.history()] == [(0, 1)]


async def test_what_waits_for_a_window_goes_when_the_window_is_taken_away() -> None:
    """Seed 20 of the simulator's order worlds: it went twelve hours late."""
    made = world()
    night = {"from": "03:00", "to": "04:00", "use": "disruptive"}
    await made.queue.configure(maintenance=[night], disruptive_kinds=["ticket"])
    ids = [await add(made) for _ in range(3)]
    later = await add(made, not_before=made.clock.now() + HOUR)
    await turn(made)
    assert made.gateway.inbox == []
    await made.queue.configure(maintenance=[])
    await turn(made)
    assert made.gateway.inbox == ids
    made.clock.advance(HOUR)
    await turn(made)
    assert made.gateway.inbox == [*ids, later]


async def test_what_may_have_arrived_does_not_wait_for_a_window_that_is_gone() -> None:
    """Seed 770 of the simulator's worlds of lanes: it was put off for twelve hours, too."""
    made = world()
    item = await add(made)
    made.gateway.faults = [lose_answer]
    await turn(made)
    assert (await made.queue.get(item)).state is State.UNKNOWN
    night = {"from": "03:00", "to": "04:00", "use": "disruptive"}
    await made.queue.configure(maintenance=[night], disruptive_kinds=["ticket"])
    made.clock.advance(MINUTE)
    await made.queue.sync()
    assert (await made.queue.get(item)).due_at is not None
    await made.queue.configure(maintenance=[])
    await made.queue.sync()
    assert (await made.queue.get(item)).state is State.COMPLETED
    assert made.gateway.inbox == [item]


# --- owners --------------------------------------------------------------------------------------


async def test_owners_take_turns_where_they_share() -> None:
    """U42: one who saved 500 holds up nobody who comes behind, and urgent work is still first."""
    made = world()
    limit(made, 10)
    await made.queue.configure(share_by_owner=True)
    many = [await add(made, owner="ada") for _ in range(500)]
    few = [await add(made, owner="bob") for _ in range(3)]
    urgent = await add(made, priority=10, owner="ada")
    nobody = await add(made)
    await made.queue.sync()
    sent = made.gateway.inbox
    assert sent[0] == urgent
    assert set(sent[1:10]) >= {*few, nobody, many[0]}
    assert sorted(sent) == sorted([*many, *few, urgent, nobody])
    assert [id_ for id_ in sent if id_ in set(many)] == many  # each one's own order stays
    await made.queue.configure(share_by_owner=False)
    made.gateway.inbox.clear()
    more = [await add(made, owner="ada") for _ in range(20)] + [await add(made, owner="bob")]
    await made.queue.sync()
    assert made.gateway.inbox == more

"""A low battery and a page nobody looks at: files wait, texts go, and everybody is told why."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.test_pacing import MINUTE, TUESDAY_NOON, add, limit, turn, why, world

from fieldpost.engine.power import Device
from fieldpost.engine.scheduling import STRATEGIES
from fieldpost.engine.transitions import State
from fieldpost.ports import Request, Response
from fieldpost.runtime.bridge import Bridge
from fieldpost.testing.fakes import FakeGateway

HOUR = 60 * MINUTE
LOW = Device(battery=0.1, charging=False)
WAITS = "Its files wait because the battery is low. They go once it charges, or with Sync now."


async def with_file(made: Any, priority: int = 5, **options: Any) -> str:
    return await add(made, priority, attachments=[await made.attach(parts=3)], **options)


async def test_files_wait_for_power_and_texts_do_not() -> None:
    made = world()
    made.around.state = LOW
    heavy, light = await with_file(made), await add(made, 1)
    await turn(made)
    assert made.gateway.inbox == [light]
    assert (await made.queue.get(heavy)).step == 1
    assert await why(made, heavy) == WAITS
    network = (await made.queue.status())["network"]
    assert (network["battery"], network["charging"], network["visible"]) == (0.1, False, None)
    assert network["thrift"] == {
        "reason": "battery",
        "text": "Files wait because the battery is low.",
    }
    late = await add(made)  # a text still finds its way
    await turn(made)
    assert made.gateway.inbox == [light, late]
    made.around.state = Device(battery=0.1, charging=True)
    assert await why(made, heavy) != WAITS
    await turn(made)
    assert made.gateway.inbox == [light, late, heavy]
    assert (await made.queue.status())["network"]["thrift"] is None


async def test_what_is_critical_goes_whatever_the_strategy_and_all_of_it_by_hand() -> None:
    for strategy in ("fifo", "lifo", "priority", "weighted", "adaptive"):
        made = world()
        await made.queue.configure(strategy=strategy)
        made.around.state = LOW
        waits = [await with_file(made, priority) for priority in (9, 1)]
        critical = await with_file(made, 10)
        waits.append(await with_file(made, 9))
        await turn(made)
        assert made.gateway.inbox == [critical]
        await made.queue.sync()
        assert sorted(made.gateway.inbox) == sorted([critical, *waits])


async def test_a_battery_that_runs_low_ends_a_long_file_between_two_parts() -> None:
    made = world()

    class Draining(FakeGateway):
        async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
            made.around.state = LOW
            return await FakeGateway.send_part(self, request, attachment_id, n)

    made.gateway.__class__ = Draining
    heavy = await with_file(made)
    await turn(made)
    item = await made.queue.get(heavy)
    assert (item.state, item.attachments[0].acked) == (State.PENDING, 1)
    await made.queue.sync()
    assert made.gateway.inbox == [heavy]


async def test_a_setting_switches_it_off_live() -> None:
    made = world()
    made.around.state = LOW
    heavy = await with_file(made)
    await turn(made)
    assert made.gateway.inbox == []
    await made.open("other tab").configure(save_power=False)
    await turn(made)
    assert made.gateway.inbox == [heavy]


async def test_no_file_waits_for_a_broken_gauge_for_ever() -> None:
    made = world()
    made.around.state = LOW
    heavy = await with_file(made)
    await turn(made)
    records = (await made.store.counters())["journal"]
    made.clock.jump(TUESDAY_NOON + 24 * HOUR - 1 - made.clock.now())
    await turn(made)
    assert made.gateway.inbox == []
    made.clock.advance(1)
    await turn(made)
    assert made.gateway.inbox == [heavy]
    # Claim, two parts, the last one settled: no part is given up and claimed anew.
    assert (await made.store.counters())["journal"] == records + 4


async def test_in_the_background_less_at_a_time_less_often_and_all_of_it() -> None:
    made = world()
    made.around.state = Device(visible=False)
    sizes: list[int] = []

    class Counting(FakeGateway):
        async def send(self, request: Request) -> Response:
            if request.url.endswith("/operations"):
                sizes.append(len(json.loads(request.body)["operations"]))
            return await FakeGateway.send(self, request)

    made.gateway.__class__ = Counting
    ids = [await add(made) for _ in range(30)] + [await with_file(made)]
    loop = made.queue._loop.lanes[0]
    assert await loop._delay_ms() == 120_000
    await turn(made)
    assert sizes == [25, 6]
    assert sorted(made.gateway.inbox) == sorted(ids)
    made.around.state = Device(visible=True)
    await add(made)
    assert await loop._delay_ms() == 30_000


async def test_a_retry_keeps_its_time_in_the_background() -> None:
    made = world()
    made.around.state = Device(visible=False)
    later = await add(made, not_before=made.clock.now() + 10_000)
    assert await made.queue._loop.lanes[0]._delay_ms() == 10_000
    made.clock.advance(10_000)
    await turn(made)
    assert made.gateway.inbox == [later]


async def test_batched_texts_wait_for_one_another_beside_files_that_wait_for_power() -> None:
    made = world()
    made.around.state = LOW
    heavy = await with_file(made)
    await turn(made)
    await made.queue.configure(sync="batched", batch_items=4, batch_seconds=60)
    text = await add(made)
    await turn(made)
    assert made.gateway.inbox == []
    assert (await made.queue.status())["held"]["reason"] == "batched"
    made.clock.advance(MINUTE)
    await turn(made)
    assert made.gateway.inbox == [text]
    assert (await made.queue.get(heavy)).step == 1


async def test_a_page_tells_the_engine_and_what_waited_goes() -> None:
    made = world()

    def heard(device: Device) -> None:
        made.around.state = device

    bridge = Bridge(made.queue, lambda _online: None, heard)
    said = {"visible": True, "battery": 0.1, "charging": False}
    assert json.loads(await bridge.call("device", json.dumps(said))) == {"ok": {}}
    heavy = await with_file(made)
    limit(made)
    await turn(made)
    assert await why(made, heavy) == WAITS
    made.queue._loop._wake.clear()
    await bridge.call("device", json.dumps({**said, "charging": True}))
    assert made.queue._loop._wake.is_set()
    await turn(made)
    assert made.gateway.inbox == [heavy]


STATES = st.sampled_from([LOW, LOW, Device(), Device(visible=False), Device(battery=0.1)])
WORK = st.tuples(st.sampled_from([1, 9, 10]), st.booleans(), STATES)


@settings(max_examples=30)
@given(st.lists(WORK, min_size=1, max_size=8), st.sampled_from(STRATEGIES))
async def test_whatever_the_device_says_no_text_waits_and_nothing_is_lost(work, strategy) -> None:
    made = world()
    await made.queue.configure(strategy=strategy)
    texts, critical, files = [], [], []
    for priority, heavy, state in work:
        made.around.state = state
        item = await (with_file if heavy else add)(made, priority)
        (texts if not heavy else critical if priority == 10 else files).append(item)
        await turn(made)
        assert set(made.gateway.inbox) >= {*texts, *critical}
        if not state.low:
            assert set(made.gateway.inbox) >= set(files)
        for waits in set(files) - set(made.gateway.inbox):
            assert await why(made, waits) == WAITS
    await made.queue.sync()
    assert sorted(made.gateway.inbox) == sorted(texts + critical + files)

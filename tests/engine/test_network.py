"""Quality, batch sizes and metered rules, exactly at their thresholds; batching and speed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.batching import band
from fieldpost.engine.network import (
    BATCH_ITEMS,
    Hints,
    Meter,
    bandwidth_score,
    latency_score,
    mode,
    quality_of,
)
from fieldpost.engine.pacing import Batch, Text, flush_at, gathered
from fieldpost.engine.speed import Speed, ms_left

HOUR = 3_600_000


def test_scores_at_their_thresholds() -> None:
    latencies = [0, 99.9, 100, 299.9, 300, 999.9, 1_000, 60_000]
    assert [latency_score(ms) for ms in latencies] == [50, 50, 30, 30, 15, 15, 5, 5]
    speeds = [5.01, 5, 2.01, 2, 0.51, 0.5, 0]
    assert [bandwidth_score(mbps) for mbps in speeds] == [50, 30, 30, 15, 15, 5, 5]
    assert [quality_of(n) for n in (100, 80, 79, 60, 59, 40, 39, 10)] == [
        *["excellent"] * 2,
        *["good"] * 2,
        *["fair"] * 2,
        *["poor"] * 2,
    ]
    assert [BATCH_ITEMS[q] for q in ("excellent", "good", "fair", "poor", "none")] == [
        100,
        50,
        25,
        10,
        5,
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"online": False}, "wait"),
        ({"metered": False}, "immediate"),
        ({}, "wait_for_unmetered"),
        ({"quality": "excellent", "mbps": 5.01}, "immediate"),
        ({"quality": "excellent", "mbps": 5.0}, "wait_for_unmetered"),
        ({"quality": "good", "mbps": 50.0}, "wait_for_unmetered"),
        ({"oldest_ms": 24 * HOUR - 1}, "wait_for_unmetered"),
        ({"oldest_ms": 24 * HOUR}, "metered_fallback"),
        ({"waiting": 999_999}, "wait_for_unmetered"),
        ({"waiting": 1_000_000}, "metered_fallback"),
        ({"oldest_ms": 48 * HOUR - 1}, "metered_fallback"),
        ({"oldest_ms": 48 * HOUR}, "immediate"),
        ({"waiting": 4_999_999}, "metered_fallback"),
        ({"waiting": 5_000_000}, "immediate"),
        ({"online": False, "waiting": 5_000_000}, "wait"),
    ],
)
def test_metered_rules_at_their_thresholds(given, expected) -> None:
    asked = {
        "online": True,
        "metered": True,
        "quality": "fair",
        "mbps": 1.0,
        "oldest_ms": 0,
        "waiting": 0,
    }
    assert mode(**(asked | given)) == expected


def test_the_meter_learns_from_our_own_requests() -> None:
    meter, nothing = Meter(), Hints()
    assert meter.quality(nothing) == "unknown"
    assert meter.stability == 1
    meter.answered(700, 350, nothing)
    assert meter.quality(nothing) == "poor"  # 15 of 50, taken twice: nothing is known of the rest
    meter.answered(700, 60, nothing)
    assert meter.quality(nothing) == "excellent"
    assert meter.mbps(nothing) is None
    meter.answered(250_000, 1_000, nothing)
    assert meter.mbps(nothing) == pytest.approx(2.0)
    assert meter.quality(nothing) == "good"  # 50 + 15
    meter.unanswered(nothing)
    assert meter.quality(nothing) == "none"
    assert meter.stability == pytest.approx(0 / 3)
    meter.answered(700, 60, nothing)
    meter.answered(700, 60, nothing)
    assert meter.quality(nothing) == "good"
    assert meter.stability == pytest.approx(1 / 5)
    for _ in range(20):  # large batches alone say nothing of the latency that is known better
        meter.answered(100_000, 350, nothing)
    assert meter.latency_ms(nothing) == 60
    for _ in range(200):
        meter.answered(700, 60, nothing)
    assert meter.stability == 1  # of the last 100 only


def test_hints_fill_in_what_was_not_measured() -> None:
    meter = Meter()
    assert meter.quality(Hints(downlink_mbps=10, rtt_ms=50)) == "excellent"
    assert meter.quality(Hints(downlink_mbps=0.4, rtt_ms=1_500)) == "poor"
    meter.answered(700, 50, Hints(downlink_mbps=0.4, rtt_ms=1_500))
    assert meter.quality(Hints(downlink_mbps=0.4, rtt_ms=1_500)) == "fair"  # 50 + 5


def test_only_what_is_known_to_cost_is_metered() -> None:
    assert not Hints().metered
    assert not Hints(type="wifi", save_data=False).metered
    assert Hints(type="cellular").metered
    assert Hints(type="wifi", save_data=True).metered


def test_batches_flush_by_their_rules() -> None:
    now, size, timeout = 1_000_000, 10, 60_000

    def at(*batches: Batch) -> int | None:
        return flush_at(batches, size, timeout, now)

    assert [band(p) for p in (1, 3, 4, 6, 7, 9, 10)] == [1, 1, 2, 2, 3, 3, 4]
    assert at() is None
    assert at(Batch(5, 9, now)) == now + 60_000
    assert at(Batch(5, 10, now)) == now
    assert at(Batch(8, 4, now)) == now + 36_000
    assert at(Batch(8, 5, now)) == now
    assert at(Batch(7, 5, now)) == now + 36_000
    assert at(Batch(10, 1, now)) == now
    assert at(Batch(2, 1, now)) == now + 90_000
    assert at(Batch(2, 1, now - 90_000)) == now
    assert at(Batch(2, 1, now), Batch(5, 1, now - 1_000)) == now + 59_000
    assert at(Batch(2, 1, now + 10**12)) == now  # the clock was set back


TEXTS = st.builds(
    Text,
    st.sampled_from(["ticket", "feedback"]),
    st.sampled_from(["create", "update"]),
    st.integers(1, 10),
    st.integers(900_000, 1_100_000),
)


@given(st.lists(TEXTS, max_size=40), st.integers(1, 12), st.integers(0, 200_000))
def test_a_lane_goes_with_the_first_of_its_batches_that_is_due(texts, size, timeout) -> None:
    now = 1_000_000
    batches = gathered(texts, now)
    assert sum(batch.count for batch in batches) == len(texts)
    assert len(batches) == len({(t.kind, t.operation, band(t.priority)) for t in texts})
    at = flush_at(batches, size, timeout, now)
    alone = [flush_at(gathered([t], now), size, timeout, now) for t in texts]
    assert (at is None) is (not texts)
    if at is not None:
        assert at <= now + 1.5 * timeout
        earliest = min(t for t in alone if t is not None)
        assert max(at, now) <= max(earliest, now)  # company makes nobody wait longer
        assert at in {flush_at([batch], size, timeout, now) for batch in batches}
    assert sorted(gathered(texts[::-1], now), key=repr) == sorted(batches, key=repr)


def test_another_operation_fills_no_batch() -> None:
    now, size, timeout = 1_000_000, 4, 60_000
    tickets = [Text("ticket", "create", 5, now)] * 3
    others = [Text("ticket", "update", 5, now)] * 3 + [Text("feedback", "create", 5, now)] * 3
    assert flush_at(gathered([*tickets, *others], now), size, timeout, now) == now + timeout
    same = Text("ticket", "create", 4, now)  # another priority of the same band
    assert flush_at(gathered([*tickets, *others, same], now), size, timeout, now) == now
    future = [Text("ticket", "create", 5, now + 1), Text("ticket", "create", 5, now - 1)]
    for texts in (future, future[::-1]):  # the clock was set back: nobody knows since when
        assert flush_at(gathered(texts, now), size, timeout, now) == now
    other_band = Text("ticket", "create", 3, now)
    assert flush_at(gathered([*tickets, other_band], now), size, timeout, now) == now + timeout


def test_speed_is_of_the_last_ten_seconds() -> None:
    speed = Speed(1_000)
    assert speed.per_second(1_000) == (0, 0)
    speed.add(2_000, items=10, size=1_000)
    assert speed.per_second(2_000) == (10, 1_000)
    speed.add(3_000, items=10)
    assert speed.per_second(3_000) == (10, 500)
    assert speed.per_second(12_500) == (1, 0)
    assert speed.per_second(13_000) == (0, 0)
    assert ms_left(20, 10, 5_000, 1_000) == 5_000
    assert ms_left(20, 10, None, 0) == 2_000
    assert ms_left(20, 0, None, 5) is None

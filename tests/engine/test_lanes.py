"""What a lane learns and how it protects its destination: timeouts, batches, the retry budget,
health, shedding."""

from __future__ import annotations

import itertools
import json
import math
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine import breaker as breakers
from fieldpost.engine.batching import Size, band, flush_at
from fieldpost.engine.budget import BURST, PER_SECOND, RATIO, Budget
from fieldpost.engine.health import URGENT, Figures, Health, admitted, health, reaction
from fieldpost.engine.limits import BATCH_ITEMS_MAX
from fieldpost.engine.retry import DELAY_MS_MAX, PRESETS, RetryPolicy, policy_of
from fieldpost.engine.shedding import Bounds, Verdict, pressure, verdict
from fieldpost.engine.timeouts import CEILING_MS, FLOOR_MS, SAMPLES_MAX, Durations, percentile

NOW = 1_750_000_000_000
fractions = st.floats(0, 1, exclude_max=True)

# --- timeouts ------------------------------------------------------------------------------------


def answered(*took: float) -> Durations:
    durations = Durations()
    for ms in took:
        durations = durations.answered(ms)
    return durations


@given(st.lists(st.none() | st.floats(0, 10**9), max_size=60), st.integers(0, 10**10))
def test_a_timeout_stays_between_floor_and_ceiling(requests: list[float | None], size: int) -> None:
    durations = Durations()
    for took in requests:
        durations = durations.timed_out() if took is None else durations.answered(took)
    assert FLOOR_MS <= durations.timeout_ms(size) <= CEILING_MS
    assert len(durations.samples) <= SAMPLES_MAX
    record = json.dumps(durations.dump())
    assert len(record) < 200
    assert Durations.load(json.loads(record)) == durations


def test_a_quick_line_is_given_up_soon_and_a_slow_one_gets_its_time() -> None:
    assert Durations().timeout_ms() == CEILING_MS  # nothing is known yet
    assert answered(100, 100, 100, 100, 100).timeout_ms() == FLOOR_MS
    assert answered(*[4_000] * 5).timeout_ms() == 12_000
    assert answered(*[20_000] * 5).timeout_ms() == CEILING_MS


@given(st.lists(st.integers(0, CEILING_MS), min_size=5, max_size=20), st.integers(0, 10**7))
def test_a_timeout_grows_with_durations_with_bytes_and_after_timeouts(
    took: list[int], size: int
) -> None:
    durations = answered(*took)
    slower = answered(*[t + 100 for t in took])
    assert slower.timeout_ms(size) >= durations.timeout_ms(size)
    assert durations.timeout_ms(size + 1_000) >= durations.timeout_ms(size)
    late = durations.timed_out()
    assert late.timeout_ms(size) >= durations.timeout_ms(size)
    assert late.timed_out().timed_out().timeout_ms(size) == CEILING_MS
    assert late.answered(took[-1]).late == 0


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.floats(0.01, 1))
def test_percentile_is_the_smallest_value_that_covers_the_share(
    values: list[int], share: float
) -> None:
    found = percentile(tuple(values), share)
    assert sum(v <= found for v in values) >= share * len(values) - 1e-6
    assert sum(v < found for v in values) < share * len(values) + 1e-6


# --- batches -------------------------------------------------------------------------------------


def test_bands_and_keys() -> None:
    assert [band(p) for p in range(1, 11)] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]


@pytest.mark.parametrize(
    ("count", "priority", "expected"),
    [
        (10, 1, 0),  # full
        (9, 5, 1_000),
        (5, 8, 0),  # half, and one is urgent
        (4, 8, 600),
        (1, 10, 0),
        (1, 7, 600),
        (1, 4, 1_000),
        (1, 1, 1_500),
    ],
)
def test_a_batch_goes_when_full_half_full_urgent_or_at_its_bands_timeout(
    count: int, priority: int, expected: int
) -> None:
    at = flush_at(
        count=count, top_priority=priority, oldest_at=NOW, now=NOW, capacity=10, timeout_ms=1_000
    )
    assert at == NOW + expected


@given(
    st.integers(1, 200),
    st.integers(1, 10),
    st.integers(-(10**12), 10**12),
    st.integers(1, 200),
    st.integers(0, 10**6),
)
def test_no_batch_waits_longer_than_its_timeout_whatever_the_clock_does(
    count: int, priority: int, jump: int, capacity: int, timeout: int
) -> None:
    at = flush_at(
        count=count,
        top_priority=priority,
        oldest_at=NOW + jump,
        now=NOW,
        capacity=capacity,
        timeout_ms=timeout,
    )
    assert at <= NOW + 1.5 * timeout
    sooner = flush_at(
        count=count + 1,
        top_priority=priority,
        oldest_at=NOW + jump,
        now=NOW,
        capacity=capacity,
        timeout_ms=timeout,
    )
    assert sooner <= max(at, NOW)
    with pytest.raises(ValueError, match="empty"):
        flush_at(
            count=0, top_priority=1, oldest_at=NOW, now=NOW, capacity=capacity, timeout_ms=timeout
        )


def test_size_learns_by_the_three_rules() -> None:
    size = Size(50)
    assert size.answered(success=0.89, took_ms=10, load=0).learnt == 40
    assert size.answered(success=1, took_ms=6_000, load=0.9).learnt == 45
    assert size.answered(success=1, took_ms=6_000, load=0.1).learnt == 50
    assert size.answered(success=1, took_ms=10, load=0.1).learnt == 55
    assert size.answered(success=1, took_ms=10, load=0.9).learnt == 50
    assert size.answered(success=0.93, took_ms=10, load=0.1).learnt == 50


results = st.tuples(st.floats(0, 1), st.floats(0, 60_000), st.floats(0, 1))


@given(
    st.integers(1, BATCH_ITEMS_MAX),
    st.lists(results | st.integers(1, 100) | st.none(), max_size=80),
    st.integers(1, 100),
)
def test_a_batch_holds_at_least_one_and_never_more_than_it_may(
    learnt: int, events: list, most: int
) -> None:
    size = Size(learnt)
    for event in events:
        if event is None:
            size = size.restarted()
        elif isinstance(event, int):
            size = size.bisected(event)
            assert size.limit <= max(1, event // 2)
        else:
            success, took, load = event
            size = size.answered(success=success, took_ms=took, load=load, most=most)
            assert size.learnt <= most
        assert 1 <= size.limit <= size.learnt
    assert Size(*json.loads(json.dumps(size.dump()))) == size


def test_known_failure_22_what_follows_an_outage_begins_with_one_and_doubles() -> None:
    size, seen = Size().restarted(), []
    for _ in range(9):
        seen.append(size.limit)
        size = size.answered(success=1, took_ms=10, load=0)
    assert seen == [1, 2, 4, 8, 16, 32, 64, 100, 100]


def test_a_shrunken_size_grows_back() -> None:
    size = Size()
    for _ in range(50):
        size = size.answered(success=0, took_ms=10, load=0)
    assert size.limit == 1
    for _ in range(50):
        size = size.answered(success=1, took_ms=10, load=0)
    assert size.limit == BATCH_ITEMS_MAX


# --- retries -------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(0, 5_000), st.integers(0, 100), st.integers(0, 100)), max_size=30
    ),
    st.integers(0, 60_000),
)
def test_retries_are_a_bounded_share_of_the_traffic(
    turns: list[tuple[int, int, int]], window: int
) -> None:
    """Turns of (ms passed, items sent for the first time, retries wanted): in no window are more
    due than the burst, the share of fresh items and the steady rate allow."""
    budget, now, dues, fresh_items = Budget(at=NOW), NOW, [], 0
    for passed, fresh, wanted in turns:
        now += passed
        budget = budget.at_time(now).fresh(fresh)
        fresh_items += fresh
        for _ in range(wanted):
            dues.append(now + 30_000 + budget.wait_ms)
            budget = budget.spent()
    allowed = 2 * BURST + RATIO * fresh_items + PER_SECOND * window / 1000 + 2
    dues.sort()
    for place, start in enumerate(dues):
        assert bisect_right(dues, start + window) - place <= allowed


@given(st.lists(st.integers(NOW - 10**12, NOW + 10**12), max_size=50))
def test_no_clock_makes_a_retry_wait_longer_than_a_day(nows: list[int]) -> None:
    budget = Budget()
    for now in nows:
        budget = budget.at_time(now).spent()
        assert 0 <= budget.wait_ms <= DELAY_MS_MAX
        assert budget.tokens <= BURST
    assert Budget.load(json.loads(json.dumps(budget.dump()))).at == budget.at


def test_known_failure_22_a_batch_that_failed_together_does_not_come_back_together() -> None:
    budget, waits = Budget(), []
    for _ in range(100):
        waits.append(budget.wait_ms)
        budget = budget.spent()
    assert waits[:20] == [0] * 20
    assert all(later - sooner == 200 for sooner, later in itertools.pairwise(waits[20:]))


@pytest.mark.parametrize("used", [1, 40, 1_000, 10**6, 10**9])
@pytest.mark.parametrize("policy", [*PRESETS.values(), RetryPolicy(1, 1e6), RetryPolicy(1, 1)])
def test_known_failure_26_no_backoff_overflows(policy: RetryPolicy, used: int) -> None:
    delay = policy.delay_ms(used, 0.999)
    assert 1 <= delay <= DELAY_MS_MAX
    if used >= 1_000 and policy.factor > 1:
        assert delay >= min(policy.cap_ms, DELAY_MS_MAX) * (1 - policy.jitter_ratio)


@given(
    st.builds(
        RetryPolicy,
        base_ms=st.integers(1, DELAY_MS_MAX),
        factor=st.floats(1, 10),
        cap_ms=st.integers(1, DELAY_MS_MAX),
    ),
    st.integers(1, 10**6),
)
def test_without_jitter_a_delay_never_shrinks_with_the_tries(
    policy: RetryPolicy, used: int
) -> None:
    assert policy.delay_ms(used, 0) <= policy.delay_ms(used + 1, 0)


def test_retrying_ends_by_age_too() -> None:
    policy = RetryPolicy(1_000, max_attempts=100, max_age_ms=60_000)
    assert policy.decide(1, 0, age_ms=59_999) == 1_000
    assert policy.decide(1, 0, age_ms=60_000) is None
    assert policy.decide(1, 0, retry_after_ms=5, age_ms=60_000) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_ms": 0},
        {"base_ms": 1.5},
        {"base_ms": True},
        {"base_ms": "30"},
        {"base_ms": 10**400},
        {"factor": 0.5},
        {"factor": math.nan},
        {"factor": math.inf},
        {"cap_ms": 0},
        {"jitter_ms": -1},
        {"jitter_ratio": 1.5},
        {"max_attempts": 0},
        {"max_age_ms": 0},
    ],
    ids=lambda wrong: str(wrong)[:30],
)
def test_a_wrong_policy_is_refused_by_the_name_of_the_field(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        policy_of({"base_ms": 1_000, **wrong})


def test_a_policy_comes_by_name_by_fields_or_as_it_is() -> None:
    assert policy_of("evidence") is PRESETS["evidence"]
    custom = policy_of({"base_ms": 500, "factor": 1.5, "max_attempts": 7})
    assert policy_of(custom) is custom == RetryPolicy(500, 1.5, max_attempts=7)
    for wrong in ("itms", {}, {"base_ms": 1, "tries": 3}):
        with pytest.raises(ValueError, match="retry policy"):
            policy_of(wrong)
    with pytest.raises(ValueError, match=r"base_ms.*max_attempts"):
        RetryPolicy(0, max_attempts=0)


# --- health --------------------------------------------------------------------------------------

figures = st.builds(
    Figures,
    online=st.booleans(),
    breaker=st.sampled_from([breakers.CLOSED, breakers.OPEN, breakers.HALF_OPEN, breakers.HELD]),
    requests=st.integers(0, 1_000),
    failing=st.floats(0, 1),
    mean_ms=st.floats(0, 60_000),
    depth=st.integers(0, 100_000),
)
ORDER = list(Health)


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        (Health.HEALTHY, {}),
        (Health.HEALTHY, {"depth": 100_000}),  # much to do is no illness
        (Health.HEALTHY, {"requests": 9, "failing": 1.0}),  # too few to tell
        (Health.DEGRADED, {"failing": 0.11}),
        (Health.DEGRADED, {"mean_ms": 5_001}),
        (Health.DEGRADED, {"breaker": breakers.HALF_OPEN}),
        (Health.CRITICAL, {"failing": 0.26}),
        (Health.CRITICAL, {"breaker": breakers.OPEN}),
        (Health.CRITICAL, {"breaker": breakers.HELD}),
        (Health.CRITICAL, {"mean_ms": 5_001, "depth": 2_000}),
        (Health.OFFLINE, {"online": False}),
    ],
)
def test_each_figure_alone_makes_a_lane_ill(expected: Health, changes: dict) -> None:
    well = {
        "online": True,
        "breaker": breakers.CLOSED,
        "requests": 100,
        "failing": 0.0,
        "mean_ms": 100.0,
    }
    assert health(Figures(**{**well, **changes})) is expected


@given(figures, st.integers(1, 100))
def test_the_worse_the_health_the_less_is_asked(figures: Figures, items: int) -> None:
    found = reaction(health(figures))
    worse = [reaction(h) for h in ORDER[ORDER.index(health(figures)) :]]
    limits = [r.limit(items) for r in worse]
    assert limits == sorted(limits, reverse=True)
    assert 1 <= found.limit(items) <= items
    assert [r.load for r in worse] == sorted(r.load for r in worse)


@given(figures, st.lists(st.integers(1, 10), max_size=100))
def test_what_is_admitted_is_never_nothing_and_keeps_its_order(
    figures: Figures, priorities: list[int]
) -> None:
    rows = list(enumerate(priorities))
    react = reaction(health(figures))
    kept = admitted(rows, priorities, react)
    assert bool(kept) == bool(rows)
    assert kept == [row for row in rows if row in kept]
    if health(figures) in (Health.HEALTHY, Health.DEGRADED):
        assert kept == rows
    elif len(kept) > 1:
        assert all(priority >= URGENT for _, priority in kept)


# --- shedding ------------------------------------------------------------------------------------

BOUNDS = Bounds()


@given(
    st.integers(1, 10),
    st.integers(-(10**12), 10**12),
    st.booleans(),
    st.floats(0, 100),
)
def test_only_what_was_declared_droppable_is_ever_dropped(
    priority: int, age: int, droppable: bool, pressed: float
) -> None:
    said = verdict(
        priority=priority, age_ms=age, droppable=droppable, pressed=pressed, bounds=BOUNDS
    )
    if said is Verdict.DROP:
        assert droppable
        assert priority <= 3
        assert pressed >= 4
    if priority >= 8 or pressed < 1:
        assert said is Verdict.SEND
    if age >= BOUNDS.age_ms:
        assert said is not Verdict.DEFER  # every wait is bounded
    more = verdict(
        priority=max(1, priority - 1),
        age_ms=age,
        droppable=droppable,
        pressed=pressed + 1,
        bounds=BOUNDS,
    )
    assert list(Verdict).index(more) >= list(Verdict).index(said)


@given(st.integers(0, 10**6), st.floats(0, 10**6))
def test_pressure_needs_depth_and_slowness(depth: int, mean_ms: float) -> None:
    pressed = pressure(depth, mean_ms, BOUNDS)
    assert (pressed >= 1) == (depth >= BOUNDS.depth and mean_ms >= BOUNDS.mean_ms)
    assert pressure(depth + 1_000, mean_ms + 1_000, BOUNDS) >= pressed


def test_low_waits_first_then_normal_and_bounds_are_checked() -> None:
    def said(priority: int, pressed: float) -> Verdict:
        return verdict(priority=priority, age_ms=0, droppable=False, pressed=pressed, bounds=BOUNDS)

    assert [said(2, p) for p in (0.9, 1, 2, 9)] == ["send", "defer", "defer", "defer"]
    assert [said(5, p) for p in (0.9, 1, 2, 9)] == ["send", "send", "defer", "defer"]
    assert [said(8, p) for p in (0.9, 1, 2, 9)] == ["send"] * 4
    with pytest.raises(ValueError, match="1 or more"):
        Bounds(depth=0)

"""What is sent next: each strategy against its own small model, and the laws that hold for all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.scheduling import (
    MAX_WAIT_MS,
    OLD_SHARE,
    STRATEGIES,
    Average,
    ReadyKey,
    Rule,
    Seen,
    choose,
    is_overdue,
    observed,
    score,
    weight,
)

NOW = 1_750_000_000_000
MINUTE = 60_000
Rows = list[tuple[ReadyKey, Seen]]


def row(sequence: int, priority: int, age: int = 0, step: int = 0, attempts: int = 0) -> Any:
    level = 10 - priority + 10 * step
    return ReadyKey(level, sequence, f"i{sequence}"), Seen(NOW - age, attempts)


def take(rows: Rows, rule: Rule, limit: int, draw: Callable[[], float] = lambda: 0.5) -> list[int]:
    chosen = choose([key for key, _ in rows], {k.id: s for k, s in rows}, rule, limit, NOW, draw)
    return [key.sequence for key in chosen]


ROWS = st.lists(
    st.tuples(st.integers(1, 10), st.integers(-MINUTE, 40 * MINUTE), st.integers(0, 1)),
    max_size=30,
).map(lambda made: [row(n, *values) for n, values in enumerate(made, 1)])
DRAWS = st.lists(st.floats(0, 1, exclude_max=True), min_size=1).map(
    lambda values: itertools.cycle(values).__next__
)


@given(ROWS, st.sampled_from(STRATEGIES), st.integers(1, 40), st.integers(0, 60), DRAWS)
def test_nothing_is_chosen_twice_or_from_nowhere(rows, strategy, limit, since, draw) -> None:
    """Conservation of choice, whatever the strategy; files only when no text is there."""
    rule = Rule(strategy, since=NOW - since * MINUTE)
    chosen = take(rows, rule, limit, draw)
    texts = [key.sequence for key, _ in rows if key.level < 10]
    pool = texts or [key.sequence for key, _ in rows]
    assert len(set(chosen)) == len(chosen) == min(limit, len(pool))
    assert set(chosen) <= set(pool)


@given(ROWS, st.sampled_from(STRATEGIES), st.integers(1, 40), st.integers(0, 60), DRAWS)
def test_overdue_rows_are_first_and_oldest_first(rows, strategy, limit, since, draw) -> None:
    rule = Rule(strategy, since=NOW - since * MINUTE)
    pool = [r for r in rows if r[0].level < 10] or rows
    overdue = [key.sequence for key, seen in pool if is_overdue(seen, rule, NOW)]
    assert take(rows, rule, limit, draw)[: len(overdue)] == overdue[:limit]


YOUNG = st.lists(st.integers(1, 10), max_size=30).map(
    lambda made: [row(n, priority) for n, priority in enumerate(made, 1)]
)


@given(YOUNG, st.integers(1, 40))
def test_the_plain_orders(rows, limit) -> None:
    numbers = [(key.sequence, 10 - key.level) for key, _ in rows]
    assert take(rows, Rule("fifo"), limit) == [n for n, _ in numbers][:limit]
    assert take(rows, Rule("lifo"), limit) == [n for n, _ in numbers[::-1]][:limit]
    by_priority = sorted(numbers, key=lambda pair: -pair[1])  # a stable sort keeps the oldest first
    assert take(rows, Rule("priority"), limit) == [n for n, _ in by_priority][:limit]


@given(YOUNG, st.lists(st.floats(0, 1, exclude_max=True), min_size=40, max_size=40))
def test_weighted_is_a_draw_by_the_square(rows, draws) -> None:
    """The model: every waiting level is a ticket of p*p (all are new), the oldest of it goes."""
    rule = Rule("weighted", since=NOW)
    chosen = take(rows, rule, 40, iter(draws).__next__)
    left = {key.sequence: 10 - key.level for key, _ in rows}
    for drawn, value in zip(chosen, draws, strict=False):
        tickets = sorted(set(left.values()), reverse=True)
        at = value * sum(p * p for p in tickets)
        bounds = list(itertools.accumulate(p * p for p in tickets))
        priority = next((p for p, b in zip(tickets, bounds, strict=True) if at < b), tickets[-1])
        assert drawn == min(n for n, p in left.items() if p == priority)
        del left[drawn]
    assert not left


def test_the_weight_grows_threefold_with_age_and_no_further() -> None:
    assert weight(5, Seen(NOW), NOW) == 25
    assert weight(5, Seen(NOW - MINUTE), NOW) == 50
    assert weight(5, Seen(NOW - 2 * MINUTE), NOW) == weight(5, Seen(NOW - 90 * MINUTE), NOW) == 75
    assert weight(5, Seen(NOW + MINUTE), NOW) == 25  # the clock was set back


def test_the_adaptive_score() -> None:
    known = Average(0.5, 2_500, 10, NOW)
    assert score(8, Seen(NOW), known, NOW) == pytest.approx(8 * 0.75 * 0.85)
    assert score(8, Seen(NOW - 5 * MINUTE, 2), known, NOW) == pytest.approx(
        8 * 0.75 * 0.85 * 1.5 * 0.81
    )
    assert score(8, Seen(NOW), Average(0.5, 2_500, 9, NOW), NOW) == pytest.approx(
        8 * 0.75 * 0.85 * 1.2
    )
    assert score(8, Seen(NOW), None, NOW) == 12
    assert score(8, Seen(NOW), Average(1, 60_000, 10, NOW), NOW) == pytest.approx(8 * 0.7)
    assert score(8, Seen(NOW, 100_000), None, NOW) < 1e-9  # no overflow, known failure 26


def test_averages_move_by_a_tenth_and_fade() -> None:
    first = observed(None, True, 1_000, NOW)
    assert first == Average(1, 1_000, 1, NOW)
    second = observed(first, False, 2_000, NOW)
    assert second == Average(pytest.approx(0.9), pytest.approx(1_100), 2, NOW)
    faded = first.decayed(NOW + 2 * MINUTE)
    assert faded.success == pytest.approx(0.95**2)
    assert faded.response_ms == pytest.approx(1_000 * 0.95**2)
    assert first.decayed(NOW - 10**12).success == 1  # the clock went back
    assert first.decayed(NOW + 10**15).success == pytest.approx(0)


def test_adaptive_leaves_a_failing_level_for_a_working_one() -> None:
    rows = [row(1, 8), row(2, 6), row(3, 8)]
    averages = {8: Average(0.0, 5_000, 50, NOW), 6: Average(1.0, 10, 50, NOW)}
    rule = Rule("adaptive", since=NOW, averages=averages)
    assert take(rows, rule, 3) == [2, 1, 3]
    assert take(rows, Rule("adaptive", since=NOW), 3) == [1, 3, 2]


def test_after_an_outage_urgent_rows_go_first_and_old_ones_get_their_share() -> None:
    """All have waited for hours; the lane began to send just now."""
    rows = [row(n, 2, age=9 * 60 * MINUTE) for n in range(1, 50)]
    rows += [row(n, 10, age=8 * 60 * MINUTE) for n in range(50, 60)]
    chosen = take(rows, Rule("priority", since=NOW), 12)
    assert chosen == [*range(1, 12 // OLD_SHARE + 1), *range(50, 59)]
    assert take(rows, Rule("priority", since=NOW - MAX_WAIT_MS), 12) == list(range(1, 13))
    assert take(rows, Rule("priority", since=NOW), 1, lambda: 0.24) == [1]
    assert take(rows, Rule("priority", since=NOW), 1, lambda: 0.25) == [50]


def test_a_clock_set_back_strands_nothing() -> None:
    """Rows of the future count from when the lane began to send."""
    late = row(1, 1, age=-(10**12))
    assert not is_overdue(late[1], Rule(since=NOW), NOW)
    assert is_overdue(late[1], Rule(since=NOW - MAX_WAIT_MS), NOW)
    assert not is_overdue(late[1], Rule(since=NOW + 10**12), NOW)


@given(
    st.sampled_from(STRATEGIES),
    st.integers(1, 10),
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(0, 12),
    st.integers(0, 2**32),
)
def test_every_wait_is_bounded(strategy, priority, arrivals, limit, ahead, seed) -> None:
    """A row among others that come faster than they can be sent, newer and more urgent ones: it
    goes at the latest when the bound is over and all that are older and overdue have gone."""
    draw = _draws(seed)
    tick, bound = MINUTE, 5 * MINUTE
    waiting: dict[int, tuple[ReadyKey, Seen]] = {}
    numbers = itertools.count(1)

    def arrive(now: int, priority: int) -> int:
        n = next(numbers)
        waiting[n] = (ReadyKey(10 - priority, n, f"i{n}"), Seen(now))
        return n

    for _ in range(ahead):
        arrive(0, 10)
    mine = arrive(0, priority)
    coming = itertools.cycle(arrivals)
    rule = Rule(strategy, max_wait_ms=bound)
    for turn in itertools.count():
        now = turn * tick
        for _ in range(next(coming)):
            arrive(now, 10)
        keys = [key for key, _ in waiting.values()]
        seen = {key.id: s for key, s in waiting.values()}
        for key in choose(keys, seen, rule, limit, now, draw):
            del waiting[key.sequence]
        if mine not in waiting:
            break
        assert turn <= bound // tick + ahead // limit


def _draws(seed: int) -> Callable[[], float]:
    def numbers() -> Iterator[float]:
        value = seed
        while True:
            value = (value * 6364136223846793005 + 1442695040888963407) % 2**64
            yield value / 2**64

    return numbers().__next__

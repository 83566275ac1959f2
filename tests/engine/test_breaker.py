"""The circuit breaker's laws: bounds, escalation, learning, and that nothing ever holds it for
ever."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.breaker import (
    CLOSED,
    FAILURES_BOUNDS,
    HALF_OPEN,
    HELD,
    OPEN,
    PRESETS,
    SUCCESSES_BOUNDS,
    Breaker,
    Rules,
    rules_of,
)

RULES = Rules()
NOW = 1_750_000_000_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
#: The longest that a breaker waits by itself, and a day where the server said so.
LONGEST, DAY = int(60_000 * 64 * 1.25), 24 * HOUR

times = st.integers(NOW - 10**12, NOW + 10**12)
fractions = st.floats(0, 1, exclude_max=True)
rules = st.builds(
    Rules,
    failures=st.integers(*FAILURES_BOUNDS),
    successes=st.integers(*SUCCESSES_BOUNDS),
    wait_ms=st.integers(1, 120_000),
    probes=st.integers(1, 3),
)
#: What may happen, each with a clock that may have jumped anywhere.
happenings = st.lists(
    st.tuples(
        st.sampled_from(["probe", "good", "bad", "busy", "lapse", "reach"]),
        times,
        fractions,
        st.integers(0, 60_000),
        st.none() | st.integers(0, 10**12),
    ),
    max_size=40,
)


def after(breaker: Breaker, events: list, rules: Rules) -> Breaker:
    for what, now, fraction, took, pause in events:
        match what:
            case "probe":
                breaker = breaker.probing(now, rules)
            case "good":
                breaker = breaker.succeeded(now, took, rules)
            case "bad":
                breaker = breaker.failed(
                    now, took, fraction, rules, backoff_ms=took, pause_ms=pause
                )
            case "busy":
                breaker = breaker.paused(now, pause or 0)
            case "lapse":
                breaker = breaker.lapsed(now, fraction, rules)
            case _:
                breaker = breaker.reached()
    return breaker


def failing(breaker: Breaker, times: int, now: int = NOW, rules: Rules = RULES) -> Breaker:
    for _ in range(times):
        breaker = breaker.failed(now, 10, 0.5, rules, backoff_ms=SECOND)
    return breaker


def opened(now: int = NOW) -> Breaker:
    return failing(Breaker(), 5, now)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("default", (5, 3, 60)),
        ("production", (3, 5, 30)),
        ("redis", (2, 10, 15)),
        ("development", (10, 2, 120)),
    ],
)
def test_presets_open_close_and_wait_as_the_requirements_say(name: str, numbers: tuple) -> None:
    rules = PRESETS[name]
    failures, successes, seconds = numbers
    breaker = failing(Breaker(), failures - 1, rules=rules)
    assert breaker.mode == CLOSED
    breaker = failing(breaker, 1, rules=rules)
    assert breaker.mode == OPEN
    assert breaker.wait_ms(NOW, rules) == seconds * SECOND
    later = NOW + seconds * SECOND
    breaker = replace(breaker, window=())  # ten failures would have taught it something
    for n in range(successes):
        assert breaker.wait_ms(later, rules) == 0
        breaker = breaker.probing(later, rules)
        assert breaker.mode == HALF_OPEN, n
        breaker = breaker.succeeded(later, 10, rules)
    assert breaker.mode == CLOSED


def test_a_success_takes_half_a_failure_off() -> None:
    breaker = failing(Breaker(), 4)
    for _ in range(2):
        breaker = breaker.succeeded(NOW, 10, RULES)
    assert breaker.score == 3
    assert failing(breaker, 1).mode == CLOSED
    assert failing(breaker, 2).mode == OPEN


@given(st.lists(st.booleans(), max_size=100), rules)
def test_it_opens_exactly_at_its_threshold(results: list[bool], rules: Rules) -> None:
    """Within one slot nothing is learnt yet, so the score alone decides."""
    breaker, score = Breaker(), 0.0
    for good in results:
        failed = failing(breaker, 1, rules=rules)
        breaker = breaker.succeeded(NOW, 10, rules) if good else failed
        score = max(0.0, score - 0.5) if good else score + 1
        if score >= rules.failures:
            assert breaker.mode == OPEN
            return
        assert breaker.mode == CLOSED
        assert breaker.score == score


@given(st.integers(0, 100), fractions)
def test_the_wait_doubles_with_each_opening_of_the_last_hour_at_most_64_times(
    earlier: int, fraction: float
) -> None:
    breaker = replace(opened(), openings=tuple(NOW - n for n in range(earlier))[-7:])
    now = NOW + LONGEST
    breaker = breaker.probing(now, RULES)
    fresh = [t for t in breaker.openings if now - t < HOUR]
    breaker = breaker.failed(now, 10, fraction, RULES)
    expected = 60_000 * 2 ** min(len(fresh), 6)
    assert 0.75 * expected - 1 <= breaker.wait_ms(now, RULES) <= 1.25 * expected
    assert len(breaker.openings) <= 7


def test_openings_of_more_than_an_hour_ago_are_forgotten() -> None:
    now, waits = NOW, []
    breaker = opened(now)
    for _ in range(7):
        waits.append(breaker.wait_ms(now, RULES))
        now += waits[-1]
        breaker = breaker.probing(now, RULES).failed(now, 10, 0.5, RULES)
    assert waits[:6] == [60_000 * 2**n for n in range(6)]
    assert waits[6] < waits[5]  # the first ones lie more than an hour back
    assert opened(now + HOUR).wait_ms(now + HOUR, RULES) == 60_000


@given(happenings, rules, times)
def test_known_failure_23_no_half_open_is_stuck_whatever_the_clock_does(
    events: list, rules: Rules, now: int
) -> None:
    """From every state that can come about, with clocks that jumped anywhere: by waiting as long as
    it says, a bounded number of times, a request may go."""
    breaker = after(Breaker(), events, rules)
    waited = 0
    for _ in range(3):
        breaker = breaker.lapsed(now, 0.999, rules)
        wait = breaker.wait_ms(now, rules)
        if not wait:
            break
        now, waited = now + wait, waited + wait
    assert breaker.lapsed(now, 0.999, rules).wait_ms(now, rules) == 0
    assert waited <= 2 * DAY


@given(happenings, rules, times)
def test_every_state_stays_within_its_bounds_and_survives_its_record(
    events: list, rules: Rules, now: int
) -> None:
    breaker = after(Breaker(), events, rules)
    assert FAILURES_BOUNDS[0] <= breaker.opens_at(rules) <= FAILURES_BOUNDS[1]
    assert SUCCESSES_BOUNDS[0] <= breaker.closes_at(rules) <= SUCCESSES_BOUNDS[1]
    assert 0 <= breaker.wait_ms(now, rules) <= DAY
    assert len(breaker.probes) <= rules.probes
    assert len(breaker.window) <= 10
    assert len(breaker.openings) <= 7
    assert 0 <= breaker.score < FAILURES_BOUNDS[1] + 1
    record = json.dumps(breaker.dump())
    assert len(record) < 1_000
    assert Breaker.load(json.loads(record)) == breaker


@given(happenings, rules)
def test_half_open_lets_through_no_more_than_its_probes(events: list, rules: Rules) -> None:
    breaker = replace(after(Breaker(), events, rules), mode=HALF_OPEN, probes=(), until=0)
    for _ in range(rules.probes):
        assert breaker.wait_ms(NOW, rules) == 0
        breaker = breaker.probing(NOW, rules)
    assert breaker.wait_ms(NOW, rules) == rules.probe_ms


def test_a_probe_that_never_returns_has_failed() -> None:
    breaker = opened()
    probed = NOW + MINUTE
    breaker = breaker.probing(probed, RULES)
    assert breaker.lapsed(probed + RULES.probe_ms - 1, 0.5, RULES) is breaker
    lost = breaker.lapsed(probed + RULES.probe_ms, 0.5, RULES)
    assert lost.mode == OPEN
    assert lost.wait_ms(probed + RULES.probe_ms, RULES) == 2 * MINUTE
    assert breaker.lapsed(probed - HOUR, 0.5, RULES).mode == OPEN  # the clock was set back


def test_asking_ahead_of_time_in_vain_does_not_lengthen_the_wait() -> None:
    breaker = opened()
    for second in range(1, 30):
        now = NOW + second * SECOND
        breaker = breaker.probing(now, RULES).failed(now, 10, 0.5, RULES)
        assert breaker.mode == OPEN
        assert breaker.wait_ms(now, RULES) == MINUTE - second * SECOND
    assert len(breaker.openings) == 1


def test_a_time_the_server_named_wins_over_every_wait() -> None:
    closed = Breaker().failed(NOW, 10, 0.5, RULES, backoff_ms=SECOND, pause_ms=7 * SECOND)
    assert closed.wait_ms(NOW, RULES) == 7 * SECOND
    breaker = failing(Breaker(), 4).failed(NOW, 10, 0.5, RULES, pause_ms=2 * HOUR)
    assert breaker.mode == OPEN
    assert breaker.wait_ms(NOW, RULES) == 2 * HOUR
    assert breaker.paused(NOW, 10**15).wait_ms(NOW, RULES) == DAY


def test_an_answer_that_says_nothing_of_the_server_ends_a_probe_without_judging_it() -> None:
    breaker = opened().probing(NOW + MINUTE, RULES).paused(NOW + MINUTE, SECOND)
    assert breaker.mode == HALF_OPEN
    assert breaker.probes == ()
    assert breaker.passed == 0
    assert breaker.wait_ms(NOW + MINUTE, RULES) == SECOND


# --- learning ------------------------------------------------------------------------------------


def traffic(failures: int, of: int, took_ms: int = 10, minutes: int = 5) -> Breaker:
    """Evenly mixed requests, so spaced that the score alone never opens it."""
    breaker, rules = Breaker(), Rules(failures=10, successes=3)
    for minute in range(minutes):
        for n in range(of):
            now = NOW + minute * MINUTE + n * MINUTE // of
            if n % (of // failures or 1) == 0 if failures else False:
                breaker = breaker.failed(now, took_ms, 0.5, rules)
                breaker = replace(breaker, score=0.0)
            else:
                breaker = breaker.succeeded(now, took_ms, rules)
    return breaker


def test_failures_above_a_fifth_tighten_and_below_a_twentieth_relax() -> None:
    rules = Rules(failures=10, successes=3)
    bad, good, mixed = traffic(15, 30), traffic(0, 30), traffic(3, 30)
    assert bad.opens_at(rules) < 10
    assert bad.closes_at(rules) > 3
    assert good.opens_at(rules) > 10
    assert good.closes_at(rules) < 3
    assert (mixed.opens_at(rules), mixed.closes_at(rules)) == (10, 3)


def test_slowness_tightens_too() -> None:
    rules = Rules(failures=10, successes=3)
    assert traffic(0, 30, took_ms=11_000).opens_at(rules) < 10


def test_fewer_than_ten_requests_teach_nothing() -> None:
    breaker = Breaker()
    for n in range(30):
        breaker = breaker.succeeded(NOW + n * 40_000, 10, RULES)
    assert breaker.opens_at(RULES) == 5


@given(st.integers(1, 400), st.booleans())
def test_thresholds_stay_within_bounds_however_long_it_goes(steps: int, good: bool) -> None:
    breaker, rules = Breaker(), PRESETS["default"]
    for n in range(steps):
        now = NOW + n * 2_000
        if good:
            breaker = breaker.succeeded(now, 10, rules)
        else:
            breaker = replace(breaker.failed(now, 10, 0.5, rules), mode=CLOSED, score=0.0)
        assert FAILURES_BOUNDS[0] <= breaker.opens_at(rules) <= FAILURES_BOUNDS[1]
        assert SUCCESSES_BOUNDS[0] <= breaker.closes_at(rules) <= SUCCESSES_BOUNDS[1]
    if steps == 400:
        assert breaker.opens_at(rules) == FAILURES_BOUNDS[good]


def test_what_the_outage_was_like_is_forgotten_when_it_is_over() -> None:
    breaker = opened()
    assert breaker.figures(NOW)[:2] == (5, 1.0)
    now = NOW + MINUTE
    for _ in range(3):
        breaker = breaker.probing(now, RULES).succeeded(now, 10, RULES)
    assert breaker.figures(now) == (0, 0.0, 0.0)


# --- by hand -------------------------------------------------------------------------------------


def test_forced_open_holds_until_a_person_says_otherwise() -> None:
    held = Breaker().force_open()
    assert held.word == HELD
    assert held.wait_ms(NOW + 10**12, RULES) > 0
    assert held.succeeded(NOW, 10, RULES).word == HELD
    freed = held.force_close()
    assert freed.word == CLOSED
    assert freed.wait_ms(NOW, RULES) == 0


def test_force_close_keeps_what_was_learnt_and_reset_does_not() -> None:
    breaker = replace(opened(), failures=2, successes=9)
    closed = breaker.force_close()
    assert closed.mode == CLOSED
    assert closed.wait_ms(NOW, RULES) == 0
    assert closed.opens_at(RULES) == 2
    assert closed.openings == breaker.openings
    assert breaker.reset() == Breaker()


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures": 1},
        {"failures": 16},
        {"successes": 0},
        {"wait_ms": 0},
        {"wait_ms": DAY + 1},
        {"probes": 0},
        {"probe_ms": 0},
    ],
)
def test_rules_out_of_bounds_are_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rules(**wrong)


def test_rules_come_by_name_by_fields_or_as_they_are() -> None:
    assert rules_of(None) == Rules()
    assert rules_of("production") is PRESETS["production"]
    custom = rules_of({"failures": 7, "wait_ms": 1_000})
    assert rules_of(custom) is custom == Rules(7, wait_ms=1_000)
    for wrong in ("prod", {"failure": 7}, {"failures": 99}):
        with pytest.raises(ValueError, match="breaker"):
            rules_of(wrong)

"""Windows over midnight and the end of the week, schedules, and clocks that change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.windows import (
    DAYS,
    Window,
    clock_time,
    inside,
    latest_slot,
    next_change,
    next_slot,
    parse_time,
    parse_window,
)

MINUTE, HOUR = 60_000, 3_600_000


def utc(_at: int) -> int:
    return 0


def berlin(at: int) -> int:
    offset = datetime.fromtimestamp(at / 1000, ZoneInfo("Europe/Berlin")).utcoffset()
    assert offset is not None
    return int(offset.total_seconds() * 1000)


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def window(days: str, start: str, end: str) -> Window:
    made = parse_window({"days": days.split(), "from": start, "to": end})
    assert isinstance(made, Window)
    return made


def test_over_midnight_into_the_next_day_only() -> None:
    night = [window("fri", "22:00", "02:00")]
    # 2026-01-02 is a Friday.
    for text, held in [
        ("2026-01-02T21:59", False),
        ("2026-01-02T22:00", True),
        ("2026-01-03T01:59", True),
        ("2026-01-03T02:00", False),
        ("2026-01-03T22:00", False),
        ("2026-01-02T01:00", False),
    ]:
        assert inside(night, ms(text), utc) is held, text


def test_over_the_end_of_the_week() -> None:
    night = [window("sun", "22:00", "06:00")]
    assert inside(night, ms("2026-01-04T23:00"), utc)
    assert inside(night, ms("2026-01-05T05:59"), utc)  # Monday
    assert not inside(night, ms("2026-01-05T06:00"), utc)
    assert next_change(night, ms("2026-01-04T23:00"), utc) == ms("2026-01-05T06:00")
    assert next_change(night, ms("2026-01-05T06:00"), utc) == ms("2026-01-11T22:00")


def test_equal_times_are_a_whole_day_and_a_whole_week_never_changes() -> None:
    day = [window("tue", "08:00", "08:00")]
    assert inside(day, ms("2026-01-06T08:00"), utc)
    assert inside(day, ms("2026-01-07T07:59"), utc)
    assert not inside(day, ms("2026-01-07T08:00"), utc)
    always = [window(" ".join(DAYS), "00:00", "00:00")]
    assert next_change(always, ms("2026-01-07T08:00"), utc) is None
    assert next_change([], ms("2026-01-07T08:00"), utc) is None


def test_the_clock_on_the_wall_rules_when_it_changes() -> None:
    """Berlin goes to summer time at 2026-03-29 02:00 (= 01:00 UTC)."""
    morning = [window("sun", "06:00", "07:00")]
    assert inside(morning, ms("2026-03-22T05:30"), berlin)
    assert not inside(morning, ms("2026-03-29T05:30"), berlin)
    assert inside(morning, ms("2026-03-29T04:30"), berlin)
    before = ms("2026-03-28T12:00")
    assert next_change(morning, before, berlin) == ms("2026-03-29T06:00", "Europe/Berlin")
    assert clock_time(ms("2026-03-29T04:30"), berlin) == "06:30"


SPANS = st.tuples(st.sets(st.integers(0, 6), min_size=1), *[st.integers(0, 1439)] * 2)


@given(
    st.lists(SPANS, min_size=1, max_size=3),
    st.integers(0, 366 * 24 * 60),
    st.sampled_from([utc, berlin]),
)
def test_inside_as_a_calendar_counts_it(spans, minutes, offset) -> None:
    """The model walks over real local dates: today's windows and yesterday's."""
    at = ms("2026-01-01T00:00") + minutes * MINUTE
    made = [Window(tuple(sorted(days)), start, end) for days, start, end in spans]
    local = datetime.fromtimestamp((at + offset(at)) / 1000, UTC)

    def holds(days: set[int], start: int, end: int) -> bool:
        for back in (0, 1):
            day = (local - timedelta(days=back)).replace(hour=0, minute=0)
            length = end - start if end > start else end - start + 1440
            begin = day + timedelta(minutes=start)
            if day.weekday() in days and begin <= local < begin + timedelta(minutes=length):
                return True
        return False

    assert inside(made, at, offset) is any(holds(*span) for span in spans)


@given(st.lists(SPANS, min_size=1, max_size=3), st.integers(0, 14 * 24 * 60))
def test_the_next_change_is_the_first_one(spans, minutes) -> None:
    at = ms("2026-01-01T00:00") + minutes * MINUTE
    made = [Window(tuple(sorted(days)), start, end) for days, start, end in spans]
    now = inside(made, at, utc)
    change = next_change(made, at, utc)
    if change is None:
        assert all(inside(made, at + n * 30 * MINUTE, utc) is now for n in range(7 * 48))
        return
    assert inside(made, change, utc) is not now
    assert inside(made, change - MINUTE, utc) is now
    steps = range(at, change, 30 * MINUTE)
    assert all(inside(made, step, utc) is now for step in steps)


def test_slots_of_a_schedule() -> None:
    times = [8 * 60, 18 * 60]
    noon = ms("2026-01-06T12:00")
    assert latest_slot(times, None, noon, utc) == ms("2026-01-06T08:00")
    assert next_slot(times, None, noon, utc) == ms("2026-01-06T18:00")
    assert next_slot(times, None, ms("2026-01-06T18:00"), utc) == ms("2026-01-07T08:00")
    assert latest_slot(times, None, ms("2026-01-06T18:00"), utc) == ms("2026-01-06T18:00")
    assert latest_slot(times, None, ms("2026-01-06T07:59"), utc) == ms("2026-01-05T18:00")
    assert latest_slot([], 45, ms("2026-01-06T12:10"), utc) == ms("2026-01-06T12:00")
    assert next_slot([], 45, ms("2026-01-06T23:40"), utc) == ms("2026-01-07T00:00")
    assert latest_slot([], None, noon, utc) is next_slot([], None, noon, utc) is None
    evening = ms("2026-03-28T19:00")
    assert next_slot([18 * 60], None, evening, berlin) == ms("2026-03-29T18:00", "Europe/Berlin")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {"days": ["mon"], "from": "25:00", "to": "01:00"},
        {"days": ["montag"], "from": "22:00", "to": "01:00"},
        {"days": "mon", "from": "22:00", "to": "01:00"},
        {"from": "22:00"},
        {"from": "22:00", "to": "23:00", "use": "sometimes"},
        {"from": "22:00", "to": "23:00", "lane": 5},
    ],
)
def test_what_is_no_window_is_said(wrong: object) -> None:
    assert isinstance(parse_window(wrong), str)


def test_times() -> None:
    assert parse_time("00:00") == 0
    assert parse_time("23:59") == 1439
    assert [parse_time(t) for t in ("24:00", "9:00", "", None, 5, "12:60")] == [None] * 6

"""What is put off while the battery is low or nobody looks: laws, and its thresholds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine import power
from fieldpost.engine.limits import BATCH_ITEMS_MAX
from fieldpost.engine.power import Device, told

HOUR = 3_600_000
MAYBE = st.none() | st.booleans()
LEVELS = st.integers(0, 19)
AGES = st.integers(-(10**12), 10**12)
DEVICES = st.builds(Device, MAYBE, st.none() | st.floats(0, 1), MAYBE)


@given(DEVICES, st.booleans(), st.booleans(), AGES)
def test_texts_and_what_is_critical_always_go_and_something_always_may(
    device, wanted, by_hand, age
) -> None:
    thrift = power.thrift(device, wanted=wanted, by_hand=by_hand, file_age_ms=age)
    may = [thrift.may_go(level) for level in range(20)]
    assert all(may[:11])  # texts, and the files of priority 10
    assert may == sorted(may, reverse=True)  # the first of the index: nothing is passed over
    assert 1 <= thrift.batch_items <= BATCH_ITEMS_MAX
    assert thrift.timer >= 1
    assert bool(thrift.text) is bool(thrift.reason)


@given(DEVICES, LEVELS, AGES)
def test_by_hand_and_switched_off_nothing_is_put_off(device, level, age) -> None:
    assert power.thrift(device, by_hand=True, file_age_ms=age) == power.NONE
    assert power.thrift(device, wanted=False, file_age_ms=age) == power.NONE
    assert power.NONE.may_go(level)


@given(MAYBE, st.none() | st.floats(0, 1), AGES)
def test_what_is_not_known_changes_nothing(charging, battery, age) -> None:
    assert power.thrift(Device(None, None, charging), file_age_ms=age) == power.NONE
    assert power.thrift(Device(None, battery, None), file_age_ms=age) == power.NONE
    assert power.thrift(Device(None, battery, True), file_age_ms=age) == power.NONE


@given(DEVICES, DEVICES, AGES)
def test_less_power_never_lets_more_go(one, other, age) -> None:
    worse = Device(one.visible, min((d.battery or 0.0) for d in (one, other)), one.charging)
    if one.battery is None:
        return
    before, after = power.thrift(one, file_age_ms=age), power.thrift(worse, file_age_ms=age)
    assert after.files <= before.files
    assert after.batch_items <= before.batch_items
    assert after.timer >= before.timer


def test_the_thresholds() -> None:
    assert Device(battery=0.149, charging=False).low
    assert not Device(battery=0.15, charging=False).low
    low = Device(battery=0.1, charging=False)
    assert power.thrift(low) == power.BATTERY
    assert power.thrift(low, file_age_ms=24 * HOUR - 1) == power.BATTERY
    assert power.thrift(low, file_age_ms=24 * HOUR) == power.LATE
    assert power.thrift(Device(visible=False)) == power.BACKGROUND
    assert power.thrift(Device(visible=False, battery=0.1, charging=False)) == power.BATTERY
    assert power.thrift(Device(visible=True)) == power.NONE


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ({}, Device()),
        ({"visible": False, "battery": 1, "charging": True}, Device(False, 1.0, True)),
        ({"visible": "no", "battery": True, "charging": 0}, Device()),
        ({"battery": 1.5}, Device()),
        ({"battery": float("nan")}, Device()),
        ({"visible": True, "folded": True}, Device(visible=True)),
        ({"battery": 0}, Device(battery=0.0)),
    ],
)
def test_what_makes_no_sense_counts_as_not_said(said, understood) -> None:
    assert told(**said) == understood

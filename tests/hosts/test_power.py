"""What Linux tells of the battery, on folders laid out as it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldpost.engine.power import Device
from fieldpost.hosts.cpython import system
from fieldpost.hosts.cpython.system import SystemSurroundings

BATTERY = {"type": "Battery", "capacity": "12", "status": "Discharging"}
MAINS = {"type": "Mains", "online": "1"}


def supplies(folder: Path, given: dict[str, dict[str, str]]) -> Path:
    for name, words in given.items():
        (folder / name).mkdir()
        for word, value in words.items():
            (folder / name / word).write_text(value + "\n")
    return folder


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Device()),
        ({"AC": MAINS}, Device()),
        ({"BAT0": BATTERY}, Device(None, 0.12, False)),
        ({"AC": {**MAINS, "online": "0"}, "BAT0": BATTERY}, Device(None, 0.12, False)),
        ({"AC": MAINS, "BAT0": BATTERY}, Device(None, 0.12, True)),
        ({"BAT0": {**BATTERY, "status": "Charging"}}, Device(None, 0.12, True)),
        ({"BAT0": BATTERY, "BAT1": {**BATTERY, "capacity": "80"}}, Device(None, 0.8, False)),
        ({"mouse": {**BATTERY, "scope": "Device", "capacity": "3"}}, Device()),
        ({"mouse": {**MAINS, "scope": "Device"}, "BAT0": BATTERY}, Device(None, 0.12, False)),
        ({"BAT0": {"type": "Battery"}}, Device()),
        ({"BAT0": {**BATTERY, "capacity": "-1"}}, Device()),
        ({"BAT0": {**BATTERY, "status": "Unknown"}}, Device(None, 0.12, None)),
    ],
)
def test_power_as_the_kernel_tells_it(tmp_path: Path, given, expected) -> None:
    assert SystemSurroundings(supplies(tmp_path, given)).device() == expected


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert SystemSurroundings(tmp_path / "none").device() == Device()
    (tmp_path / "BAT0").mkdir()
    (tmp_path / "BAT0" / "capacity").mkdir()  # cannot be read
    (tmp_path / "BAT0" / "type").write_text("Battery")
    assert SystemSurroundings(tmp_path).device() == Device()


def test_it_is_read_again_after_a_while_only(tmp_path: Path, monkeypatch) -> None:
    around = SystemSurroundings(supplies(tmp_path, {"BAT0": BATTERY}))
    assert around.device().battery == 0.12
    (tmp_path / "BAT0" / "capacity").write_text("90")
    assert around.device().battery == 0.12
    monkeypatch.setattr(system, "_POWER_EVERY_S", 0)
    assert around.device().battery == 0.9

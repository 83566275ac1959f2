"""200 worlds in which everything goes wrong and nothing is lost, and why to trust them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from tests.simulation.real_gateway import RealGateway

from fieldpost.testing.simulator import SCENARIOS, ModelGateway, Violation, World, run, run_world
from fieldpost.testing.simulator.__main__ import main
from fieldpost.testing.simulator.network import FAULTS
from fieldpost.testing.simulator.scenarios import chaos, chaos_config

GROUP = 25
STORIES = [name for name in SCENARIOS if name != "chaos"]


@pytest.mark.parametrize("first", range(0, 200, GROUP))
def test_no_invariant_breaks_in_200_worlds(first: int) -> None:
    """The real gateway's ledger in half of them, the shipped model in the others."""
    counts: Counter[str] = Counter()
    for seed in range(first, first + GROUP):
        counts += run(seed, gateway=RealGateway if seed % 2 else ModelGateway).counts
    assert counts["row completed"] > 5 * GROUP, "the worlds do not deliver enough to mean anything"
    for needed in ("killed", "frozen", "clock jumps", "storage fails after", "gateway killed"):
        assert counts[needed], f"25 worlds without '{needed}'"
    for needed in ("arrived on trial", "pause lane", "trouble ends"):
        assert counts[needed], f"25 worlds without '{needed}'"
    # Rows that expire are rarer; that they are looked at, a planted bug of expiry shows.
    for needed in ("row blocked", "save child", "save in line", "person: edit"):
        assert counts[needed], f"25 worlds without '{needed}'"
    assert len([fault for fault in FAULTS if counts[fault]]) > len(FAULTS) / 2


def test_in_a_good_part_of_the_worlds_items_have_to_do_with_one_another() -> None:
    related = sum(chaos_config(seed).related for seed in range(200))
    assert 0.3 * 200 <= related <= 0.5 * 200


def test_in_a_good_part_of_the_worlds_there_are_two_destinations() -> None:
    configs = [chaos_config(seed) for seed in range(200)]
    assert 0.3 * 200 <= sum(config.lanes for config in configs) <= 0.4 * 200
    assert {n for config in configs for n in config.wide} == {1, 2, 3, 4}


def test_as_many_requests_are_under_way_as_a_lane_may_have() -> None:
    """The bounds mean something: some lanes get as far as theirs, one of them to four."""
    most: Counter[str] = Counter()
    for seed in (seed for seed in range(40) if chaos_config(seed).lanes):
        world = World(seed, chaos_config(seed))
        run_world(world, chaos)
        most |= world.monitor.bulkheads.most
    assert most["gateway"] >= 2
    assert most["archive"] >= 2
    assert most["all"] >= 3


@pytest.mark.soak
def test_thousands_of_worlds() -> None:
    """``FIELDPOST_SEEDS`` worlds, beyond those of the other tests."""
    for seed in range(200, 200 + int(os.environ.get("FIELDPOST_SEEDS", "5000"))):
        run(seed, gateway=RealGateway if seed % 2 else ModelGateway)


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("gateway", [ModelGateway, RealGateway])
def test_the_five_scenarios_end_as_they_should(
    story: str, gateway: type[ModelGateway] | type[RealGateway]
) -> None:
    for seed in (1, 2):
        done = run(seed, story, gateway=gateway)
        assert done.items
        assert done.counts["row completed"] == done.items


def test_a_seed_replays_exactly() -> None:
    """Also in another process, with other hashes of texts."""
    first, again, other = run(11), run(11), run(12)
    assert (first.hash, first.steps) == (again.hash, again.steps)
    assert first.hash != other.hash
    code = "from fieldpost.testing.simulator import run; print(run(11).hash)"
    env = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout.strip() == first.hash


def test_a_violation_tells_how_to_see_it_again() -> None:
    async def story(world: World) -> None:
        await chaos(world)
        world.violated("conservation", "made up")

    with pytest.raises(Violation) as found:
        run_world(World(5, chaos_config(5)), story)
    assert (found.value.seed, found.value.invariant) == (5, "conservation")
    assert found.value.step > 100
    assert len(found.value.events) > 10
    assert "--seed 5 --scenario chaos" in str(found.value)


def test_a_story_that_does_not_hold_is_a_violation() -> None:
    async def story(world: World) -> None:
        await world.open()
        world.gateway.effects["00000000-0000-7000-8000-000000000001"] = 2
        world.monitor.effects()

    with pytest.raises(Violation, match="one-effect"):
        run_world(World(1), story)


def test_the_command_line_shows_a_world(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scenario", "offline", "--verbose"]) == 0
    text = capsys.readouterr().out
    assert "it goes out as soon as it can" in text
    assert "row completed" in text
    assert main(["--seeds", "3..5"]) == 0
    text = capsys.readouterr().out
    assert "killed" in text
    assert "seeds 3 to 5" in text

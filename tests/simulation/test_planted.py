"""The simulator earns its trust: it finds every planted bug within 200 seeds."""

from __future__ import annotations

import pytest
from tests.simulation.planted import PLANTED
from tests.simulation.real_gateway import RealGateway

from fieldpost.testing.simulator import INVARIANTS, Violation, run

SEEDS_MAX = 200


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_within_200_seeds(bug: str) -> None:
    with PLANTED[bug]():
        for seed in range(SEEDS_MAX):
            found = _violation(seed)
            if found is not None:
                break
    assert found is not None, f"no world of {SEEDS_MAX} showed it"
    assert found.invariant in INVARIANTS
    assert found.invariant != "no-crash", f"the plant does not fit the code: {found.text}"
    print(f"{bug}: seed {seed}, step {found.step}: {found.invariant}, {found.text}")


def _violation(seed: int) -> Violation | None:
    try:
        run(seed, gateway=RealGateway)
    except Violation as violation:
        return violation
    return None

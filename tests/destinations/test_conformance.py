"""The adapter contract on every adapter: the gateway's, the guides' two examples, and each vendor's
(every module of `fieldpost.testing.vendors` that has a ``bench``)."""

from __future__ import annotations

import pytest
from tests.destinations.benches import FACTORIES

from fieldpost.testing.adaptercontract import CASES, NotForThis, SteadyClock, maker


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("adapter", FACTORIES)
async def test_contract(adapter: str, case: str) -> None:
    try:
        await CASES[case](maker(FACTORIES[adapter], SteadyClock))
    except NotForThis as why:
        pytest.skip(str(why))

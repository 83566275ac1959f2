"""The adapter contract on every adapter: the gateway's, the guides' two examples, and each vendor's
(every module of `fieldpost.testing.vendors` that has a ``bench``)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import partial

import pytest
from tests.destinations import benches, roundup

from fieldpost.testing import vendors
from fieldpost.testing.adaptercontract import CASES, NotForThis, SteadyClock, maker
from fieldpost.testing.adaptercontract.bench import Factory
from fieldpost.testing.vendors import jira


def _factories() -> dict[str, Factory]:
    found: dict[str, Factory] = {
        "gateway": benches.gateway,
        "warehouse": benches.warehouse,
        "roundup": roundup.bench,
        "jira-datacenter": partial(jira.bench, flavour="datacenter"),
    }
    for module in pkgutil.iter_modules(vendors.__path__):
        made = importlib.import_module(f"{vendors.__name__}.{module.name}")
        if hasattr(made, "bench"):
            found[module.name] = made.bench
    return found


FACTORIES = _factories()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("adapter", FACTORIES)
async def test_contract(adapter: str, case: str) -> None:
    try:
        await CASES[case](maker(FACTORIES[adapter], SteadyClock))
    except NotForThis as why:
        pytest.skip(str(why))

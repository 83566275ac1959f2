from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.process import Running, start
from tests.gateway.wires import client_of

from gateway.gateway import Gateway
from gateway.settings import Settings


@pytest.fixture
def open_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Make gateways on tmp_path/data; each is closed before the next one opens it."""
    opened: list[Gateway] = []

    def make(**changes: Any) -> Gateway:
        for each in opened:
            each.close()
        opened.clear()
        named = {name: changes.pop(name) for name in ("destinations", "clock") if name in changes}
        settings = Settings(data=tmp_path / "data", **changes)
        opened.append(Gateway(settings, **named))
        return opened[0]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def gateway(open_gateway: Callable[..., Gateway]) -> Gateway:
    return open_gateway()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(gateway) as client:
        yield client


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start real gateway processes; all are ended after the test."""
    started: list[Running] = []

    def make(*arguments: str, **named: Any) -> Running:
        started.append(start(tmp_path / "data", *arguments, **named))
        return started[-1]

    yield make
    for each in started:
        each.end()

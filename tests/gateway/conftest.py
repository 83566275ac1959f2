from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.process import Running, start
from tests.gateway.wires import client_of
from tools.servers import RedisServer

from gateway.gateway import Gateway
from gateway.settings import Settings


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all the tests of a worker; each has a queue of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.full)])
def store(request: pytest.FixtureRequest) -> str | None:
    """What the gateways of a test keep their data in: a folder, or an empty queue in a server."""
    if request.param == "sqlite":
        return None
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url(f"q{next(_queues)}")


#: For tests of what is in the folder.
in_a_folder = pytest.mark.parametrize("store", ["sqlite"], indirect=True)

_queues = itertools.count(1)


@pytest.fixture
def open_gateway(tmp_path: Path, store: str | None) -> Iterator[Callable[..., Gateway]]:
    """Make gateways on tmp_path/data; each is closed before the next one opens it."""
    opened: list[Gateway] = []

    def make(**changes: Any) -> Gateway:
        for each in opened:
            each.close()
        opened.clear()
        named = {name: changes.pop(name) for name in ("destinations", "clock") if name in changes}
        settings = Settings(data=tmp_path / "data", store=store, **changes)
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

"""A Redis server for these tests, and a queue of its own on it for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.servers import RedisServer

from fieldpost.hosts.cpython.keyring import KeyRing

#: Queues given out so far.
next_queue = [0]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all the tests of a worker that leave it as it is."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def url(shared: RedisServer, request: pytest.FixtureRequest) -> str:
    """Of a queue that is new and empty."""
    next_queue[0] += 1
    return shared.url(f"q{next_queue[0]}")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may kill."""
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.stop()


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.ephemeral()

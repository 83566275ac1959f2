"""Worker processes that share a queue in Redis and die by SIGKILL: nothing lost, nothing doubled.

As tests/processes, with the same workers: each on connections of its own, as if on another machine.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gateway.process import Running, start
from tests.processes.crew import Crew
from tests.processes.test_killed import (
    PHASES,
    nothing_lost_nothing_doubled,
    rounds_of_deaths,
)
from tools.servers import RedisServer

pytestmark = pytest.mark.full


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    running = start(tmp_path / "gateway")
    yield running
    running.end()


@pytest.fixture
def crew(tmp_path: Path, gateway: Running, own: RedisServer) -> Iterator[Crew]:
    crew = Crew(tmp_path / "keys", gateway.url, tmp_path, store=own.url("shared"))
    yield crew
    crew.kill_all()


async def test_killed_workers_lose_and_double_nothing(
    crew: Crew, gateway: Running, tmp_path: Path
) -> None:
    rounds_of_deaths(crew, 4, 24)
    assert set(PHASES) <= set(crew.deaths), "some phase was never cut"
    await nothing_lost_nothing_doubled(crew, gateway, tmp_path)


async def test_a_killed_server_under_the_workers(
    crew: Crew, gateway: Running, own: RedisServer, tmp_path: Path
) -> None:
    """The server dies as they work, and comes back with all it acknowledged. A worker whose save
    fails ends: it is hired anew."""
    for _ in range(2):
        for _ in range(3):
            crew.hire()
        crew.until("settle", 3)
        own.kill()
        for worker in list(crew.workers):
            crew.kill(worker)
        own.start()
    crew.hire()
    crew.until("settle", 2)
    crew.kill_all()
    await nothing_lost_nothing_doubled(crew, gateway, tmp_path)

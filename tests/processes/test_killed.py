"""Worker processes that share a queue and die by SIGKILL: nothing lost, nothing doubled.

REQUIREMENTS U95 and DESIGN section 10: 0 lost, 0 doubled at a `strong` destination, which is the
project's own gateway in a process of its own. Each round kills whoever is the Nth to begin a
phase, at once when it says so (N is drawn from a seed; where in the phase the signal finds it is
the machine's chance), and hires a new worker in its place.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gateway.process import Running, start
from tests.processes.crew import PATIENCE_S, Crew

import fieldpost
from fieldpost.engine.transitions import State
from fieldpost.runtime.queue import Queue
from fieldpost.testing.storecontract.support import check, rows

PHASES = ("enqueue", "claim", "send", "settle")
WORKERS = 3


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    running = start(tmp_path / "gateway")
    yield running
    running.end()


@pytest.fixture
def crew(tmp_path: Path, gateway: Running) -> Iterator[Crew]:
    crew = Crew(tmp_path / "queue", gateway.url, tmp_path)
    yield crew
    crew.kill_all()


def rounds_of_deaths(crew: Crew, seed: int, rounds: int) -> None:
    """Each phase as often as any other; one round in eight takes everybody."""
    chance = random.Random(seed)
    for _ in range(WORKERS):
        crew.hire()
    for n in range(rounds):
        victim = crew.until(PHASES[n % len(PHASES)], chance.randint(1, 6))
        for worker in list(crew.workers) if n % 8 == 7 else [victim]:
            crew.kill(worker)
            crew.hire()
    crew.kill_all()


async def drained(queue: Queue) -> None:
    """By hand, so that no retry time counts; a request of a dead worker may still be answered."""
    until = time.monotonic() + PATIENCE_S
    while (status := await queue.sync())["waiting"]:
        assert time.monotonic() < until, status


def arrivals(data: Path) -> Counter[str]:
    """How often each item arrived, as the gateway's own tables say."""
    file = f"file:{data / 'gateway.sqlite3'}?mode=ro"
    with contextlib.closing(sqlite3.connect(file, uri=True)) as tables:
        found = Counter(id_ for (id_,) in tables.execute("SELECT operation_id FROM arrivals"))
        delivered = tables.execute("SELECT count(*) FROM ledger WHERE state = 'delivered'")
        assert delivered.fetchone() == (found.total(),)
    return found


@pytest.mark.parametrize(
    ("seed", "rounds"),
    [
        pytest.param(1, 8, id="8-rounds"),
        pytest.param(2, 100, id="100-rounds", marks=pytest.mark.full),
    ],
)
async def test_killed_workers_lose_and_double_nothing(
    seed: int, rounds: int, crew: Crew, gateway: Running, tmp_path: Path
) -> None:
    rounds_of_deaths(crew, seed, rounds)
    if rounds >= 100:
        assert set(PHASES) <= set(crew.deaths), "some phase was never cut"
    await nothing_lost_nothing_doubled(crew, gateway, tmp_path)


async def nothing_lost_nothing_doubled(crew: Crew, gateway: Running, tmp_path: Path) -> None:
    assert crew.saved
    async with await fieldpost.open(gateway.url, path=crew.folder, store=crew.store) as queue:
        await drained(queue)
        store = queue._host.store
        held = {row.item.id for row in await rows(store)}
        assert crew.saved <= held, "lost: said to be saved, and not in the store"
        counts = (await queue.status())["counts"]
        assert counts == {**dict.fromkeys(map(str, State), 0), "completed": len(held)}
        await check(store)
        verified = await queue.verify()
        assert verified["ok"], verified["problems"]
    gateway.end()
    arrived = arrivals(tmp_path / "gateway")
    assert set(arrived) == held, "lost on the way"
    assert arrived.total() == len(held), "doubled"

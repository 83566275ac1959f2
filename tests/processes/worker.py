"""One worker of a shared queue, to be killed: it saves tickets and drains until its end.

`python tests/processes/worker.py FOLDER GATEWAY SEED [STORE]`. It writes one line before each thing
that it begins (``enqueue``, ``claim``, ``send``, ``settle``), and ``saved ID`` once `enqueue` has
returned: what it said must be true whatever happens to it next.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

import httpx

from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.open import open_queue
from fieldpost.hosts.cpython.system import SystemClock
from fieldpost.ports import Commit, Committed, Store
from fieldpost.stores.redis_store import RedisStore
from fieldpost.stores.sqlite import SqliteStore

#: A worker adds no more while this much is waiting, or the drain would never catch up.
ENOUGH = 30

#: A lease over Redis ends after this long without a beat, so that a test need not take minutes;
#: the kernel gives a file's lock back at once.
STEAL_AFTER_MS = 1_500

_commits = {kind: kind.commit for kind in (SqliteStore, RedisStore)}


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")  # whole or not at all: shorter than PIPE_BUF


async def sending(request: httpx.Request) -> None:
    if request.url.path.endswith("/operations"):
        say("send")


async def spoken_commit(store: Store, commit: Commit) -> Committed:
    if any(put.insert for put in commit.puts):
        say("enqueue")
    elif any(put.item.state is State.IN_PROGRESS for put in commit.puts):
        say("claim")
    elif commit.puts:
        say("settle")
    return await _commits[type(store)](store, commit)


async def main(folder: str, gateway: str, seed: int, place: str | None) -> None:
    chance, clock = random.Random(seed), SystemClock()
    client = httpx.AsyncClient(event_hooks={"request": [sending]})
    queue = await open_queue(gateway, path=folder, store=place, client=client)
    for driver in queue._drivers.values():
        driver.steal_after_ms, driver.beat_every_ms = STEAL_AFTER_MS, STEAL_AFTER_MS // 6
    await queue.start()
    while True:
        for _ in range(chance.randint(1, 3)):
            item = await queue.enqueue("ticket", {"summary": f"Ticket {chance.random()}"})
            say(f"saved {item.id}")
        if chance.random() < 0.3:
            several = [{"summary": f"One of several {n}"} for n in range(chance.randint(2, 5))]
            for item in await queue.enqueue_many("ticket", several):
                say(f"saved {item.id}")
        while (await queue.sync())["waiting"] > ENOUGH:
            await clock.sleep(10)  # another process drains: there is no event to wait for


if __name__ == "__main__":
    for kind in _commits:
        kind.commit = spoken_commit  # type: ignore[method-assign]
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), (*sys.argv[4:], None)[0]))

"""`python -m e2e.bench.peak memory|SQLite N FILE`: what N items cost a process, in MB."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Store
from fieldpost.stores.memory import MemoryStore

from .cpython import queue_on
from .work import claim_and_settle, open_sqlite, ticket

_STATUS = Path("/proc/self/status")


def peak_mb() -> float:
    """The largest resident set of this process so far."""
    if _STATUS.exists():
        # Not ru_maxrss: on Linux that begins with what the parent had when it started this.
        words = _STATUS.read_text().split()
        return int(words[words.index("VmHWM:") + 1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


async def main(which: str, n: int, path: Path) -> None:
    store: Store = MemoryStore(KeyRing.ephemeral())
    if which == "SQLite":
        store = await open_sqlite(path)
    before = peak_mb()
    async with queue_on(store) as queue:
        for at in range(0, n, 1_000):
            await queue.enqueue_many("ticket", [ticket(at + i) for i in range(1_000)])
        saved = peak_mb()
        await claim_and_settle(store, n, 100)
        settled = peak_mb()
    print(json.dumps({"saved": saved - before, "settled": settled - before}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))

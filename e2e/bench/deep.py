"""Claims and settlements in a deep queue, enqueues beside other queues, and memory: CPython."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Store
from fieldpost.stores.memory import MemoryStore

from .peers import Peer, installed
from .rows import Row, median, paired, rate
from .work import Raw, claim_and_settle, commit_all, ms_since, open_sqlite, puts, ticket

DEPTHS = (1_000, 100_000)
LEVELS = ("FULL", "NORMAL")
SIZES = (1, 100)
_FILL = 1_000  # rows a commit while filling
_OURS = "AES-256-GCM, HMAC marks, preconditions, counters, from asyncio"
_RAW = "raw: same table and indexes, parts in clear, sqlite3 in the calling thread"


async def measure(folder: Path, rounds: int, *, quick: bool) -> list[Row]:
    depths = (100, 400) if quick else DEPTHS
    n = 200 if quick else 1_000
    rows = [await _put(folder, level, size, n, rounds) for level in LEVELS for size in SIZES]
    for which in ("memory", *(f"SQLite {level}" for level in LEVELS)):
        rows += await _claims(folder, which, depths, rounds, quick=quick)
    n = 2_000 if quick else 100_000
    return [*rows, *(_peak(folder, which, n) for which in ("memory", "SQLite"))]


def _texts(n: int) -> list[str]:
    return [json.dumps(ticket(i)) for i in range(n)]


async def _put(folder: Path, level: str, size: int, n: int, rounds: int) -> Row:
    """New rows, one or ``size`` a commit; the others beside where they can do it at all."""
    samples: dict[str, list[float]] = {"Fieldpost": [], "raw sqlite3": []}
    for _ in range(rounds):
        here = folder / str(uuid.uuid4())
        peers = installed(here)
        rows, texts = puts(n), _texts(n)
        raw = Raw(here / "raw.db", level)
        samples["raw sqlite3"].append(raw.commit_all(rows, size))
        raw.close()
        store = await open_sqlite(here / "ours.db", level)
        samples["Fieldpost"].append(await commit_all(store, rows, size))
        await store.close()
        for peer in peers:
            took = _peer_puts(peer, texts, size, level)
            if took is not None:
                samples.setdefault(peer.name, []).append(took)
            peer.close()
    return Row(
        f"CPython, SQLite {level}: put, {_together(size)}",
        f"store; ours {_OURS}; {_RAW}; others: their own table, JSON in clear, same synchronous",
        {name: rate(n, took) for name, took in samples.items()},
        paired(samples["Fieldpost"], samples["raw sqlite3"]),
        "× raw",
        _bar(size),
    )


def _peer_puts(peer: Peer, texts: list[str], size: int, level: str) -> float | None:
    peer.durability(level)
    started = time.perf_counter()
    for at in range(0, len(texts), size):
        if size == 1:
            peer.put(texts[at])
        elif not peer.put_many(texts[at : at + size]):
            return None
    return ms_since(started)


async def _claims(
    folder: Path, which: str, depths: tuple[int, int], rounds: int, *, quick: bool
) -> list[Row]:
    """Rows for one and for many at a time at both depths, and how much the depth costs."""
    rows, ours_at = [], {}
    for depth in depths:
        place = _Deep(folder / str(uuid.uuid4()), which, depth)
        await place.fill()
        for size in SIZES:
            n = size if quick else {1: 200, 100: 500}[size]
            samples = await place.sampled(n, size, rounds)
            ours_at[depth, size] = [took / n for took in samples["Fieldpost"]]
            rows.append(_claim_row(which, depth, size, n, samples))
        await place.close()
    shallow, deep = depths
    ratio = median(ours_at[deep, 100]) / median(ours_at[shallow, 100])
    times = {f"{d:,} deep": f"{median(ours_at[d, 100]) * 1000:,.0f} µs an item" for d in depths}
    how = "store; claim and settle 100 at a time, the same store filled further"
    bar = 1.5
    name = f"CPython, {which}: a batch from a deep queue against a shallow one"
    return [*rows, Row(name, how, times, ratio, "× the time", bar, at_least=False)]


def _claim_row(which: str, depth: int, size: int, n: int, samples: dict[str, list[float]]) -> Row:
    raw = samples.get("raw sqlite3")
    return Row(
        f"CPython, {which}: claim and settle, {_together(size)}, {depth:,} deep",
        f"store; read with all parts, commit lease and intent, commit the answer; ours {_OURS}; "
        f"{_RAW}; others: take (a commit) and done (a commit), huey's take deletes",
        {name: rate(n, took) for name, took in samples.items()},
        paired(samples["Fieldpost"], raw) if raw else None,
        "× raw" if raw else "",
        _bar(size) if raw else None,
    )


class _Deep:
    """One filled queue of each maker."""

    def __init__(self, folder: Path, which: str, depth: int) -> None:
        self._level = which.partition(" ")[2]
        self._folder, self._depth = folder, depth
        self._peers = installed(folder) if self._level else []
        self._raw = Raw(folder / "raw.db", self._level) if self._level else None
        self._store: Store

    async def fill(self) -> None:
        if self._level:
            self._store = await open_sqlite(self._folder / "ours.db", self._level)
        else:
            self._store = MemoryStore(KeyRing.ephemeral())
        for peer in self._peers:
            peer.durability("OFF")
        await self._add(self._depth)
        for peer in self._peers:
            peer.durability(self._level)

    async def _add(self, n: int) -> None:
        for at in range(0, n, _FILL):
            rows = puts(min(_FILL, n - at))
            await commit_all(self._store, rows, _FILL)
            if self._raw is not None:
                self._raw.commit_all(rows, _FILL)
            texts = _texts(len(rows))
            for peer in self._peers:
                if not peer.put_many(texts):
                    for text in texts:
                        peer.put(text)

    async def sampled(self, n: int, size: int, rounds: int) -> dict[str, list[float]]:
        """Milliseconds for ``n`` rows of each round; what is taken is filled up again."""
        samples: dict[str, list[float]] = {"Fieldpost": []}
        for _ in range(rounds):
            if self._raw is not None:
                took = self._raw.claim_and_settle(n, size)
                samples.setdefault("raw sqlite3", []).append(took)
            samples["Fieldpost"].append(await claim_and_settle(self._store, n, size))
            for peer in self._peers if size == 1 else []:
                started = time.perf_counter()
                for _ in range(n):
                    peer.done(peer.take())
                samples.setdefault(peer.name, []).append(ms_since(started))
            await self._add(n)
        return samples

    async def close(self) -> None:
        await self._store.close()
        for each in (*self._peers, *([self._raw] if self._raw else [])):
            each.close()


def _peak(folder: Path, which: str, n: int) -> Row:
    """Of a process of its own, over what it had after its imports."""
    words = [sys.executable, "-m", "e2e.bench.peak", which, str(n), str(folder / "peak.db")]
    made = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(made.stdout)
    return Row(
        f"CPython, {which}: peak memory",
        f"{n:,} tickets of 600 bytes saved by the public API, 1,000 a commit, then all claimed and "
        "settled, 100 at a time; largest resident set of a process less that after its imports",
        {
            "after saving": f"{found['saved']:.1f} MB",
            "at the end": f"{found['settled']:.1f} MB",
            "per item": f"{found['settled'] * 1e6 / n:,.0f} B",
        },
        found["settled"],
        "MB over the imports",
        50.0 if which == "SQLite" else None,
        at_least=False,
    )


def _together(size: int) -> str:
    return "one a commit" if size == 1 else f"{size} a commit"


def _bar(size: int) -> float:
    """DESIGN section 10."""
    return 0.6 if size == 1 else 0.5

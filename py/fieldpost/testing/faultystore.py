"""A store that fails on purpose: the Nth operation raises, before or after it took effect.

Run a scenario with ``Fault(1)``, ``Fault(2)``, … until one run ends without the fault: every place
where the storage can fail, or the process can die, has then been tried.

    for n in itertools.count(1):
        memory = MemoryStore(cipher)
        store = FaultyStore(memory, Fault(n, "after"))
        await scenario(store)            # must cope, or let the fault through
        check(memory.durable_copy())     # what a crash at that moment leaves
        if not store.fired:
            break
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from fieldpost.engine.errors import DatabaseError
from fieldpost.engine.model import Capture, Item, Stored
from fieldpost.engine.scheduling import ReadyKey
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Committed, JournalRecord, Manifest, Page, Store

_T = TypeVar("_T")

#: Operations that change what is durable.
WRITES = frozenset({"commit", "capture", "put_part", "put_manifest"})


@dataclass(frozen=True, slots=True)
class Fault:
    """Which operation fails (from 1), and how.

    ``when``: ``after`` means that it took effect and only the answer is lost, as when the process
    dies just after the commit. ``persistent``: all later operations fail too (``before``).
    ``only``: operations that count; None for all of them. ``error`` makes what is raised.
    """

    nth: int
    when: Literal["before", "after"] = "before"
    persistent: bool = False
    only: frozenset[str] | None = None
    error: Callable[[], BaseException] = DatabaseError


class FaultyStore:
    """`ports.Store` around another one."""

    def __init__(self, store: Store, fault: Fault | None = None) -> None:
        self.inner = store
        self.fault = fault
        self.operations: list[str] = []  # names of those that counted
        self.fired = False

    async def _do(self, name: str, work: Callable[[], Awaitable[_T]]) -> _T:
        fault = self.fault
        if fault is None or (fault.only is not None and name not in fault.only):
            return await work()
        self.operations.append(name)
        if self.fired and fault.persistent:
            raise fault.error()
        if len(self.operations) != fault.nth:
            return await work()
        self.fired = True
        if fault.when == "after":
            await work()
        raise fault.error()

    async def commit(self, commit: Commit) -> Committed:
        return await self._do("commit", lambda: self.inner.commit(commit))

    async def get(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        return await self._do("get", lambda: self.inner.get(ids, parts))

    async def ready(self, lane: str, limit: int, parts: Sequence[str] = ()) -> list[Stored]:
        return await self._do("ready", lambda: self.inner.ready(lane, limit, parts))

    async def ready_keys(
        self, lane: str, per_level: int, *, newest_first: bool = False
    ) -> list[ReadyKey]:
        return await self._do(
            "ready_keys",
            lambda: self.inner.ready_keys(lane, per_level, newest_first=newest_first),
        )

    async def waiting(self, lane: str, now: int, horizon: int, limit: int) -> list[Stored]:
        return await self._do("waiting", lambda: self.inner.waiting(lane, now, horizon, limit))

    async def next_due(self, lane: str) -> int | None:
        return await self._do("next_due", lambda: self.inner.next_due(lane))

    async def lines(
        self, line: Literal["entity", "parent"], keys: Sequence[str], size: int
    ) -> list[list[Item]]:
        return await self._do("lines", lambda: self.inner.lines(line, keys, size))

    async def marks(self, mark: str, values: Sequence[str]) -> list[str]:
        return await self._do("marks", lambda: self.inner.marks(mark, values))

    async def expired(self, now: int, limit: int) -> list[Stored]:
        return await self._do("expired", lambda: self.inner.expired(now, limit))

    async def page(
        self,
        states: Sequence[State],
        *,
        limit: int,
        cursor: int | None = None,
        newest_first: bool = False,
        parts: Sequence[str] = (),
    ) -> Page:
        return await self._do(
            "page",
            lambda: self.inner.page(
                states, limit=limit, cursor=cursor, newest_first=newest_first, parts=parts
            ),
        )

    async def find(self, mark: str, value: str, limit: int = 10) -> list[str]:
        return await self._do("find", lambda: self.inner.find(mark, value, limit))

    async def counters(self) -> dict[str, int]:
        return await self._do("counters", self.inner.counters)

    async def side(self, table: str, key: str) -> str | None:
        return await self._do("side", lambda: self.inner.side(table, key))

    async def sides(self, table: str) -> dict[str, str]:
        return await self._do("sides", lambda: self.inner.sides(table))

    async def journal(self, after: int, limit: int) -> list[tuple[int, JournalRecord]]:
        return await self._do("journal", lambda: self.inner.journal(after, limit))

    async def heads(self) -> dict[str, tuple[int, str]]:
        return await self._do("heads", self.inner.heads)

    async def capture(self, capture: Capture) -> None:
        await self._do("capture", lambda: self.inner.capture(capture))

    async def captures(self, limit: int) -> list[Capture]:
        return await self._do("captures", lambda: self.inner.captures(limit))

    async def put_part(self, attachment_id: str, n: int, data: bytes) -> None:
        await self._do("put_part", lambda: self.inner.put_part(attachment_id, n, data))

    async def put_manifest(self, manifest: Manifest) -> None:
        await self._do("put_manifest", lambda: self.inner.put_manifest(manifest))

    async def manifest(self, attachment_id: str) -> Manifest | None:
        return await self._do("manifest", lambda: self.inner.manifest(attachment_id))

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        return await self._do("part", lambda: self.inner.part(attachment_id, n))

    async def orphans(self, before: int, limit: int) -> list[str]:
        return await self._do("orphans", lambda: self.inner.orphans(before, limit))

    async def close(self) -> None:
        await self.inner.close()

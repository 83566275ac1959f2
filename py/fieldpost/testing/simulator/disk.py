"""The one durable store of a device, as its contexts reach it: late, failing, full, lost.

Each context has a connection (`Connection`) to the one `Disk`. An operation happens between two
events of the world, at a moment of its own: a context killed while it waits may find it done or not
done. What was acknowledged is durable, unless ``Disk.acknowledges`` says otherwise (a planted bug).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from fieldpost.engine.errors import DatabaseError, StorageFull
from fieldpost.engine.model import Capture
from fieldpost.engine.transitions import State
from fieldpost.ports import Commit, Committed
from fieldpost.stores.memory import MemoryStore
from fieldpost.stores.memory_state import MemoryState
from fieldpost.testing.faultystore import WRITES, FaultyStore

from .loop import Place, SimLoop, now
from .trace import Trace

_T = TypeVar("_T")

#: Seconds that a write may take to be durable (flash that is collecting its garbage).
_SLOW_S = 1.5
#: Chance that what a killed tab had asked for happens all the same: the browser had it already.
_DONE_ANYWAY = 0.5


class Watcher(Protocol):
    """What looks at every change of what is durable."""

    def before_commit(self, commit: Commit) -> None: ...

    def after_commit(self, place: Place, commit: Commit, done: Committed) -> None: ...

    def after_capture(self, capture: Capture) -> None: ...

    def reverted(self) -> None: ...


@dataclass(slots=True)
class Moods:
    """What the storage does to the next operations. ``failing``: chance of an error each;
    ``after``: share of these that took effect; ``fail_at``: the operation counted down to fails."""

    failing: float = 0.0
    after: float = 0.5
    fail_at: int = 0
    full: bool = False
    slow: float = 0.0


class Disk:
    #: ``complete``: a write is acknowledged when it is durable (strict). ``success``: as soon as it
    #: is visible; then `power_loss` loses what was acknowledged in the last moments.
    acknowledges = "complete"
    #: Seconds between visible and durable where that makes a difference.
    flush_s = 5.0

    def __init__(
        self, loop: SimLoop, rng: random.Random, trace: Trace, memory: MemoryStore
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.trace = trace
        self.memory = memory
        self.moods = Moods()
        self.watcher: Watcher | None = None
        #: Told which rows a commit claims; for how many seconds it is held up then.
        self.claimed: Callable[[Sequence[str]], float] = lambda _ids: 0.0
        self.commits = 0
        self.generation = 0
        self._flushed: MemoryState | None = None

    @property
    def state(self) -> MemoryState:
        """Everything as it is visible now; all of it durable when writes are strict."""
        return self.memory._durable

    def power_loss(self) -> None:
        """What was under way does not happen; what was not flushed is gone."""
        self.generation += 1
        if self._flushed is not None:
            self.memory._durable = self._flushed
            self._flushed = None
            if self.watcher is not None:
                self.watcher.reverted()

    def latency(self, name: str) -> float:
        moods = self.moods
        if name in WRITES and moods.slow and self.rng.random() < moods.slow:
            return self.rng.random() * _SLOW_S
        return 0.002 * self.rng.random() if name in WRITES else 0.0

    def perform(self, connection: Connection, name: str, work: Callable[[], _T]) -> _T:
        """One operation, now. Raises what the storage's mood is, or the store itself does."""
        moods = self.moods
        fails = moods.fail_at == 1
        moods.fail_at = max(0, moods.fail_at - 1)
        if fails or (moods.failing and self.rng.random() < moods.failing):
            after = self.rng.random() < moods.after
            self._say(connection, f"storage fails {'after' if after else 'before'}", name)
            if after:
                work()
            raise DatabaseError
        if moods.full and name in WRITES:
            self._say(connection, "storage full", name)
            raise StorageFull
        return work()

    def written(self) -> None:
        """Keep what is durable apart from what is only visible."""
        if type(self).acknowledges == "success" and self._flushed is None:
            self._flushed = self.state.copy()
            self.loop.outside(self.flush_s, self._flush)

    def _flush(self) -> None:
        self._flushed = None

    def _say(self, connection: Connection, what: str, name: str) -> None:
        self.trace.add(self.loop.time(), connection.place.name, what, name)


class Connection(FaultyStore):
    """`ports.Store` of one context."""

    def __init__(self, disk: Disk, place: Place) -> None:
        super().__init__(disk.memory)
        self.disk = disk
        self.place = place

    async def commit(self, commit: Commit) -> Committed:
        disk = self.disk

        def work() -> Committed:
            disk.written()
            if disk.watcher is not None:
                disk.watcher.before_commit(commit)
            done = now(disk.memory.commit(commit))
            disk.commits += 1
            if disk.watcher is not None:
                disk.watcher.after_commit(self.place, commit, done)
            return done

        ids = [put.item.id for put in commit.puts if put.item.state is State.IN_PROGRESS]
        return await self._asked("commit", work, disk.claimed(ids) if ids else 0.0)

    async def capture(self, capture: Capture) -> None:
        disk = self.disk

        def work() -> None:
            disk.written()
            now(disk.memory.capture(capture))
            if disk.watcher is not None:
                disk.watcher.after_capture(capture)

        await self._asked("capture", work)

    async def close(self) -> None:
        """The disk stays: other contexts use it."""

    async def _do(self, name: str, work: Callable[[], Awaitable[_T]]) -> _T:
        return await self._asked(name, lambda: now(cast("Any", work())))

    async def _asked(self, name: str, work: Callable[[], _T], held_s: float = 0.0) -> _T:
        disk, loop = self.disk, self.disk.loop
        answer: asyncio.Future[_T] = loop.create_future()
        generation = disk.generation

        def perform() -> None:
            if disk.generation != generation:
                return  # the device lost its power before this was written
            if self.place.dead and disk.rng.random() >= _DONE_ANYWAY:
                return
            try:
                result = disk.perform(self, name, work)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)

        loop.outside(disk.latency(name) + held_s, perform)
        return await answer

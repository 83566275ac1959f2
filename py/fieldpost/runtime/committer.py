"""Group commit and the journal: the only way rows are changed.

Changes handed in while a commit is under way share the next one (group commit). Each commit carries
one journal record of this writer's hash chain, so commits of one writer are one after another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from fieldpost.engine.errors import DatabaseError, QueueError
from fieldpost.engine.model import Item
from fieldpost.ports import (
    Clock,
    Commit,
    Entropy,
    Precondition,
    Refused,
    Revision,
    Store,
    Unique,
)
from fieldpost.security.journal import JournalWriter

from .limits import refused_alike, together
from .ordering import Ordering, Plan, Write

__all__ = ["Change", "Committer", "Write"]

#: Rows in one shared commit; keeps a transaction, and what a refusal repeats, bounded.
_GROUP_ROWS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Change:
    """What must happen together or not at all."""

    writes: Sequence[Write] = ()
    expect: Sequence[Precondition] = ()
    adopt: Sequence[str] = ()
    drop_blobs: Sequence[str] = ()
    side: dict[tuple[str, str], str | None] = field(default_factory=dict)
    note: str | None = None
    revisit: Sequence[str] = ()  # rows that ended, with children a commit before left over
    #: Rows to remove for good, as read; that they are still so is a precondition.
    drop: Sequence[Item] = ()

    @property
    def keys(self) -> set[object]:
        return {
            *(w.put.item.id for w in self.writes),
            *self.adopt,
            *self.side,
            *self.revisit,
            *(item.id for item in self.drop),
            # Of two that must not both be there, the second has to find the first one stored.
            *((e.mark, e.value) for e in self.expect if isinstance(e, Unique)),
        }

    @property
    def demands(self) -> list[Precondition]:
        return [*self.expect, *(Revision(item.id, item.revision) for item in self.drop)]


#: Side records of rows that ended: "<item id>:<revision>" -> state, as JSON, where somebody wants
#: to be told. (With the revision: what ends, is tried again and ends anew is two ends.)
ENDED = "ended"

_Waiting = tuple[Change, "asyncio.Future[tuple[Item, ...]]"]


class Committer:
    """Serialises this context's changes into journalled group commits."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, writer_name: str):
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._name = writer_name
        self._journal: JournalWriter | None = None
        self._anchors: dict[str, str] | None = None
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._ordering = Ordering(store)
        #: Leave a record of each row that ends (`ENDED`), in the same commit: for a host that owes
        #: somebody word of it. Whoever has passed it on removes it.
        self.tells_ends = False
        #: The store's revision after this context's latest commit.
        self.revision = 0

    async def commit(self, change: Change) -> tuple[Item, ...]:
        """The written rows as stored, in order. Durable on return.

        Raises `Refused` (nothing of this change happened) or `DatabaseError` (it is not known
        whether it did: a write may have become durable just before the storage failed).
        """
        future: asyncio.Future[tuple[Item, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())
        # A caller that goes away cancels its own future and nothing else: the commit runs in a task
        # of its own. (A shield would cost one more callback, which in a browser is a timer.)
        return await future

    async def _flush(self) -> None:
        while self._waiting:
            group = self._next_group()
            try:
                await self._commit_group(group)
            except BaseException as error:
                # Whatever happened, nobody may wait for ever on a commit that no longer runs.
                for _, future in group:
                    if not future.done():
                        future.set_exception(_as_database_error(error))
                if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, SystemExit)):
                    raise

    def _next_group(self) -> list[_Waiting]:
        """Changes that touch different keys; one that meets an earlier one waits for the next."""
        group: list[_Waiting] = []
        taken: set[object] = set()
        rows = 0
        while self._waiting:
            change, future = self._waiting[0]
            keys = change.keys
            if group and (keys & taken or rows + len(change.writes) > _GROUP_ROWS_MAX):
                break
            group.append((change, future))
            taken |= keys
            rows += len(change.writes)
            self._waiting.popleft()
        return group

    async def _commit_group(self, group: list[_Waiting]) -> None:
        """Commit what can be committed; a refused change is answered and the rest goes again."""
        while group:
            changes = [change for change, _ in group]
            plan = await self._plan(changes)
            try:
                written, revision = await self._write(changes, plan)
            except Refused as refusal:
                if _is_plans(refusal, changes, plan):
                    self._ordering.refused(refusal)
                    continue  # another context was faster: look again
                at, refused = _owner_of(refusal, changes)
                others = refused_alike(changes, at, refused)
                for place, reason in reversed([(at, refused), *others]):
                    _, future = group.pop(place)
                    if not future.done():
                        future.set_exception(reason)
                continue
            self.revision = revision
            rows = iter(written)
            for change, future in group:
                result = tuple(next(rows) for _ in change.writes)
                if not future.done():
                    future.set_result(result)
            if plan.left:
                self._waiting.append((Change(revisit=plan.left), _unheard()))
            return

    async def _plan(self, changes: list[Change]) -> Plan:
        writes = [write for change in changes for write in change.writes]
        revisit = [id_ for change in changes for id_ in change.revisit]
        return await self._ordering.plan(writes, revisit, self._clock.now())

    async def _write(self, changes: list[Change], plan: Plan) -> tuple[tuple[Item, ...], int]:
        writer, anchors = await self._writer()
        writes = [*plan.writes, *plan.extra]
        notes = [change.note for change in changes if change.note]
        record = writer.record(
            [
                [
                    w.put.item.id,
                    w.was and str(w.was),
                    str(w.put.item.state),
                    w.put.item.revision + 1,
                ]
                for w in writes
            ]
            + [[i.id, str(i.state), None, i.revision] for change in changes for i in change.drop],
            self._clock.now(),
            note="; ".join(notes) or None,
            anchors=anchors,
        )
        commit = Commit(
            expect=(*together(changes), *plan.expect),
            puts=tuple(write.put for write in writes),
            adopt=tuple(a for change in changes for a in change.adopt),
            drop_blobs=tuple(b for change in changes for b in change.drop_blobs),
            drop=tuple(item.id for change in changes for item in change.drop),
            side={k: v for change in changes for k, v in change.side.items()}
            | plan.side
            | (_ends(writes) if self.tells_ends else {}),
            journal=record,
        )
        try:
            done = await self._store.commit(commit)
        except Refused:
            raise
        except BaseException:
            # It may or may not be durable, so this chain's end is not known: begin another one.
            self._journal = None
            raise
        writer.advance(record)
        self._anchors = None
        return done.items, done.revision

    async def _writer(self) -> tuple[JournalWriter, dict[str, str] | None]:
        if self._journal is None:
            heads = await self._store.heads()
            self._anchors = {name: hash_ for name, (_, hash_) in heads.items()}
            name = f"{self._name}-{self._entropy.uuid7(self._clock.now())[-12:]}"
            self._journal = JournalWriter(name)
        return self._journal, self._anchors


def _ends(writes: Sequence[Write]) -> dict[tuple[str, str], str | None]:
    ended = [w.put.item for w in writes if not w.put.item.is_open and w.was is not w.put.item.state]
    return {(ENDED, f"{item.id}:{item.revision + 1}"): f'"{item.state}"' for item in ended}


def _unheard() -> asyncio.Future[tuple[Item, ...]]:
    """For work that nobody waits for: what is not done stands in a side record."""
    future: asyncio.Future[tuple[Item, ...]] = asyncio.get_running_loop().create_future()
    future.add_done_callback(asyncio.Future.exception)
    return future


def _is_plans(refusal: Refused, changes: list[Change], plan: Plan) -> bool:
    """Whether the refusal is about what the plan added, and not about one of the changes."""
    asked = sum(len(change.demands) for change in changes)
    if refusal.index < asked + len(plan.expect):
        return refusal.index >= asked
    return refusal.index >= asked + len(plan.expect) + len(plan.writes)


def _owner_of(refusal: Refused, changes: list[Change]) -> tuple[int, Refused]:
    """Which change was refused, and the refusal as that change alone would have met it."""
    key = getattr(refusal.expectation, "id", None)
    index = refusal.index
    for at, change in enumerate(changes):
        demands = change.demands
        if 0 <= index < len(demands):
            return at, Refused(index, demands[index], refusal.existing_id)
        index -= len(demands)
    for at, change in enumerate(changes):  # an implied precondition of a Put
        if any(write.put.item.id == key for write in change.writes):
            return at, Refused(-1, refusal.expectation, refusal.existing_id)
    raise refusal


def _as_database_error(error: BaseException) -> BaseException:
    if isinstance(error, QueueError):
        return error
    failed = DatabaseError()
    failed.__cause__ = error
    return failed

"""The next batch: which ready rows, in which order, as the strategy and ageing say.

By priority, the default, one read is enough; another strategy, or old rows, take three more at most
(keys of the index, first rows, the chosen ones). None of them grows with the queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fieldpost.engine.model import PARTS, Item, Stored
from fieldpost.engine.ordering import has_expired
from fieldpost.engine.retry import DELAY_MS_MAX
from fieldpost.engine.scheduling import (
    ReadyKey,
    Rule,
    Seen,
    choose,
    is_old,
    is_overdue,
    is_text,
    texts_or_files,
)
from fieldpost.ports import Put

from .committer import Write
from .lane import LaneState
from .overdue import expire

if TYPE_CHECKING:
    from .driver import Driver

#: `priority`, the default, looks for old rows this often while more is ready than fits.
_AGEING_EVERY_MS = 1_000
#: Where owners share, so many batches of each level are looked at, from its front and from its end:
#: whoever comes behind a long row of another's is seen at once.
_WINDOW = 2
#: A row parked for a window is looked at again after this at the latest: a due time further off
#: than a day counts as stranded by a clock (`Store.waiting`).
_PARKED_MS_MAX = DELAY_MS_MAX // 2


class Picker:
    """Chooses for one driver. Remembers only when it looked for old rows, and if there were any."""

    def __init__(self, driver: Driver):
        self._driver = driver
        self._look_at: float = 0
        self._old = False

    async def next_rows(self, state: LaneState) -> list[Stored]:
        """The next batch: texts together, or one item whose attachments follow. Empty when nothing
        is ready, or nothing may be sent any more."""
        driver, pacing = self._driver, self._driver.pacing
        while await self.may_go_on():
            declared = driver.destination.declaration
            limit = max(1, min(state.batch, declared.batch_items, pacing.batch_items))
            rows = await self._chosen(limit)
            if not await self._expire(rows) and not await self._park(rows):
                return _cut(rows, declared.batch_bytes)
        return []

    async def may_go_on(self) -> bool:
        """False once a window, a costly network or a pause, of any context, stops the lane."""
        driver, pacing = self._driver, self._driver.pacing
        if await pacing.stopped(by_hand=pacing.turn.by_hand, begun=True) is not None:
            return False
        driver.paused = pacing.settings.pause_of(driver.lane)
        return driver.paused is None

    async def _chosen(self, limit: int) -> list[Stored]:
        """Texts, or else files, in the order to send them; at most ``limit``."""
        driver = self._driver
        store, lane = driver.host.store, driver.lane
        now, draw = driver.host.clock.now(), driver.host.entropy.fraction
        rule, may_go = driver.pacing.rule(now), driver.pacing.may_go
        if (
            rule.strategy == "priority" and not rule.share
        ):  # in the order of the index, but for what is old
            ready = await store.ready(lane, limit, PARTS)
            rows = [row for row in ready if may_go(row.item.level)]
            if len(rows) < limit:  # that is all there is
                keys = [_key(row.item) for row in rows]
                seen = {row.item.id: _seen(row.item) for row in rows}
                return _in_order(rows, choose(keys, seen, rule, limit, now, draw))
            if not self._old and not await self._finds_old(rule, now):
                return rows
        window = limit * _WINDOW if rule.share else limit
        ready_keys = await store.ready_keys(lane, window)
        keys = texts_or_files(key for key in ready_keys if may_go(key.level))
        heads = {key: key.id for key in _heads(keys)}
        seen = await self._seen(heads.values())
        old = {k.level for k, id_ in heads.items() if id_ in seen and is_old(seen[id_], rule, now)}
        self._old = bool(old)
        opened: dict[str, Stored] = {}
        if old:  # how far down the age goes: the oldest of those levels, as many as fit
            oldest = sorted((k for k in keys if k.level in old), key=lambda key: key.sequence)
            overdue = any(is_overdue(row, rule, now) for row in seen.values())
            # What is overdue is taken, so it is read whole at once.
            rows = await store.get([key.id for key in oldest[:limit]], PARTS if overdue else ())
            seen |= {row.item.id: _seen(row.item) for row in rows}
            opened = {row.item.id: row for row in rows if overdue}
        if rule.strategy == "lifo" or rule.share:
            newest = await store.ready_keys(lane, window, newest_first=True)
            keys += [key for key in newest if may_go(key.level)]
        if rule.share:
            seen |= await self._seen({key.id for key in texts_or_files(keys)})
        chosen = choose(keys, seen, rule, limit, now, draw)
        rest = await store.get([key.id for key in chosen if key.id not in opened], PARTS)
        opened |= {row.item.id: row for row in rest}
        rows = [opened[key.id] for key in chosen if key.id in opened]
        return [row for row in rows if row.item.ready and row.item.lane == lane]

    async def _finds_old(self, rule: Rule, now: int) -> bool:
        """Whether a level's first row is old. Looked up once in a while only."""
        clock = self._driver.host.clock
        if clock.monotonic() < self._look_at:
            return False
        keys = await self._driver.host.store.ready_keys(self._driver.lane, 1)
        self._look_at = clock.monotonic() + _AGEING_EVERY_MS
        seen = await self._seen(key.id for key in keys)
        return any(is_old(row, rule, now) for row in seen.values())

    async def _seen(self, ids: Iterable[str]) -> dict[str, Seen]:
        rows = await self._driver.host.store.get(list(ids))
        return {row.item.id: _seen(row.item) for row in rows}

    async def _expire(self, rows: Sequence[Stored]) -> bool:
        """End what expired since the turn began; False when nothing did."""
        host = self._driver.host
        if not any(has_expired(row.item, host.clock.now()) for row in rows):
            return False
        return await expire(host.store, self._driver.committer, host.clock) > 0

    async def _park(self, rows: Sequence[Stored]) -> bool:
        """Take work that must wait for a window out of the index; False when there was none."""
        driver, now = self._driver, self._driver.host.clock.now()
        writes = []
        for item in (row.item for row in rows):
            parked, until = driver.pacing.parked_until(item, now)
            if parked:
                due_at = min(until or now + _PARKED_MS_MAX, now + _PARKED_MS_MAX)
                later = item.changed(ready=False, due_at=due_at, updated_at=now)
                writes.append(Write(Put(later), was=item.state))
        if writes:
            await driver.commit_each(writes)
        return bool(writes)


def _key(item: Item) -> ReadyKey:
    return ReadyKey(item.level, item.sequence, item.id)


def _seen(item: Item) -> Seen:
    return Seen(item.created_at, item.attempts, item.owner)


def _heads(keys: Sequence[ReadyKey]) -> list[ReadyKey]:
    """The first key of each level."""
    return list({key.level: key for key in reversed(keys)}.values())


def _in_order(rows: Sequence[Stored], keys: Sequence[ReadyKey]) -> list[Stored]:
    by_id = {row.item.id: row for row in rows}
    return [by_id[key.id] for key in keys]


def _cut(rows: Sequence[Stored], most_bytes: int) -> list[Stored]:
    """As many texts as fit into one request, or the first item whose files follow."""
    texts = [row for row in rows if is_text(row.item.level)]
    if not texts:
        return list(rows[:1])
    size = 0
    batch: list[Stored] = []
    for row in texts:
        size += row.item.body_bytes + 1_024
        if batch and size > most_bytes:
            break
        batch.append(row)
    return batch

"""What a person does with items: edit, retry, cancel, discard, restore, change the priority.

Each act is a move of the transition table (invariant 1: a named person), leaves a line in the
item's sealed history, and is fenced by the revision it was decided on. Acts on many rows commit a
page of them at a time: durable page by page, and bounded however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fieldpost.engine.canonical import canonical, sha256_hex
from fieldpost.engine.errors import (
    InvalidItem,
    ItemNotFound,
    MaxRetriesExceeded,
    QueueError,
    StaleRevision,
)
from fieldpost.engine.kinds import Kinds, lookup
from fieldpost.engine.limits import PAYLOAD_BYTES_MAX, PRIORITY_MAX, PRIORITY_MIN
from fieldpost.engine.machine import Edited, Happening, Person, Prioritised, step
from fieldpost.engine.model import Capture, Item, Stored
from fieldpost.engine.outcome import Class, Outcome, RefusedFile
from fieldpost.engine.record import Head, history_with
from fieldpost.engine.transitions import Event, State
from fieldpost.ports import Clock, Entropy, Put, Refused, Store

from .adopt import QUARANTINE, Intake
from .committer import Change, Committer, Write
from .failover import redirected
from .followups import NO_REMOTE, refused_files
from .views import VIEWS

#: Rows read and committed together by an act on many.
_PAGE = 200
#: Dead letters looked at to count those that an outage made; beyond it the count says "or more".
COUNTED_MAX = 1_000
_PARTS = ("head", "body", "history")


def _none(_row: Stored) -> list[Write]:
    return []


@dataclass(slots=True)
class Done:
    """What an act on many did: to which ids, and why others were left as they are."""

    ids: list[str] = field(default_factory=list)
    left: dict[str, QueueError] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """``{"count", "ids", "left": {id: {code, message, todo, fields}}}``."""
        return {
            "count": len(self.ids),
            "ids": self.ids,
            "left": {id_: error.as_dict() for id_, error in self.left.items()},
        }


class Acts:
    """The acts of people on rows of one store."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        entropy: Entropy,
        kinds: Kinds,
        intake: Intake,
    ):
        self._store = store
        self._committer = committer
        self._clock = clock
        self._entropy = entropy
        self._kinds = kinds
        self._intake = intake

    # --- one -------------------------------------------------------------------------------------

    async def act(self, item_id: str, event: Event, reason: str = "") -> Item:
        """Raises `ItemNotFound`, `IllegalTransition`, `StaleRevision`, `DatabaseError`, and, where
        something not understood is tried again, `InvalidItem`."""
        besides = self._files_left if event is Event.DELIVER else _none
        return await self._one(item_id, event, lambda row: self._moved(row, event, reason), besides)

    async def edit(
        self,
        item_id: str,
        payload: Mapping[str, Any],
        *,
        title: str | None = None,
        priority: int | None = None,
    ) -> Item:
        """Replace what an item says and let it be sent anew.

        Other bytes get another ``send_id``; the same bytes keep theirs. Without ``priority`` it
        stays, or follows the payload where the payload gave it. Raises `InvalidItem` with the
        fields that are wrong, `IllegalTransition` while it may have been sent without an answer or
        once its text has arrived, `StaleRevision`, `ItemNotFound`.
        """
        return await self._one(
            item_id, Event.EDIT, lambda row: self._edited(row, payload, title, priority)
        )

    async def _one(
        self,
        item_id: str,
        event: Event,
        change: Callable[[Stored], Write],
        besides: Callable[[Stored], list[Write]] = _none,
    ) -> Item:
        found = await self._store.get([item_id], _PARTS)
        if not found:
            raise ItemNotFound
        try:
            # The journal is not sealed: it says what was done, the sealed history says why.
            writes = [change(found[0]), *besides(found[0])]
            written, *_ = await self._committer.commit(Change(writes, note=str(event)))
        except Refused as refusal:
            raise StaleRevision from refusal
        return written

    # --- many ------------------------------------------------------------------------------------

    async def act_many(self, ids: Sequence[str], event: Event, reason: str = "") -> Done:
        """The same act on each; one that cannot be done leaves the others alone."""
        return await self._many(ids, str(event), lambda row: self._moved(row, event, reason))

    async def set_priority(self, ids: Sequence[str], priority: int) -> Done:
        """Raises `InvalidItem` unless it is 1 to 10."""
        _check_priority(priority)
        return await self._many(
            ids, "priority", lambda row: self._put(row, Prioritised(priority), "priority")
        )

    async def redirect(self, ids: Sequence[str], lane: str, reason: str = "") -> Done:
        """Send each by another lane. Raises `InvalidItem` for a lane that is not there."""
        to = self._intake.routes.named(lane)
        if to is None:
            raise InvalidItem(fields={"lane": "must be named"})
        now = self._clock.now()
        return await self._many(ids, "redirect", lambda row: redirected(row, to, now, reason))

    async def retry_all(
        self,
        *,
        kind: str | None = None,
        code: str | None = None,
        since: int | None = None,
    ) -> int:
        """Try dead letters again: all, or those of a kind, with an error code, that failed at or
        after ``since`` (ms); returns how many. A row that fails again meanwhile is not looked at
        twice, nor is one that was set aside as not understood."""

        def wanted(item: Item) -> bool:
            return (
                item.kind != QUARANTINE
                and (kind is None or item.kind == kind)
                and (code is None or item.error_code == code)
                and (since is None or item.updated_at >= since)
            )

        count, cursor = 0, None
        while True:
            page = await self._store.page(
                [State.FAILED], limit=_PAGE, cursor=cursor, parts=("history",)
            )
            rows, done = [row for row in page.rows if wanted(row.item)], Done()
            await self._page(rows, "retry", lambda row: self._moved(row, Event.REVIVE, ""), done)
            count += len(done.ids)
            if page.next is None:
                return count
            cursor = page.next

    async def attention(self) -> dict[str, Any]:
        """See `ByHand.attention`."""
        counters = await self._store.counters()
        counts = {str(s): counters.get(f"state:{s}", 0) for s in VIEWS["attention"]}
        count, since, more = 0, None, False
        if counts[State.FAILED]:
            page = await self._store.page([State.FAILED], limit=COUNTED_MAX, newest_first=True)
            times = [
                row.item.updated_at
                for row in page.rows
                if row.item.error_code == MaxRetriesExceeded.code
            ]
            count, since, more = len(times), min(times, default=None), page.next is not None
        return {"counts": counts, "gave_up": {"count": count, "since": since, "more": more}}

    async def _many(self, ids: Sequence[str], note: str, change: Callable[[Stored], Write]) -> Done:
        done, wanted = Done(), list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _PAGE):
            asked = wanted[start : start + _PAGE]
            rows = await self._store.get(asked, _PARTS)
            known = {row.item.id for row in rows}
            done.left |= {id_: ItemNotFound() for id_ in asked if id_ not in known}
            await self._page(rows, note, change, done)
        return done

    async def _page(
        self, rows: Sequence[Stored], note: str, change: Callable[[Stored], Write], done: Done
    ) -> None:
        """Commit a page of changes together; a row that somebody else changed is left out."""
        writes: list[Write] = []
        for row in rows:
            try:
                writes.append(change(row))
            except QueueError as error:
                done.left[row.item.id] = error
        while writes:
            try:
                written = await self._committer.commit(Change(writes, note=note))
                done.ids += [item.id for item in written]
                return
            except Refused as refusal:
                refused_id = getattr(refusal.expectation, "id", None)
                remaining = [w for w in writes if w.put.item.id != refused_id]
                if len(remaining) == len(writes):
                    raise  # not about one of these rows: a bug, not a race
                done.left[str(refused_id)] = StaleRevision()
                writes = remaining

    # --- the rows afterwards ---------------------------------------------------------------------

    def _moved(self, row: Stored, event: Event, reason: str) -> Write:
        if event is Event.REVIVE and row.item.kind == QUARANTINE:
            return self._read_again(row, reason)
        return self._put(row, Person(event), str(event), reason)

    def _files_left(self, row: Stored) -> list[Write]:
        """Of an item that a person has seen over there: nobody knows what it is called, so no file
        can follow it. Each is a dead letter of its own, or it would be gone without a word."""
        why = RefusedFile("QUEUE_NO_REMOTE_ID", NO_REMOTE)
        refused = {a.id: why for a in row.item.attachments if not a.done}
        outcome, head = Outcome(Class.DELIVERED, refused=refused), row.parts.get("head")
        return refused_files(row.item, head, outcome, self._clock.now())

    def _put(
        self,
        row: Stored,
        happening: Happening,
        act: str,
        reason: str = "",
        parts: Mapping[str, bytes | None] | None = None,
        marks: Mapping[str, str] | None = None,
    ) -> Write:
        now = self._clock.now()
        item = step(row.item, happening, now)
        entry = {"n": 0, "at": now, "ended_at": now, "outcome": act, "text": reason}
        history = history_with(row.parts.get("history"), entry)
        put = Put(item, parts={**(parts or {}), "history": history}, marks=dict(marks or {}))
        return Write(put, was=row.item.state)

    def _edited(
        self, row: Stored, payload: Mapping[str, Any], title: str | None, priority: int | None
    ) -> Write:
        item, kind = row.item, row.item.kind
        self._kinds.check(kind, payload)
        if priority is not None:
            _check_priority(priority)
        body, before = canonical(payload), row.parts["body"]
        if len(body) > PAYLOAD_BYTES_MAX:
            limit = f"has {len(body)} bytes; at most {PAYLOAD_BYTES_MAX} are allowed"
            raise InvalidItem(fields={"payload": limit})
        # The answer to a conflict stands under the old key: also the same bytes need another.
        same = body == before and item.state is not State.CONFLICTED
        now = self._clock.now()
        edited = Edited(
            item.send_id if same else self._entropy.uuid7(now),
            len(body),
            priority if priority is not None else self._priority(item, before, payload),
        )
        head = Head.load(row.parts.get("head"))
        head = replace(head, title=title or self._kinds.title(kind, payload))
        marks = {"fingerprint": sha256_hex(b"%b|%b" % (kind.encode(), body))}
        owner = lookup(payload, "user.email")
        if owner and owner != lookup(json.loads(before), "user.email"):
            marks["owner"] = str(owner)
        # These bytes are not sent any more: an intent that was never answered cannot be here.
        parts: dict[str, bytes | None] = {"head": head.dump(), "body": body, "intent": None}
        return self._put(row, edited, str(Event.EDIT), parts=parts, marks=marks)

    def _priority(self, item: Item, before: bytes, payload: Mapping[str, Any]) -> int:
        """What the payload says of it, where the payload had given it; else as it was."""
        given = self._kinds.priority(item.kind, json.loads(before))
        followed = item.priority == given
        return self._kinds.priority(item.kind, payload) if followed else item.priority

    def _read_again(self, row: Stored, reason: str) -> Write:
        """A capture set aside by a version that did not understand it: this one may."""
        content = row.parts["body"]
        read = self._intake.captured(Capture(row.item.id, row.item.created_at, content)).put
        if read.item.kind == QUARANTINE:
            raise InvalidItem("This version of the app does not understand it either.")
        revived = self._put(row, Person(Event.REVIVE), str(Event.REVIVE), reason).put
        was, new = revived.item, read.item
        item = was.changed(
            kind=new.kind,
            operation=new.operation,
            priority=new.priority,
            ready=new.ready,
            not_before=new.not_before,
            expires_at=new.expires_at,
            size=new.size,
            body_bytes=new.body_bytes,
            attachments=new.attachments,
        )
        # Every part anew: they are sealed for the kind that they belong to.
        parts = {**read.parts, "intent": None, "history": revived.parts["history"]}
        return Write(Put(item, parts=parts, marks=dict(read.marks)), was=row.item.state)


def _check_priority(priority: Any) -> None:
    whole = isinstance(priority, int) and not isinstance(priority, bool)
    if not (whole and PRIORITY_MIN <= priority <= PRIORITY_MAX):
        raise InvalidItem(fields={"priority": f"must be {PRIORITY_MIN} to {PRIORITY_MAX}"})

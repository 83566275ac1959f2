"""From a capture or a call to a new row: validation, canonical payload, fingerprint, head."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fieldpost.engine.canonical import canonical, sha256_hex
from fieldpost.engine.duplicates import NO_WINDOW, Duplicates
from fieldpost.engine.errors import DuplicateItem, InvalidItem, QueueFull, StorageFull
from fieldpost.engine.kinds import Kinds, lookup
from fieldpost.engine.limits import ATTACHMENTS_PER_ITEM_MAX, LIMITS, PAYLOAD_BYTES_MAX, Limits
from fieldpost.engine.model import Attachment, Capture, Item, are_names
from fieldpost.engine.record import Head, dump
from fieldpost.engine.transitions import State
from fieldpost.ports import Below, Clock, Entropy, Precondition, Put, Refused, Store, Unique

from .committer import Change, Committer, Write
from .duplicates import DoubleWatch
from .limits import queue_full, room_for
from .related import check_parents, related
from .retention import evict, ring_key
from .routes import Routes

#: The kind of a capture that this version cannot read; its bytes are kept for a later one.
QUARANTINE = "quarantine"
_CAPTURES_AT_ONCE = 200


class Intake:
    """Makes rows of what comes in and commits them."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        entropy: Entropy,
        kinds: Kinds,
        routes: Routes,
        limits: Limits = LIMITS["default"],
        duplicates: Duplicates = NO_WINDOW,
    ):
        self.limits = limits
        self._duplicates = duplicates
        self._store = store
        self._committer = committer
        self._clock = clock
        self._entropy = entropy
        self._kinds = kinds
        self.routes = routes

    def write(
        self,
        data: Mapping[str, Any],
        *,
        id: str | None = None,
        at: int | None = None,
        loosely: bool = False,
    ) -> Write:
        """A new row for ``data``: {kind, payload, operation?, priority?, title?, owner?,
        unique_key?, not_before?, expires_at?, send_id?, attachments?: [{id, size, parts}], entity?,
        depends_on?: [id], on_parent_failed?: "block" or "cancel", links?, lane?, destination?}.

        Raises `InvalidItem` with the fields that are wrong.
        """
        kind, payload = str(data.get("kind", "")), data.get("payload")
        schema = self._kinds.check(kind, payload, loosely=loosely)
        assert isinstance(payload, Mapping)
        body = canonical(payload)
        if len(body) > PAYLOAD_BYTES_MAX:
            limit = f"has {len(body)} bytes; at most {PAYLOAD_BYTES_MAX} are allowed"
            raise InvalidItem(fields={"payload": limit})
        attachments = _attachments(given) if (given := data.get("attachments")) else ()
        handed_to = _destination(data.get("destination"), loosely=loosely)
        lane = self.routes.chosen(handed_to)
        lane = lane or self.routes.of(kind, data.get("lane"), loosely=loosely)
        lane.demand(kind, files=bool(attachments))
        now = self._clock.now()
        priority = data.get("priority")
        not_before = data.get("not_before")
        waits = isinstance(not_before, int) and not_before > now
        item_id = id or self._entropy.uuid7(now)
        relations = related(data, item_id)
        item = Item(
            id=item_id,
            kind=kind,
            operation=str(data.get("operation", "create")),
            lane=lane.lane,
            send_id=str(data.get("send_id") or self._entropy.uuid7(now)),
            created_at=at if at is not None else now,
            updated_at=now,
            priority=priority if isinstance(priority, int) else self._kinds.priority(kind, payload),
            ready=not waits,
            not_before=not_before,
            expires_at=data.get("expires_at"),
            size=len(body) + sum(a.size for a in attachments),
            body_bytes=len(body),
            handed_to=handed_to,
            attachments=attachments,
            parents=relations.parents,
            on_parent_failed=relations.on_parent_failed,
        )
        title = str(data.get("title") or self._kinds.title(kind, payload))
        record = schema.record.own(kind, payload) if schema.record else None
        marks = {"fingerprint": record or sha256_hex(b"%b|%b" % (kind.encode(), body))}
        if data.get("unique_key"):
            marks["natural_key"] = f"{kind}|{data['unique_key']}"
        elif self.limits.is_ring(kind):
            marks["natural_key"] = ring_key(kind)
        owner = data.get("owner") or lookup(payload, "user.email")
        if owner:
            marks["owner"] = str(owner)
        parts: dict[str, bytes | None] = {"head": Head(title).dump(), "body": body}
        if relations.links is not None:
            parts["links"] = relations.links.dump()
            if relations.links.entity is not None:
                marks["entity"] = relations.links.entity
        return Write(Put(item, parts=parts, marks=marks, insert=True), was=None)

    async def enqueue(self, write: Write, *, saved: bool = False) -> Item:
        """Commit one new row. The same id again returns the row that exists (idempotent), and so
        does an equal item, as the policy for duplicates says.

        ``saved``: it was admitted before, elsewhere: neither limits nor equal items keep it out.
        Raises `DuplicateItem` (another row has its unique key, or the policy says so), `QueueFull`,
        `DatabaseError`.
        """
        await self._know_parents([write])
        watch = self._watch(write)
        key = write.put.marks.get("natural_key")
        kind = write.put.item.kind
        keyed = [Unique("natural_key", key)] if key and key != ring_key(kind) else []
        while True:
            # Doubles first: what is here already needs no room.
            expect: list[Precondition] = [*keyed]
            if not saved:
                expect += [*watch.expect, *room_for(self.limits, [write])]
            try:
                (item,) = await self._commit(Change([write], expect))
                return item
            except Refused as refusal:
                existing = await self._store.get([write.put.item.id])
                if existing:
                    return existing[0].item
                met = refusal.expectation
                if not (isinstance(met, Unique) and met.mark == "fingerprint"):
                    raise await self._as_error(refusal) from refusal
                double = await watch.found(refusal)
            if double is not None:
                if self._duplicates.of(kind) == "return":
                    return double
                raise DuplicateItem(double.id)

    async def enqueue_many(self, writes: Sequence[Write]) -> list[Item]:
        """Commit all or none. Records are asked for their doubles, one by one: each is kept, or the
        one that is there returned; everything else comes in as it is.

        Raises `QueueFull` when there is no room for all, `InvalidItem` for a parent that is not
        here, `DatabaseError`.
        """
        if any(self._watch(write).is_record for write in writes):
            return list(await asyncio.gather(*(self.enqueue(write) for write in writes)))
        await self._know_parents(writes)
        try:
            return list(await self._commit(Change(writes, room_for(self.limits, writes))))
        except Refused as refusal:
            raise await self._as_error(refusal) from refusal

    async def _commit(self, change: Change) -> tuple[Item, ...]:
        """When the storage is full, delivered items make room, the oldest first, then logs."""
        while True:
            try:
                return await self._committer.commit(change)
            except StorageFull:
                if not await evict(self._store, self._committer, self.limits):
                    raise

    def _watch(self, write: Write) -> DoubleWatch:
        item = write.put.item
        schema = self._kinds.get(item.kind)
        record = schema.record if schema else None
        payload = json.loads(write.put.parts["body"] or b"{}") if record else {}
        mark = write.put.marks.get("fingerprint", "")
        return DoubleWatch(self._store, self._duplicates, item, mark, record, payload)

    async def _as_error(self, refusal: Refused) -> DuplicateItem | QueueFull | Refused:
        """The error a caller understands for a refused insert."""
        match refusal.expectation:
            case Unique():
                return DuplicateItem(refusal.existing_id or "")
            case Below() as full:
                return await queue_full(self._store, self.limits, full)
            case _:
                return refusal

    async def _know_parents(self, writes: Sequence[Write]) -> None:
        """A parent is a row when its child comes, or a capture that becomes one now; so rows that
        wait for each other cannot come to be (an edit looks itself: `check_parents`)."""
        if any(write.put.item.parents for write in writes):
            try:
                await check_parents(self._store, writes)
            except InvalidItem:
                await self.adopt()  # or another context did just now: none left says nothing
                await check_parents(self._store, writes)

    async def adopt(self) -> int:
        """Make rows of all captures of the inbox; returns how many. Any context may do it at any
        time: the row's absence is a precondition, and inbox and row change in one commit.

        Limits and duplicates do not hold here: "saved" was said when the capture was stored, and
        there (`Capture` on a full queue is refused) or nowhere it is decided. What is saved is
        never held back, nor dropped as the double of another."""
        adopted = 0
        while captures := await self._store.captures(_CAPTURES_AT_ONCE):
            writes = [(capture, self.captured(capture)) for capture in captures]
            alone = [w for w in writes if not w[1].put.item.parents]
            # Together, so that they share a commit; children when their parents are rows.
            adopted += sum(await asyncio.gather(*(self._adopt(*write) for write in alone)))
            for capture, write in writes:
                if write.put.item.parents:
                    adopted += await self._adopt(capture, await self._with_parents(capture, write))
            if len(captures) < _CAPTURES_AT_ONCE:
                break
        return adopted

    async def _with_parents(self, capture: Capture, write: Write) -> Write:
        """What was saved is kept: a child of what is not here is shown with the reason."""
        try:
            await check_parents(self._store, [write])
        except InvalidItem as error:
            return self._quarantined(capture, error)
        return write

    async def take(self, capture: Capture) -> Item:
        """As `enqueue`, of a capture: whatever it holds is kept."""
        write = await self._with_parents(capture, self.captured(capture))
        return await self.enqueue(write, saved=True)

    async def _adopt(self, capture: Capture, write: Write) -> int:
        try:
            await self._commit(Change([write], adopt=[capture.id]))
        except Refused:
            # Another context adopted it first, or it came twice: only the inbox row is left over.
            await self._committer.commit(Change(adopt=[capture.id]))
            return 0
        return 1

    def captured(self, capture: Capture) -> Write:
        """The row that a capture becomes, whatever it holds."""
        try:
            data = json.loads(capture.data)
            return self.write(data, id=capture.id, at=capture.at, loosely=True)
        except (InvalidItem, ValueError) as error:
            return self._quarantined(capture, error)

    def _quarantined(self, capture: Capture, error: Exception) -> Write:
        """What was saved is kept whatever it is (invariant 9): a dead letter shown with its
        reason."""
        now = self._clock.now()
        item = Item(
            id=capture.id,
            kind=QUARANTINE,
            operation="create",
            lane=self.routes.home.lane,
            send_id=self._entropy.uuid7(now),
            created_at=capture.at,
            updated_at=now,
            state=State.FAILED,
            ready=False,
            size=len(capture.data),
            body_bytes=len(capture.data),
            error_code=InvalidItem.code,
        )
        reason = {
            "n": 0,
            "at": now,
            "ended_at": now,
            "outcome": "permanent",
            "code": InvalidItem.code,
            "text": str(error)[:300],
        }
        if isinstance(error, InvalidItem) and error.fields:
            reason["text"] = "; ".join(f"{name} {why}" for name, why in error.fields.items())
        parts: dict[str, bytes | None] = {
            "head": Head("Not understood by this version").dump(),
            "body": capture.data,
            "history": dump([reason]),
        }
        return Write(Put(item, parts=parts, insert=True), was=None)


def _destination(given: object, *, loosely: bool) -> str | None:
    """The destination behind a gateway. Raises `InvalidItem`."""
    if given is None or (isinstance(given, str) and are_names(given)):
        return given
    if loosely:
        return None
    raise InvalidItem(fields={"destination": "must be the name of one, as the catalogue has it"})


def _attachments(given: Sequence[Mapping[str, Any]]) -> tuple[Attachment, ...]:
    if len(given) > ATTACHMENTS_PER_ITEM_MAX:
        wrong = f"are {len(given)}; at most {ATTACHMENTS_PER_ITEM_MAX} are allowed"
        raise InvalidItem(fields={"attachments": wrong})
    try:
        return tuple(Attachment(str(a["id"]), int(a["size"]), int(a["parts"])) for a in given)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidItem(fields={"attachments": f"are not understood: {error}"}) from error

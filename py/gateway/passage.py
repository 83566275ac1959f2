"""Between the ledger and the relay's queue: one entry in, one end back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fieldpost.engine.errors import InvalidItem, QueueFull
from fieldpost.engine.model import Stored
from fieldpost.engine.record import Head
from fieldpost.engine.transitions import State
from fieldpost.ports import Store
from fieldpost.runtime import views
from fieldpost.runtime.queue import Queue
from fieldpost.security.cipher import Cipher

from . import relayed
from .intake import Intake
from .ledger import Answer, Ledger
from .relayed import Relayable
from .storage import OpenQueue
from .tables import Database, PartStore, Tx

#: The states of an item that did not get there.
_NOT_THERE = {
    State.CANCELLED: "It was cancelled at the gateway.",
    State.DISCARDED: "It was given up at the gateway.",
    State.EXPIRED: "Its time was over before it could be sent on.",
}
#: Of a file that was refused, when its item is delivered.
_AGAIN = "It was refused, and is being tried again at the gateway. Retry tells how that ended."


@dataclass(frozen=True, slots=True)
class Ports:
    """What the relay shares with the gateway."""

    database: Database
    ledger: Ledger
    intake: Intake
    parts: PartStore
    cipher: Cipher
    clock: Callable[[], int]
    open_queue: OpenQueue


class Passage:
    """Both ways, one item at a time. Each step can be repeated."""

    def __init__(self, ports: Ports, store: Store, queue: Queue) -> None:
        self._ports = ports
        self._store = store
        self._queue = queue

    # --- in --------------------------------------------------------------------------------------

    async def take(self, each: Relayable) -> bool:
        """Bring one entry into the queue; False when there is no room for it now."""
        queue, body = self._queue, each.body
        if body["operation"] == "attach":
            return await self._file_again(each)
        try:
            if not await self._clear(each):
                return True  # answered: the earlier one is there
            await queue.enqueue(
                body["kind"],
                body["payload"],
                id=each.item,
                send_id=body["send_id"],
                lane=each.destination,
                owner=body["device"],
                attachments=body["attachments"],
            )
        except QueueFull:
            return False
        except InvalidItem as error:
            detail = "Some fields are missing or not allowed."
            await self._settle(
                each.item, Answer("rejected", None, None, error.code, detail, error.fields)
            )
        return True

    async def _clear(self, each: Relayable) -> bool:
        """See to what an earlier key of the same operation left in the queue: a dead letter gives
        way to the later one. False where the earlier one has arrived after all."""
        queue = self._queue
        earlier = await self._ports.database.read(lambda tx: relayed.before(tx, each.entry))
        for row in await self.rows(earlier):
            if row.item.state is State.FAILED:
                await queue.discard(row.item.id, "replaced by a later version")
            elif row.item.state is State.COMPLETED:
                detail = "An earlier version of this item has arrived there meanwhile."
                await self._settle(each.item, Answer("rejected", code="ID_REUSED", detail=detail))
                return False
            elif row.item.is_open:
                raise QueueFull  # it is being tried again: wait for its end
        return True

    async def _file_again(self, each: Relayable) -> bool:
        """A person wants a file that was refused to be sent again: it is still here."""
        queue = self._queue
        of = await self._ports.database.read(lambda tx: _file_of(tx, each))
        rows = await self.rows([of] if of else [])
        if not rows:
            detail = "The gateway does not have this file any more."
            await self._settle(each.item, Answer("rejected", code="FILE_GONE", detail=detail))
            return True
        item = rows[0].item
        await self._ports.database.write(lambda tx: relayed.follow(tx, each.entry, item.id))
        if item.state is State.FAILED:
            await queue.retry(item.id)
        elif not item.is_open:
            await self.end(rows[0])
        return True

    async def rows(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        return await self._store.get(ids, parts)

    # --- and back --------------------------------------------------------------------------------

    async def end(self, row: Stored) -> None:
        """Tell the ledger how a row of the queue ended."""
        item = row.item
        if item.state is State.COMPLETED:
            head = Head.load(row.parts.get("head"))
            refused = await self._refused(item.id)
            answer = Answer(
                "delivered",
                head.remote_id,
                head.remote_url,
                refused=refused or None,
                remote_name=head.remote_name,
            )
        elif item.state is State.FAILED:
            said = views.answer(row) or {}
            answer = Answer(
                "rejected",
                code=item.error_code,
                detail=said.get("text") or "The destination refused it.",
                fields=said.get("fields"),
            )
        elif item.state in _NOT_THERE:
            answer = Answer("rejected", code=f"{item.state}".upper(), detail=_NOT_THERE[item.state])
        else:
            return  # a person here tries it again: its end is still to come
        await self._settle(item.id, answer)

    async def _settle(self, item_id: str, answer: Answer) -> None:
        now, intake = self._ports.clock(), self._ports.intake

        def job(tx: Tx) -> int | None:
            found = relayed.entry_of(tx, item_id)
            if found is None:
                return None  # a row of the relay's own: a file, a search for doubles
            entry, workspace, send_id = found
            intake.settle(tx, workspace, send_id, answer, now)
            relayed.told(tx, entry)
            return entry

        entry = await self._ports.database.write(job)
        if entry is not None and answer.status == "delivered" and not answer.refused:
            await asyncio.to_thread(self._ports.parts.remove, entry)

    async def _refused(self, item_id: str) -> dict[str, dict[str, str]]:
        """Files of a delivered item that are not there (yet), by the device's own ids: each has a
        row of its own here, since it was refused once. Whatever a person here does with it, the
        device keeps a dead letter of it, and "Retry" there tells its end."""
        ids = await self._ports.database.read(lambda tx: _files(tx, self._ports.ledger, item_id))
        rows = await self.rows(sorted(ids), ("history",))
        result = {}
        for row in rows:
            state = row.item.state
            if state is State.COMPLETED:
                continue
            code, detail = row.item.error_code or "REFUSED", _AGAIN
            if state is State.FAILED:
                detail = (views.answer(row) or {}).get("text") or ""
            elif state in _NOT_THERE:
                code, detail = f"{state}".upper(), _NOT_THERE[state]
            result[ids[row.item.id]] = {"code": code, "detail": detail}
        return result


def _files(tx: Tx, ledger: Ledger, item_id: str) -> dict[str, str]:
    """The id in the queue -> the device's, of the attachments of an item."""
    found = relayed.entry_of(tx, item_id)
    if found is None:
        return {}
    return {
        relayed.file_id(each.entry, each.position): each.attachment_id
        for each in ledger.progress(tx, found[0])
    }


def _file_of(tx: Tx, each: Relayable) -> str | None:
    """The row of the queue that holds the file which a device sends again under its own id."""
    mine = tx.onward(each.entry)
    found = None if mine is None else tx.file_of(mine.workspace, each.body["operation_id"])
    return None if found is None else relayed.file_id(*found)

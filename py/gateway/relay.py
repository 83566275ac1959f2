"""The relay: the same engine as on a device, with a store of its own, that takes onward what was
handed over.

Two commits bring an item from the ledger into the queue, and each can be repeated: the ledger
keeps what arrived (`relayed`), the queue takes it under an id that follows from it, the ledger
notes that.
On the way back the queue notes each end in the commit that makes it (`committer.ENDED`), the ledger
takes it, the note goes. So a process that dies between two of them loses and doubles nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fieldpost.destinations.base import Discovered
from fieldpost.engine.config import QueueConfig
from fieldpost.engine.duplicates import Duplicates
from fieldpost.engine.errors import InvalidItem, QueueFull
from fieldpost.engine.model import Stored
from fieldpost.engine.record import Head
from fieldpost.engine.retry import RetryPolicy
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.credentials import Credential, CredentialTransport
from fieldpost.hosts.cpython.system import AlwaysOnline, FileLockTabs, SystemClock, SystemEntropy
from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.ports import Leadership, Store, Transport
from fieldpost.runtime import views
from fieldpost.runtime.committer import ENDED
from fieldpost.runtime.conversing import converse, of_transport
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.security.cipher import Cipher

from . import relayed
from .intake import Intake
from .ledger import Answer, Ledger
from .mover import Mover
from .relay_store import Attachments, RelayStore
from .relayed import Relayable, Relayed
from .storage import OpenQueue
from .systems import System
from .tables import Database, PartStore, Tx

if TYPE_CHECKING:
    from fieldpost.hosts.cpython.redis_tabs import RedisTabs

_log = logging.getLogger("gateway.relay")

#: A gateway gives nothing up by itself: what a destination refuses goes back to the device, what it
#: may take later is tried for as long as it takes.
POLICY = RetryPolicy(5_000, 2, cap_ms=15 * 60_000, jitter_ratio=0.2, max_attempts=1_000_000_000)
#: Ends told in one go.
_BATCH = 100
#: Of a destination so many entries are in the queue and could be sent at once; the others wait
#: where devices take turns. When half of them have gone, others come.
_WINDOW = 64
#: How often destinations are asked what they require and offer.
_DISCOVER_SECONDS = 3600.0
#: The states of an item that did not get there.
_NOT_THERE = {
    State.CANCELLED: "It was cancelled at the gateway.",
    State.DISCARDED: "It was given up at the gateway.",
    State.EXPIRED: "Its time was over before it could be sent on.",
}


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


class Relay:
    """Of one gateway process. ``known``: the same destinations, as the intake knows them."""

    def __init__(
        self,
        ports: Ports,
        systems: Sequence[System],
        known: Sequence[Relayed],
        transport: Callable[[Store], Transport] = HttpTransport,
    ) -> None:
        self._ports = ports
        self.systems = {system.name: system for system in systems}
        self._known = {each.name: each for each in known}
        self._credentials: Mapping[str, Credential] = {
            system.name: system.credential for system in systems if system.credential is not None
        }
        self._transport_of = transport
        self._store: RelayStore | None = None
        self._tabs: FileLockTabs | RedisTabs | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._arrived = asyncio.Event()
        self._ended = asyncio.Event()
        self._more = False  # waits for room in the queue
        self._movers: list[Mover] = []
        self.transport: Transport | None = None
        self.queue: Queue | None = None

    async def start(self) -> None:
        """Open the queue and begin to relay. Raises `QueueError` when its storage cannot be used,
        `ConfigError` when the lanes cannot be."""
        ports = self._ports
        attachments = Attachments(ports.database, ports.ledger, ports.parts)
        store, tabs = await ports.open_queue(attachments)
        self._store, self._tabs = store, tabs
        self.transport = CredentialTransport(self._transport_of(store), self._credentials)
        host = Host(
            store,
            self.transport,
            SystemClock(),
            SystemEntropy(),
            AlwaysOnline(),
            tabs,
        )
        # What arrives was admitted, and asked for its doubles, where it was captured.
        config = QueueConfig(retry=POLICY, duplicates=Duplicates("allow", window_ms=0))
        self.queue = Queue(
            host,
            [each.lane for each in self.systems.values()],
            owner=f"relay-{os.getpid()}-{secrets.token_hex(4)}",  # others have that number, too
            policy=POLICY,
            config=config,
        )
        self.queue.tell_ends()
        await self.queue.start()
        await self.queue.configure(share_by_owner=True)  # no device holds up another one
        self._unsubscribe = self.queue.subscribe(lambda _message: self._changed())
        self._ended.set()  # what ended before the process did
        self._arrived.set()
        incoming = Mover("in", self._arrived, self._any_ready, self._take_in)
        ends = Mover("ends", self._ended, self._any_ended, self._tell)
        self._movers = [incoming, ends]
        self._tasks = [
            *(asyncio.create_task(each.run(tabs)) for each in self._movers),
            asyncio.create_task(self._discover()),
        ]

    async def stop(self) -> None:
        """Finish what runs. Idempotent."""
        for mover in self._movers:
            mover.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self.queue is not None:
            self._unsubscribe()
            await self.queue.close()
            self.queue = None
        if self._tabs is not None:
            await self._tabs.close()
            self._tabs = None

    def _changed(self) -> None:
        """In the queue: something may have ended, and made room."""
        self._ended.set()
        if self._more:
            self._arrived.set()

    def nudge(self) -> None:
        """Something may have arrived."""
        self._arrived.set()

    async def _discover(self) -> None:
        """Ask each destination what it requires and offers, now and then: an administrator there
        may change it any time."""
        assert self.transport is not None
        while True:
            for system in self.systems.values():
                said, _ = await converse(system.adapter.discover(), of_transport(self.transport))
                if isinstance(said, Discovered):
                    self._known[system.name].said = said
            await asyncio.sleep(_DISCOVER_SECONDS)

    # --- in --------------------------------------------------------------------------------------

    async def _any_ready(self) -> bool:
        return bool(await self._rooms())

    async def _rooms(self) -> dict[str, int]:
        """Destination -> entries that may come in, where some wait."""
        store = self._store
        assert store is not None
        waiting = await self._ports.database.read(lambda tx: tx.waiting(list(self.systems)))
        self._more = bool(waiting)
        taken = {name: len(await store.ready_keys(name, _WINDOW)) for name in waiting}
        return {name: _WINDOW - n for name, n in taken.items() if n <= _WINDOW // 2}

    async def _take_in(self, held: Leadership) -> bool:
        """Bring what is whole into the queue, of each device in turn; True when there may be
        more."""
        database, cipher = self._ports.database, self._ports.cipher
        rooms = await self._rooms()

        def job(tx: Tx) -> list[Relayable]:
            return [
                each
                for name, room in rooms.items()
                for each in relayed.ready(tx, cipher, name, room)
            ]

        found = await database.read(job)
        # Of one that was suspended meanwhile, others have done the work, and gone on from there.
        if held.lost:
            return False
        taken = await asyncio.gather(*(self._take(each) for each in found))
        done = [each.entry for each, fed in zip(found, taken, strict=True) if fed]
        if done:
            await database.write(lambda tx: relayed.queued(tx, done))
        if found and not done:
            raise QueueFull  # none of them could come in: later
        return bool(found)

    async def _take(self, each: Relayable) -> bool:
        queue, body = self.queue, each.body
        assert queue is not None
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
        queue = self.queue
        assert queue is not None
        earlier = await self._ports.database.read(lambda tx: relayed.before(tx, each.entry))
        for row in await self._rows(earlier):
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
        queue = self.queue
        assert queue is not None
        of = await self._ports.database.read(lambda tx: relayed.file_of(tx, each))
        rows = await self._rows([of] if of else [])
        if not rows:
            detail = "The gateway does not have this file any more."
            await self._settle(each.item, Answer("rejected", code="FILE_GONE", detail=detail))
            return True
        item = rows[0].item
        await self._ports.database.write(lambda tx: relayed.follow(tx, each.entry, item.id))
        if item.state is State.FAILED:
            await queue.retry(item.id)
        elif not item.is_open:
            await self._end(rows[0])
        return True

    async def _rows(self, ids: Sequence[str], parts: Sequence[str] = ()) -> list[Stored]:
        assert self._store is not None
        return await self._store.get(ids, parts)

    # --- and back --------------------------------------------------------------------------------

    async def _any_ended(self) -> bool:
        assert self._store is not None
        return bool(await self._store.sides(ENDED))

    async def _tell(self, held: Leadership) -> bool:
        """Pass on how items ended."""
        assert self._store is not None
        assert self.queue is not None
        ended = sorted(await self._store.sides(ENDED))
        for at in range(0, len(ended), _BATCH):
            if held.lost:
                break
            held.beat()
            notes = ended[at : at + _BATCH]
            ids = sorted({note.partition(":")[0] for note in notes})
            for row in await self._rows(ids, ("head", "history")):
                await self._end(row)
            await self.queue.forget_ends(notes)
        return False

    async def _end(self, row: Stored) -> None:
        item = row.item
        if item.state is State.COMPLETED:
            head = Head.load(row.parts.get("head"))
            refused = await self._refused(item.id)
            answer = Answer("delivered", head.remote_id, head.remote_url, refused=refused or None)
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
        """Files of a delivered item that are dead letters here, by the device's own ids."""
        ids = await self._ports.database.read(
            lambda tx: relayed.files(tx, self._ports.ledger, item_id)
        )
        rows = await self._rows(sorted(ids), ("history",))
        result = {}
        for row in rows:
            if row.item.state is State.FAILED:
                said = views.answer(row) or {}
                code, detail = row.item.error_code or "REFUSED", said.get("text") or ""
                result[ids[row.item.id]] = {"code": code, "detail": detail}
        return result

"""A real queue over a bench, and what has to hold at the end of every case."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, cast

from fieldpost.destinations.base import Declaration, Destination
from fieldpost.engine.kinds import standard_kinds
from fieldpost.engine.limits import PART_BYTES
from fieldpost.engine.machine import needs_person
from fieldpost.engine.model import Item
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Manifest
from fieldpost.runtime.driver import Host
from fieldpost.runtime.followups import ATTACHMENT, SWEEP
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeLink, LocalTabs, SeededEntropy, SteadyClock
from fieldpost.testing.surroundings import FakeSurroundings
from fieldpost.testing.vendors.base import Record

from .bench import Bench, NotForThis
from .line import Line, Watched

MINUTE = 60_000
_RING = KeyRing.ephemeral()
#: Name, media type and bytes: names that break careless forms, one of two parts, one with bytes
#: that are no text.
FILES = (
    ('pümp "3"; x.txt', "text/plain", "größe\r\n--\r\n".encode()),
    ("pump.jpg", "image/jpeg", bytes(range(256)) * 5_000),
    ("pump.jpg", "image/jpeg", b"\x00\xff another one of the same name"),
)


@dataclass(frozen=True, slots=True)
class File:
    id: str
    name: str
    type: str
    data: bytes

    @property
    def option(self) -> dict[str, Any]:
        return {"id": self.id, "size": len(self.data), "parts": -(-len(self.data) // PART_BYTES)}


class World:
    """One device with one lane."""

    def __init__(self, bench: Bench, declaration: Declaration | None = None):
        if not isinstance(bench.clock, SteadyClock):
            raise TypeError("a bench of these cases has a `SteadyClock`")
        self.bench = bench
        self.clock = bench.clock
        self.store = MemoryStore(_RING)
        self.link, self.tabs = FakeLink(), LocalTabs()
        self.entropy, self.around = SeededEntropy(), FakeSurroundings()
        self.watched = Watched(bench.adapter, declaration)
        self.line = Line(bench.transport(self.store), self.store, self.watched, self.clock)
        self.queue = self.open()
        self.items: list[Item] = []
        self.files: dict[str, list[File]] = {}
        #: Whether a person had to say that an item is there. Nobody knows what it is called then,
        #: so its files cannot follow: each is a dead letter of its own.
        self.told = False

    @property
    def declaration(self) -> Declaration:
        return self.watched.declaration

    def open(self, owner: str = "tab", line: Line | None = None) -> Queue:
        """A context of its own over the same rows."""
        ports = (self.store, line or self.line, self.clock, self.entropy, self.link, self.tabs)
        lane = Lane(cast("Destination", self.watched))
        kinds = standard_kinds(*self.bench.kinds)
        host = Host(*ports, self.around)
        return Queue(host, [lane], owner=owner, policy=PRESETS["itsm"], kinds=kinds)

    def needs(self, what: bool, why: str) -> None:
        if not what:
            raise NotForThis(why)

    # --- doing -----------------------------------------------------------------------------------

    async def enqueue(self, files: Sequence[tuple[str, str, bytes]] = ()) -> Item:
        held = [await self._file(*file) for file in files]
        options = {"attachments": [file.option for file in held]} if held else {}
        payload = dict(self.bench.payload or {})
        item = await self.queue.enqueue(self.bench.kind, payload, **options)
        self.items.append(item)
        self.files[item.id] = held
        return item

    async def _file(self, name: str, type_: str, data: bytes) -> File:
        file = File(self.entropy.uuid7(self.clock.now()), name, type_, data)
        parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
        for n, part in enumerate(parts, 1):
            await self.store.put_part(file.id, n, part)
        digests = [base64.b64encode(hashlib.sha256(part).digest()).decode() for part in parts]
        manifest = Manifest(file.id, name, type_, len(data), tuple(digests))
        await self.store.put_manifest(manifest)
        return file

    async def turn(self) -> None:
        """One round, as the queue takes it by itself when something may have become due."""
        await self.queue._loop.turn()

    async def deliver(self, hours: int = 72) -> None:
        """Time passes until nothing is open but conflicts. Where only a person can say whether an
        item arrived, one looks at the system and says it."""
        for _ in range(hours * 12):
            await self.queue.sync()
            await self._look()
            counters = await self.store.counters()
            if counters.get("open", 0) == counters.get(f"state:{State.CONFLICTED}", 0):
                return
            self.clock.advance(5 * MINUTE)

    async def again(self, item: Item) -> bool:
        """A person has it tried once more, as it is; False where there is no need."""
        state = await self.state(item)
        if state is State.FAILED:
            await self.queue.retry(item.id)
        elif state is State.CONFLICTED:
            await self.queue.edit(item.id, dict(self.bench.payload or {}))
        return state in (State.FAILED, State.CONFLICTED)

    async def _look(self) -> None:
        for item in self.items:
            row = await self.queue.get(item.id)
            if not needs_person(row):
                continue
            if self.copies(row):
                self.told = True
                await self.queue.arrived(item.id)
            else:
                await self.queue.send_again(item.id)

    # --- looking ---------------------------------------------------------------------------------

    def copies(self, item: Item) -> list[Record]:
        """The open records of the item over there, oldest first."""
        found = self.bench.remote.with_op(item.id)
        return found or self.bench.remote.with_op(item.send_id)

    async def state(self, item: Item) -> State:
        return (await self.queue.get(item.id)).state

    async def texts(self) -> str:
        """All that the timelines of all rows say."""
        said = []
        for state in State:
            page = await self.store.page([state], limit=500)
            for row in page.rows:
                detail = await self.queue.detail(row.item.id)
                said += [str(entry.get("text", "")) for entry in detail["history"]]
        return "\n".join(said)

    async def failed_files(self) -> dict[str, str]:
        """Attachments that are dead letters of their own: id -> code."""
        page = await self.store.page([State.FAILED], limit=500)
        rows = [row.item for row in page.rows]
        return {row.id: str(row.error_code) for row in rows if row.kind == ATTACHMENT}

    @contextmanager
    def lagging(self, ms: int) -> Iterator[None]:
        """Lookups do not see what was made less than ``ms`` ago."""

        async def lag(_line: Line, _request: Any, go: Any) -> Any:
            remote, seen = self.bench.remote, self.clock.now() - ms
            everything = remote.records
            remote.records = [record for record in everything if record.at <= seen]
            try:
                return await go()
            finally:
                remote.records = everything

        self.line.around["find"] = lag
        try:
            yield
        finally:
            del self.line.around["find"]

    def twin(self, record: Record) -> Record:
        """A second record of the same operation, as another sender would have made it."""
        own = getattr(self.bench.remote, "twin", None)
        if own is not None:
            made = own(record)
            assert isinstance(made, Record)
            return made
        other = replace(
            record,
            id=_next(record.id),
            number=_next(record.number),
            fields=dict(record.fields),
            files=list(record.files),
            at=self.clock.now(),
        )
        for table in vars(self.bench.remote).values():
            if isinstance(table, dict) and record.id in table:
                table[other.id] = copy(table[record.id])
        self.bench.remote.records.append(other)
        return other

    # --- what holds at the end -------------------------------------------------------------------

    async def check(self, *, doubles: int = 0, seen: bool = False) -> None:
        """Everything is delivered and nothing left open; nothing lost, files whole, and nothing
        doubled but ``doubles`` that the case made itself. Those that there may be are said in a
        timeline, unless the case has ``seen`` to that."""
        assert not (await self.store.counters()).get("open"), "something is still open"
        failed = await self.failed_files()
        for item in self.items:
            row = await self.queue.get(item.id)
            copies = self.copies(item)
            assert row.state is State.COMPLETED, f"it is {row.state}: {await self.texts()}"
            assert copies, "it counts as delivered and is not there: lost"
            more = len(copies) - 1
            if self.declaration.guarantee != "repaired":
                assert more <= doubles, f"{more} doubled"
            if more and not seen:
                assert str(more + 1) in await self.texts(), f"{more} doubled, and nobody says so"
            wanted = [file.data for file in self.files[item.id] if file.id not in failed]
            there = [data for *_, data in copies[0].files]
            sizes = ([len(x) for x in there], [len(x) for x in wanted])
            assert there == wanted, f"files differ: {sizes[0]} for {sizes[1]}"

    async def sweeps(self) -> list[Item]:
        rows = [row.item for row in (await self.store.page(list(State), limit=500)).rows]
        return [row for row in rows if row.kind == SWEEP]


def _next(name: str) -> str:
    """Another name of the same form, behind it in every order."""
    if name.isdigit():
        return str(int(name) + 1)
    later = {"9": "A", "Z": "a", "z": "zz"}
    last = name[-1:]
    return name[:-1] + later.get(last, chr(ord(last) + 1)) if last else "1"

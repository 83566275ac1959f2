"""What the cases share: items by number, and a look at the whole store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from fieldpost.engine.model import Item, Stored
from fieldpost.engine.transitions import OPEN_STATES, State
from fieldpost.ports import Commit, Committed, JournalRecord, Put, Refused, Store
from fieldpost.security.journal import JournalWriter, Verifier

Reopen = Callable[[], Awaitable[Store]]
Case = Callable[[Store, Reopen], Awaitable[None]]

#: The wall clock of the cases (ms); ids carry it as UUIDv7 do.
NOW = 1_700_000_000_000


def uid(n: int, at: int = NOW) -> str:
    """The UUIDv7 number ``n`` of the moment ``at``."""
    time = f"{at:012x}"
    return f"{time[:8]}-{time[8:]}-7000-8000-{n:012x}"


def item(n: int, **changes: Any) -> Item:
    """Item number ``n``: pending and ready in lane ``inbox``, made ``n`` ms after `NOW`."""
    values: dict[str, Any] = {
        "id": uid(n),
        "kind": "ticket",
        "operation": "create",
        "lane": "inbox",
        "send_id": uid(1_000_000 + n),
        "created_at": NOW + n,
        "updated_at": NOW + n,
    }
    return Item(**values | changes)


def new(
    n: int, *, head: bytes | None = None, marks: dict[str, str] | None = None, **changes: Any
) -> Put:
    """The `Put` that inserts item number ``n``."""
    parts = {} if head is None else {"head": head}
    return Put(item(n, **changes), dict(parts), marks or {}, insert=True)


async def add(store: Store, *puts: Put) -> tuple[Item, ...]:
    """Commit ``puts`` and return the rows as stored."""
    return (await store.commit(Commit(puts=puts))).items


async def update(store: Store, stored: Item, **changes: Any) -> Item:
    """Commit a change of one stored row."""
    return (await add(store, Put(stored.changed(**changes))))[0]


async def one(store: Store, n: int, *parts: str) -> Stored:
    """Item number ``n``, which must be there."""
    found = await store.get([uid(n)], parts)
    assert len(found) == 1, f"item {n} is not there"
    return found[0]


async def refused(commit: Awaitable[Committed]) -> Refused:
    """The refusal of a commit that must be refused."""
    try:
        await commit
    except Refused as refusal:
        return refusal
    raise AssertionError("the commit was not refused")


def ids(*numbers: int) -> list[str]:
    return [uid(n) for n in numbers]


async def rows(store: Store, *states: State, parts: tuple[str, ...] = ()) -> list[Stored]:
    """Every row in ``states`` (all states when none is named), by sequence, page by page."""
    found: list[Stored] = []
    cursor: int | None = None
    while True:
        page = await store.page(states or tuple(State), limit=500, cursor=cursor, parts=parts)
        found += page.rows
        if page.next is None:
            return found
        cursor = page.next


async def snapshot(store: Store) -> dict[str, Any]:
    """All that can be seen of a store, to compare before and after."""
    return {
        "rows": await rows(store, parts=("head", "body", "intent", "history")),
        "counters": await store.counters(),
        "journal": await store.journal(0, 10_000),
        "heads": await store.heads(),
        "captures": await store.captures(1000),
        "side": await store.sides("t"),
        "next_due": await store.next_due("inbox"),
        "ready": [row.item.id for row in await store.ready("inbox", 1000)],
    }


async def check(store: Store) -> None:
    """Counters equal the recount; the journal's numbers have no gap."""
    counters = await store.counters()
    found = [stored.item for stored in await rows(store)]
    states = Counter(row.state for row in found)
    for state in State:
        assert counters[f"state:{state}"] == states[state], f"counter of {state}"
    opened = [row for row in found if row.state in OPEN_STATES]
    assert counters["open"] == len(opened)
    assert counters["bytes"] == sum(row.size for row in opened)
    for kind in {name.split(":", 1)[1] for name in counters if name.startswith("open:")}:
        sizes = [row.size for row in opened if row.kind == kind]
        counted = (counters[f"open:{kind}"], counters[f"bytes:{kind}"])
        assert counted == (len(sizes), sum(sizes)), f"counters of {kind}"
    assert sum(n for name, n in counters.items() if name.startswith("open:")) == len(opened)
    assert counters["sequence"] >= max((row.sequence for row in found), default=0)
    assert counters["sequence"] == len(found) + counters["removed"]
    assert counters["inbox"] == len(await store.captures(100_000))
    numbers = [n for n, _ in await store.journal(0, 100_000)]
    assert numbers == list(range(1, counters["journal"] + 1))


class Journalled:
    """Commits with a journal record each, as the runtime makes them."""

    def __init__(self, store: Store, writer: str = "w1") -> None:
        self.store = store
        self.writer = JournalWriter(writer)

    async def commit(self, *puts: Put, was: State | None = None) -> tuple[Item, ...]:
        record = self.record(*puts, was=was)
        done = await self.store.commit(Commit(puts=puts, journal=record))
        self.writer.advance(record)
        return done.items

    def record(self, *puts: Put, was: State | None = None) -> JournalRecord:
        changes = [[p.item.id, was, p.item.state, p.item.revision + 1] for p in puts]
        return self.writer.record(changes, NOW)


async def problems(store: Store) -> list[str]:
    """What a verification of the store's journal finds, page by page."""
    verifier, page = Verifier(), list[tuple[int, JournalRecord]]()
    while page := await store.journal(verifier.n, 3):
        verifier.feed(page)
    return verifier.finish(await store.counters())

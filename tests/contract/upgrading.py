"""What holds of storage of an older version, opened by the code of today (invariant 9).

The same for every store and every fixture of tests/fixtures: also run inside Pyodide.
"""

from __future__ import annotations

import json
from typing import Any

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.config import LogConfig, QueueConfig
from fieldpost.engine.duplicates import Duplicates
from fieldpost.engine.errors import DuplicateItem
from fieldpost.engine.model import PARTS
from fieldpost.engine.transitions import State
from fieldpost.ports import Store
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.testing.fakes import FakeGateway, FakeLink, LocalTabs, SeededEntropy, SteadyClock
from fieldpost.testing.storecontract.support import check

_DEVICE = "00000000-0000-7000-8000-00000000000d"
_YEAR = 366 * 86_400_000
#: Equal content is refused, however long ago it was saved.
_CONFIG = QueueConfig(duplicates=Duplicates("error", _YEAR), logging=LogConfig(level="off"))

#: Where the rows end that are not delivered; the acts below bring the others back.
_ENDS = {
    "discarded": State.DISCARDED,
    "expired": State.EXPIRED,
    "later": State.CANCELLED,
    "cancelled parent": State.CANCELLED,
    "cancelled with its parent": State.CANCELLED,
}


def gateway_of(told: dict[str, Any], store: Store | None = None) -> FakeGateway:
    """The gateway as it was when the fixture was written; version 1 sent all files whole."""
    ledger: dict[str, dict[str, Any]] = json.loads(json.dumps(told["ledger"]))
    held = {a["id"]: a["parts"] for op in ledger.values() for a in op["attachments"]}
    files = {id_: [b""] * n for id_, n in (held | told.get("files", {})).items()}
    return FakeGateway(store=store, ledger=ledger, files=files, inbox=list(told["inbox"]))


class Upgraded:
    """A queue on a store of an older version, on fakes; offline at first."""

    def __init__(self, store: Store, told: dict[str, Any]):
        self.store, self.told = store, told
        self.ids: dict[str, str] = {name: id_ for name, (id_, _) in told["rows"].items()}
        self.states: dict[str, str] = {name: state for name, (_, state) in told["rows"].items()}
        self.gateway = gateway_of(told, store)
        # Not one that runs ahead while a disk is slow: what expires would do so too soon.
        self.clock, self.link = SteadyClock(told["now"]), FakeLink(online=False)
        host = Host(store, self.gateway, self.clock, SeededEntropy(99), self.link, LocalTabs())
        destination = GatewayDestination("https://post.example/", _DEVICE)
        self.queue = Queue(host, destination, owner="upgraded", config=_CONFIG)

    async def all(self) -> None:
        await self.every_row_is_as_it_was()
        await self.side_records_are_as_they_were()
        await self.old_rows_are_met_by_what_is_equal()
        await self.people_act_on_old_rows()
        await self.new_rows_join_old_lines()
        await self.everything_open_is_delivered_once()

    # --- as it was -------------------------------------------------------------------------------

    async def every_row_is_as_it_was(self) -> None:
        for name, id_ in self.ids.items():
            if self.states[name] == "captured":
                assert [c.id for c in await self.store.captures(9)] == [id_]
                continue
            (stored,) = await self.store.get([id_], PARTS)
            assert (str(stored.item.state), stored.item.id) == (self.states[name], id_), name
            assert json.loads(stored.parts["body"])["summary"] == name
            assert stored.parts["head"]
            refs = self.told.get("refs", {}).get(name, {})
            linked = json.loads(stored.parts.get("links", b"{}")).get("remote", {})
            known = {*stored.item.parents, *linked}  # a completed parent's name stands in the row
            assert {self.ids[parent] for parent in refs.values()} <= known, name
            assert ("intent" in stored.parts) or self.states[name] != "unknown", name
        counters = await self.store.counters()
        changed = {
            counter: (value, counters.get(counter))
            for counter, value in self.told.get("counters", {}).items()
            if counters.get(counter) != value
        }
        assert not changed, changed
        await self.journal_is_whole()

    async def journal_is_whole(self) -> None:
        verified = await self.queue.verify()
        assert verified["ok"], verified["problems"]

    async def side_records_are_as_they_were(self) -> None:
        assert await self.store.side("t", "k") == '"kept"'
        assert await self.store.side("lane", "gateway")
        settings = await self.queue.settings()
        for name, value in self.told.get("settings", {}).items():
            assert settings[name] == value, name
        assert await self.store.sides("pause") or not self.told.get("settings")

    # --- what meets it ---------------------------------------------------------------------------

    async def old_rows_are_met_by_what_is_equal(self) -> None:
        """By unique key, by the fingerprint of the content, and by that of a record."""
        await self._refused("pending with key", "ticket", {"summary": "n"}, unique_key="K-1")
        for name in ("pending", "completed"):
            await self._refused(name, "ticket", {"summary": name, "severity": "high"})
        if "a call" in self.ids:
            call = (await self.queue.detail(self.ids["a call"]))["payload"]
            time = call["time"].replace("00.000Z", "01.000Z")
            await self._refused("a call", "call", {**call, "time": time})
            owned = await self.queue.find("owner", "ada@example.org")
            assert owned == [self.ids["completed with owner"], self.ids["failed"]]

    async def _refused(self, name: str, kind: str, payload: Any, **options: Any) -> None:
        try:
            item = await self.queue.enqueue(kind, payload, **options)
        except DuplicateItem as error:
            assert error.existing_id == self.ids[name], name  # noqa: PT017 - also without pytest
        else:
            raise AssertionError(f"{name} is there twice: {item.id}")

    async def people_act_on_old_rows(self) -> None:
        edited = {"summary": "pending", "severity": "low"}
        assert (await self.queue.edit(self.ids["pending"], edited)).state is State.PENDING
        assert (await self.queue.cancel(self.ids["later"])).state is State.CANCELLED
        assert (await self.queue.restore(self.ids["cancelled"])).state is State.PENDING
        assert (await self.queue.retry(self.ids["failed"])).state is State.PENDING
        solved = {"summary": "conflicted", "severity": "low"}
        assert (await self.queue.edit(self.ids["conflicted"], solved)).state is State.PENDING
        after = await self.queue.detail(self.ids["pending"])
        assert after["payload"] == edited

    async def new_rows_join_old_lines(self) -> None:
        add, ids = self.queue.enqueue, self.ids
        behind = await add("ticket", {"summary": "new behind"}, entity="pump-3")
        parent, done = ids["with a file"], ids["completed"]
        refs = {"of": {"$ref": parent}, "done": {"$ref": done}}
        payload = {"summary": "new child", "systemInfo": refs}
        child = await add("ticket", payload, depends_on=[parent, done])
        free = await add("ticket", {"summary": "new child of completed"}, depends_on=[done])
        assert (behind.state, child.state) == (State.BLOCKED, State.BLOCKED)
        assert free.state is State.PENDING
        ids |= {"new behind": behind.id, "new child": child.id, "new free": free.id}

    # --- what becomes of it ----------------------------------------------------------------------

    async def everything_open_is_delivered_once(self) -> None:
        self.link.set(True)
        if self.told.get("settings"):
            await self.queue.sync()
            assert self.gateway.inbox == self.told["inbox"], "sent although paused"
        await self.queue.resume()
        await self.queue.sync()
        self.gateway.deliver_later()
        for _ in range(400):
            if not (await self.store.counters()).get("open") and not await self.store.captures(1):
                break
            await self.queue.sync()
            self.clock.advance(5 * 60_000)
        inbox = self.gateway.inbox
        assert len(set(inbox)) == len(inbox), "doubled"
        for name, id_ in self.ids.items():
            expected = _ENDS.get(name, State.COMPLETED)
            assert (await self.queue.get(id_)).state is expected, name
            assert (id_ in inbox) is (expected is State.COMPLETED), name
        self._in_order()
        self._refer_to_what_they_became()
        self._no_part_went_twice()
        await self.journal_is_whole()
        await check(self.store)

    def _in_order(self) -> None:
        lines = [*self.told.get("order", []), ["with an entity", "new behind"]]
        for line in [*lines, ["with a file", "new child"]]:
            places = [self.gateway.inbox.index(self.ids[name]) for name in line]
            assert places == sorted(places), line

    def _refer_to_what_they_became(self) -> None:
        became = {op["id"]: op for op in self.gateway.ledger.values() if "remote_id" in op}
        new = {"new child": {"of": "with a file", "done": "completed"}}
        for name, refs in (self.told.get("refs", {}) | new).items():
            said = became[self.ids[name]]["payload"]["systemInfo"]
            assert said == {k: became[self.ids[p]]["remote_id"] for k, p in refs.items()}, name

    def _no_part_went_twice(self) -> None:
        """Of files that were under way only what the gateway did not have is sent."""
        sent = [r.url.split("/")[-2:] for r in self.gateway.requests if r.method == "PUT"]
        files = {
            a["id"]: a["parts"] for op in self.gateway.ledger.values() for a in op["attachments"]
        }
        for id_, held in self.told.get("files", {}).items():
            missing = [str(n) for n in range(held + 1, files[id_] + 1)]
            assert [n for other, n in sent if other == id_] == missing, id_

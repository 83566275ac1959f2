"""The real queue beside a model that fits on a page: ids, their states, and what arrived.

Hypothesis draws histories of calls, faults of the line, kills and clock jumps; after each step the
states of all rows, the counters and the effects at the destination are compared. What a request
held is read at the destination, so the model says what must follow from it, not how many go into
one.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from tests.runtime.test_crashes import crashing_queue
from tests.runtime.worlds import RING, World

from fieldpost.engine.errors import IllegalTransition, QueueError
from fieldpost.engine.transitions import OPEN_STATES, State
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.crashing import Crash, Crasher
from fieldpost.testing.fakes import FakeGateway, Fault, answers, cut_before, lose_answer
from fieldpost.testing.storecontract.support import check

_T = TypeVar("_T")
S = State
HOUR = 3_600_000
OVERLOADED = answers(
    429, b'{"title": "Wait", "code": "OVERLOADED"}', content_type="application/problem+json"
)

#: What happens to the next request, and what the items in it are afterwards (None: as the gateway
#: decides for each).
FAULTS: dict[str, tuple[Fault | None, State | None]] = {
    "none": (None, None),
    "lost answer": (lose_answer, S.UNKNOWN),
    "cut": (cut_before, S.UNKNOWN),
    "500": (answers(500, b"oops"), S.UNKNOWN),
    "overloaded": (OVERLOADED, S.PENDING),
    "portal": (answers(302, location="https://portal.example/"), S.UNKNOWN),
}
#: What a person may do, from which state to which; anything else is refused and changes nothing.
ACTS: dict[str, dict[State, State]] = {
    "cancel": {S.PENDING: S.CANCELLED},
    "retry": {S.FAILED: S.PENDING},
    "discard": {S.FAILED: S.DISCARDED},
    "restore": {S.CANCELLED: S.PENDING, S.DISCARDED: S.FAILED},
}


class Judge(FakeGateway):
    """A gateway that refuses the items named in ``refused``."""

    def __init__(self) -> None:
        FakeGateway.__init__(self)
        self.refused: set[str] = set()

    def _operation(self, op: dict[str, Any]) -> dict[str, Any]:
        if op["id"] in self.refused and op["send_id"] not in self.ledger:
            words = {"status": "rejected", "code": "BAD_REQUEST", "detail": "Not like this."}
            return {"id": op["id"], "send_id": op["send_id"], **words}
        return FakeGateway._operation(self, op)

    def batches(self, since: int) -> list[list[str]]:
        """The ids in each request of operations from number ``since`` on."""
        bodies = [r.body for r in self.requests[since:] if r.url.endswith("/operations")]
        return [[op["id"] for op in json.loads(body)["operations"]] for body in bodies]


class QueueMachine(RuleBasedStateMachine):
    """On the memory store."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.gateway = Judge()
        self.model: dict[str, State] = {}
        self.arrived: set[str] = set()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        self.world = World(gateway=self.gateway)

    def reopen(self) -> None:
        self.world.restart()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.all_is_well()
            self.agree()
            assert not [s for s in self.model.values() if s in OPEN_STATES]
            self.run(check(self.world.store))
            verified = self.run(self.world.queue.verify())
            assert verified["ok"], verified["problems"]
            self.run(self.world.store.close())
        self.runner.close()

    # --- coming in -------------------------------------------------------------------------------

    @rule(target=ids, refused=st.booleans(), priority=st.integers(1, 10))
    def enqueue(self, refused: bool, priority: int) -> str:
        payload = {"summary": "x"}
        item = self.run(self.world.queue.enqueue("ticket", payload, priority=priority))
        self.model[item.id] = S.PENDING
        if refused:
            self.gateway.refused.add(item.id)
        return item.id

    @rule(target=ids, n=st.integers(2, 5))
    def enqueue_many(self, n: int) -> Any:
        payloads = [{"summary": f"{n}"} for n in range(n)]
        items = self.run(self.world.queue.enqueue_many("ticket", payloads))
        self.model |= {item.id: S.PENDING for item in items}
        return multiple(*(item.id for item in items))

    @rule(item_id=ids)
    def enqueue_again(self, item_id: str) -> None:
        item = self.run(self.world.queue.enqueue("ticket", {"summary": "other"}, id=item_id))
        assert (item.id, item.state) == (item_id, self.model[item_id])

    # --- going out -------------------------------------------------------------------------------

    @rule(fault=st.sampled_from(sorted(FAULTS)))
    def sync(self, fault: str) -> None:
        happening, leads_to = FAULTS[fault]
        self.gateway.faults = [happening] if happening is not None else []
        since = len(self.gateway.requests)
        self.run(self.world.queue.sync())
        consumed, self.gateway.faults = not self.gateway.faults, []
        if not self.world.link.online:
            assert len(self.gateway.requests) == since
            return
        self.recovered()
        for number, batch in enumerate(self.gateway.batches(since)):
            self.claimable(batch)
            if number == 0 and leads_to is not None and consumed:
                # "Later" says nothing of an attempt before: what is unknown stays so.
                known = [id_ for id_ in batch if self.model[id_] is S.PENDING]
                self.model |= dict.fromkeys(batch, S.UNKNOWN) | dict.fromkeys(known, leads_to)
                if happening is lose_answer:
                    self.took(batch)
            else:
                self.took(batch)
                self.model |= {id_: self.verdict(id_) for id_ in batch}

    @rule(at=st.integers(1, 25), after=st.booleans())
    @precondition(lambda self: self.world.link.online)
    def killed_while_syncing(self, at: int, after: bool) -> None:
        """Where it stood tells the store; what may be there, the requests that got through."""
        crasher, since = Crasher(at, after=after), len(self.gateway.requests)
        self.run(self._doomed(crasher))
        self.reopen()
        sent = [id_ for batch in self.gateway.batches(since) for id_ in batch]
        self.claimable(sent)
        self.took(sent)
        for id_, before in self.model.items():
            found = self.run(self.world.queue.get(id_)).state
            if id_ in sent:
                assert found in (S.IN_PROGRESS, S.UNKNOWN, self.verdict(id_))
            elif before in (S.PENDING, S.UNKNOWN, S.IN_PROGRESS):
                assert found in (before, S.IN_PROGRESS, S.UNKNOWN)
            else:
                assert found is before
            self.model[id_] = found

    async def _doomed(self, crasher: Crasher) -> None:
        try:
            await crashing_queue(self.world, crasher).sync()
        except (Crash, QueueError):
            assert crasher.dead

    @rule()
    def all_is_well(self) -> None:
        """The line is good and time passes: everything comes to its end."""
        self.world.link.set(True)
        self.run(self.world.settle())
        for id_, state in self.model.items():
            if state in OPEN_STATES:
                self.took([id_])
                self.model[id_] = self.verdict(id_)

    def claimable(self, batch: list[str]) -> None:
        """Only what waits is sent, nothing twice in one request."""
        for id_ in batch:
            assert self.model[id_] in (S.PENDING, S.UNKNOWN, S.IN_PROGRESS), self.model[id_]
        assert len(batch) == len(set(batch))

    def took(self, batch: list[str]) -> None:
        self.arrived |= {id_ for id_ in batch if self.verdict(id_) is S.COMPLETED}

    def verdict(self, id_: str) -> State:
        refused = id_ in self.gateway.refused and id_ not in self.arrived
        return S.FAILED if refused else S.COMPLETED

    def recovered(self) -> None:
        """What a dead drainer had under way is known to be unknown."""
        for id_, state in self.model.items():
            if state is S.IN_PROGRESS:
                self.model[id_] = S.UNKNOWN

    # --- people, time and the machine ------------------------------------------------------------

    @rule(item_id=ids, act=st.sampled_from(sorted(ACTS)), amend=st.booleans())
    def person(self, item_id: str, act: str, amend: bool) -> None:
        after = ACTS[act].get(self.model[item_id])
        call: Callable[[str], Coroutine[Any, Any, Any]] = getattr(self.world.queue, act)
        if after is None:
            with pytest.raises(IllegalTransition):
                self.run(call(item_id))
            return
        assert self.run(call(item_id)).state is after
        self.model[item_id] = after
        if act == "retry" and amend:
            self.gateway.refused.discard(item_id)

    @rule(online=st.booleans())
    def network(self, online: bool) -> None:
        self.world.link.set(online)

    @rule(ms=st.sampled_from([-400 * 24 * HOUR, -HOUR, -1, 1, HOUR, 400 * 24 * HOUR]))
    def clock_jumps(self, ms: int) -> None:
        self.world.clock.jump(ms)

    @rule()
    def killed_and_opened_again(self) -> None:
        self.reopen()

    # --- the comparison --------------------------------------------------------------------------

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "world"):
            return
        states, status = self.run(self._seen())
        assert states == self.model
        expected = Counter(map(str, self.model.values()))
        assert {s: n for s, n in status["counts"].items() if n} == dict(expected)
        assert status["waiting"] == sum(s in OPEN_STATES for s in self.model.values())
        assert Counter(self.gateway.inbox) == Counter(self.arrived)
        for id_, state in self.model.items():
            if state in (S.COMPLETED, S.CANCELLED, S.FAILED, S.DISCARDED, S.PENDING):
                assert (id_ in self.arrived) == (state is S.COMPLETED)

    async def _seen(self) -> tuple[dict[str, State], dict[str, Any]]:
        rows = await self.world.store.get(list(self.model))
        return {r.item.id: r.item.state for r in rows}, await self.world.queue.status()


class SqliteQueueMachine(QueueMachine):
    """On SQLite: opened again, the file is all there is."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    @initialize()
    def open(self) -> None:
        self.world = World(store=self._opened(), gateway=self.gateway)

    def _opened(self) -> SqliteStore:
        return self.run(SqliteStore.open(Path(self.folder.name, "queue.db"), RING))

    def reopen(self) -> None:
        self.run(self.world.store.close())
        self.world.store = self._opened()
        self.world.restart()

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}
#: The same histories in every run of `make test`; `make soak` draws new ones.
TestMemory = QueueMachine.TestCase
TestMemory.settings = settings(max_examples=60, stateful_step_count=30, derandomize=True, **COMMON)
TestSqlite = SqliteQueueMachine.TestCase
TestSqlite.settings = settings(max_examples=10, stateful_step_count=25, derandomize=True, **COMMON)


@pytest.mark.soak
class TestMemoryAtLength(QueueMachine.TestCase):
    settings = settings(max_examples=2_000, stateful_step_count=60, **COMMON)

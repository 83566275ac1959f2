"""SQLite and the memory store do the same things, whatever is asked of them, in whatever order."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fieldpost.engine.model import MARKS, PARTS, Attachment, Capture, Item
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Absent, Below, Commit, Manifest, Put, Refused, Revision, Store, Unique
from fieldpost.stores.memory import MemoryStore
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.storecontract.support import NOW, Journalled, check, item, problems, uid

NUMBERS = st.integers(1, 8)
TIMES = st.none() | st.integers(NOW, NOW + 20)
KINDS = ("ticket", "log")
VALUES = st.sampled_from(["", "a", "ü|漏"])
PART_VALUES = st.none() | st.binary(max_size=20) | st.just(b"long" * 400)
COLUMNS = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(State),
        "ready": st.booleans(),
        "priority": st.integers(1, 10),
        "step": st.integers(0, 1),
        "lane": st.sampled_from(["inbox", "b"]),
        "due_at": TIMES,
        "not_before": TIMES,
        "error_code": st.none() | st.just("X"),
        "size": st.integers(0, 3),
        "created_at": st.integers(NOW, NOW + 5),
        "attachments": st.sets(NUMBERS, max_size=3).map(
            lambda found: tuple(Attachment(uid(900 + n), 1, 1) for n in sorted(found))
        ),
        "entity": st.none(),
        "attempt": st.integers(0, 1),
        "expires_at": TIMES,
        "parents": st.lists(NUMBERS.map(uid), max_size=2, unique=True).map(tuple),
        "on_parent_failed": st.none() | st.just("cancel"),
    },
)
EXPECT = st.one_of(
    st.builds(Absent, NUMBERS.map(uid)),
    st.builds(Revision, NUMBERS.map(uid), st.integers(0, 3)),
    st.builds(
        Unique,
        st.sampled_from(MARKS[:3]),
        VALUES,
        st.integers(NOW - 1, NOW + 6),
        st.none() | st.integers(NOW - 1, NOW + 6),
    ),
    st.builds(
        Below,
        st.sampled_from(["open", "state:failed", "open:ticket", "bytes:log", "bytes"]),
        st.integers(0, 6),
    ),
)
PUT = st.tuples(
    NUMBERS,
    COLUMNS,
    st.dictionaries(st.sampled_from(PARTS), PART_VALUES, max_size=3),
    st.dictionaries(st.sampled_from(MARKS), VALUES, max_size=2),
    st.sampled_from(["insert", "update", "update", "stale"]),
)


class Twins(RuleBasedStateMachine):
    """Both stores get the same calls; every answer and every look must be the same."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.ring = KeyRing.ephemeral()
        self.memory = MemoryStore(self.ring)
        self.other = self.run(self.opened())
        self.log = Journalled(self.memory)
        self.revisions: dict[str, Item] = {}

    def opened(self) -> Coroutine[Any, Any, Store]:
        """The store to compare, opened again on what it has kept."""
        return SqliteStore.open(self.folder / "q.db", self.ring)

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def both(self, name: str, *args: Any, **kwargs: Any) -> Any:
        answers = []
        for store in (self.memory, self.other):
            try:
                answers.append(self.run(getattr(store, name)(*args, **kwargs)))
            except Refused as refusal:
                answers.append((refusal.index, refusal.expectation, refusal.existing_id))
        assert answers[0] == answers[1], name
        return answers[0]

    @rule(
        puts=st.lists(PUT, max_size=4),
        expect=st.lists(EXPECT, max_size=2),
        adopt=st.lists(NUMBERS, max_size=1),
        side=st.dictionaries(VALUES, st.none() | VALUES, max_size=2),
        drop=st.lists(NUMBERS, max_size=1),
        removed=st.lists(NUMBERS, max_size=2, unique=True),
    )
    def commit(
        self, puts: Any, expect: Any, adopt: Any, side: Any, drop: Any, removed: Any
    ) -> None:
        made, states = [], dict[str, tuple[State | None, int]]()
        changes = []
        for n, columns, parts, marks, way in puts:
            known = self.revisions.get(uid(n))
            was, revision = states.get(uid(n), (known and known.state, known and known.revision))
            base = known if known is not None and way != "insert" else item(n, kind=KINDS[n % 2])
            value = base.changed(**columns, revision=(revision or 0) - (way == "stale"))
            made.append(Put(value, parts, marks, insert=way == "insert"))
            changes.append([uid(n), was, value.state, value.revision + 1])
            states[uid(n)] = (value.state, value.revision + 1)
        removed = [uid(n) for n in removed if uid(n) not in states]
        gone = [self.revisions[id_] for id_ in removed if id_ in self.revisions]
        changes += [[row.id, row.state, None, row.revision] for row in gone]
        record = self.log.writer.record(changes, NOW)
        done = self.both(
            "commit",
            Commit(
                expect=tuple(expect),
                puts=tuple(made),
                adopt=tuple(map(uid, adopt)),
                drop_blobs=tuple(uid(900 + n) for n in drop),
                drop=tuple(removed),
                side={("t", key): text for key, text in side.items()},
                journal=record,
            ),
        )
        if not isinstance(done, tuple):
            self.log.writer.advance(record)
            self.revisions |= {row.id: row for row in done.items}
            for id_ in removed:
                self.revisions.pop(id_, None)

    @rule(n=NUMBERS, attached=st.lists(NUMBERS, max_size=2))
    def capture(self, n: int, attached: list[int]) -> None:
        listed = ",".join(f'{{"id":"{uid(900 + a)}"}}' for a in attached)
        data = f'{{"kind":"ticket","attachments":[{listed}]}}'.encode()
        self.both("capture", Capture(uid(n), NOW + n, data))

    @rule(n=NUMBERS, part=st.integers(0, 2))
    def blob(self, n: int, part: int) -> None:
        if part:
            self.both("put_part", uid(900 + n), part, b"%d" % n)
        else:
            self.both("put_manifest", Manifest(uid(900 + n), "f", "t", n, ("qqo=",), NOW - n))

    @rule()
    def blobs(self) -> None:
        for n in range(901, 909):
            self.both("manifest", uid(n))
            self.both("part", uid(n), 1)
        self.both("orphans", NOW - 1, 5)

    @rule()
    def reopen(self) -> None:
        self.run(self.other.close())
        self.other = self.run(self.opened())
        self.memory = self.memory.durable_copy()

    @rule(lane=st.sampled_from(["inbox", "b"]), now=st.integers(NOW - 5, NOW + 25), limit=NUMBERS)
    def drain(self, lane: str, now: int, limit: int) -> None:
        self.both("ready", lane, limit, ("head", "intent"))
        self.both("ready_keys", lane, limit)
        self.both("ready_keys", lane, limit, newest_first=True)
        self.both("waiting", lane, now, 3, limit)
        self.both("next_due", lane)
        self.both("expired", now, limit)
        self.both("lines", "parent", [uid(n) for n in range(1, 9)], limit)
        hidden = self.both("marks", "entity", ["a", "b"])
        self.both("lines", "entity", hidden, limit)

    @rule(
        states=st.lists(st.sampled_from(State), max_size=4),
        limit=st.integers(1, 4),
        newest=st.booleans(),
        cursor=st.none() | st.integers(0, 9),
    )
    def listing(self, states: Any, limit: int, newest: bool, cursor: int | None) -> None:
        more = {"limit": limit, "newest_first": newest, "cursor": cursor, "parts": ("body",)}
        self.both("page", states, **more)

    @rule(mark=st.sampled_from(MARKS), value=VALUES, limit=NUMBERS)
    def find(self, mark: str, value: str, limit: int) -> None:
        self.both("find", mark, value, limit)

    @invariant()
    def alike(self) -> None:
        if not hasattr(self, "other"):
            return
        # A kind that came and went within one commit has counters, of nothing, where each put is
        # written by itself.
        mine, others = (
            {name: n for name, n in self.run(store.counters()).items() if n}
            for store in (self.memory, self.other)
        )
        assert mine == others
        self.both("get", [uid(n) for n in range(1, 9)], PARTS)
        self.both("journal", 0, 100)
        self.both("heads")
        self.both("captures", 100)
        self.both("sides", "t")
        self.run(check(self.other))
        assert self.run(problems(self.other)) == []

    def teardown(self) -> None:
        if hasattr(self, "other"):
            self.run(self.other.close())
            self.runner.close()
            shutil.rmtree(self.folder)


Twins.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestTwins = Twins.TestCase

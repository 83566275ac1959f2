"""The ledger's laws under any interleaving of first sends, replays, parts and restarts."""

from __future__ import annotations

import copy
import hashlib
import itertools
import shutil
import tempfile
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.gateway.wires import DEVICE, OTHER_DEVICE, attachment, envelope, operation, ticket
from tools.servers import RedisServer

from fieldpost.engine.limits import PART_BYTES
from gateway.gateway import Gateway
from gateway.grouped import Grouped
from gateway.intake import Identity
from gateway.problems import Problem
from gateway.settings import Settings
from gateway.tables import Tx
from gateway.wire import parse


def written(gateway: Gateway, job: Any) -> Any:
    """What a job gives, in a commit of its own."""
    database = gateway.database
    assert isinstance(database, Grouped)
    [result] = database._commit([job])
    if isinstance(result, Problem):
        raise result
    return result


#: Bytes are not what this is about: parts are announced, and counted without being written.
SMALL = [b"", b"x", b"y" * (PART_BYTES + 1), b"z" * (2 * PART_BYTES)]

FILES = st.lists(st.sampled_from(SMALL), max_size=2)


class Arrivals(RuleBasedStateMachine):
    """A model that knows only what a device knows, beside the real ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.settings_ = Settings(data=self.folder, store=self.store())
        self.gateway = Gateway(self.settings_)
        self.now = 1_000
        self.operations: list[dict[str, Any]] = []
        self.sent: dict[str, dict[str, Any]] = {}
        self.numbers: dict[str, str] = {}
        self.held: dict[str, dict[str, int]] = {}

    def store(self) -> str | None:
        return None

    def teardown(self) -> None:
        self.gateway.close()
        shutil.rmtree(self.folder)

    def write(self, job: Any) -> Any:
        return written(self.gateway, job)

    @initialize(
        files=st.lists(st.lists(st.sampled_from(SMALL), max_size=2), min_size=1, max_size=3)
    )
    def capture(self, files: list[list[bytes]]) -> None:
        for n, each in enumerate(files):
            op = operation(ticket(summary=f"Item {n}"))
            op["attachments"] = [attachment("f", "", data) for data in each]
            self.operations.append(op)

    @rule(data=st.data(), device=st.sampled_from([DEVICE, OTHER_DEVICE]))
    def send(self, data: st.DataObject, device: str) -> None:
        """Any operations, in any order, again and again, several times in one request too."""
        chosen = data.draw(st.lists(st.sampled_from(self.operations), min_size=1, max_size=4))
        batch = parse(envelope(*chosen))
        who = Identity("default", device)
        results = self.write(lambda tx: self.gateway.intake.submit(tx, who, batch, self.now))
        for op, result in zip(chosen, results, strict=True):
            self.check(op, result)

    @rule(data=st.data())
    def send_changed(self, data: st.DataObject) -> None:
        """The same key with other content never has an effect once the key was seen."""
        op = copy.deepcopy(data.draw(st.sampled_from(self.operations)))
        if op["send_id"] not in self.sent:
            return
        op["payload_sha256"] = hashlib.sha256(b"{}").hexdigest()
        op["payload"] = {}
        who = Identity("default", DEVICE)
        batch = parse(envelope(op))
        [result] = self.write(lambda tx: self.gateway.intake.submit(tx, who, batch, self.now))
        assert result["status"] == "mismatch"

    @rule(data=st.data(), n=st.integers(1, 3))
    def send_part(self, data: st.DataObject, n: int) -> None:
        """Any part of any attachment: taken in order only, each once."""
        op = data.draw(st.sampled_from(self.operations))
        if not op["attachments"] or op["send_id"] not in self.sent:
            return
        file = data.draw(st.sampled_from(op["attachments"]))
        n = min(n, max(file["parts"], 1))
        held = self.held.setdefault(op["id"], {}).setdefault(file["id"], 0)

        def job(tx: Tx) -> Any:
            target = (op["id"], op["send_id"], file["id"])
            progress, _ = self.gateway.intake.target(tx, "default", *target)
            return self.gateway.intake.part(tx, progress, n, self.now)

        if n > file["parts"]:
            return
        if n > held + 1:
            with pytest.raises(Problem, match="PART_GAP") as gap:
                self.write(job)
            assert gap.value.members["acked"] == held
            return
        answer = self.write(job)
        self.held[op["id"]][file["id"]] = answer.acked
        assert answer.acked == max(held, n)
        self.check(op, {"id": op["id"], "send_id": op["send_id"], **answer.answer.wire()})

    @rule()
    def restart(self) -> None:
        self.gateway.close()
        self.gateway = Gateway(self.settings_)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def acknowledge_and_prune(self, data: st.DataObject) -> None:
        """Within 400 days nothing is forgotten, acknowledged or not."""
        key = data.draw(st.sampled_from(sorted(self.sent)))
        batch = parse(envelope(ack=[key]))
        who = Identity("default", DEVICE)
        self.write(lambda tx: self.gateway.intake.submit(tx, who, batch, self.now))
        almost = self.now + 400 * 86_400_000
        assert self.write(lambda tx: self.gateway.ledger.prune(tx, almost)) == 0

    def complete(self, op: dict[str, Any]) -> bool:
        held = self.held.get(op["id"], {})
        return all(held.get(file["id"], 0) == file["parts"] for file in op["attachments"])

    def check(self, op: dict[str, Any], result: dict[str, Any]) -> None:
        assert (result["id"], result["send_id"]) == (op["id"], op["send_id"])
        expected = "delivered" if self.complete(op) else "accepted"
        assert result["status"] == expected, (op, result)
        self.sent[op["send_id"]] = op
        if expected == "delivered":
            # The number never changes and never belongs to two items.
            assert self.numbers.setdefault(op["id"], result["remote_id"]) == result["remote_id"]
            assert len(set(self.numbers.values())) == len(self.numbers)

    @invariant()
    def one_arrival_for_each_item(self) -> None:
        rows = self.write(lambda tx: tx.arrivals(2**53, 1_000, logs=False))
        assert sorted(row.operation_id for row in rows) == sorted(
            op["id"] for op in self.sent.values()
        )

    @invariant()
    def the_counters_are_true(self) -> None:
        def rows(tx: Tx) -> list[str]:
            found = (tx.by_key("default", send_id) for send_id in self.sent)
            return [row.state for row in found if row is not None]

        kept = {state: n for state, n in self.write(lambda tx: tx.states()).items() if n}
        assert kept == Counter(self.write(rows))


RULES = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
Arrivals.TestCase.settings = RULES
TestArrivals = Arrivals.TestCase


class SharedArrivals(Arrivals):
    """The same in a Redis server; a second gateway, which knows nothing of the first but what is
    there, takes every other request."""

    server: ClassVar[RedisServer]
    queues = itertools.count(1)

    def __init__(self) -> None:
        super().__init__()
        self.other = Gateway(self.settings_)

    def store(self) -> str:
        return self.server.url(f"laws{next(self.queues)}")

    def teardown(self) -> None:
        self.other.close()
        super().teardown()

    def write(self, job: Any) -> Any:
        self.gateway, self.other = self.other, self.gateway
        return super().write(job)


SharedArrivals.TestCase.settings = RULES


@pytest.mark.full
class TestSharedArrivals(SharedArrivals.TestCase):  # type: ignore[name-defined,misc]
    @pytest.fixture(autouse=True)
    def there_is_a_server(self, redis_server: RedisServer) -> None:
        SharedArrivals.server = redis_server


def test_a_key_is_forgotten_400_days_after_its_acknowledgement(gateway: Gateway) -> None:
    who = Identity("default", DEVICE)
    kept, gone = operation(), operation(ticket(summary="Other"))
    day = 86_400_000

    def write(job: Any) -> Any:
        return written(gateway, job)

    def submit(*operations: dict[str, Any], ack: list[str], now: int) -> Any:
        batch = parse(envelope(*operations, ack=ack))
        return write(lambda tx: gateway.intake.submit(tx, who, batch, now))

    submit(kept, gone, ack=[], now=0)
    submit(ack=[gone["send_id"], str(uuid.uuid4())], now=10 * day)
    submit(ack=[gone["send_id"]], now=300 * day)  # a repeated acknowledgement does not prolong
    assert write(lambda tx: gateway.ledger.prune(tx, 410 * day)) == 0
    assert write(lambda tx: gateway.ledger.prune(tx, 410 * day + 1)) == 1
    assert write(lambda tx: gateway.ledger.prune(tx, 99_999 * day)) == 0
    [again] = submit(kept, ack=[], now=99_999 * day)
    assert again["replayed"] is True


def test_only_the_owner_acknowledges_and_only_an_end(gateway: Gateway) -> None:
    whole = operation()
    waiting = operation(files=[("note.txt", "text/plain", b"x")])

    def submit(device: str, *operations: dict[str, Any], ack: list[str]) -> None:
        batch = parse(envelope(*operations, ack=ack))
        who = Identity("default", device)
        written(gateway, lambda tx: gateway.intake.submit(tx, who, batch, 0))

    submit(DEVICE, whole, waiting, ack=[])
    submit(OTHER_DEVICE, ack=[whole["send_id"]])
    submit(DEVICE, ack=[waiting["send_id"]])
    late = 99_999 * 86_400_000
    assert written(gateway, lambda tx: gateway.ledger.prune(tx, late)) == 0

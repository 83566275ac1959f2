"""The real gateway's ledger, rules of arrival and inbox behind the simulated network: on SQLite in
memory, without threads, so that a seed stays a seed."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from fieldpost.hosts.cpython.keyring import Key, KeyRing
from fieldpost.ports import Request, Response
from fieldpost.testing.simulator.gateway import POISON, REFUSED, problem, text_of
from fieldpost.testing.simulator.order import Arrival
from gateway.destinations import Entry, Inbox
from gateway.gateway import PRUNE_EVERY_MS
from gateway.intake import Identity, Intake, part_gap
from gateway.ledger import Answer, Ledger
from gateway.problems import Problem
from gateway.sql import SCHEMA, SqlTx
from gateway.tables import Tx
from gateway.wire import Operation, parse

T = TypeVar("T")

_JSON = {"content-type": "application/json"}


class CountingInbox(Inbox):
    """The inbox, with what a world needs: items that never get done, refusals, late deliveries."""

    def __init__(self, cipher: Any, gateway: RealGateway) -> None:
        super().__init__(cipher)
        self._gateway = gateway
        self._operations: dict[int, Operation] = {}

    def refuse(self, operation: Operation) -> Answer | None:
        summary = text_of(operation.payload)
        if POISON in summary:
            return Answer("busy")
        if REFUSED in summary:
            return Answer("rejected", code="INVALID_FIELDS")
        return super().refuse(operation)

    def take(self, tx: Tx, entry: Entry) -> None:
        super().take(tx, entry)
        self._operations[entry.n] = entry.operation

    def complete(self, tx: Tx, n: int) -> Answer:
        operation, answer = self._operations[n], super().complete(tx, n)
        self._gateway.whole.add(operation.id)
        self._gateway.effects[operation.id] += 1
        arrival = Arrival(operation.id, operation.payload, str(answer.remote_id))
        self._gateway.arrivals.append(arrival)
        if not self._gateway.later:
            return answer
        self._gateway.waiting.append((n, answer))
        return Answer("handed_over")


class RealGateway:
    """`fieldpost.testing.simulator.Backend`."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.arrivals: list[Arrival] = []
        self.token: str | None = None
        self.later = False
        self.whole: set[str] = set()
        self.waiting: list[tuple[int, Answer]] = []
        keys = (Key("d1-00000002", "data", bytes(32), 0), Key("i1-00000002", "index", bytes(32), 0))
        cipher = KeyRing(keys, nonces=random.Random(0).randbytes)
        inbox = CountingInbox(cipher, self)
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript(SCHEMA)
        self.tx = SqlTx(connection)
        self.ledger = Ledger(cipher)
        self.intake = Intake(self.ledger, {inbox.name: inbox})
        self._pruned_at = 0

    def has(self, operation_id: str) -> bool:
        return operation_id in self.whole

    def route(self, request: Request, now: int) -> Response:
        url = urlsplit(request.url)
        api = url.path.startswith(("/api/v1/operations", "/api/v1/receipts"))
        if api and self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return problem(401, "UNAUTHORISED")
        try:
            return self._committed(lambda: self._answer(request, url.path, url.query, now))
        except Problem as refused:
            found = refused.response()
            return Response(refused.status, dict(found.headers.items()), bytes(found.body))

    def deliver_later(self, now: int) -> None:
        def job() -> None:
            waiting, self.waiting = self.waiting, []
            for n, answer in waiting:
                row = self.ledger.entry(self.tx, n)
                assert row is not None
                self.intake.settle(self.tx, row.workspace, row.send_id, answer, now)

        self._committed(job)

    def _committed(self, job: Callable[[], T]) -> T:
        """One transaction, as `gateway.database` makes it."""
        self.tx.execute("BEGIN")
        try:
            result = job()
        except BaseException:
            self.tx.execute("ROLLBACK")
            raise
        self.tx.execute("COMMIT")
        return result

    def _answer(self, request: Request, path: str, query: str, now: int) -> Response:
        if path == "/healthz":
            return _json({"status": "ok", "service": "fieldpost", "protocol": 1})
        if path == "/api/v1/destinations":
            return _json({"protocol": 1, "destinations": []})
        who = Identity("default", request.headers["Fieldpost-Device"])
        if path == "/api/v1/receipts":
            return self._receipts(who, int(parse_qs(query)["after"][0]))
        if path == "/api/v1/operations":
            batch = parse(request.body)
            results = self.intake.submit(self.tx, who, batch, now)
            cursor = self.ledger.cursor(self.tx, who.workspace, who.device)
            if batch.ack:
                self._prune_when_due(now)
            return _json({"protocol": 1, "cursor": cursor, "results": results})
        _, _, _, _, item_id, _, attachment_id, n = path.split("/")
        send_id = request.headers["Fieldpost-Send-Id"]
        return self._part(who, item_id, send_id, attachment_id, int(n), now)

    def _part(
        self, who: Identity, item_id: str, send_id: str, attachment_id: str, n: int, now: int
    ) -> Response:
        progress, answer = self.intake.target(
            self.tx, who.workspace, item_id, send_id, attachment_id
        )
        acked = progress.held
        if n > acked + 1:
            raise part_gap(acked)
        if n == acked + 1:
            held = self.intake.part(self.tx, progress, n, now)
            acked, answer = held.acked, held.answer
        echo = {"id": item_id, "send_id": send_id, "attachment_id": attachment_id, "acked": acked}
        return _json({"protocol": 1, **echo, **answer.wire()})

    def _receipts(self, who: Identity, after: int) -> Response:
        found = self.ledger.receipts(self.tx, who.workspace, who.device, after, 500)
        receipts = [
            {"cursor": c, "id": row.operation_id, "send_id": s, **self.ledger.answer(row).wire()}
            for c, s, row in found
        ]
        cursor = found[-1][0] if found else after
        return _json({"protocol": 1, "cursor": cursor, "receipts": receipts})

    def _prune_when_due(self, now: int) -> None:
        if now - self._pruned_at >= min(PRUNE_EVERY_MS, 30_000):
            self._pruned_at = now
            self.ledger.prune(self.tx, now)


def _json(value: dict[str, Any]) -> Response:
    return Response(200, dict(_JSON), json.dumps(value).encode())

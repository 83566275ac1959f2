"""The rules of arrival: what a key gets the first time, and every time after.

Synchronous functions of one transaction, so that a whole request is one commit and the laws can be
tested without HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .destinations import Destination, Entry
from .ledger import UNDONE_STATES, Answer, Ledger, Progress
from .problems import Problem
from .tables import OPEN_STATES, Row, Tx
from .wire import Batch, Malformed, Operation


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking: the workspace its send_ids are unique in, and the device within it."""

    workspace: str
    device: str


@dataclass(frozen=True, slots=True)
class Held:
    """What is known after a part: ``acked`` parts of the attachment are durable."""

    acked: int
    answer: Answer


class Intake:
    def __init__(self, ledger: Ledger, destinations: dict[str, Destination]) -> None:
        self._ledger = ledger
        self._destinations = destinations

    def submit(self, tx: Tx, who: Identity, batch: Batch, now: int) -> list[dict[str, Any]]:
        """Acknowledge, take every operation in order, and return one wire result for each."""
        known = [each for each in batch.operations if isinstance(each, Operation)]
        keys = [*batch.ack, *(each.send_id for each in known)]
        tx.foresee(who.workspace, keys, [each.id for each in known])
        self._ledger.acknowledge(tx, who.workspace, who.device, batch.ack, now)
        return [self._one(tx, who, operation, now) for operation in batch.operations]

    def find(self, tx: Tx, workspace: str, operation_id: str) -> dict[str, Any]:
        """The wire result of the newest key of an operation.

        Raises `Problem` UNKNOWN_OPERATION when it was never seen.
        """
        row = self._ledger.latest(tx, workspace, operation_id)
        if row is None:
            raise unknown_operation()
        return self._result(tx, row)

    def part(self, tx: Tx, progress: Progress, n: int, now: int) -> Held:
        """Part ``n`` lies durably on the disk: count it, and finish the entry with the last one.

        Raises `Problem` PART_GAP when an earlier part is missing.
        """
        row = self._ledger.entry(tx, progress.entry)
        if row is None:
            raise unknown_operation()
        held = self._ledger.held(tx, row.n)[progress.attachment_id]
        if n > held + 1:
            raise part_gap(held)
        if n == held + 1:
            held = n
            self._ledger.hold(tx, progress, n)
            if row.state == "accepted" and not self._ledger.missing(tx, row.n):
                answer = self._destinations[row.destination].complete(tx, row.n)
                self._ledger.record(tx, row, answer, now)
                if answer.status not in OPEN_STATES:
                    # This answer may get lost, and the device may not ask in this way again.
                    self._ledger.receipt(tx, row)
        return Held(held, self._ledger.answer(row))

    def target(
        self,
        tx: Tx,
        workspace: str,
        operation_id: str,
        send_id: str,
        attachment_id: str,
    ) -> tuple[Progress, Answer]:
        """Where a part belongs, and how its entry stands.

        Raises `Problem` UNKNOWN_OPERATION or UNKNOWN_ATTACHMENT.
        """
        row = self._ledger.find(tx, workspace, send_id)
        if row is None or row.operation_id != operation_id:
            raise unknown_operation()
        row = self._ledger.follow(tx, row)
        for progress in self._ledger.progress(tx, row.n):
            if progress.attachment_id == attachment_id:
                return progress, self._ledger.answer(row)
        raise Problem("UNKNOWN_ATTACHMENT", "The operation has no attachment with this id.")

    def settle(self, tx: Tx, workspace: str, send_id: str, answer: Answer, now: int) -> bool:
        """A destination that delivers later says how it ended; receipts go out with it.

        Returns False, changing nothing, when the entry is unknown or already at an end; what was
        rejected can still be delivered, by a person here who tried again.
        """
        assert answer.status not in OPEN_STATES
        row = self._ledger.find(tx, workspace, send_id)
        row = None if row is None else self._ledger.follow(tx, row)
        after_all = row is not None and (row.state, answer.status) == ("rejected", "delivered")
        if row is None or not (row.state in OPEN_STATES or after_all):
            return False
        self._ledger.record(tx, row, answer, now)
        self._ledger.receipt(tx, row)
        return True

    def _one(
        self, tx: Tx, who: Identity, operation: Operation | Malformed, now: int
    ) -> dict[str, Any]:
        if isinstance(operation, Malformed):
            answer = Answer(
                "rejected",
                code=operation.code,
                detail=operation.detail,
                fields=operation.fields or None,
            )
            return _echo(operation, answer)
        row = self._ledger.find(tx, who.workspace, operation.send_id)
        if row is not None:
            return self._again(tx, who, operation, row)
        # A refusal causes nothing, so it is not kept: the same bytes are judged afresh, by a newer
        # gateway perhaps more kindly.
        if (refusal := self._refuse(operation)) is not None:
            return _echo(operation, refusal)
        earlier = self._ledger.latest(tx, who.workspace, operation.id)
        if earlier is not None:
            target = self._ledger.follow(tx, earlier)
            if target.state not in UNDONE_STATES:
                return self._reused(tx, who, operation, target, now)
        return self._first(tx, who, operation, now)

    def _refuse(self, operation: Operation) -> Answer | None:
        destination = self._destinations.get(operation.destination)
        if destination is None:
            return Answer(
                "rejected",
                code="UNKNOWN_DESTINATION",
                detail="This gateway has no destination of that name.",
                fields={"destination": "Not in the catalogue."},
            )
        return destination.refuse(operation)

    def _first(self, tx: Tx, who: Identity, operation: Operation, now: int) -> dict[str, Any]:
        # The key first, then what it causes, in one commit (DESIGN section 7).
        row = self._ledger.insert(
            tx, who.workspace, who.device, operation, state="accepted", now=now
        )
        destination = self._destinations[operation.destination]
        destination.take(tx, Entry(row.n, who.workspace, who.device, operation, now))
        if any(each.parts for each in operation.attachments):
            return self._result(tx, row)
        answer = destination.complete(tx, row.n)
        self._ledger.record(tx, row, answer, now)
        return _echo(operation, answer)

    def _again(self, tx: Tx, who: Identity, operation: Operation, row: Row) -> dict[str, Any]:
        if row.content != self._ledger.mark(operation):
            return _echo(
                operation,
                Answer(
                    "mismatch",
                    code="SEND_ID_REUSED",
                    detail="This key has already brought other content.",
                ),
            )
        target = self._ledger.follow(tx, row)
        self._ledger.watch(tx, target, who.device, row.send_id)
        result = self._result(tx, row)
        # Nothing has been answered yet that could be repeated.
        return result if target.state == "busy" else {**result, "replayed": True}

    def _reused(
        self,
        tx: Tx,
        who: Identity,
        operation: Operation,
        target: Row,
        now: int,
    ) -> dict[str, Any]:
        """A new key for an item that is here already, as after a restored backup."""
        if target.content != self._ledger.mark(operation):
            detail = "This item has already arrived with other content."
            return _echo(operation, Answer("rejected", code="ID_REUSED", detail=detail))
        row = self._ledger.insert(
            tx, who.workspace, who.device, operation, state="alias", now=now, alias=target.n
        )
        self._ledger.watch(tx, target, who.device, operation.send_id)
        return {**self._result(tx, row), "replayed": True}

    def _result(self, tx: Tx, row: Row) -> dict[str, Any]:
        target = self._ledger.follow(tx, row)
        answer = self._ledger.answer(target)
        result = {"id": row.operation_id, "send_id": row.send_id, **answer.wire()}
        if acked := self._ledger.held(tx, target.n):
            result["acked"] = acked
        return result


def unknown_operation() -> Problem:
    return Problem("UNKNOWN_OPERATION", "The gateway has not seen this operation.")


def part_gap(held: int) -> Problem:
    return Problem("PART_GAP", "Parts come in order; an earlier one is missing.", acked=held)


def _echo(operation: Operation | Malformed, answer: Answer) -> dict[str, Any]:
    return {"id": operation.id, "send_id": operation.send_id, **answer.wire()}

"""The journal: hash-chained records of commits, and their verification (docs/formats.md §5). Pure.

Each writer (worker session, courier run, process) has a chain of its own: a digest cannot be
awaited inside an IndexedDB transaction, and one shared head would serialise all writers. The store
adds the gapless number. Records hold ids, states and revisions: no content, no names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fieldpost.engine.canonical import canonical, sha256_hex
from fieldpost.engine.transitions import OPEN_STATES, State
from fieldpost.ports import JournalRecord

#: ``prev`` of a writer's first record.
NO_HASH = "0" * 64

#: [id, from, to, revision]: ``from`` is None for a new item, ``to`` for one that is removed.
Change = Sequence[Any]

#: Problems listed before `Verifier` only counts on: one broken chain names every later record.
_PROBLEMS_MAX = 100


class JournalWriter:
    """One writer's chain. It goes on only from records that are durable."""

    def __init__(self, writer_id: str) -> None:
        self.writer_id = writer_id
        self.k = 0
        self.head = NO_HASH

    def record(
        self,
        changes: Iterable[Change],
        at: int,
        note: str | None = None,
        anchors: Mapping[str, str] | None = None,
    ) -> JournalRecord:
        """The next record; asking again gives another next one, until `advance`.

        ``at``: ms. ``anchors``: writer -> hash, the heads this writer saw; kept in its first record
        only. ``note`` says what a named person did, in words that are no secret.
        """
        value: dict[str, Any] = {
            "writer": self.writer_id,
            "k": self.k + 1,
            "prev": self.head,
            "at": at,
            "changes": [list(change) for change in changes],
        }
        if note is not None:
            value["note"] = note
        if anchors is not None and self.k == 0:
            value["anchors"] = dict(anchors)
        text = canonical(value)
        return JournalRecord(self.writer_id, self.k + 1, sha256_hex(text), text.decode())

    def advance(self, record: JournalRecord) -> None:
        """``record`` is durable: the chain goes on from it."""
        if record.writer != self.writer_id or record.k != self.k + 1:
            raise ValueError("this record does not follow this writer's head")
        self.k, self.head = record.k, record.hash


class Verifier:
    """Checks a journal page by page; memory grows with the writers, not with the records.

    Feed it ascending pages, then `finish`. ``state()`` can be kept in a checkpoint (JSON) and given
    to a new verifier, which goes on after the last record fed.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self.n: int = state.get("n", 0)
        self._heads: dict[str, tuple[int, str]] = {
            writer: (k, head) for writer, (k, head) in state.get("heads", {}).items()
        }
        self._fold: dict[str, int] = dict(state.get("fold", {}))
        self.problems: list[str] = list(state.get("problems", []))

    def state(self) -> dict[str, Any]:
        """Plain JSON data: {n, heads: {writer: [k, hash]}, fold: {state: n}, problems}."""
        heads = {writer: [k, head] for writer, (k, head) in self._heads.items()}
        return {
            "n": self.n,
            "heads": heads,
            "fold": dict(self._fold),
            "problems": list(self.problems),
        }

    def feed(self, records: Iterable[tuple[int, JournalRecord]]) -> None:
        """Check the next records, numbered as the store gave them out."""
        for n, record in records:
            if n != self.n + 1:
                self._problem(f"record {n} comes after record {self.n}")
            self.n = n
            self._check(n, record)

    def finish(self, counters: Mapping[str, int]) -> list[str]:
        """All problems, those of the counters included; empty when the journal is whole."""
        problems = list(self.problems)
        if counters.get("journal", 0) != self.n:
            problems.append(f"{counters.get('journal', 0)} records counted, {self.n} read")
        for state in State:
            counted, folded = counters.get(f"state:{state}", 0), self._fold.get(state, 0)
            if counted != folded:
                problems.append(f"{counted} items counted as {state}, {folded} by the journal")
        opened = sum(self._fold.get(state, 0) for state in OPEN_STATES)
        if counters.get("open", 0) != opened:
            problems.append(
                f"{counters.get('open', 0)} open items counted, {opened} by the journal"
            )
        by_kind = [n for name, n in counters.items() if name.startswith("open:")]
        if by_kind and sum(by_kind) != counters.get("open", 0):
            problems.append(f"{sum(by_kind)} open items counted by kind, not as many in all")
        return problems

    def _check(self, n: int, record: JournalRecord) -> None:
        k, head = self._heads.get(record.writer, (0, NO_HASH))
        # Whatever is wrong with it, the chain is followed from here: one problem, not a thousand.
        self._heads[record.writer] = (record.k, record.hash)
        if sha256_hex(record.text.encode()) != record.hash:
            self._problem(f"record {n} does not have its hash")
        try:
            value = json.loads(record.text)
            said = (value["writer"], value["k"], value["prev"])
            changes = [(str(i), old, new, int(r)) for i, old, new, r in value["changes"]]
            anchors = dict(value.get("anchors", {}))
        except (KeyError, TypeError, ValueError):
            self._problem(f"record {n} is not a journal record")
            return
        if said != (record.writer, k + 1, head):
            self._problem(f"record {n} does not follow record {k} of its writer")
        for writer in anchors:
            if writer not in self._heads:
                self._problem(f"record {n} saw a writer of whom there is no record before it")
        for _, old, new, _ in changes:
            self._move(n, old, new)

    def _move(self, n: int, old: Any, new: Any) -> None:
        if old is None and new is None:
            self._problem(f"record {n} names no state")
        for state, by in ((old, -1), (new, 1)):
            if state is None:
                continue
            if not isinstance(state, str):
                self._problem(f"record {n} names no state")
                continue
            self._fold[state] = self._fold.get(state, 0) + by
            if self._fold[state] < 0:
                self._problem(f"record {n} takes an item out of {state} that was not there")

    def _problem(self, text: str) -> None:
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(text)


def verify(records: Iterable[tuple[int, JournalRecord]], counters: Mapping[str, int]) -> list[str]:
    """The problems of a whole journal, in one go."""
    verifier = Verifier()
    verifier.feed(records)
    return verifier.finish(counters)

"""Chains go on only from durable records; verification finds what was done to them."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.canonical import sha256_hex
from fieldpost.engine.transitions import OPEN_STATES, State
from fieldpost.ports import JournalRecord
from fieldpost.security.journal import NO_HASH, JournalWriter, Verifier, verify

Numbered = list[tuple[int, JournalRecord]]


def counters(**states: int) -> dict[str, int]:
    found = {f"state:{name}": n for name, n in states.items()}
    return found | {"open": sum(states.get(s, 0) for s in OPEN_STATES)}


def journal() -> tuple[Numbered, dict[str, int]]:
    """Two writers, one after the other and mixed; three items, one of them completed."""
    a, b = JournalWriter("a"), JournalWriter("b")
    records: Numbered = []

    def write(writer: JournalWriter, *changes: list[object], **more: object) -> None:
        record = writer.record(changes, 1000 + len(records), **more)  # type: ignore[arg-type]
        writer.advance(record)
        records.append((len(records) + 1, record))

    write(a, ["i1", None, State.PENDING, 1], ["i2", None, State.PENDING, 1])
    write(a, ["i1", "pending", "in_progress", 2])
    write(b, ["i3", None, "pending", 1], anchors={"a": a.head})
    write(a, ["i1", "in_progress", "completed", 3])
    write(b, ["i2", "pending", "failed", 2], note="given up by hand")
    return records, counters(pending=1, completed=1, failed=1) | {"journal": 5}


def test_records_are_canonical_and_chained() -> None:
    writer = JournalWriter("w")
    first = writer.record([["i", None, State.PENDING, 1]], 5, anchors={"v": "0" * 64})
    assert json.loads(first.text) == {
        "writer": "w",
        "k": 1,
        "prev": NO_HASH,
        "at": 5,
        "changes": [["i", None, "pending", 1]],
        "anchors": {"v": "0" * 64},
    }
    assert first.hash == sha256_hex(first.text.encode())
    assert ": " not in first.text
    writer.advance(first)
    second = writer.record([], 6, note="n", anchors={"v": "1"})
    value = json.loads(second.text)
    assert (value["k"], value["prev"], value["note"]) == (2, first.hash, "n")
    assert "anchors" not in value


def test_a_record_that_was_not_committed_leaves_no_trace() -> None:
    writer = JournalWriter("w")
    writer.record([["lost", None, "pending", 1]], 1)
    kept = writer.record([["kept", None, "pending", 1]], 2)
    writer.advance(kept)
    assert (writer.k, writer.head) == (1, kept.hash)
    for wrong in (kept, JournalWriter("other").record([], 1)):
        with pytest.raises(ValueError, match="does not follow"):
            writer.advance(wrong)


def test_a_whole_journal_has_no_problems() -> None:
    assert verify(*journal()) == []
    assert verify([], {}) == []


@given(st.lists(st.integers(0, 5), max_size=4))
def test_verification_in_pages_with_checkpoints(cuts: list[int]) -> None:
    records, counted = journal()
    state: dict[str, object] | None = None
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 5], strict=True):
        verifier = Verifier(state)
        verifier.feed(records[start:end])
        state = json.loads(json.dumps(verifier.state()))
    assert Verifier(state).finish(counted) == []


def changed(records: Numbered, n: int, **changes: object) -> Numbered:
    return [(m, dataclasses.replace(r, **changes) if m == n else r) for m, r in records]


def rewritten(records: Numbered, n: int, old: str, new: str) -> Numbered:
    """Record ``n`` with another text and the hash that fits it."""
    text = records[n - 1][1].text.replace(old, new)
    assert text != records[n - 1][1].text
    return changed(records, n, text=text, hash=sha256_hex(text.encode()))


def test_what_was_done_to_a_journal_is_found() -> None:
    records, counted = journal()
    tampered = {
        "text": changed(records, 2, text=records[1][1].text.replace("i1", "i2")),
        "text and hash": rewritten(records, 2, "i1", "i2"),
        "last of a chain, text and hash": rewritten(records, 4, "completed", "failed"),
        "not a record": rewritten(records, 5, '"changes"', '"chances"'),
        "a record left out": [r for r in records if r[0] != 2],
        "a record left out, the rest renumbered": [
            (n, r) for n, (_, r) in enumerate(records[:1] + records[2:], 1)
        ],
        "a whole writer left out": [
            (n, r) for n, r in enumerate((r for _, r in records if r.writer == "b"), 1)
        ],
        "the end cut off": records[:-1],
        "swapped": [records[1], records[0], *records[2:]],
        "twice": [*records, records[-1]],
        "another writer's name": changed(records, 4, writer="b"),
    }
    for what, pages in tampered.items():
        assert verify(pages, counted), what
    for state in ("pending", "completed", "cancelled"):
        wrong = counted | {f"state:{state}": 7}
        assert verify(records, wrong) == [
            f"7 items counted as {state}, {counted.get(f'state:{state}', 0)} by the journal"
        ]
    assert verify(records, counted | {"open": 2}) == ["2 open items counted, 1 by the journal"]


def test_an_item_that_leaves_a_state_it_was_not_in() -> None:
    writer = JournalWriter("w")
    record = writer.record([["i", "failed", "pending", 2]], 1)
    found = verify([(1, record)], counters(pending=1) | {"journal": 1})
    assert found[0] == "record 1 takes an item out of failed that was not there"


def test_one_broken_record_is_one_problem() -> None:
    records, counted = journal()
    assert len(verify(changed(records, 1, hash="f" * 64), counted)) == 2

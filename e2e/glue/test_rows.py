"""How rows lie in IndexedDB: those of this version, and those of before that still lie there."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from .test_commit import run

#: What version 2 of the database wrote: every column by its name, under its id as text.
OLD = """
const old = async (n, more = {}) => {
  await device.counts();
  const { kid } = (await stored("t", "keys")).find(({ purpose }) => purpose === "data");
  const db = await wanted(indexedDB.open("t"));
  const tx = db.transaction(["items"], "readwrite");
  await wanted(tx.objectStore("items").put({ ...row(n), sequence: n, revision: 1, kid, ...more }));
  db.close();
};
const upgraded = async () => {
  await device.close();
  return fieldpostGlue.open("t");
};
const texts = (frame) => {
  const { value, bytes } = unframed(frame);
  return value.rows.map(({ id, revision, parts }) => [id, revision, Object.fromEntries(
    Object.entries(parts).map(([part, place]) => [part, new TextDecoder().decode(bytes(place))]))]);
};
const ask = (ids, parts = []) => JSON.stringify({ ids, parts });
"""


def test_a_small_new_row_is_one_envelope_until_a_part_changes(page: Page) -> None:
    told: list[Any] = run(
        page,
        OLD
        + """
        await committed(device, { puts: [{ row: row(1), insert: true, head: "first head", body: "the body" }] });
        const [made] = await storedRows("t");
        const both = texts(await device.get(ask([id(1)], ["head", "body", "history"])));
        const { kid } = unframed(await device.get(ask([id(1)]))).value.rows[0];
        await committed(device, { puts: [{ row: row(1, { kid, revision: 1 }), head: "second head" }] });
        const one = texts(await device.get(ask([id(1)], ["head", "body"])));
        await committed(device, { puts: [{ row: row(1, { kid, revision: 2 }), head: "third", body: "another" }] });
        const [edited] = await storedRows("t");
        const last = texts(await device.get(ask([id(1)], ["body", "head"])));
        return [["head", "body", "both"].map((part) => [part in made, part in edited]), both, one, last];
        """,
    )
    id_ = "018bcfe5-6800-7000-8000-000000000001"
    assert told == [
        [[False, True], [False, True], [True, False]],
        [[id_, 1, {"head": "first head", "body": "the body"}]],
        [[id_, 2, {"head": "second head", "body": "the body"}]],
        [[id_, 3, {"head": "third", "body": "another"}]],
    ]


def test_a_large_body_is_read_apart_from_its_head(page: Page) -> None:
    told = run(
        page,
        """
        await committed(device, { puts: [{ row: row(1), insert: true, head: "h", body: "b".repeat(1100) }] });
        const [{ both, body }] = await storedRows("t");
        return [both === undefined, body.length < 200];
        """,
    )
    assert told == [True, True]


def test_a_row_of_before_is_the_same_row(page: Page) -> None:
    """Its key is text: it is found, not doubled, changed in its place, and dropped."""
    told: list[Any] = run(
        page,
        OLD
        + """
        await old(1);
        await old(2);
        const now = await upgraded();
        await committed(now, { puts: [{ row: row(3), insert: true }] });
        const again = await committed(now, { puts: [{ row: row(4), insert: true }, { row: row(1), insert: true }] });
        const absent = await committed(now, { expect: [{ t: "absent", id: id(2) }] });
        const changed = await committed(now, { puts: [{ row: row(1, { revision: 1 }), head: "new" }] });
        const captured = JSON.parse(await now.capture(JSON.stringify({ id: id(2), at: 1, data: {} })));
        const found = texts(await now.get(ask([id(1), id(2), id(3)], ["head"])));
        const raw = await stored("t", "items");
        await committed(now, { drop: [id(1), id(3)] });
        const inbox = await stored("t", "inbox");
        return [again, absent, changed.rows.length, found, raw.length, inbox.length, (await storedRows("t")).map((r) => r.id)];
        """,
    )
    one, two, three = (f"018bcfe5-6800-7000-8000-00000000000{n}" for n in (1, 2, 3))
    assert told == [
        {"refused": {"index": 1, "existing_id": one}},
        {"refused": {"index": 0, "existing_id": two}},
        1,
        [[one, 2, {"head": "new"}], [two, 1, {}], [three, 1, {}]],
        3,
        0,
        [two],
    ]


def test_equal_content_is_met_in_rows_of_before(page: Page) -> None:
    """A mark is text there and bytes here; whoever asks for it meets both."""
    told: list[Any] = run(
        page,
        OLD
        + """
        const [fingerprint] = JSON.parse(await device.marks(JSON.stringify({ mark: "fingerprint", values: ["same"] })));
        await old(1, { fingerprint });
        const now = await upgraded();
        const unique = (since) => ({ t: "unique", mark: "fingerprint", value: "same", since, until: null });
        const insert = (n) => ({ row: row(n), insert: true, marks: { fingerprint: "same" } });
        const met = await committed(now, { expect: [unique(0)], puts: [insert(2)] });
        const later = await committed(now, { expect: [unique(1002)], puts: [insert(3)] });
        const next = await committed(now, { expect: [unique(1002)], puts: [insert(4)] });
        const all = JSON.parse(await now.find(JSON.stringify({ mark: "fingerprint", value: "same", limit: 9 })));
        return [met, later.rows.length, later.rows[0][3][0][1] === fingerprint, next, all];
        """,
    )
    one, three = (f"018bcfe5-6800-7000-8000-00000000000{n}" for n in (1, 3))
    assert told == [
        {"refused": {"index": 0, "existing_id": one}},
        1,
        True,
        {"refused": {"index": 0, "existing_id": three}},
        [one, three],
    ]

"""Envelope, keys and commits of the glue: what is stored, and what a refusal leaves."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

OPEN = "const device = await fieldpostGlue.open('t');"


def run(page: Page, body: str, arg: Any = None) -> Any:
    """Run ``body`` in the page, with ``device`` open and ``arg`` given."""
    return page.evaluate(f"async (arg) => {{ {OPEN} {body} }}", arg)


def test_envelope_vectors(page: Page) -> None:
    """The same bytes as on every other host: opened, sealed where plain, refused where wrong."""
    wrong = page.evaluate(
        """async () => {
        const { seal, unseal, mark } = await import("/js/envelope.mjs");
        const { base64, unbase64 } = await import("/js/frame.mjs");
        const vectors = await (await fetch("/vectors/envelope.json")).json();
        const ring = { data: new Map() };
        ring.key = async (kid) => ring.data.get(kid);
        for (const { kid, purpose, key } of vectors.keys) {
          if (purpose === "data") {
            ring.data.set(kid, await crypto.subtle.importKey("raw", unbase64(key), "AES-GCM", false, ["encrypt", "decrypt"]));
          } else {
            ring.index = await crypto.subtle.importKey("raw", unbase64(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
          }
        }
        const wrong = [];
        for (const c of vectors.cases) {
          const data = await unseal(ring, c.kid, c, unbase64(c.envelope));
          if (base64(data) !== c.data) wrong.push(["open", c.name]);
          if (c.encoding === "plain") {
            const sealed = await seal(ring, c.kid, c, unbase64(c.data), { deflate: false, nonce: unbase64(c.nonce) });
            if (base64(sealed) !== c.envelope) wrong.push(["seal", c.name]);
          }
        }
        for (const c of vectors.refused) {
          const code = await unseal(ring, c.kid, c, unbase64(c.envelope)).then(() => "opened", (e) => e.name);
          if (code !== "QUEUE_DECRYPTION_ERROR") wrong.push([code, c.name]);
        }
        for (const m of vectors.marks) {
          if (await mark(ring, m.mark, m.value) !== m.hmac) wrong.push(["mark", m]);
        }
        return { wrong, counts: [vectors.cases.length, vectors.refused.length, vectors.marks.length] };
        }"""
    )
    assert wrong["wrong"] == []
    assert all(wrong["counts"])


def test_text_is_compressed_before_it_is_sealed(page: Page) -> None:
    sizes = run(
        page,
        """
        const size = async (n, text) => {
          await committed(device, { puts: [{ row: row(n), insert: true, head: text }] });
          return (await storedRows("t")).find((r) => r.id === id(n)).head.length;
        };
        return [await size(1, "leak ".repeat(1000)), await size(2, "x".repeat(1023))];
        """,
    )
    assert sizes[0] < 200
    assert sizes[1] == 1023 + 31


def test_nothing_is_stored_in_clear(page: Page) -> None:
    """Invariant 7: neither sealed text nor a mark's plaintext appears in any store."""
    dump = run(
        page,
        """
        await committed(device, {
          puts: [{ row: row(1), insert: true, head: "MARKER head", marks: { owner: "MARKER owner" } }],
          side: [["device", "x", '"MARKER side"']],
        });
        await device.capture(JSON.stringify({ id: id(2), at: 1, data: { title: "MARKER capture" } }));
        await device.saveDraft("ticket", '{"text": "MARKER draft"}');
        await device.storeFile(new File(["MARKER file"], "MARKER.txt"), id(3), 1000);
        const all = [];
        for (const store of ["meta", "items", "journal", "inbox", "blobs", "drafts", "side"]) all.push(await stored("t", store));
        const text = JSON.stringify(all, (_, v) => v instanceof Uint8Array ? new TextDecoder("latin1").decode(v) : v);
        return [text.includes("MARKER"), text.length > 500];
        """,
    )
    assert dump == [False, True]


def test_keys_cannot_be_taken_out(page: Page) -> None:
    told = run(
        page,
        """
        const keys = await stored("t", "keys");
        const { key } = keys.find((r) => r.kid === "device");
        const out = await crypto.subtle.exportKey("raw", key).then(() => "out", (e) => e.name);
        return [out, key.extractable, keys.map((r) => r.kid.slice(0, 3)).sort(), keys.filter((r) => r.wrapped).length];
        """,
    )
    assert told == ["InvalidAccessError", False, ["d1-", "dev", "i1-"], 2]


def test_two_contexts_agree_on_the_keys(open_page: Any) -> None:
    """Both open the new database at the same moment; each reads what the other one wrote."""
    first, second = open_page(), open_page()
    for page in (first, second):
        page.evaluate("{ window.opening = fieldpostGlue.open('t'); undefined }")
    for n, page in enumerate((first, second)):
        page.evaluate(
            """async (n) => { const device = await opening;
            await device.saveDraft("form" + n, JSON.stringify({ n })); }""",
            n,
        )
    read = "opening.then((device) => Promise.all([device.loadDraft('form0'), device.loadDraft('form1')]))"
    for page in (first, second):
        assert page.evaluate(read) == ['{"n":0}', '{"n":1}']
    assert len(first.evaluate("stored('t', 'keys')")) == 3


def test_every_write_is_strict(page: Page) -> None:
    """Invariant 2: each writing transaction of every operation says ``strict``."""
    notes = page.evaluate(
        """async () => {
        const notes = noteTransactions();
        const device = await fieldpostGlue.open("t");
        await committed(device, { puts: [{ row: row(1), insert: true, head: "x" }], side: [["a", "b", "1"]] });
        await device.capture(JSON.stringify({ id: id(2), at: 1, form: "f", data: {} }));
        await device.undoCapture(id(2));
        await device.saveDraft("f", "{}");
        await device.dropDraft("f");
        await device.storeFile(new File(["x"], "x.txt"), id(3), 1000);
        await device.dropFile(id(3));
        return notes;
        }"""
    )
    assert len(notes) >= 8
    assert {durability for durability, _ in notes} == {"strict"}


def test_saved_means_complete(page: Page) -> None:
    """`capture` resolves after ``complete``, not when its requests have succeeded."""
    order = run(
        page,
        """
        const order = [];
        const { transaction } = IDBDatabase.prototype;
        IDBDatabase.prototype.transaction = function (...args) {
          const tx = transaction.apply(this, args);
          tx.addEventListener("complete", () => order.push("complete"));
          return tx;
        };
        await device.capture(JSON.stringify({ id: id(1), at: 1, data: {} })).then(() => order.push("saved"));
        return order;
        """,
    )
    assert order == ["complete", "saved"]


def test_a_bulk_insert_is_refused_whole(page: Page) -> None:
    """The absence of many rows is left to ``add``; the one that exists is named, nothing stays."""
    told = run(
        page,
        """
        await committed(device, { puts: [{ row: row(70), insert: true }] });
        const puts = Array.from({ length: 100 }, (_, n) => ({ row: row(n + 1), insert: true, head: "h" }));
        const before = await device.counts();
        const implied = await committed(device, { puts: puts.map((p) => structuredClone(p)) });
        const expect = puts.map((p) => ({ t: "absent", id: p.row.id }));
        const named = await committed(device, { expect: [{ t: "below", counter: "open", limit: 9 }, ...expect], puts });
        return [implied, named, before === await device.counts(), (await stored("t", "items")).length];
        """,
    )
    refused = {"existing_id": "018bcfe5-6800-7000-8000-000000000070"}
    assert told[0] == {"refused": {"index": 69, **refused}}
    assert told[1] == {"refused": {"index": 70, **refused}}
    assert told[2:] == [True, 1]


def test_bytes_changed_on_disk_do_not_open(page: Page) -> None:
    told = run(
        page,
        """
        await committed(device, { puts: [{ row: row(1), insert: true, head: "x" }, { row: row(2), insert: true, head: "y" }] });
        await device.capture(JSON.stringify({ id: id(5), at: 1, data: {} }));
        const db = await wanted(indexedDB.open("t"));
        const tx = db.transaction(["items", "inbox"], "readwrite");
        const [a, b] = await wanted(tx.objectStore("items").getAll());
        [a.head, b.head] = [b.head, a.head]; // whole and well sealed, but in another row's place
        tx.objectStore("items").put(a);
        const [capture] = await wanted(tx.objectStore("inbox").getAll());
        capture.data[20] ^= 1;
        await wanted(tx.objectStore("inbox").put(capture, 1));
        db.close();
        const row_ = await outcome(device.get(JSON.stringify({ ids: [id(1)], parts: ["head"] })));
        const columns = await outcome(device.get(JSON.stringify({ ids: [id(1)], parts: [] })));
        const only = await outcome(device.captures('{"limit": 10}'));
        await device.capture(JSON.stringify({ id: id(6), at: 1, data: {} }));
        const { value } = unframed(await device.captures('{"limit": 10}'));
        return [row_.code, columns.code, only.code, value.captures.length, value.unopened];
        """,
    )
    code = "QUEUE_DECRYPTION_ERROR"
    assert told == [code, None, code, 1, ["018bcfe5-6800-7000-8000-000000000005"]]

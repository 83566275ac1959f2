"""What the page does without the engine: captures, drafts, files; and storage's bad days."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from .conftest import Site
from .test_commit import run

CAPTURE = (
    "(n, more = {}) => device.capture(JSON.stringify({ id: id(n), at: n, data: { n }, ...more }))"
)


def test_capture_is_idempotent_and_takes_its_draft_along(page: Page) -> None:
    told = run(
        page,
        f"""const capture = {CAPTURE};
        await device.saveDraft("ticket", '{{"text": "half"}}');
        const half = await device.loadDraft("ticket");
        const first = JSON.parse(await capture(1, {{ form: "ticket" }}));
        const again = JSON.parse(await capture(1, {{ data: {{ other: true }} }}));
        const draft = await device.loadDraft("ticket");
        await committed(device, {{ puts: [{{ row: row(1), insert: true }}], adopt: [id(1)] }});
        await capture(1);
        const counts = JSON.parse(await device.counts());
        return [half, first.revision, again.revision, draft, counts.inbox, counts.open];""",
    )
    assert told == ['{"text": "half"}', 1, 1, None, 0, 1]


def test_undo_wins_or_loses_whole(page: Page) -> None:
    """A capture taken back never becomes an item, also when the engine had read it already."""
    told = run(
        page,
        f"""const capture = {CAPTURE};
        await capture(1);
        const undone = await device.undoCapture(id(1));
        const late = await committed(device, {{ puts: [{{ row: row(1), insert: true }}], adopt: [id(1)] }});
        await capture(2);
        await committed(device, {{ puts: [{{ row: row(2), insert: true }}], adopt: [id(2)] }});
        const counts = JSON.parse(await device.counts());
        return [undone, late, await device.undoCapture(id(2)), counts.inbox, counts.open];""",
    )
    assert told[0] == "true"
    assert told[1]["refused"]["existing_id"] == "018bcfe5-6800-7000-8000-000000000001"
    assert told[2:] == ["false", 0, 1]


def test_a_file_is_stored_in_parts(page: Page) -> None:
    """Sealed parts, hashes in the manifest, progress; an image comes back as it was."""
    told = run(
        page,
        """
        const bytes = new Uint8Array(2.5 * 1024 * 1024).map((_, i) => i * 7);
        const steps = [];
        const said = JSON.parse(await device.storeFile(
          new File([bytes], "pump.png", { type: "image/png" }), id(1), 1e8, (done, all) => steps.push([done, all])));
        const manifest = JSON.parse(await device.manifest(JSON.stringify({ id: id(1) })));
        const digest = async (from, to) => btoa(String.fromCharCode(
          ...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.subarray(from, to)))));
        const last = await digest(2 * 1024 * 1024, bytes.length);
        const url = await device.fileUrl(id(1));
        const back = new Uint8Array(await (await fetch(url)).arrayBuffer());
        await device.storeFile(new File(["<svg/>"], "x.svg", { type: "image/svg+xml" }), id(2), 1e8, null);
        return { said, steps, last: manifest.sha256[2] === last, count: manifest.sha256.length,
          same: back.length === bytes.length && back.every((b, i) => b === bytes[i]),
          svg: await device.fileUrl(id(2)), none: await device.fileUrl(id(3)) };
        """,
    )
    mib = 1024 * 1024
    size = int(2.5 * mib)
    assert told["said"]["parts"] == 3
    assert told["said"]["name"] == "pump.png"
    assert told["steps"] == [[mib, size], [2 * mib, size], [size, size]]
    assert told["last"]
    assert told["same"]
    assert [told["count"], told["svg"], told["none"]] == [3, None, None]


def test_a_copy_of_any_file_is_whole_or_none(page: Page) -> None:
    """To be saved elsewhere: of no type, so that nothing of it is shown as ours."""
    told = run(
        page,
        """
        const bytes = new Uint8Array(2.5 * 1024 * 1024).map((_, i) => i * 7);
        const store = (file, n) => device.storeFile(file, id(n), 1e8, null);
        await store(new File([bytes], "pump.bin"), 1);
        await store(new File(["<svg/>"], "x.svg", { type: "image/svg+xml" }), 2);
        await store(new File([], "empty"), 3);
        const read = async (n) => {
          const answer = await fetch(await device.fileCopy(id(n)));
          return [answer.headers.get("content-type"), new Uint8Array(await answer.arrayBuffer())];
        };
        const [, large] = await read(1);
        const [type, small] = await read(2);
        const [, empty] = await read(3);
        await new Promise((done) => {
          const asked = indexedDB.open(device.name);
          asked.onsuccess = () => {
            const tx = asked.result.transaction("blobs", "readwrite");
            tx.objectStore("blobs").delete([id(1), 2]);
            tx.oncomplete = () => { asked.result.close(); done(); };
          };
        });
        return { same: large.length === bytes.length && large.every((b, i) => b === bytes[i]), type,
          small: small.length, empty: empty.length,
          none: [await device.fileCopy(id(1)), await device.fileCopy(id(9))] };
        """,
    )
    assert told == {
        "same": True,
        "type": "application/octet-stream",
        "small": 6,
        "empty": 0,
        "none": [None, None],
    }


def choose_by_path(page: Page, path: Path) -> None:
    """Choose a file as a person does: the page gets a reference to it, not a copy."""
    session = page.context.new_cdp_session(page)
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    node = session.send("DOM.querySelector", {"nodeId": root, "selector": "#file"})["nodeId"]
    session.send("DOM.setFileInputFiles", {"files": [str(path)], "nodeId": node})


def test_a_file_that_vanishes_leaves_nothing(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"x" * 3_000_000)
    choose_by_path(page, path)
    assert page.evaluate("document.querySelector('#file').files[0].size") == 3_000_000
    path.unlink()
    told = run(
        page,
        """
        const [file] = document.querySelector("#file").files;
        const gone = await outcome(device.storeFile(file, id(1), 1e8, null));
        // The same when it goes while the first parts are in the database already.
        const content = new Blob([new Uint8Array(8 * 1024 * 1024)]);
        let slices = 0;
        const vanishing = { size: content.size, name: "x", type: "", slice: (a, b) =>
          ++slices < 7 ? content.slice(a, b) : { arrayBuffer: async () => { throw new DOMException("", "NotReadableError"); } } };
        const midway = await outcome(device.storeFile(vanishing, id(2), 1e8, null));
        const large = await outcome(device.storeFile(content, id(3), 1024, null));
        return [gone.code, midway.code, large.code, slices >= 7, (await stored("t", "blobs")).length];
        """,
    )
    unreadable = "QUEUE_ATTACHMENT_UNREADABLE"
    assert told == [unreadable, unreadable, "QUEUE_ATTACHMENT_TOO_LARGE", True, 0]


def test_a_full_storage_says_so_and_keeps_nothing_half(page: Page, site: Site) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": site.url, "quotaSize": 3_000_000})
    told = run(
        page,
        """
        const noise = (n) => Array.from({ length: n }, () => crypto.randomUUID()).join("");
        await device.saveDraft("ticket", "{}");
        const before = await device.counts();
        const file = await outcome(device.storeFile(new File([noise(300_000)], "x"), id(1), 1e8, null));
        const large = await outcome(device.capture(JSON.stringify({ id: id(2), at: 1, form: "ticket", data: { text: noise(300_000) } })));
        const rows = await outcome(committed(device, { puts: [{ row: row(3), insert: true, head: noise(300_000) }] }));
        return [[file.code, large.code, rows.code], before === await device.counts(),
          (await stored("t", "blobs")).length, (await stored("t", "inbox")).length, await device.loadDraft("ticket")];
        """,
    )
    assert told == [["QUEUE_STORAGE_FULL"] * 3, True, 0, 0, "{}"]
    # As soon as there is room. (Not within the old quota: Chromium may go on counting the files of
    # a refused transaction for seconds, 6.2 MB here, and refuses the smallest write meanwhile.)
    session.send("Storage.overrideQuotaForOrigin", {"origin": site.url, "quotaSize": 30_000_000})
    save = "device.capture(JSON.stringify({ id: id(4), at: 1, data: {} }))"
    assert list(run(page, f"return outcome({save});")) == ["ok"]


def test_a_blocked_opening_says_so_and_works_later(open_page: Any) -> None:
    """Another tab holds the database while it is being deleted."""
    holder, page = open_page(), open_page()
    holder.evaluate("async () => { window.db = await wanted(indexedDB.open('t', 1)); }")
    page.evaluate("{ window.deleting = wanted(indexedDB.deleteDatabase('t')); undefined }")
    told = page.evaluate("outcome(fieldpostGlue.open('t', 300).then(() => 'open'))")
    assert told["code"] == "QUEUE_STORAGE_BLOCKED"
    holder.evaluate("db.close()")
    page.evaluate("deleting")
    assert page.evaluate("outcome(fieldpostGlue.open('t').then(() => 'open'))") == {"ok": "open"}


def test_an_older_tab_that_does_not_let_go_is_named(open_page: Any) -> None:
    """Known failure 12: an upgrade held up by an old tab says so, and goes on when it is closed."""
    holder, page = open_page(), open_page()
    holder.evaluate("async () => { window.db = await wanted(indexedDB.open('t', 1)); }")
    told = page.evaluate("outcome(fieldpostGlue.open('t', 300).then(() => 'open'))")
    assert told["code"] == "QUEUE_STORAGE_BLOCKED"
    holder.evaluate("db.close()")
    page.evaluate("wanted(indexedDB.deleteDatabase('t'))")  # an empty version 1 is not ours
    assert page.evaluate("outcome(fieldpostGlue.open('t').then(() => 'open'))") == {"ok": "open"}


def test_a_newer_schema_is_neither_opened_nor_held_up(open_page: Any) -> None:
    """Invariant 9: the context that is older than the storage stops writing."""
    old, new = open_page(), open_page()
    old.evaluate("async () => { window.device = await fieldpostGlue.open('t'); }")
    new.evaluate("async () => { window.db = await wanted(indexedDB.open('t', 4)); }")
    save = "outcome(device.capture(JSON.stringify({ id: id(1), at: 1, data: {} })))"
    assert old.evaluate(save)["code"] == "QUEUE_SCHEMA_TOO_NEW"
    opened = new.evaluate("outcome(fieldpostGlue.open('t').then(() => 'open'))")
    assert opened["code"] == "QUEUE_SCHEMA_TOO_NEW"
    assert new.evaluate("stored('t', 'inbox')") == []


def test_a_database_deleted_under_us_is_not_written_with_lost_keys(open_page: Any) -> None:
    page, other = open_page(), open_page()
    page.evaluate("async () => { window.device = await fieldpostGlue.open('t'); }")
    other.evaluate("wanted(indexedDB.deleteDatabase('t'))")
    save = "outcome(device.capture(JSON.stringify({ id: id(1), at: 1, data: {} })))"
    assert page.evaluate(save)["code"] == "QUEUE_DATABASE_ERROR"
    page.evaluate("async () => { window.device = await fieldpostGlue.open('t'); }")
    assert "ok" in page.evaluate(save)
    page.reload()
    page.evaluate("async () => { window.device = await fieldpostGlue.open('t'); }")
    assert (
        page.evaluate(
            "device.captures('{\"limit\": 9}').then((f) => unframed(f).value.captures.length)"
        )
        == 1
    )


def test_no_storage_and_no_secure_context_are_told_apart(open_page: Any) -> None:
    cases = {
        "Object.defineProperty(globalThis, 'indexedDB', { value: undefined })": "QUEUE_STORAGE_MISSING",
        "Object.defineProperty(globalThis, 'indexedDB', { get() { throw new DOMException('', 'SecurityError'); } })": (
            "QUEUE_STORAGE_MISSING"
        ),
        "IDBFactory.prototype.open = () => { throw new DOMException('', 'InvalidStateError'); }": (
            "QUEUE_STORAGE_MISSING"
        ),
        "Object.defineProperty(globalThis, 'isSecureContext', { value: false })": "QUEUE_INSECURE_CONTEXT",
    }
    for broken, code in cases.items():
        page = open_page()
        page.evaluate(f"{{ {broken}; undefined }}")
        assert page.evaluate("outcome(fieldpostGlue.open('t'))")["code"] == code


def test_small_things(page: Page) -> None:
    told = run(
        page,
        """
        const ids = Array.from({ length: 1000 }, () => fieldpostGlue.uuid7());
        const counts = JSON.parse(await device.counts());
        return [new Set(ids).size, ids.every((i) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(i)),
          Math.abs(parseInt(ids[0].slice(0, 8) + ids[0].slice(9, 13), 16) - Date.now()) < 60_000,
          Object.keys(counts).length, await device.persist()];
        """,
    )
    assert told[:4] == [1000, True, True, 18]
    assert told[4] in {"granted", "denied"}


def test_rescue_file(open_page: Any) -> None:
    """Out of one database and into another one, attachments included; nothing in clear."""
    page = open_page()
    told = page.evaluate(
        """async () => {
        const from = await fieldpostGlue.open("a");
        const to = await fieldpostGlue.open("b");
        const bytes = crypto.getRandomValues(new Uint8Array(60_000));
        const big = new Uint8Array(1_500_000).map((_, i) => bytes[i % 60_000]);
        await from.storeFile(new File([big], "pump.jpg", { type: "image/jpeg" }), id(9), 1e8, null);
        const item = { type: "item", id: id(1), payload: { text: "漏水 MARKER" }, attachments: [{ id: id(9) }] };
        const file = await from.rescueOut("correct horse", JSON.stringify(item) + "\\n");
        const text = await file.text();
        const wrong = await outcome(to.rescueIn("wrong horse", file));
        const cut = await outcome(to.rescueIn("correct horse", new Blob([text.split("\\n").slice(0, -2).join("\\n")])));
        const junk = await outcome(to.rescueIn("correct horse", new Blob(["hello"])));
        const back = await to.rescueIn("correct horse", URL.createObjectURL(file));
        const url = await to.fileUrl(id(9));
        const same = new Uint8Array(await (await fetch(url)).arrayBuffer()).every((b, i) => b === big[i]);
        return { lines: text.trim().split("\\n").length, clear: text.includes("MARKER"), same,
          codes: [wrong.code, cut.code, junk.code], back, first: JSON.parse(atob(text.split(".")[0])) };
        }"""
    )
    assert told["codes"] == ["QUEUE_RESCUE_UNREADABLE"] * 3
    assert json.loads(told["back"])["payload"] == {"text": "漏水 MARKER"}
    assert [told["lines"], told["clear"], told["same"]] == [6, False, True]
    assert told["first"]["alg"] == "PBES2-HS512+A256KW"
    assert told["first"]["p2c"] == 600_000
    assert told["first"]["cty"] == "fieldpost-rescue+1"

"""What a tab holds without its storage, and the mark of what was in a storage that is gone."""

from __future__ import annotations

import json

from playwright.sync_api import Page

from .test_commit import run


def test_held_files_are_stored_recalled_and_rescued_byte_for_byte(page: Page) -> None:
    told = run(
        page,
        """
        const bytes = new Uint8Array(2.5 * 1024 * 1024).map((_, i) => i * 7);
        const file = new File([bytes], "pump.bin", { type: "application/x-pump" });
        const tooMuch = await outcome(fieldpostGlue.hold(file, id(1), bytes.length - 1));
        const held = await fieldpostGlue.hold(file, id(1), bytes.length);
        const empty = await fieldpostGlue.hold(new File([], "empty"), id(2), 0);
        const [none, said, little] = [
          await device.recall(id(1), 1e8),
          JSON.parse(await device.storeFile(held, id(1), 1e8, null)),
          JSON.parse(await device.storeFile(empty, id(2), 1e8, null)),
        ];
        const back = await device.recall(id(1), 1e8);
        const same = (parts) => {
          const all = parts.flatMap((part) => [...part]);
          return all.length === bytes.length && all.every((b, i) => b === bytes[i]);
        };
        const data = { kind: "ticket", payload: { summary: "MARKER" }, attachments: [{ id: id(1), size: bytes.length, parts: 3 }] };
        const rescue = await fieldpostGlue.rescueKept("correct horse",
          JSON.stringify([{ id: id(5), at: 7, data }, { id: id(6), at: 8, data: { kind: "ticket", payload: {} } }]), [held, empty]);
        const other = await fieldpostGlue.open("other");
        const lines = await other.rescueIn("correct horse", rescue);
        return { tooMuch, none, said, little, same: same(back.parts), clear: (await rescue.text()).includes("MARKER"),
          facts: [back.name, back.type, back.size], rescued: same((await other.recall(id(1), 1e8)).parts),
          small: await outcome(other.recall(id(1), 5)), lines };
        """,
    )
    assert told["tooMuch"]["code"] == told["small"]["code"] == "QUEUE_ATTACHMENT_TOO_LARGE"
    assert told["none"] is None
    assert [told["said"]["parts"], told["said"]["name"]] == [3, "pump.bin"]
    assert [told["little"]["parts"], told["little"]["size"]] == [0, 0]
    assert told["facts"] == ["pump.bin", "application/x-pump", 2.5 * 1024 * 1024]
    assert [told["same"], told["rescued"], told["clear"]] == [True, True, False]
    first, second = map(json.loads, told["lines"].split("\n"))
    assert first["id"] == first["send_id"] == "018bcfe5-6800-7000-8000-000000000005"
    assert [first["created_at"], first["state"], first["payload"]] == [
        7,
        "pending",
        {"summary": "MARKER"},
    ]
    assert second["attachments"] == []


def test_the_mark_tells_of_a_database_that_is_gone_until_it_is_seen(page: Page) -> None:
    told = run(
        page,
        """
        const save = (n) => device.capture(JSON.stringify({ id: id(n), at: n, data: { kind: "ticket" } }));
        const again = async (wipe) => {
          await (await fieldpostGlue.open("t")).close();
          if (wipe) await wanted(indexedDB.deleteDatabase("t"));
          return fieldpostGlue.open("t");
        };
        const seen = [document.cookie];
        await save(1);
        await save(2);
        seen.push(document.cookie.split(":")[1]);
        const kept = JSON.parse(await (await again(false)).lost());
        const gone = JSON.parse(await (await again(true)).lost());
        const now = await again(false);
        const still = JSON.parse(await now.lost());
        await now.remember(3);
        const more = JSON.parse(await (await again(true)).lost());
        const last = await again(false);
        await last.lossSeen();
        const end = JSON.parse(await last.lost());
        await last.remember(1);
        await last.remember(0);
        return { seen, counts: [kept, gone?.count, still?.count, more?.count, end], cookie: document.cookie };
        """,
    )
    assert told["seen"] == ["", "2"]
    assert told["counts"] == [None, 2, 2, 5, None]
    assert told["cookie"] == ""


def test_a_storage_that_falls_silent_is_given_up_and_opened_anew(page: Page) -> None:
    """No event of any transaction arrives: after 30 s (here: at once) it counts as failing."""
    told = run(
        page,
        """
        const timeout = globalThis.setTimeout;
        globalThis.setTimeout = (work, ms, ...given) => timeout(work, ms === 30_000 ? 300 : ms, ...given);
        const listen = IDBTransaction.prototype.addEventListener;
        IDBTransaction.prototype.addEventListener = () => {};
        const capture = JSON.stringify({ id: id(1), at: 1, form: "ticket", data: { n: 1 } });
        const silent = await outcome(device.capture(capture));
        IDBTransaction.prototype.addEventListener = listen;
        await device.capture(capture);
        return { silent, inbox: JSON.parse(await device.counts()).inbox };
        """,
    )
    assert told["silent"]["code"] == "QUEUE_DATABASE_ERROR"
    assert "does not answer" in told["silent"]["message"]
    assert told["inbox"] == 1

"""Counters of an older database, and a page that saves no more than there is room for."""

from __future__ import annotations

import json

from playwright.sync_api import Page

from .test_commit import run

#: A capture of a kind, with its outcome; and limits as the engine sets them.
SETUP = """
const save = (n, kind, form) => outcome(device.capture(JSON.stringify({ id: id(n), at: n, form, data: { kind } })));
const limits = (...all) => device.keepLimits(JSON.stringify(all));
const open = (n, more = {}) => ({ row: row(n, { size: 3, ...more }), insert: true });
const counts = async () => JSON.parse(await device.counts());
"""


def test_a_database_without_counters_by_kind_gets_them_once(page: Page) -> None:
    """Written by an older version: the next commit with rows counts what is open; so it does again
    when an older context has raised the revision alone."""
    told = run(
        page,
        f"""{SETUP}
        const age = async (change) => {{
          const db = await wanted(indexedDB.open(device.name));
          const meta = db.transaction("meta", "readwrite").objectStore("meta");
          const counters = await wanted(meta.get("counters"));
          change(counters);
          await wanted(meta.put(counters, "counters"));
          db.close();
        }};
        const puts = Array.from({{ length: 1200 }}, (_, n) => open(n + 1, {{ kind: n % 3 ? "ticket" : "log" }}));
        await committed(device, {{ puts }});
        await committed(device, {{ puts: [open(2000, {{ state: "completed", ready: false }})] }});
        const before = await counts();
        await age((counters) => {{
          for (const name of Object.keys(counters)) if (/^(open:|bytes|kinds|removed)/.test(name)) delete counters[name];
        }});
        const without = Object.keys(await counts()).filter((name) => /^(open:|bytes)/.test(name));
        await committed(device, {{ puts: [open(2001)] }});
        const after = await counts();
        await age((counters) => {{ counters.revision += 1; counters["bytes:log"] = -7; }});
        await committed(device, {{ drop: [id(2001)] }});
        return [before, without, after, await counts()];""",
    )
    before, without, after, again = told
    by_kind = {"open:ticket": 800, "bytes:ticket": 2400, "open:log": 400, "bytes:log": 1200}
    assert before.items() >= (by_kind | {"open": 1200, "bytes": 3600}).items()
    assert without == []
    grown = {"open:ticket": 801, "bytes:ticket": 2403, "bytes": 3603, "open": 1201}
    assert after.items() >= (by_kind | grown).items()
    assert again.items() >= (by_kind | {"open": 1200, "bytes": 3600, "removed": 1}).items()


def test_a_capture_without_room_is_refused_and_its_draft_stays(page: Page) -> None:
    """Known failure 5 on the page: only what is not delivered counts, by kind, the inbox too."""
    told = run(
        page,
        f"""{SETUP}
        const first = await save(1, "ticket");
        await limits({{ name: "ticket", unit: "items", counter: "open:ticket", most: 3 }},
          {{ name: "all", unit: "items", counter: "open", most: 5 }});
        await committed(device, {{ puts: [open(50)] }});
        await save(2, "feedback");
        const third = await save(3, "ticket");
        await device.saveDraft("ticket", '{{"text": "half"}}');
        const full = await save(4, "ticket", "ticket");
        const draft = await device.loadDraft("ticket");
        const known = await save(3, "ticket");
        await committed(device, {{ puts: [{{ row: {{ ...row(50), revision: 1, state: "completed", ready: false }} }}] }});
        const again = await save(4, "ticket", "ticket");
        const other = await save(5, "feedback");
        const all = await save(6, "feedback");
        return [first, third, full, draft, known, again, await device.loadDraft("ticket"), other, all,
          (await stored(device.name, "inbox")).map(({{ kind }}) => kind)];""",
    )
    first, third, full, draft, known, again, no_draft, other, all_full, kinds = told
    assert all("ok" in one for one in (first, third, known, again, other))
    assert full == {
        "code": "QUEUE_FULL",
        "message": "3 items of the kind ticket wait to be sent here, of at most 3.",
    }
    assert draft == json.dumps({"text": "half"})
    assert no_draft is None
    assert all_full["code"] == "QUEUE_FULL"
    assert kinds == ["ticket", "feedback", "ticket", "ticket", "feedback"]


def test_bytes_are_limited_too(page: Page) -> None:
    told = run(
        page,
        f"""{SETUP}
        await limits({{ name: "ticket", unit: "bytes", counter: "bytes:ticket", most: 36 }});
        await committed(device, {{ puts: [open(1, {{ size: 20 }})] }});
        const full = await save(2, "ticket"); // 17 bytes
        await limits({{ name: "ticket", unit: "bytes", counter: "bytes:ticket", most: 37 }});
        return [full.code, await save(2, "ticket"), await save(3, "feedback")];""",
    )
    assert told[0] == "QUEUE_FULL"
    assert all("ok" in one for one in told[1:])

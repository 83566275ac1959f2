"""The known ways in which systems of this kind fail (REQUIREMENTS part 4), by their numbers.

``test_NN_…`` proves number NN here. Elsewhere, in whole or as well (a star: each of that name):

02  tests/runtime/test_delivery.py::test_answers_that_prove_nothing_leave_the_item_here
06  tests/contract/test_sqlite_shared.py::test_two_stores_on_one_file
06  tests/processes/test_killed.py::test_killed_workers_lose_and_double_nothing
08  tests/runtime/test_dying.py::test_cut_at_every_place
09  tests/runtime/test_order.py::test_the_whole_queue_does_not_stall_behind_one_bad_head_item
12  tests/contract/test_sqlite.py::test_a_newer_schema_is_not_touched
12  tests/contract/test_sqlite.py::test_columns_and_tables_of_a_later_version_stay
12  e2e/test_bad_input.py::test_storage_held_by_another_tab_is_waited_for
12  e2e/test_updates.py::test_an_update_keeps_the_queue_the_form_and_the_other_tab
13  tests/unit/test_journal.py::test_what_was_done_to_a_journal_is_found
13  tests/contract/test_sqlite.py::test_not_a_store
14  tests/contract/test_sqlite.py::test_wrong_key
15  tests/runtime/test_delivery.py::test_a_missing_attachment_never_counts_as_sent
17  e2e/test_tabs.py::test_it_is_replaced_and_when_thawed_changes_nothing
18  e2e/test_durability.py::test_every_write_of_page_and_engine_asks_for_strict_durability
18  e2e/test_durability.py::test_saved_is_said_only_after_the_transaction_has_completed
20  tests/runtime/test_order.py::test_a_temporary_id_is_replaced_durably
22  tests/runtime/test_breaker.py::test_known_failure_22_*
22  tests/runtime/test_breaker.py::test_retry_after_as_a_date_*
22  tests/engine/test_lanes.py::test_known_failure_22_*
23  tests/runtime/test_breaker.py::test_known_failure_23_*
23  tests/engine/test_breaker.py::test_known_failure_23_*
24  e2e/test_kept_in_tab.py::test_what_the_browser_deleted_is_told_until_it_is_read
24  e2e/test_kept_in_tab.py::test_nothing_is_told_of_what_had_been_sent
25  e2e/test_bad_input.py::test_a_full_storage_is_said_and_saving_works_once_there_is_room
26  tests/runtime/test_breaker.py::test_known_failure_26_*
26  tests/engine/test_lanes.py::test_known_failure_26_*
28  tests/runtime/test_delivery.py::test_no_classified_answer_is_unknown_and_the_same_bytes_go_again

Not here: 19 (nonces come with the evidence server's orders), 27 (updates of what others may have
changed come with the destinations that take them).
"""

from __future__ import annotations

import ast
import asyncio
import fnmatch
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.test_crashes import crashing_queue
from tests.runtime.worlds import DEVICE, RING, World

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.errors import DatabaseError, DecryptionError, StorageFull
from fieldpost.engine.retry import DELAY_MS_MAX, PRESETS, RetryPolicy
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Below, Commit, Request, Response
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.stores.memory import MemoryStore
from fieldpost.stores.sqlite import SqliteStore
from fieldpost.testing.crashing import Crash, Crasher
from fieldpost.testing.fakes import FakeGateway, LocalTabs, answers, cut_before, lose_answer
from fieldpost.testing.faultystore import Fault, FaultyStore

ROOT = Path(__file__).parents[2]
TICKET = {"summary": "Pump 3 is leaking"}
YEAR = 365 * 24 * 3600 * 1000
NUMBERS = range(1, 29)


async def sqlite_world(folder: Path, **options: Any) -> World:
    return World(store=await SqliteStore.open(folder / "queue.db", RING, **options))


async def enqueue(world: World, n: int = 1, **options: Any) -> list[str]:
    items = [await world.queue.enqueue("ticket", TICKET, **options) for _ in range(n)]
    return [item.id for item in items]


async def test_01_the_row_stays_until_the_answer_is_durable() -> None:
    seen: list[State] = []

    class Looking(FakeGateway):
        async def send(self, request: Request) -> Response:
            response = await FakeGateway.send(self, request)
            assert isinstance(self.store, MemoryStore)
            left = await self.store.durable_copy().page(list(State), limit=9)
            seen.extend(row.item.state for row in left.rows if request.body)
            return response

    world = World(gateway=Looking())
    await enqueue(world)
    await world.queue.sync()
    assert seen == [State.IN_PROGRESS]


@pytest.mark.parametrize("status", [200, 201, 204, 302, 404, 500])
async def test_02_an_answer_alone_is_no_delivery(status: int) -> None:
    world = World()
    world.gateway.faults = [answers(status, b"<html>Welcome", content_type="text/html")]
    (item_id,) = await enqueue(world)
    await world.queue.sync()
    assert (await world.queue.get(item_id)).is_open


async def test_03_backoff_grows_and_ends_also_over_restarts() -> None:
    class Busy(FakeGateway):
        def _operation(self, op: dict[str, Any]) -> dict[str, Any]:
            return {"id": op["id"], "send_id": op["send_id"], "status": "busy"}

    world = World(gateway=Busy())
    (item_id,) = await enqueue(world)
    waits = []
    for tried in range(1, PRESETS["itsm"].max_attempts + 1):
        await world.queue.sync()
        world.restart()
        item = await world.queue.get(item_id)
        assert item.attempts == tried
        waits.append((item.due_at or 0) - world.clock.now())
    assert item.state is State.FAILED
    assert waits[:-1] == sorted(waits[:-1])
    assert waits[-2] > 4 * waits[0] > 0


async def test_04_ten_is_before_nine_and_nine_before_one() -> None:
    world = World()
    ids = {p: (await enqueue(world, priority=p))[0] for p in (1, 10, 2, 9)}
    await world.queue.sync()
    assert world.gateway.inbox == [ids[10], ids[9], ids[2], ids[1]]


async def test_05_what_was_delivered_takes_no_room() -> None:
    world = World()
    await enqueue(world, 25)
    await world.queue.sync()
    assert (await world.store.counters())["open"] == 0
    await world.store.commit(Commit(expect=(Below("open", 1),)))


@pytest.mark.parametrize("fault", [lose_answer, cut_before], ids=lambda f: f.__name__)
async def test_06_what_a_dead_drainer_had_is_taken_up_again(fault: Any) -> None:
    world = World()
    (item_id,) = await enqueue(world)
    dying = Crasher()
    doomed = crashing_queue(world, dying)

    def dies(*_: Any) -> Response:
        dying.dead = True
        return fault(*_)

    world.gateway.faults = [dies]
    with pytest.raises(Crash):
        await doomed.sync()
    world.restart()
    assert (await world.queue.get(item_id)).state is State.IN_PROGRESS
    world.gateway.down = True
    await world.queue.sync()  # as far as it gets: what may have been sent is not simply waiting
    assert (await world.queue.get(item_id)).state is State.UNKNOWN
    world.gateway.down = False
    await world.settle()
    assert world.gateway.inbox == [item_id]


async def test_07_the_claim_itself_reads_in_the_order_that_is_asked_for() -> None:
    world = World()
    asked = [(7 * n) % 10 + 1 for n in range(250)]  # more than two batches
    ids = [(await enqueue(world, priority=p))[0] for p in asked]
    await world.queue.sync()
    order = sorted(range(250), key=lambda n: (-asked[n], n))
    assert world.gateway.inbox == [ids[n] for n in order]


async def test_08_every_caller_gets_an_answer_and_the_id_outlives_them() -> None:
    world = World()
    (item_id,) = await enqueue(world)
    world.restart()
    await world.queue.sync()
    assert (await world.queue.get(item_id)).state is State.COMPLETED
    world.store = FaultyStore(world.store, Fault(1, persistent=True))
    queue = world.open()
    async with asyncio.timeout(5):
        failed = await asyncio.gather(
            *(queue.enqueue("ticket", TICKET) for _ in range(20)), return_exceptions=True
        )
    assert {type(each) for each in failed} == {DatabaseError}


async def test_10_a_rejection_keeps_the_item_and_its_reason() -> None:
    world = World()
    problem = json.dumps({"code": "BAD_REQUEST", "detail": "The category is closed."}).encode()
    world.gateway.faults = [answers(400, problem, content_type="application/problem+json")]
    (item_id,) = await enqueue(world)
    await world.queue.sync()
    world.restart()
    status = await world.queue.status()
    assert (status["counts"]["failed"], status["attention"]) == (1, 1)
    detail = await world.queue.detail(item_id)
    assert detail["payload"] == TICKET
    assert detail["history"][-1]["text"] == "The category is closed."
    await world.queue.retry(item_id)
    await world.queue.sync()
    assert world.gateway.inbox == [item_id]


@pytest.mark.parametrize("jump", [-YEAR, YEAR], ids=["back", "forward"])
async def test_11_a_clock_that_jumps_drops_and_reorders_nothing(jump: int) -> None:
    world = World()
    world.gateway.faults = [answers(500, b"oops")]
    first = await enqueue(world)
    await world.queue.sync()
    world.clock.jump(jump)
    rest = await enqueue(world, 2)
    world.clock.jump(-jump // 2)
    rest += await enqueue(world)
    world.restart()
    await world.settle(hours=30)
    assert sorted(world.gateway.inbox) == sorted(first + rest)
    assert [id_ for id_ in world.gateway.inbox if id_ in rest] == rest


async def test_13_the_check_finds_what_is_missing_and_repairs_nothing_away(tmp_path: Path) -> None:
    world = await sqlite_world(tmp_path)
    ids = await enqueue(world, 5)
    assert (await world.queue.verify())["ok"]
    with sqlite3.connect(tmp_path / "queue.db") as other:
        other.execute("DELETE FROM items WHERE id = ?", (ids[2],))
        other.execute("DELETE FROM journal WHERE n = 2")
    other.close()
    verified = await world.queue.verify()
    assert not verified["ok"]
    assert verified["problems"]
    assert len(await world.store.get(ids)) == 4
    await world.store.close()


async def test_14_sealed_means_sealed_and_a_wrong_key_deletes_nothing(tmp_path: Path) -> None:
    world = await sqlite_world(tmp_path)
    (item_id,) = await enqueue(world)
    await world.store.close()
    assert b"leaking" not in b"".join(f.read_bytes() for f in tmp_path.iterdir())
    stranger = await SqliteStore.open(tmp_path / "queue.db", KeyRing.ephemeral())
    with pytest.raises(DecryptionError):
        await stranger.get([item_id], ["body"])
    await stranger.close()
    world = await sqlite_world(tmp_path)
    assert (await world.queue.detail(item_id))["payload"] == TICKET
    await world.store.close()


async def test_16_credentials_are_put_in_when_a_request_goes_out() -> None:
    world = World()
    world.queue._destination.sign_in("old-token")
    world.gateway.faults = [lose_answer]
    (item_id,) = await enqueue(world)
    await world.queue.sync()
    (row,) = await world.store.get([item_id], ["intent"])
    assert b"token" not in row.parts["intent"]
    await world.queue.sign_in("new-token")
    await world.queue.sync()
    sent = [r for r in world.gateway.requests if r.url.endswith("/operations")]
    assert [r.headers["Authorization"] for r in sent] == ["Bearer old-token", "Bearer new-token"]
    assert sent[0].body == sent[1].body


async def test_17_a_frozen_leader_acts_late_and_changes_nothing() -> None:
    frozen, thawed = asyncio.Event(), asyncio.Event()

    class Freezing(FakeGateway):
        async def send(self, request: Request) -> Response:
            response = await FakeGateway.send(self, request)
            if request.body and not frozen.is_set():
                frozen.set()
                await thawed.wait()
            return response

    world = World(gateway=Freezing())
    (item_id,) = await enqueue(world)
    late = asyncio.create_task(world.queue.sync())
    await frozen.wait()
    second = world.open("second")
    world.tabs.steal = True
    await second.sync()
    settled = await second.get(item_id)
    thawed.set()
    await late
    assert await second.get(item_id) == settled
    assert settled.state is State.COMPLETED
    assert world.gateway.inbox == [item_id]


async def test_17_of_two_that_claim_the_same_row_only_one_sends() -> None:
    """Without a lock between them: the row's revision is the authority (invariant 5)."""
    world = World()
    ids = await enqueue(world, 3)
    world.tabs = LocalTabs()
    await asyncio.gather(world.queue.sync(), world.open("second").sync())
    sent = [r.body for r in world.gateway.requests if r.url.endswith("/operations")]
    assert len(sent) == 1
    assert world.gateway.inbox == ids


async def test_18_sqlite_syncs_each_commit_to_the_disk(tmp_path: Path) -> None:
    world = await sqlite_world(tmp_path)
    assert isinstance(world.store, SqliteStore)
    found = await world.store._thread.read(
        lambda db: [
            db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")
        ]
    )
    assert found == ["wal", 2]  # 2: FULL
    await world.store.close()


async def test_21_files_are_not_in_the_rows(tmp_path: Path) -> None:
    world = await sqlite_world(tmp_path)
    attachment = await world.attach(parts=3, size=100_000)
    (item_id,) = await enqueue(world, attachments=[attachment])
    await world.queue.sync()
    assert (await world.queue.get(item_id)).state is State.COMPLETED
    with sqlite3.connect(tmp_path / "queue.db") as other:
        (row,) = other.execute("SELECT * FROM items").fetchall()
    other.close()
    assert sum(len(str(value)) for value in row) < 4_000
    await world.store.close()


async def test_25_room_is_known_by_writing_and_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    world = await sqlite_world(tmp_path, max_bytes=400_000)
    saved: list[str] = []
    with pytest.raises(StorageFull):  # noqa: PT012 - the loop ends with it
        for _ in range(2_000):
            saved += await enqueue(world)
    assert len(saved) > 10
    await world.store.close()
    world = await sqlite_world(tmp_path)
    await world.settle()
    assert sorted(world.gateway.inbox) == sorted(saved)
    await world.store.close()


@pytest.mark.parametrize("used", [1_000, 10**6, 10**12])
def test_26_a_thousand_attempts_overflow_nothing(used: int) -> None:
    for policy in (*PRESETS.values(), RetryPolicy(1, 10.0), RetryPolicy(1_000, 1.0)):
        for fraction in (0.0, 0.999999):
            assert 1 <= policy.delay_ms(used, fraction) <= DELAY_MS_MAX


async def test_28_a_later_version_sends_the_bytes_that_may_have_arrived() -> None:
    class Newer(GatewayDestination):
        def intent(self, item: Any, body: bytes, manifests: Any) -> bytes:
            rendered = json.loads(GatewayDestination.intent(self, item, body, manifests))
            return json.dumps({**rendered, "rendered_by": "2"}).encode()

    world = World()
    world.gateway.faults = [lose_answer]
    (item_id,) = await enqueue(world)
    await world.queue.sync()
    world.restart()
    host = Host(world.store, world.gateway, world.clock, world.entropy, world.link, world.tabs)
    newer = Queue(host, Newer("https://post.example/", DEVICE), owner="newer")
    await newer.sync()
    sent = [r.body for r in world.gateway.requests if r.url.endswith("/operations")]
    assert (len(sent), len(set(sent)), world.gateway.inbox) == (2, 1, [item_id])


# --- the table above -----------------------------------------------------------------------------


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_number_is_proved_or_named_as_missing() -> None:
    assert __doc__ is not None
    table = re.findall(r"^(\d\d)  (\S+)::([\w*]+)$", __doc__, re.MULTILINE)
    for number, path, name in table:
        found = fnmatch.filter(functions(ROOT / path), name)
        assert any(one.startswith("test_") for one in found), f"{number}: no {path}::{name}"
    elsewhere = re.findall(r"\b\d\d\b", __doc__.partition("Not here:")[2])
    here = [name[5:7] for name in functions(Path(__file__)) if re.match(r"test_\d\d_", name)]
    proved = {number for number, _, _ in table} | set(here)
    assert not proved & set(elsewhere)
    assert proved | set(elsewhere) == {f"{n:02}" for n in NUMBERS}

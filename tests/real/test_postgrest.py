"""The PostgREST adapter on a real PostgreSQL, behind the front that `fieldpost.testing` has, which
the official client for Python speaks to as well."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import postgrest
import psycopg
import pytest
from tests.destinations.world import MINUTE, World
from tools.postgres import PostgresServer

from fieldpost.destinations.postgrest import (
    EVENTS_CONFLICT,
    EVENTS_MAP,
    PostgREST,
)
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.credentials import CredentialTransport, bearer
from fieldpost.hosts.cpython.transport_http import HttpTransport
from fieldpost.ports import NoAnswer, Request, Response, Upload
from fieldpost.testing.postgrest_front import PostgrestFront
from fieldpost.testing.vendors.postgrest import FakePostgREST

pytestmark = pytest.mark.full

URL = "http://front.test/rest/v1"
JWT = "jwt-of-ana"
CALL = {
    "line": "1",
    "number": "+4930123",
    "time": "2025-06-15T12:00:00Z",
    "direction": "incoming",
    "duration": 31,
}

#: As in docs/destinations/postgrest.md. Without the right to select what ``on_conflict`` names, and
#: a policy that shows the new row, PostgreSQL refuses each INSERT.
TABLES = """
create role anon; create role authenticated;
create table items (
  id uuid primary key, captured_at bigint not null, summary text not null
    check (length(summary) < 100), description text, severity text default 'medium',
  category text, user_name text, user_email text, rating int, comment text, user_id text);
alter table items enable row level security;
create policy mine on items for insert to authenticated with check (summary not like 'secret%');
create policy shown on items for select to authenticated using (true);
grant insert, select (id) on items to authenticated;
create table call_events (
  id uuid primary key default gen_random_uuid(),
  line_id text not null, ts timestamptz not null, number text not null default '',
  direction smallint not null, duration_s int not null default 0, kind text not null,
  unique (line_id, ts, number, direction, kind, duration_s));
create function call_events_snap() returns trigger language plpgsql as $$
declare d int; begin
  perform pg_advisory_xact_lock(hashtextextended(
    new.line_id||'|'||extract(epoch from new.ts)||'|'||new.number||'|'||new.direction, 0));
  select duration_s into d from call_events where line_id = new.line_id and ts = new.ts
    and number = new.number and direction = new.direction and kind = new.kind
    and abs(duration_s - new.duration_s) <= 1
    order by abs(duration_s - new.duration_s), duration_s limit 1;
  if found then new.duration_s := d; end if;
  return new; end $$;
create trigger snap before insert on call_events for each row execute function call_events_snap();
grant insert, select on call_events to authenticated;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    made = PostgresServer().start()
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        connection.execute(TABLES)
    yield made
    made.stop()


@pytest.fixture
def front(server: PostgresServer) -> PostgrestFront:
    with psycopg.connect(server.dsn) as connection:
        connection.execute("truncate items, call_events")
    return PostgrestFront(server.dsn, {JWT: "authenticated"}, "anon")


class Line:
    """The transport; ``losses``: answers to be lost after the server acted."""

    def __init__(self, inner: Any):
        self._inner = inner
        self.losses = 0
        self.rows: list[int] = []

    async def send(self, request: Request) -> Response:
        response: Response = await self._inner.send(request)
        if request.method == "POST":
            self.rows.append(len(json.loads(request.body)))
            if self.losses:
                self.losses -= 1
                raise NoAnswer("network")
        return response

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        raise NotImplementedError

    async def send_file(self, upload: Upload) -> Response:
        raise NotImplementedError


class RealWorld(World):
    def __init__(self, front: PostgrestFront, **named: Any):
        told = {"url": URL, "table": "items", "credential": "supabase", **named}
        adapter = PostgREST(**told)
        super().__init__(lambda clock: (adapter, FakePostgREST(now=clock.now), {}))
        self.front = front
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(front))
        self.credentials = {"supabase": bearer(JWT)}
        inner = CredentialTransport(HttpTransport(self.store, self.client), self.credentials)
        self.line = Line(inner)
        self.open(self.line)


def rows(server: PostgresServer, asked: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.dsn) as connection:
        return connection.execute(asked).fetchall()


@pytest.fixture
async def world(front: PostgrestFront) -> AsyncIterator[RealWorld]:
    made = RealWorld(front)
    yield made
    await made.client.aclose()


@pytest.mark.parametrize("losses", [0, 1, 3])
async def test_each_item_is_one_row_also_when_answers_are_lost(
    server: PostgresServer, world: RealWorld, losses: int
) -> None:
    world.line.losses = losses
    tickets = [await world.add() for _ in range(230)]
    bare = (await world.queue.enqueue("ticket", {"summary": "Belt"})).id
    await world.settle()
    assert {await world.state(each) for each in [*tickets, bare]} == {State.COMPLETED}
    found = rows(server, "select id::text, severity from items")
    assert sorted(id_ for id_, _ in found) == sorted([*tickets, bare])
    # One column fewer than the others beside it: the table's own default stands there.
    assert dict(found)[bare] == "medium"


@pytest.mark.parametrize(
    ("poison", "said"),
    [
        ({"summary": "nul \x00"}, "Unicode"),
        ({"summary": "x" * 150}, "check constraint"),
        ({"summary": "secret"}, "row-level security"),
    ],
)
async def test_what_the_database_refuses_is_alone_a_dead_letter(
    server: PostgresServer, world: RealWorld, poison: dict[str, Any], said: str
) -> None:
    good = [await world.add() for _ in range(60)]
    bad = await world.add(**poison)
    more = [await world.add() for _ in range(39)]
    await world.settle(60 * MINUTE)
    assert {await world.state(each) for each in good + more} == {State.COMPLETED}
    assert await world.state(bad) is State.FAILED
    assert said in json.dumps((await world.detail(bad))["history"])
    assert rows(server, "select count(*) from items") == [(99,)]


async def test_a_sign_in_that_is_not_taken_and_one_that_may_not(
    server: PostgresServer, world: RealWorld
) -> None:
    world.credentials["supabase"] = bearer("jwt-of-nobody")
    ticket = await world.add()
    await world.settle(4 * MINUTE)
    assert await world.state(ticket) is State.PENDING
    world.credentials["supabase"] = bearer(JWT)
    await world.settle()
    assert await world.state(ticket) is State.COMPLETED


async def test_a_table_that_comes_later(server: PostgresServer, front: PostgrestFront) -> None:
    made = RealWorld(front, table="later")
    ticket = (await made.queue.enqueue("ticket", {"summary": "Belt"})).id
    await made.settle(12 * MINUTE)
    assert await made.state(ticket) is State.PENDING
    with psycopg.connect(server.dsn) as connection:
        connection.execute(
            "create table later (id uuid primary key, captured_at bigint, summary text)"
        )
        connection.execute("grant insert, select (id) on later to authenticated")
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED
    with psycopg.connect(server.dsn) as connection:
        connection.execute("drop table later")


async def test_a_right_that_is_missing_holds_everything_and_dead_letters_nothing(
    server: PostgresServer, world: RealWorld
) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute("revoke select (id) on items from authenticated")
    tickets = [await world.add() for _ in range(5)]
    await world.settle(12 * MINUTE)
    assert {await world.state(each) for each in tickets} == {State.PENDING}
    lane = (await world.queue.status())["lanes"]["postgrest"]
    assert "permission denied for table items" in json.dumps(lane)
    with psycopg.connect(server.dsn) as connection:
        connection.execute("grant select (id) on items to authenticated")
    await world.settle()
    assert {await world.state(each) for each in tickets} == {State.COMPLETED}


async def test_a_statement_that_takes_too_long_goes_in_smaller_ones(
    server: PostgresServer, world: RealWorld
) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute(
            "create function slow() returns trigger language plpgsql as"
            " $$ begin perform pg_sleep(0.01); return new; end $$;"
            "create trigger slow before insert on items for each row execute function slow()"
        )
    world.front.statement_timeout_ms = 400
    try:
        tickets = [await world.add() for _ in range(100)]
        await world.settle(60 * MINUTE)
        assert {await world.state(each) for each in tickets} == {State.COMPLETED}
        assert world.line.rows[0] == 100
    finally:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("drop trigger slow on items; drop function slow")


async def test_events_are_the_same_within_a_second(
    server: PostgresServer, front: PostgrestFront
) -> None:
    made = RealWorld(front, table="call_events", fields=EVENTS_MAP, conflict=EVENTS_CONFLICT)
    calls = []
    # One after the other, as several sources tell of them: within a second they are one call.
    for duration in (31, 32, 30, 33, 31):
        calls.append(
            await made.queue.enqueue(
                "call", {**CALL, "duration": duration}, unique_key=f"c{duration}{len(calls)}"
            )
        )
        await made.settle()
    await made.queue.enqueue("call", {**CALL, "duration": 31, "direction": "missed"})
    await made.settle()
    assert {await made.state(each.id) for each in calls} == {State.COMPLETED}
    found = rows(server, "select direction, duration_s from call_events order by 1, 2")
    assert found == [(1, 31), (1, 33), (3, 31)]


async def test_two_who_tell_of_a_call_at_once_make_one_event(
    server: PostgresServer, front: PostgrestFront
) -> None:
    """The second waits for the first, and then sees its row."""
    insert = (
        "insert into call_events (line_id, ts, number, direction, duration_s, kind)"
        " values ('1', '2025-06-15T12:00:00Z', '+49', 1, %s, 'call') on conflict"
        " (line_id, ts, number, direction, kind, duration_s) do nothing"
    )
    with psycopg.connect(server.dsn) as one, psycopg.connect(server.dsn) as other:
        one.execute(insert, (31,))
        loop = asyncio.get_running_loop()
        waiting = loop.run_in_executor(None, other.execute, insert, (32,))  # begins at once
        locks = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        until = time.monotonic() + 30
        while rows(server, locks) == [(0,)]:  # the server tells nobody that one waits
            assert time.monotonic() < until
            time.sleep(0.01)
        assert not waiting.done()
        one.commit()
        await waiting
        other.commit()
    assert rows(server, "select duration_s from call_events") == [(31,)]


async def test_the_official_client_finds_the_front_to_be_postgrest(
    server: PostgresServer, front: PostgrestFront
) -> None:
    """What the adapter relies on, asked for by somebody else's code."""
    http = httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url=URL)
    client = postgrest.AsyncPostgrestClient(
        URL, headers={"Authorization": f"Bearer {JWT}"}, http_client=http
    )
    event = {
        "line_id": "1",
        "ts": "2025-06-15T12:00:00Z",
        "number": "+49",
        "direction": 1,
        "kind": "call",
        "duration_s": 10,
    }
    key = ",".join(EVENTS_CONFLICT)
    table = client.from_("call_events")
    first = await table.upsert([event], ignore_duplicates=True, on_conflict=key).execute()
    assert [row["duration_s"] for row in first.data] == [10]
    near = {**event, "duration_s": 11}
    again = await table.upsert([near], ignore_duplicates=True, on_conflict=key).execute()
    assert again.data == []
    shown = await table.select("number,duration_s").eq("line_id", "1").execute()
    assert shown.data == [{"number": "+49", "duration_s": 10}]
    with pytest.raises(postgrest.APIError) as refused:
        await table.insert([{**event, "direction": None}]).execute()
    assert refused.value.code == "23502"
    with pytest.raises(postgrest.APIError) as refused:
        await client.from_("nothing").insert([event]).execute()
    assert refused.value.code == "PGRST205"
    await http.aclose()

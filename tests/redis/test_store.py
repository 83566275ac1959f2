"""What only a Redis server can show: durability asked for, keys, schema, full memory, lost answers,
kills, other processes, and that nothing costs more because much is queued."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from tests.redis.cutting import Cutting
from tools.servers import RedisServer

from fieldpost.engine.errors import (
    ConfigError,
    DatabaseError,
    DecryptionError,
    QueueError,
    SchemaTooNew,
    StorageFull,
)
from fieldpost.engine.model import Attachment, Capture
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.keyring import Key, KeyRing
from fieldpost.ports import Commit, Manifest, Put, Refused, Unique
from fieldpost.stores.redis_link import Place
from fieldpost.stores.redis_store import RedisStore
from fieldpost.testing.storecontract.support import (
    NOW,
    Journalled,
    add,
    check,
    ids,
    new,
    one,
    problems,
    rows,
    snapshot,
    uid,
    update,
)

pytestmark = pytest.mark.full

MARKER = "MARKER-7f3a-Ölpumpe"
INDEX = Key("i1-00000009", "index", bytes(32), 1)


def data_key(n: int) -> Key:
    return Key(f"d1-{n:08x}", "data", bytes([n]) * 32, n)


@contextlib.asynccontextmanager
async def opened(url: str, ring: KeyRing, **more: Any) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(url, ring, **more)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def plain(url: str) -> AsyncIterator[Redis]:
    """The server as anybody sees it."""
    client = Redis.from_url(url.partition("?")[0])
    try:
        yield client
    finally:
        await client.aclose()


# --- durability -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "lax_too"),
    [
        ("appendonly", "no", True),
        ("appendfsync", "everysec", False),
        ("appendfsync", "no", True),
        ("no-appendfsync-on-rewrite", "yes", False),
        ("maxmemory-policy", "allkeys-lru", True),
    ],
)
async def test_a_server_that_may_lose_is_refused(
    setting: str, value: str, lax_too: bool, own: RedisServer, ring: KeyRing
) -> None:
    """The error names the setting; the loss of a second can be accepted, more cannot."""
    async with plain(own.url()) as client:
        await client.config_set(setting, value)
        with pytest.raises(ConfigError) as caught:
            await RedisStore.open(own.url(), ring)
        assert setting in caught.value.message
        assert setting in caught.value.fields
        lax = own.url(more="&ack_loss=1s")
        if lax_too:
            with pytest.raises(ConfigError):
                await RedisStore.open(lax, ring)
            assert await client.keys() == []
        else:
            async with opened(lax, ring) as store:
                assert store.durability == "everysec"
                await add(store, new(1))


async def test_durability_of_a_good_server(url: str, ring: KeyRing) -> None:
    async with opened(url, ring) as store:
        assert store.durability == "always"
    async with opened(url, ring, ack_loss="1s") as store:
        assert store.durability == "always"
    with pytest.raises(ConfigError):
        await RedisStore.open(url, ring, ack_loss="5s")


async def test_a_server_that_does_not_tell(own: RedisServer, ring: KeyRing) -> None:
    """As managed ones do: whoever takes it anyway has said so."""
    own.stop()
    own.settings["rename-command"] = "CONFIG no-config"
    own.start()
    with pytest.raises(ConfigError) as caught:
        await RedisStore.open(own.url(), ring)
    assert "CONFIG" in caught.value.message
    async with opened(own.url(more="&ack_loss=1s"), ring) as store:
        assert store.durability == "unknown"
        await add(store, new(1))


async def test_a_server_that_comes_back_set_otherwise(own: RedisServer, ring: KeyRing) -> None:
    async with opened(own.url(), ring) as store:
        await add(store, new(1))
        own.stop()
        with pytest.raises(DatabaseError):
            await store.counters()
        own.settings["appendfsync"] = "everysec"
        own.start()
        with pytest.raises(ConfigError):
            await add(store, new(2))
        own.stop()
        own.settings["appendfsync"] = "always"
        own.start()
        assert [row.item.id for row in await rows(store)] == ids(1)


@pytest.mark.parametrize(
    "url", ["http://host", "redis://host?queue=a b", "redis://host?ack_loss=2s", "redis://h:x/0"]
)
async def test_a_url_that_is_none(url: str, ring: KeyRing) -> None:
    with pytest.raises(ConfigError):
        await RedisStore.open(url, ring)


def test_a_place_does_not_show_its_password() -> None:
    place = Place.of("redis://:secret@host/3?queue=north&socket_timeout=4")
    assert "secret" not in repr(place)
    assert (place.queue, place.prefix) == ("north", "{fieldpost:north}")
    assert place.url == "redis://:secret@host/3?socket_timeout=4"


# --- what lies in the server ----------------------------------------------------------------------


async def test_sealed_in_the_server(own: RedisServer, ring: KeyRing) -> None:
    """Invariant 7: nothing of what people wrote lies in clear in its files."""
    async with opened(own.url(), ring) as store:
        secret = MARKER.encode()
        parts: dict[str, bytes | None] = dict.fromkeys(("head", "body", "intent"), secret)
        marks = dict.fromkeys(("entity", "fingerprint", "natural_key", "owner"), MARKER)
        put = Put(new(1).item, parts, marks, insert=True)
        await store.commit(Commit(puts=(put,), side={("t", "k"): MARKER}))
        await store.capture(Capture(uid(2), NOW, b'{"kind":"' + secret + b'"}'))
        await store.put_part(uid(3), 1, secret)
        await store.put_manifest(Manifest(uid(3), MARKER, MARKER, 1, (MARKER,), NOW))
        await store.commit(Commit(expect=(Unique("entity", "other"),)))
    files = [file for file in own.folder.rglob("*") if file.is_file()]
    found = b"".join(file.read_bytes() for file in files)
    assert len(found) > 2000
    assert b"MARKER" not in found


async def test_one_hash_tag(url: str, ring: KeyRing) -> None:
    """Every key of a queue is in one slot of a cluster."""
    async with opened(url, ring) as store, plain(url) as client:
        await Journalled(store).commit(
            new(
                1, marks={"owner": "a", "fingerprint": "f"}, attachments=(Attachment(uid(3), 1, 1),)
            )
        )
        await store.put_part(uid(3), 1, b"x")
        await store.capture(Capture(uid(2), NOW, b"{}"))
        await store.commit(Commit(side={("t", "k"): "1"}))
        tag = Place.of(url).prefix
        keys = [key async for key in client.scan_iter(match=f"{tag}*")]
        assert len(keys) > 10
        assert len({key_slot(key) for key in keys}) == 1


async def test_other_keys_than_the_queues(url: str) -> None:
    """Processes with another index key would find no mark; they do not get as far as that."""
    other_index = Key("i1-00000008", "index", bytes([8]) * 32, 1)
    async with opened(url, KeyRing([data_key(1), INDEX])):
        with pytest.raises(ConfigError) as caught:
            await RedisStore.open(url, KeyRing([data_key(1), other_index]))
        assert "keys" in caught.value.fields


async def test_a_data_key_that_is_missing(url: str) -> None:
    async with opened(url, KeyRing([data_key(1), INDEX])) as store:
        await add(store, new(1, head=b"secret"))
        await store.capture(Capture(uid(2), NOW, b"{}"))
    async with opened(url, KeyRing([data_key(2), INDEX])) as store:
        for call in (store.get(ids(1), ["head"]), store.captures(1)):
            with pytest.raises(DecryptionError):
                await call
        await store.capture(Capture(uid(3), NOW, b"{}"))
        assert [c.id for c in await store.captures(10)] == ids(3)


async def test_a_new_data_key(url: str) -> None:
    """Rows sealed before stay readable; one that gets a new part is sealed anew as a whole, also
    when one commit writes it several times."""
    async with opened(url, KeyRing([data_key(1), INDEX])) as store:
        made = await add(store, *(new(n, head=b"%d" % n) for n in (1, 2, 3)))
        await add(store, Put(made[2], {"body": b"gone", "links": b"kept"}))
    async with opened(url, KeyRing([data_key(1), data_key(2), INDEX])) as store:
        row = (await one(store, 1)).item
        third = (await one(store, 3)).item
        row, *_, third = await add(
            store,
            Put(row, {"intent": b"i"}),
            Put(third, {"body": None}),
            Put(third.changed(revision=3, priority=9)),
            Put(third.changed(revision=4), {"intent": b"i"}),
            Put(third.changed(revision=5), {"head": b"new"}),
        )
        kept = await update(store, (await one(store, 2)).item, priority=9)
        assert (row.kid, kept.kid, third.kid) == ("d1-00000002", "d1-00000001", "d1-00000002")
        stale = Put(kept.changed(revision=1), {"intent": b"i"})
        with pytest.raises(Refused):
            await add(store, stale)
    async with opened(url, KeyRing([data_key(2), INDEX])) as store:
        parts = ("head", "body", "intent", "links")
        assert (await one(store, 1, *parts)).parts == {"head": b"1", "intent": b"i"}
        expected = {"head": b"new", "intent": b"i", "links": b"kept"}
        assert (await one(store, 3, *parts)).parts == expected
        await check(store)


async def test_a_newer_schema_is_not_touched(url: str, ring: KeyRing) -> None:
    """Invariant 9, at the start and under a store that is open already."""
    async with opened(url, ring) as store, plain(url) as client:
        (row,) = await add(store, new(1))
        before = await snapshot(store)
        await client.hset(f"{Place.of(url).prefix}:meta", "schema", "2")
        for call in (
            add(store, new(2)),
            update(store, row, priority=1),
            store.capture(Capture(uid(3), NOW, b"{}")),
            store.put_part(uid(4), 1, b"x"),
            RedisStore.open(url, ring),
        ):
            with pytest.raises(SchemaTooNew):
                await call
        assert await snapshot(store) == before


async def test_fields_of_a_later_version_stay(url: str, ring: KeyRing) -> None:
    async with opened(url, ring) as store, plain(url) as client:
        (row,) = await add(store, new(1, head=b"h"))
        key = f"{Place.of(url).prefix}:i:{uid(1)}"
        await client.hset(key, "mood", "calm")
        await update(store, row, priority=8)
        assert await client.hget(key, "mood") == b"calm"
        assert (await one(store, 1, "head")).parts == {"head": b"h"}


async def test_a_server_that_was_emptied(own: RedisServer, ring: KeyRing) -> None:
    """An open store does not begin another queue in its place without a word."""
    async with opened(own.url(), ring) as store, plain(own.url()) as client:
        await add(store, new(1))
        await client.flushall()
        for call in (add(store, new(2)), store.capture(Capture(uid(3), NOW, b"{}"))):
            with pytest.raises(DatabaseError):
                await call
        with pytest.raises(DatabaseError):
            await store.counters()
        assert await client.keys() == []


async def test_full(own: RedisServer, ring: KeyRing) -> None:
    """A commit that does not fit is told so and leaves nothing; what frees room goes on."""
    async with opened(own.url(), ring) as store, plain(own.url()) as client:
        made = await add(store, *(new(n, head=b"h") for n in range(1, 21)))
        before = await store.counters()
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", used // 2)
        big = Put(new(100).item, {"body": os.urandom(60_000)}, insert=True)
        for call in (
            add(store, big),
            update(store, made[0], priority=9),
            store.put_part(uid(3), 1, bytes(1 << 20)),
            store.capture(Capture(uid(400), NOW, b"{}")),
            store.commit(Commit(side={("t", "k"): "1"})),
        ):
            with pytest.raises(StorageFull) as caught:
                await call
            assert "Redis" in caught.value.message
        assert await store.counters() == before
        assert await store.part(uid(3), 1) is None
        await check(store)
        await store.commit(Commit(drop=tuple(ids(*range(1, 11)))))
        await client.config_set("maxmemory", 0)
        await add(store, big)
        await check(store)


# --- answers that do not come ---------------------------------------------------------------------


async def test_a_lost_answer_is_not_known(own: RedisServer, ring: KeyRing) -> None:
    """The commit happened, its answer was cut off: it is told as not known and not sent again; the
    same record again is recognised."""
    async with Cutting(own.port) as line, opened(line.url(own), ring) as store:
        log = Journalled(store)
        await log.commit(new(1))
        commit = Commit(puts=(new(2),), journal=log.record(new(2)))
        line.cut_answers = True
        with pytest.raises(DatabaseError):
            await store.commit(commit)
        line.cut_answers = False
        assert line.cut == 1
        assert [row.item.id for row in await rows(store)] == ids(1, 2)
        with pytest.raises(DatabaseError) as caught:
            await store.commit(commit)
        assert "before" in caught.value.message
        assert (await store.counters())["journal"] == 2
        log.writer.advance(commit.journal)
        await log.commit(new(3))
        await check(store)
        assert await problems(store) == []


async def test_a_request_that_did_not_arrive(own: RedisServer, ring: KeyRing) -> None:
    async with Cutting(own.port) as line, opened(line.url(own), ring) as store:
        log = Journalled(store)
        await log.commit(new(1))
        commit = Commit(puts=(new(2),), journal=log.record(new(2)))
        line.cut_requests = True
        with pytest.raises(DatabaseError):
            await store.commit(commit)
        line.cut_requests = False
        assert [row.item.id for row in await rows(store)] == ids(1)
        await store.commit(commit)
        assert (await store.counters())["journal"] == 2
        await check(store)


async def test_a_record_of_another_commit_is_not_taken_twice(url: str, ring: KeyRing) -> None:
    async with opened(url, ring) as store:
        log = Journalled(store)
        await log.commit(new(1))
        await log.commit(new(2))
        log.writer.k -= 1
        with pytest.raises(DatabaseError):
            await log.commit(new(3))
        assert [row.item.id for row in await rows(store)] == ids(1, 2)


async def test_no_server(own: RedisServer, ring: KeyRing) -> None:
    async with opened(own.url(), ring) as store:
        await add(store, new(1))
        own.stop()
        for call in (add(store, new(2)), store.counters(), store.get(ids(1))):
            with pytest.raises(DatabaseError):
                await call
        with pytest.raises(DatabaseError):
            await RedisStore.open(own.url(), ring)
        own.start()  # an open store goes on with it
        await add(store, new(3))
        assert [row.item.id for row in await rows(store)] == ids(1, 3)


async def test_a_caller_that_goes_away(url: str, ring: KeyRing) -> None:
    """Its commit happens or not, whole; the store goes on."""
    async with opened(url, ring) as store:
        for n in range(1, 20):
            task = asyncio.create_task(add(store, new(n)))
            for _ in range(n % 7):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await add(store, new(50))
        await check(store)


async def test_scripts_that_the_server_forgot(url: str, ring: KeyRing) -> None:
    async with opened(url, ring) as store, plain(url) as client:
        await add(store, new(1))
        await client.script_flush()
        await add(store, new(2))
        await check(store)


@pytest.mark.parametrize("seed", range(3))
async def test_a_killed_server_keeps_what_it_acknowledged(
    seed: int, own: RedisServer, ring: KeyRing
) -> None:
    """Invariant 2: SIGKILL in the middle of commits, and a restart from its log: every commit that
    was acknowledged is there whole, and none by half."""
    acknowledged: set[str] = set()
    enough = asyncio.Event()

    async def work(log: Journalled, numbers: Iterator[int], goal: int) -> None:
        """Two rows a commit, until the server is gone."""
        while True:
            pair = (next(numbers), next(numbers))
            await log.commit(*(new(n, head=b"h") for n in pair))
            acknowledged.update(ids(*pair))
            if len(acknowledged) >= goal:
                enough.set()

    async with opened(own.url(), ring) as store:
        for life in range(3):
            numbers = itertools.count(1 + 100_000 * life)
            goal = len(acknowledged) + 100 + 37 * seed
            enough.clear()
            working = [
                asyncio.create_task(work(Journalled(store, f"w{w}-{life}"), numbers, goal))
                for w in range(8)
            ]
            await enough.wait()
            own.kill()
            done = await asyncio.gather(*working, return_exceptions=True)
            assert all(isinstance(error, DatabaseError) for error in done)
            own.start()
            there = {row.item.id for row in await rows(store)}
            assert acknowledged <= there
            assert len(there) % 2 == 0
            await check(store)
            assert await problems(store) == []


# --- several at once, and much --------------------------------------------------------------------


async def test_two_stores_on_one_queue(url: str, ring: KeyRing) -> None:
    """Each sees the other's commits; of two claims of a row one is refused."""
    async with opened(url, ring) as one_, opened(url, ring) as two:
        for n in range(1, 40):
            await add((one_, two)[n % 2], new(n))
        found = [stored.item for stored in await two.ready("inbox", 50)]
        assert [row.sequence for row in found] == list(range(1, 40))
        claims = [
            store.commit(Commit(puts=(Put(row.changed(ready=False)),)))
            for row in found
            for store in (one_, two)
        ]
        done = await asyncio.gather(*claims, return_exceptions=True)
        assert sum(isinstance(result, Refused) for result in done) == 39
        assert not any(isinstance(result, QueueError) for result in done)
        await check(one_)


async def test_bytes_that_come_after_their_row(url: str, ring: KeyRing) -> None:
    """They are no orphans, whatever is put again; they are when the row lets go of them."""
    async with opened(url, ring) as store:
        (row,) = await add(store, new(1, attachments=(Attachment(uid(60), 1, 2),)))
        manifest = Manifest(uid(60), "f", "", 1, ("qqo=",), NOW)
        await store.put_part(uid(60), 1, b"x")
        await store.put_manifest(manifest)
        await store.put_part(uid(60), 2, b"y")
        assert await store.orphans(NOW + 10, 10) == []
        await update(store, row, attachments=())
        assert await store.orphans(NOW + 10, 10) == [uid(60)]
        await store.put_manifest(replace(manifest, at=NOW + 20))
        assert await store.orphans(NOW + 10, 10) == []
        assert await store.orphans(NOW + 21, 10) == [uid(60)]


async def test_queues_on_one_server_are_apart(shared: RedisServer, ring: KeyRing) -> None:
    one_url, two_url = shared.url("apart"), shared.url("apart2")
    async with opened(one_url, ring) as one_, opened(two_url, ring) as two:
        await add(one_, new(1))
        assert await rows(two) == []
        await add(two, new(1), new(2))
        assert [row.item.id for row in await rows(one_)] == ids(1)


async def commands(client: Redis) -> int:
    """How many commands the server has run, those of scripts counted in."""
    stats = await client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name.startswith("cmdstat_"))


async def test_what_is_queued_behind_costs_nothing(own: RedisServer, ring: KeyRing) -> None:
    """A drain's reads and commits run as many commands in a deep queue as in a shallow one."""
    costs = []
    for depth in (300, 3_000):
        url = own.url(f"deep{depth}")
        async with opened(url, ring) as store, plain(url) as client:
            await add(store, *(new(n, head=b"h") for n in range(depth)))
            later = (new(50_000 + n, ready=False, due_at=NOW + n) for n in range(depth))
            await add(store, *later)
            marks = {"fingerprint": "f", "owner": "ann", "entity": "e"}
            await add(store, new(90_000, ready=False, marks=marks))
            await store.ready("inbox", 1)  # the scripts are known from here on
            before = await commands(client)
            found = await store.ready("inbox", 10, ("head",))
            await store.ready_keys("inbox", 10)
            await store.waiting("inbox", NOW + 5, 10**9, 10)
            await store.next_due("inbox")
            await store.page([State.PENDING, State.FAILED], limit=10, newest_first=True)
            await store.expired(NOW, 10)
            await store.counters()
            claims = [row.item.changed(state=State.IN_PROGRESS, ready=False) for row in found]
            claimed = await add(store, *map(Put, claims))
            await add(store, *(Put(row.changed(state=State.COMPLETED)) for row in claimed))
            await store.commit(
                Commit(expect=(Unique("entity", "x"), Unique("fingerprint", "x", 1)))
            )
            costs.append(await commands(client) - before)
    assert costs[0] == costs[1]
    assert costs[0] < 300

"""The lanes' locks and messages over Redis, among several processes (here: several tabs)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from tools.servers import RedisServer

from fieldpost.engine.errors import DatabaseError
from fieldpost.hosts.cpython.redis_tabs import RedisTabs
from fieldpost.ports import Leadership
from fieldpost.stores.redis_link import Place

pytestmark = pytest.mark.full

#: Long enough for any loaded machine: nothing here waits for it to pass.
LONG = 60_000


class Ticking:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def on(url: str, clock: Any = None) -> AsyncIterator[RedisTabs]:
    tabs = RedisTabs(Place.of(url)) if clock is None else RedisTabs(Place.of(url), clock)
    try:
        yield tabs
    finally:
        await tabs.close()


class Leading:
    """Holds a lock until it is let go."""

    def __init__(self, tabs: RedisTabs, *, lane: str = "a", wait: int = 0, steal: int = LONG):
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.leadership: Leadership
        lead = tabs.lead(self._work, lane=lane, wait_ms=wait, steal_after_ms=steal)
        self.task = asyncio.create_task(lead)

    async def _work(self, leadership: Leadership) -> None:
        self.leadership = leadership
        self.began.set()
        await self.go.wait()

    async def begun(self) -> Leadership:
        await asyncio.wait_for(self.began.wait(), 30)
        return self.leadership

    async def end(self) -> bool:
        self.go.set()
        return await self.task


async def test_one_leader_a_lane(url: str) -> None:
    async with on(url) as one, on(url) as two:
        first = Leading(one)
        held = await first.begun()
        assert (held.stolen, held.lost) == (False, False)
        assert await Leading(two).task is False
        assert await Leading(one).task is False
        other_lane = Leading(two, lane="b")
        await other_lane.begun()
        assert await first.end()
        again = Leading(two)
        assert (await again.begun()).stolen is False
        assert await again.end()
        assert await other_lane.end()


async def test_whoever_waits_gets_it_when_it_is_given_back(url: str) -> None:
    """By the message, long before any time runs out."""
    async with on(url) as one, on(url) as two:
        first = Leading(one)
        await first.begun()
        second = Leading(two, wait=LONG)
        asked = asyncio.create_task(second.begun())
        done, _ = await asyncio.wait({asked}, timeout=0.3)
        assert not done
        await first.end()
        assert (await asked).stolen is False
        assert await second.end()


async def test_whoever_waits_hears_of_what_was_freed_before_it_listened(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asked, was refused, and the lock was given back, all before the server took note of whom
    to tell."""
    async with on(url) as one, on(url) as two:
        first = Leading(one)
        await first.begun()
        told = asyncio.Event()
        pubsub = two._link.client.pubsub

        def slow(**options: Any) -> Any:
            line = pubsub(**options)
            subscribe = line.subscribe

            async def subscribed(*channels: str) -> None:
                await told.wait()
                await subscribe(*channels)

            line.subscribe = subscribed
            return line

        monkeypatch.setattr(two._link.client, "pubsub", slow)
        second = Leading(two, wait=LONG)
        async with asyncio.timeout(30):
            while "a" not in two._watches:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # it is refused when it has a watch
        await first.end()
        told.set()
        assert (await second.begun()).stolen is False
        assert await second.end()


async def test_a_lease_that_ran_out_is_taken(url: str) -> None:
    """Its holder is frozen: when it wakes it knows by its own clock, before it asks anybody."""
    frozen = Ticking()
    async with on(url, frozen) as one, on(url) as two:
        first = Leading(one, steal=200)
        old = await first.begun()
        second = Leading(two, wait=LONG, steal=LONG)
        new = await second.begun()
        assert new.stolen
        frozen.now += 199
        assert not old.lost
        frozen.now += 1
        assert old.lost
        old.beat()
        assert old._beating is None, "there is nothing left to renew"  # type: ignore[attr-defined]
        assert await first.end()
        assert not new.lost
        assert await Leading(one).task is False, "the old one gave back nothing"
        assert await second.end()


async def test_a_beat_tells_of_another(url: str) -> None:
    """Where the holder's clock stood still with it."""
    async with on(url, Ticking()) as one, on(url) as two:
        first = Leading(one, steal=200)
        old = await first.begun()
        second = Leading(two, wait=LONG, steal=LONG)
        await second.begun()
        assert not old.lost
        old.beat()
        await old._beating  # type: ignore[attr-defined]
        assert old.lost
        await first.end()
        await second.end()


async def test_a_beat_keeps_it_and_tells_of_another(url: str) -> None:
    clock = Ticking()
    async with on(url, clock) as one, on(url) as two:
        first = Leading(one, steal=500)
        held = await first.begun()
        for _ in range(4):
            clock.now += 400
            held.beat()
            await held._beating  # type: ignore[attr-defined]
            assert not held.lost
        async with plain(url) as client:  # the server's clock jumped: the key is gone
            await client.delete(f"{Place.of(url).prefix}:lead:a")
        held.beat()
        await held._beating  # type: ignore[attr-defined]
        assert not held.lost, "nobody has had it since"
        async with plain(url) as client:
            await client.delete(f"{Place.of(url).prefix}:lead:a")
        second = Leading(two)
        assert (await second.begun()).stolen
        assert await second.end()
        held.beat()
        await held._beating  # type: ignore[attr-defined]
        assert held.lost, "another had it, and gave it back"
        await first.end()


async def test_a_still_beat_is_stolen_by_the_observers_clock(url: str) -> None:
    """The server's own clock stands (it went back): the key does not run out."""
    mine = Ticking()
    async with on(url) as one, on(url, mine) as two, plain(url) as client:
        first = Leading(one, steal=LONG)
        old = await first.begun()
        key = f"{Place.of(url).prefix}:lead:a"
        await client.persist(key)
        for _ in range(5):  # 25 s seen to be still, in looks of 5 s
            assert await Leading(two, steal=30_000).task is False
            mine.now += 5_000
        mine.now += 3_600_000  # a gap of this machine counts no more than 5 s
        assert await Leading(two, steal=35_000).task is False
        old.beat()
        await old._beating  # type: ignore[attr-defined]
        await client.persist(key)
        mine.now += 5_000
        assert await Leading(two, steal=5_000).task is False, "it has just beaten"
        mine.now += 5_000
        second = Leading(two, steal=5_000)
        assert (await second.begun()).stolen
        old.beat()
        await old._beating  # type: ignore[attr-defined]
        assert old.lost
        await first.end()
        assert not second.leadership.lost
        assert await Leading(one).task is False, "the old one gave back nothing"
        await second.end()


async def test_a_beat_that_comes_late_takes_nothing_back(url: str) -> None:
    """Given back is given back, whatever of its holder is still on the way."""
    async with on(url) as one:
        first = Leading(one)
        held: Any = await first.begun()
        await first.end()
        assert not await one.lock("beat", "a", held._owner, LONG, 9)
        assert await one.lock("take", "a", "x", LONG) is True


async def test_a_caller_that_goes_away_while_it_asks(url: str) -> None:
    async with on(url) as one, on(url) as two:
        for turns in range(1, 8):
            asking = Leading(one)
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking.task
            second = Leading(two, wait=LONG)
            await second.begun()
            assert await second.end()


async def test_work_that_fails_gives_it_back(url: str) -> None:
    async def work(_: Leadership) -> None:
        raise LookupError

    async with on(url) as one, on(url) as two:
        with pytest.raises(LookupError):
            await one.lead(work, lane="a", wait_ms=0, steal_after_ms=LONG)
        second = Leading(two)
        assert not (await second.begun()).stolen
        await second.end()


async def test_no_server(own: RedisServer) -> None:
    async with on(own.url()) as one:
        first = Leading(one, steal=LONG)
        await first.begun()
        own.stop()
        with pytest.raises(DatabaseError):
            await Leading(one, lane="b").task
        assert await first.end()  # the work is done; the lease runs out by itself
        own.start()


# --- messages -------------------------------------------------------------------------------------


class Heard:
    def __init__(self, tabs: RedisTabs) -> None:
        self.messages: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self.leave = tabs.subscribe(self._hear)

    def _hear(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self._news.set()

    @property
    def revisions(self) -> list[int]:
        """Those told of; 0 says only that the line stands."""
        return [m["revision"] for m in self.messages if m["revision"]]

    async def until(self, revision: int) -> None:
        async with asyncio.timeout(30):
            while not any(m["revision"] == revision for m in self.messages):
                self._news.clear()
                await self._news.wait()


async def listening(url: str, count: int) -> None:
    async with plain(url) as client, asyncio.timeout(30):
        channel = f"{Place.of(url).prefix}:changed"
        while (await client.pubsub_numsub(channel))[0][1] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the server tells nobody who listens


async def test_changed(url: str) -> None:
    """The others hear it, at most ten a second, the last one always; one's own at once and once."""
    async with on(url) as one, on(url) as two:
        mine, theirs = Heard(one), Heard(two)
        await listening(url, 2)
        began = asyncio.get_running_loop().time()
        for revision in range(1, 101):
            one.announce(revision)
            await asyncio.sleep(0.002)
        await theirs.until(100)
        took = asyncio.get_running_loop().time() - began
        assert mine.revisions == list(range(1, 101))
        told = theirs.revisions
        assert told == sorted(set(told))
        assert len(told) <= took / 0.1 + 2
        assert theirs.messages[-1] == {"type": "changed", "revision": 100}
        theirs.leave()
        two.announce(7)
        await mine.until(7)
        assert theirs.revisions == told


async def test_the_last_word_before_the_end(url: str) -> None:
    async with on(url) as one:
        heard = Heard(one)
        await listening(url, 1)
        two = RedisTabs(Place.of(url))
        two.announce(1)
        two.announce(2)
        await two.close()
        await heard.until(2)


async def test_a_line_that_was_cut_says_that_it_is_time_to_look(own: RedisServer) -> None:
    async with on(own.url()) as one:
        heard = Heard(one)
        await heard.until(0)
        heard.messages.clear()
        own.kill()
        own.start()
        await heard.until(0)
        async with on(own.url()) as two:
            two.announce(5)
            await heard.until(5)


@contextlib.asynccontextmanager
async def plain(url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(url.partition("?")[0])
    try:
        yield client
    finally:
        await client.aclose()

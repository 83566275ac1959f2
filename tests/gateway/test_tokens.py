"""Refresh tokens that a server renews, and punishes who shows an old one: several processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.gateway.desk import DeskAdapter

from fieldpost.engine.errors import DatabaseError
from fieldpost.hosts.cpython import credentials
from fieldpost.hosts.cpython.credentials import CredentialTransport, OAuth, Tokens
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.hosts.cpython.redis_tabs import RedisTabs
from fieldpost.hosts.cpython.system import (
    AlwaysOnline,
    FileLockTabs,
    SystemClock,
    SystemEntropy,
)
from fieldpost.ports import NoAnswer, Request, Response, Tabs
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane
from fieldpost.stores.redis_link import Place
from fieldpost.stores.redis_store import RedisStore
from fieldpost.stores.sqlite import SqliteStore
from gateway.tokens import SharedTokens, follow_tokens

API, TOKEN_URL = "https://api.example/things", "https://login.example/token"
ASKED = Request("GET", API, credential="api")
PATIENCE = 20
JSON = {"content-type": "application/json"}


class Issuer:
    """A token endpoint that rotates, and the API behind it. A refresh token that is shown twice
    signs everybody out (RFC 9700 section 4.14.2). ``grace``: not this server."""

    def __init__(self) -> None:
        self.current, self.given = "refresh-number-0", 0
        self.good: set[str] = set()
        self.reused, self.grace, self.lasts = 0, False, 3600
        self.former = ""
        #: Called when a renewal has been asked for: (before it acts, before it answers).
        self.before: Callable[[], Any] | None = None
        self.after: Callable[[], Any] | None = None
        #: Comes back once in place of what it gives: somebody in between has answered.
        self.instead: Response | None = None

    async def send(self, request: Request) -> Response:
        if request.url != TOKEN_URL:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return Response(200 if token in self.good else 401, {}, b"{}", API)
        shown = parse_qs(request.body.decode())["refresh_token"][0]
        await self._call("before")
        if shown != self.current and not (self.grace and shown == self.former):
            self.reused += 1
            self.current, self.good = "", set()
            return Response(400, JSON, b'{"error": "invalid_grant"}', TOKEN_URL)
        self.given += 1
        self.former, self.current = shown, f"refresh-number-{self.given}"
        self.good = {f"access-number-{self.given}"}
        said = {
            "access_token": f"access-number-{self.given}",
            "refresh_token": self.current,
            "expires_in": self.lasts,
        }
        await self._call("after")
        if self.instead is not None:
            instead, self.instead = self.instead, None
            return instead
        return Response(200, JSON, json.dumps(said).encode(), TOKEN_URL)

    async def _call(self, name: str) -> None:
        waits = getattr(self, name)
        setattr(self, name, None)  # of one request only
        if waits is not None:
            await waits()


class Process:
    """One of several gateways: its own queue, locks and credential on the shared store."""

    def __init__(self, store: Any, tabs: Tabs, issuer: Issuer, ring: KeyRing, first: str) -> None:
        host = Host(
            store,
            issuer,
            SystemClock(),
            SystemEntropy(),
            AlwaysOnline(),
            tabs,  # type: ignore[arg-type]
        )
        self.tabs, self.store = tabs, store
        self.queue = Queue(host, [Lane(DeskAdapter("desk"))], owner="relay")
        self.credential = OAuth(TOKEN_URL, {}, issuer, first)
        follow_tokens(self.queue, store, tabs, ring, {"api": self.credential})
        self.transport = CredentialTransport(issuer, {"api": self.credential})  # type: ignore[arg-type]
        assert isinstance(self.credential.shared, SharedTokens)
        self.shared = self.credential.shared

    async def status(self) -> int:
        return (await self.transport.send(ASKED)).status


class Processes:
    def __init__(self, issuer: Issuer, url: str | None, folder: Path, on: AsyncExitStack) -> None:
        self._ring = KeyRing.ephemeral()
        self._issuer, self._url, self._folder, self._on = issuer, url, folder, on
        self.redis = url is not None

    async def start(self, first: str = "refresh-number-0", **tabs: Any) -> Process:
        store: Any
        held: Any
        if self._url is None:
            store = await SqliteStore.open(self._folder / "queue.db", self._ring)
            held = FileLockTabs(self._folder)
        else:
            store = await RedisStore.open(self._url, self._ring)
            held = RedisTabs(Place.of(self._url), **tabs)
        self._on.push_async_callback(store.close)
        self._on.push_async_callback(held.close)
        return Process(store, held, self._issuer, self._ring, first)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def processes(issuer: Issuer, store: str | None, tmp_path: Path) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as on:
        yield Processes(issuer, store, tmp_path, on)


async def test_many_processes_one_renewal_at_first_and_over_a_401(
    processes: Processes, issuer: Issuer
) -> None:
    several = [await processes.start() for _ in range(3)]
    for renewals in (1, 2, 3):
        answers = await asyncio.gather(*(each.status() for each in several for _ in range(4)))
        assert set(answers) == {200}
        assert (issuer.given, issuer.reused) == (renewals, 0)
        issuer.good = set()  # revoked over there: all are told 401


async def test_many_processes_one_renewal_over_the_end_of_a_token(
    processes: Processes, issuer: Issuer
) -> None:
    several = [await processes.start() for _ in range(3)]
    assert {await each.status() for each in several} == {200}
    for each in several:
        each.credential._ends = 0.0
    kept = await several[0].shared.read()
    await several[0].shared.write(Tokens(kept.refresh, kept.access, 1))
    assert set(await asyncio.gather(*(each.status() for each in several))) == {200}
    assert (issuer.given, issuer.reused) == (2, 0)


async def test_the_next_process_takes_what_is_there(processes: Processes, issuer: Issuer) -> None:
    assert await (await processes.start()).status() == 200
    later = await processes.start()
    assert await later.status() == 200
    assert issuer.given == 1, "the access token was good still"
    issuer.good = set()
    assert await later.status() == 200
    assert (issuer.given, issuer.reused) == (2, 0)
    # An administrator has put another one into the file: that is a new beginning.
    issuer.current = "another one"
    assert await (await processes.start("another one")).status() == 200
    assert (issuer.given, issuer.reused) == (3, 0)


class Pause:
    """Where one process stands still until it is let go on."""

    def __init__(self) -> None:
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.go.wait()


class Ticking:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() * 1000 + self.ahead


async def paused(
    processes: Processes, issuer: Issuer, where: str
) -> tuple[Process, Pause, asyncio.Task[int]]:
    """A process that stands still in its renewal for longer than its lease. (A file's lock ends
    with its process only: there the others wait.)"""
    clock = Ticking()
    first = await processes.start(**({"monotonic": clock} if processes.redis else {}))
    first.shared.lease_ms = 300
    pause = Pause()
    if where == "sent":
        issuer.after = pause
    else:
        write = first.shared.write

        async def stands(tokens: Tokens) -> None:
            await write(tokens)
            first.shared.write = write  # type: ignore[method-assign]
            await pause()

        first.shared.write = stands  # type: ignore[method-assign]
    task = asyncio.create_task(first.status())
    async with asyncio.timeout(PATIENCE):
        await pause.reached.wait()
    clock.ahead = 1_000.0  # by the time it goes on, its lease is long over
    return first, pause, task


async def has_looked(process: Process, times: int) -> None:
    """Until it has had the lease, or been refused it, so often."""
    alone, looked = process.shared.alone, asyncio.Semaphore(0)

    async def counted(work: Any) -> bool:
        led = await alone(work)
        looked.release()
        return led

    process.shared.alone = counted  # type: ignore[method-assign]
    async with asyncio.timeout(PATIENCE):
        for _ in range(times):
            await looked.acquire()


@pytest.mark.parametrize("where", ["sent", "about to send"])
async def test_while_one_is_paused_nobody_shows_its_token_again(
    processes: Processes, issuer: Issuer, where: str
) -> None:
    _, pause, first = await paused(processes, issuer, where)
    second = await processes.start()
    task = asyncio.create_task(second.status())
    await has_looked(second, 3)
    assert (issuer.given, issuer.reused) == (1 if where == "sent" else 0, 0)
    pause.go.set()
    async with asyncio.timeout(PATIENCE):
        assert (await first, await task) == (200, 200)
    assert (issuer.given, issuer.reused) == (1, 0)


@pytest.mark.parametrize("store", [pytest.param("redis", marks=pytest.mark.full)], indirect=True)
async def test_one_that_never_comes_back_is_waited_for_so_long(
    processes: Processes, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had not sent, so the others lose nothing; once it wakes it does not send either. (A file's
    lock is held for as long as its process is there.)"""
    monkeypatch.setattr(credentials, "UNSURE_S", 0.5)
    _, pause, first = await paused(processes, issuer, "about to send")
    second = await processes.start()
    async with asyncio.timeout(PATIENCE):
        assert await second.status() == 200
    assert (issuer.given, issuer.reused) == (1, 0)
    pause.go.set()
    async with asyncio.timeout(PATIENCE):
        assert await first == 200
    assert (issuer.given, issuer.reused) == (1, 0)


async def crashed(processes: Processes, issuer: Issuer) -> None:
    """The server has answered, and the process died before it wrote that."""
    first = await processes.start()
    pause = Pause()
    issuer.after = pause
    task = asyncio.create_task(first.status())
    async with asyncio.timeout(PATIENCE):
        await pause.reached.wait()
    task.cancel()
    await asyncio.wait({task})


async def test_after_a_crash_a_server_with_a_grace_is_asked_at_once(
    processes: Processes, issuer: Issuer
) -> None:
    issuer.grace = True
    await crashed(processes, issuer)
    second = await processes.start()
    second.credential.grace = True
    assert await second.status() == 200
    assert (issuer.given, issuer.reused) == (2, 0)


async def test_after_a_crash_one_without_is_asked_when_the_time_is_over(
    processes: Processes, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no other token to ask with. This server signs out, and that is the answer."""
    monkeypatch.setattr(credentials, "UNSURE_S", 0.3)
    await crashed(processes, issuer)
    second = await processes.start()
    assert await second.status() == 401
    assert issuer.reused == 1


@pytest.mark.parametrize(
    "instead",
    [
        Response(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"),
        Response(200, {"content-type": "text/html"}, b"<p>Welcome to the hotel"),
        Response(429, JSON, b'{"error": "slow_down"}'),
    ],
)
async def test_what_answered_in_place_of_the_server_may_have_used_up_the_token(
    processes: Processes, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, instead: Response
) -> None:
    """It has rotated, and a proxy kept the answer: nobody else shows the former token at once."""
    issuer.instead = instead
    first = await processes.start()
    with pytest.raises(NoAnswer):
        await first.status()
    kept = await first.shared.read()
    assert (kept.refresh, bool(kept.asked)) == ("refresh-number-0", True)
    monkeypatch.setattr(credentials, "_OTHERS_S", 0.3)
    with pytest.raises(NoAnswer):
        await (await processes.start()).status()
    assert (issuer.given, issuer.reused) == (1, 0)


async def test_what_could_not_be_written_is_written_before_it_is_used(
    processes: Processes, issuer: Issuer
) -> None:
    first = await processes.start()
    keep, failing = first.queue.keep_notes, [False]

    async def keep_notes(notes: Any) -> None:
        if failing[0]:
            raise DatabaseError
        await keep(notes)

    async def fails() -> None:
        failing[0] = True

    first.queue.keep_notes = keep_notes  # type: ignore[method-assign]
    issuer.after = fails
    with pytest.raises(NoAnswer):
        await first.status()
    failing[0] = False
    assert await first.status() == 200
    assert (issuer.given, issuer.reused) == (1, 0)
    assert (await first.shared.read()).refresh == "refresh-number-1"

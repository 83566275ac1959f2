"""The line between a queue and the fake: knows what each request is for, and breaks where it is
told to."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

from fieldpost.destinations.base import Declaration, Destination, Reading, Script
from fieldpost.engine.model import Attachment, Item
from fieldpost.ports import Manifest, NoAnswer, Request, Response, Store, Transport, Upload
from fieldpost.testing.fakes import FakeClock, whole_body

T = TypeVar("T")
#: What a request is for. ``file``: all that hands over a file, questions included; ``upload``: of
#: those the ones with the file's bytes; ``enrich``: what is asked for before an item's request.
Purpose = Literal["enrich", "create", "find", "file", "upload", "sweep", "other"]
Go = Callable[[], Awaitable[Response]]
#: What becomes of one request: told the line and the request, and what would send it.
Fault = Callable[["Line", Request, Go], Awaitable[Response]]


class Watched:
    """A destination as it is, of which is noted what each of its requests is for."""

    def __init__(self, inner: Destination, declaration: Declaration | None = None):
        self._inner = inner
        self._declaration = declaration
        self._purposes: dict[tuple[str, str, bytes], Purpose] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def declaration(self) -> Declaration:
        return self._declaration or self._inner.declaration

    def purpose(self, request: Request) -> Purpose:
        return self._purposes.get((request.method, request.url, request.body), "other")

    def enrich(self, intents: Sequence[bytes]) -> Script[Sequence[bytes] | Reading]:
        return (yield from self._script("enrich", self._inner.enrich(intents)))

    def request(self, intents: Sequence[bytes], acknowledge: Sequence[str]) -> Request:
        return self._noted("create", self._inner.request(intents, acknowledge))

    def find(self, item: Item) -> Request:
        return self._noted("find", self._inner.find(item))

    def part_request(self, item: Item, attachment: Attachment, n: int) -> Request:
        return self._noted("upload", self._inner.part_request(item, attachment, n))

    def attach(
        self, item: Item, manifest: Manifest, remote_id: str, *, again: bool
    ) -> Script[Reading]:
        script = self._inner.attach(item, manifest, remote_id, again=again)
        return (yield from self._script("file", script))

    def sweep(self, item: Item, swept: str, remote_id: str | None) -> Script[Reading]:
        return (yield from self._script("sweep", self._inner.sweep(item, swept, remote_id)))

    def _script(self, purpose: Purpose, script: Script[T]) -> Script[T]:
        try:
            asked = next(script)
            while True:
                if isinstance(asked, Upload):
                    self._noted("upload", asked.request)
                else:
                    self._noted(purpose, asked)
                asked = script.send((yield asked))
        except StopIteration as end:
            return cast("T", end.value)
        finally:
            script.close()

    def _noted(self, purpose: Purpose, request: Request) -> Request:
        self._purposes[request.method, request.url, request.body] = purpose
        return request


@dataclass(frozen=True, slots=True)
class Sent:
    purpose: Purpose
    request: Request
    at: int  # ms


class Line:
    """`ports.Transport` before another one. ``faults``: what each purpose still suffers, taken from
    the front, None for a request that passes; ``sent``: all that came this way."""

    def __init__(self, inner: Transport, store: Store, watched: Watched, clock: FakeClock):
        self._inner = inner
        self._store = store
        self._watched = watched
        self.clock = clock
        self.faults: dict[Purpose, list[Fault | None]] = {}
        #: As `faults`, whatever a request is for.
        self.any: list[Fault | None] = []
        #: Around every request that passes, by purpose.
        self.around: dict[Purpose, Fault] = {}
        #: Of so many whole files to come only the first half of the request arrives.
        self.halves = 0
        self.sent: list[Sent] = []
        #: What the system will have carried out by then (ms), though nobody waits for it.
        self._still: list[tuple[int, Go]] = []

    def carries_out(self, go: Go, after_ms: int) -> None:
        self._still.append((self.clock.now() + after_ms, go))

    async def send(self, request: Request) -> Response:
        return await self._through(request, lambda: self._inner.send(request))

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        return await self._through(
            request, lambda: self._inner.send_part(request, attachment_id, n)
        )

    async def send_file(self, upload: Upload) -> Response:
        async def go() -> Response:
            if not self.halves:
                return await self._inner.send_file(upload)
            # Answered or not, nobody is there any more to hear it.
            self.halves -= 1
            body = await whole_body(self._store, upload)
            headers = {**upload.request.headers, "Content-Length": str(len(body))}
            half = replace(upload.request, body=body[: len(body) // 2], headers=headers)
            await self._inner.send(half)
            raise NoAnswer("network")

        return await self._through(upload.request, go)

    async def direct(self, request: Request) -> Response:
        """Past all faults, and noted nowhere."""
        return await self._inner.send(request)

    def of(self, *purposes: Purpose) -> list[Sent]:
        return [sent for sent in self.sent if sent.purpose in purposes]

    async def _through(self, request: Request, go: Go) -> Response:
        purpose = self._watched.purpose(request)
        for at, late in list(self._still):
            if at <= self.clock.now():
                self._still.remove((at, late))
                await late()
        self.sent.append(Sent(purpose, request, self.clock.now()))
        planned = self.any or self.faults.get(purpose, [])
        fault = planned.pop(0) if planned else None
        fault = fault or self.around.get(purpose)
        return await fault(self, request, go) if fault else await go()


# --- faults --------------------------------------------------------------------------------------


async def lost_after(_line: Line, _request: Request, go: Go) -> Response:
    """The system acts, its answer is cut on the way."""
    await go()
    raise NoAnswer("network")


async def lost_before(_line: Line, _request: Request, _go: Go) -> Response:
    """The system never has it; the sender cannot know."""
    raise NoAnswer("network")


async def slow(line: Line, request: Request, go: Go) -> Response:
    """The system acts, its answer comes later than anybody waits."""
    await go()
    line.clock.advance(request.timeout_ms)
    raise NoAnswer("timeout")


def late(ms: int) -> Fault:
    """The system is still at it when nobody waits any more, and acts so long after that."""

    async def fault(line: Line, request: Request, go: Go) -> Response:
        line.clock.advance(request.timeout_ms)
        line.carries_out(go, ms)
        raise NoAnswer("timeout")

    return fault


async def cut_body(_line: Line, _request: Request, go: Go) -> Response:
    """The system acts; of its answer the first half arrives, and nobody notices the cut."""
    response = await go()
    return replace(response, body=response.body[: len(response.body) // 2])


def says(response: Response, *, acts: bool = False) -> Fault:
    """This comes back instead; ``acts``: although the system did what it was asked to."""

    async def fault(_line: Line, request: Request, go: Go) -> Response:
        if acts:
            await go()
        return replace(response, url=response.url or request.url)

    return fault


def page(*, acts: bool = False) -> Fault:
    """A page of somebody in between, with the status of a success."""
    return says(Response(200, {"content-type": "text/html"}, b"<h1>Welcome</h1>"), acts=acts)


def redirect(*, acts: bool = False) -> Fault:
    to = {"location": "https://login.example/", "content-type": "text/html"}
    return says(Response(302, to, b""), acts=acts)


def portal(*, acts: bool = False) -> Fault:
    """A sign-in page of a network, which was redirected to; it even speaks JSON."""
    body = json.dumps({"id": "1", "result": {}, "portal": "Hotel"}).encode()
    kind = {"content-type": "application/json"}
    return says(Response(200, kind, body, "https://portal.example/", redirected=True), acts=acts)


def renamed(other: dict[str, str]) -> Fault:
    """The system acts, and its answer names others: each key of ``other`` for what it stands."""

    async def fault(_line: Line, _request: Request, go: Go) -> Response:
        response = await go()
        body = response.body
        for mine, theirs in other.items():
            body = body.replace(mine.encode(), theirs.encode())
        return replace(response, body=body)

    return fault

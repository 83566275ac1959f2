"""Shipped fakes of the ports: a clock that is moved by hand, seeded chance, a switchable link, a
drain lock among contexts of one process, and a gateway that keeps its promises in memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fieldpost.engine.canonical import canonical, sha256_hex
from fieldpost.engine.errors import AttachmentUnreadable
from fieldpost.engine.ids import uuid7
from fieldpost.ports import Leadership, NoAnswer, Request, Response, Store, Upload

_JSON = {"content-type": "application/json"}
#: What of an operation its result says again.
_ECHOED = ("id", "send_id", "status", "remote_id")


class FakeClock:
    """Time moves when somebody sleeps or when the test says so."""

    def __init__(self, start: int = 1_750_000_000_000):
        self._now = start
        self._monotonic = 0.0

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, ms: float) -> None:
        await asyncio.sleep(0)
        self.advance(ms)

    def advance(self, ms: float) -> None:
        self._now += int(ms)
        self._monotonic += ms

    def jump(self, ms: int) -> None:
        """The wall clock is set; monotonic time does not notice."""
        self._now += ms


class SteadyClock(FakeClock):
    """Time moves when a case says so and at no other time: who sleeps waits for that."""

    def __init__(self, start: int = 1_750_000_000_000):
        super().__init__(start)
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, ms: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.monotonic() + ms, waiter))
        await waiter

    def advance(self, ms: float) -> None:
        super().advance(ms)
        due = [waiter for at, waiter in self._sleepers if at <= self.monotonic()]
        self._sleepers = [one for one in self._sleepers if one[0] > self.monotonic()]
        for waiter in due:
            if not waiter.done():
                waiter.set_result(None)


class SeededEntropy:
    def __init__(self, seed: int = 0):
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose

    def uuid7(self, now: int) -> str:
        return uuid7(now, self._random.randbytes(10))

    def fraction(self) -> float:
        return self._random.random()


class FakeLink:
    def __init__(self, *, online: bool = True):
        self._online = online
        self._callbacks: list[Callable[[bool], None]] = []

    @property
    def online(self) -> bool:
        return self._online

    def set(self, online: bool) -> None:
        self._online = online
        for callback in list(self._callbacks):
            callback(online)

    def subscribe(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)


@dataclass(slots=True)
class _Leader:
    stolen: bool = False
    stealable: bool = False  # that clock stands still for nobody, and runs for everybody
    lost: bool = False
    beats: int = 0

    def beat(self) -> None:
        self.beats += 1


@dataclass(slots=True)
class LocalTabs:
    """Contexts of one process. `steal` makes the next one take the lock from its holder."""

    leaders: dict[str, _Leader] = field(default_factory=dict)
    announced: list[int] = field(default_factory=list)
    steal: bool = False

    async def lead(
        self,
        work: Callable[[Leadership], Awaitable[None]],
        *,
        lane: str,
        wait_ms: int,  # noqa: ARG002
        steal_after_ms: int,  # noqa: ARG002
    ) -> bool:
        holder = self.leaders.get(lane)
        if holder is not None:
            if not self.steal:
                await asyncio.sleep(0)  # who asks again and again lets the holder go on
                return False
            holder.lost, self.steal = True, False
        mine = self.leaders[lane] = _Leader(stolen=holder is not None)
        try:
            await work(mine)
        finally:
            if self.leaders.get(lane) is mine:
                del self.leaders[lane]
        return True

    def announce(self, revision: int) -> None:
        self.announced.append(revision)

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:  # noqa: ARG002
        return lambda: None


async def whole_body(store: Store, upload: Upload) -> bytes:
    """The body of an upload. Raises `AttachmentUnreadable`."""
    file = b""
    for n in range(1, upload.parts + 1):
        data = await store.part(upload.attachment_id, n)
        if data is None:
            raise AttachmentUnreadable
        file += data
    return upload.before + (base64.b64encode(file) if upload.base64 else file) + upload.after


#: What a `FakeGateway` does with the next requests, see `FakeGateway.faults`.
Fault = Callable[["FakeGateway", Request, Callable[[], Response]], Response]


@dataclass(slots=True)
class FakeGateway:
    """A transport that answers as docs/formats.md section 6 says, with a ledger and an inbox.

    ``inbox``: operation ids in the order of their delivery, once per effect. ``faults``: taken from
    the front, one a request to the API; see `lose_answer` and its like. ``later``: deliveries are
    handed over and need `deliver_later`.
    """

    store: Store | None = None
    inbox: list[str] = field(default_factory=list)
    ledger: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    acked: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    later: bool = False
    down: bool = False

    async def send(self, request: Request) -> Response:
        await asyncio.sleep(0)
        return self._answer(request)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        assert self.store is not None
        data = await self.store.part(attachment_id, n)
        if data is None:
            raise AttachmentUnreadable
        whole = Request(request.method, request.url, request.headers, data, request.timeout_ms)
        return self._answer(whole)

    async def send_file(self, upload: Upload) -> Response:
        assert self.store is not None
        return self._answer(replace(upload.request, body=await whole_body(self.store, upload)))

    def deliver_later(self) -> None:
        """The destinations behind the gateway take what was handed over."""
        for op in self.ledger.values():
            if op["status"] == "handed_over":
                self._deliver(op)
                self.receipts.append({"cursor": len(self.receipts) + 1, **self._result(op)})

    # --- routes ----------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        if self.down:
            raise NoAnswer("network", sent=False)
        path = request.url.partition("://")[2].partition("/")[2]
        if self.faults and path.startswith("api/"):
            return self.faults.pop(0)(self, request, lambda: self._route(request, path))
        return self._route(request, path)

    def _route(self, request: Request, path: str) -> Response:
        if path == "healthz":
            return _json({"status": "ok", "service": "fieldpost", "protocol": 1})
        if path == "api/v1/destinations":
            return _json({"protocol": 1, "destinations": []})
        if path == "api/v1/operations":
            return self._operations(json.loads(request.body))
        if path.startswith("api/v1/receipts"):
            after = int(path.partition("after=")[2])
            found = [r for r in self.receipts if r["cursor"] > after]
            return _json({"protocol": 1, "cursor": len(self.receipts), "receipts": found})
        _, _, _, item_id, *part = path.split("/")
        if not part:
            found_op = next((op for op in self.ledger.values() if op["id"] == item_id), None)
            if found_op is None:
                return _json({"title": "Not Found", "code": "UNKNOWN_OPERATION"}, 404)
            return _json({"protocol": 1, **self._result(found_op)})
        _, attachment_id, n = part
        return self._part(request, item_id, attachment_id, int(n))

    def _operations(self, body: dict[str, Any]) -> Response:
        self.acked.update(body["ack"])
        results = [self._operation(op) for op in body["operations"]]
        return _json({"protocol": 1, "cursor": 0, "results": results, "pause_until": None})

    def _operation(self, op: dict[str, Any]) -> dict[str, Any]:
        digest = sha256_hex(canonical(op["payload"]))
        assert digest == op["payload_sha256"]
        seen = self.ledger.get(op["send_id"])
        if seen is not None and seen["payload_sha256"] != digest:
            return {"id": op["id"], "send_id": op["send_id"], "status": "mismatch"}
        if seen is not None:
            return {**self._result(seen), "replayed": True}
        self.ledger[op["send_id"]] = op
        for attachment in op["attachments"]:
            self.files.setdefault(attachment["id"], [])
        self._proceed(op)
        return self._result(op)

    def _proceed(self, op: dict[str, Any]) -> None:
        if any(len(self.files[a["id"]]) < a["parts"] for a in op["attachments"]):
            op["status"] = "accepted"
        elif self.later:
            op["status"] = "handed_over"
        else:
            self._deliver(op)

    def _deliver(self, op: dict[str, Any]) -> None:
        self.inbox.append(op["id"])
        op["status"] = "delivered"
        op["remote_id"] = f"FP-{len(self.inbox):06}"

    def _result(self, op: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {name: op[name] for name in _ECHOED if name in op}
        result["acked"] = {a["id"]: len(self.files[a["id"]]) for a in op["attachments"]}
        return result

    def _part(self, request: Request, item_id: str, attachment_id: str, n: int) -> Response:
        op = self.ledger.get(request.headers["Fieldpost-Send-Id"])
        if op is None or op["id"] != item_id:
            return _json({"title": "Not Found", "code": "UNKNOWN_OPERATION"}, 404)
        listed = next(a for a in op["attachments"] if a["id"] == attachment_id)
        held = self.files[attachment_id]
        if n > len(held) + 1:
            return _json({"title": "Gap", "code": "PART_GAP", "acked": len(held)}, 409)
        digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
        if digest != listed["sha256"][n - 1]:
            return _json({"title": "Digest", "code": "DIGEST_MISMATCH"}, 422)
        if n == len(held) + 1:
            held.append(request.body)
            self._proceed(op)
        answer = {**self._result(op), "protocol": 1, "attachment_id": attachment_id, "acked": n}
        return _json(answer)


def _json(value: Any, status: int = 200) -> Response:
    kind = {"content-type": "application/problem+json"} if status >= 400 else _JSON
    return Response(status, dict(kind), json.dumps(value).encode())


# --- faults
# ----------------------------------------------------------------------------------------


def lose_answer(
    _gateway: FakeGateway, _request: Request, route: Callable[[], Response]
) -> Response:
    """The gateway acts, its answer never arrives."""
    route()
    raise NoAnswer("network")


def cut_before(
    _gateway: FakeGateway, _request: Request, _route: Callable[[], Response]
) -> Response:
    """The line is cut before the gateway has the request; the device cannot know."""
    raise NoAnswer("network")


def answers(status: int, body: bytes = b"", **headers: str) -> Fault:
    """The gateway does not act; this answer comes instead."""

    def fault(_g: FakeGateway, _r: Request, _route: Callable[[], Response]) -> Response:
        return Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)

    return fault


def wrong_ids(_gateway: FakeGateway, _request: Request, route: Callable[[], Response]) -> Response:
    """A valid answer that names other items."""
    response = route()
    value = json.loads(response.body)
    for result in value.get("results", [value]):
        result["id"] = "00000000-0000-7000-8000-000000000000"
    return Response(response.status, response.headers, json.dumps(value).encode())

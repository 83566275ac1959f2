"""A reverse proxy that breaks the connection where it is told to, for tests of delivery.

Everything passes through; requests whose path starts with the fault's prefix suffer its mode::

    with FaultProxy("127.0.0.1:8000") as proxy:
        proxy.fault = Fault("cut_after", times=1)  # the gateway has it, the answer is lost
        ...
        assert proxy.counts["cut_after"] == 1

``python -m fieldpost.testing.faultproxy --upstream 127.0.0.1:8000 --port 9000 --control-port 9001``
serves the same for other processes: ``PUT /fault`` with a fault as JSON (``{"mode": "down"}``),
``GET /`` for counts and requests seen. CPython with h11 only; no part of a running app.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import h11

from .exchange import Exchange, Peer
from .faults import MODES, Fault, Seen

__all__ = ["MODES", "Fault", "FaultProxy", "Seen"]

_START_SECONDS = 10.0
_Handler = Callable[[Peer], Awaitable[None]]


class FaultProxy:
    """Runs in a thread of its own between `start` and `stop`, or as a context manager."""

    def __init__(
        self,
        upstream: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int | None = None,
        seed: int | None = None,
    ) -> None:
        """``upstream``: host:port. Port 0 takes a free one; `url` tells which. ``seed``: of the
        draws, where a fault hits a share of the requests; None: other ones each time."""
        self._chance = random.Random(seed)  # noqa: S311 - no secret hangs on it
        name, _, number = upstream.rpartition(":")
        self._upstream = (name, int(number))
        self._host, self._port, self._control_port = host, port, control_port
        self._fault = Fault()
        self._left: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen: list[Seen] = []
        self.counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    # --- from any thread ---------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def control_url(self) -> str:
        return f"http://{self._host}:{self._control_port}"

    @property
    def fault(self) -> Fault:
        """The fault in force; `pass` again once it has hit as often as it may."""
        with self._changed:
            return self._fault if self._left is None or self._left > 0 else Fault()

    @fault.setter
    def fault(self, fault: Fault) -> None:
        with self._changed:
            self._fault, self._left = fault, fault.times
        if fault.mode == "down" and self._loop is not None:
            self._loop.call_soon_threadsafe(self._cut_all)

    def wait_for(self, mode: str, times: int = 1, seconds: float = 30.0) -> None:
        """Return once ``mode`` has hit ``times`` requests. Raises `TimeoutError`."""
        if not self.wait_until(lambda: self.counts[mode] >= times, seconds):
            raise TimeoutError(f"{mode} hit {self.counts[mode]} of {times} requests")

    def wait_until(self, holds: Callable[[], bool], seconds: float = 30.0) -> bool:
        """Whether ``holds`` came true in time; it is asked again after every request."""
        with self._changed:
            return self._changed.wait_for(holds, seconds)

    def start(self) -> FaultProxy:
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.serve(ready)), name="faultproxy", daemon=True
        )
        self._thread.start()
        if not ready.wait(_START_SECONDS):
            raise TimeoutError("the proxy did not start")
        return self

    def stop(self) -> None:
        loop, stopped = self._loop, self._stopped
        if loop is not None and stopped is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stopped.set)
        if self._thread is not None:
            self._thread.join()

    def join(self) -> None:
        """Wait until it is stopped."""
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> FaultProxy:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # --- in the loop -------------------------------------------------------------------------

    async def serve(self, ready: threading.Event | None = None) -> None:
        """Serve until `stop`."""
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        servers = [await asyncio.start_server(self._track(self._client), self._host, self._port)]
        self._port = servers[0].sockets[0].getsockname()[1]
        if self._control_port is not None:
            control = self._track(self._control)
            servers.append(await asyncio.start_server(control, self._host, self._control_port))
            self._control_port = servers[1].sockets[0].getsockname()[1]
        if ready is not None:
            ready.set()
        await self._stopped.wait()
        for server in servers:
            server.close()
        self._cut_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _track(
        self, handle: _Handler
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        """A connection handler as a task that `serve` can end."""

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open.add(writer)
            task = asyncio.ensure_future(self._contained(handle, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return connected

    async def _contained(
        self, handle: _Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await handle(Peer(h11.SERVER, reader, writer))
        except (OSError, EOFError, h11.ProtocolError):
            writer.transport.abort()  # the client went, or spoke no HTTP
        finally:
            self._open.discard(writer)
            writer.close()

    def _cut_all(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _client(self, client: Peer) -> None:
        while True:
            if self.fault.mode == "down":
                self._take("", "")
                self._record(Seen("", "", 0, "down", 0))
                client.abort()
                return
            request = await client.next_event()
            if not isinstance(request, h11.Request):
                return
            await self._exchange(client, request)
            if not client.next_cycle():
                return

    async def _exchange(self, client: Peer, request: h11.Request) -> None:
        method, target = request.method.decode(), request.target.decode()
        fault = self._take(method, target)

        def record(received: int, status: int) -> None:
            self._record(Seen(method, target, received, fault.mode, status))

        exchange = Exchange(client, request, self._upstream, record)
        try:
            if fault.mode in ("down", "cut_before"):
                exchange.cut()
            elif fault.mode == "cut_during":
                await exchange.cut_during(fault.share)
            elif fault.mode in ("pass", "cut_after", "wrong_id"):
                await exchange.forward(
                    deliver=fault.mode != "cut_after", wrong_id=fault.mode == "wrong_id"
                )
            elif fault.mode == "http_500_after":
                await exchange.forward(instead=500)
            elif fault.mode == "slow":
                await exchange.forward(pause=lambda: self._pause(fault.seconds))
            else:
                await exchange.instead(fault.mode, fault.retry_after)
        finally:
            exchange.settle(0)

    async def _pause(self, seconds: float) -> None:
        """Until the time is over or the proxy stops."""
        assert self._stopped is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def _take(self, method: str, target: str) -> Fault:
        """The fault this request suffers; counts it."""
        with self._changed:
            fault, left = self._fault, self._left
            if left == 0 or not fault.hits(method, target, self._chance):
                return Fault()
            if left is not None:
                self._left = left - 1
            return fault.drawn(self._chance)

    def _record(self, seen: Seen) -> None:
        with self._changed:
            self.seen.append(seen)
            self.counts[seen.mode] += 1
            self._changed.notify_all()

    async def _control(self, client: Peer) -> None:
        request = await client.next_event()
        if not isinstance(request, h11.Request):
            return
        body = await client.read_body()
        status, answer = 200, self._report()
        if request.method == b"PUT":
            try:
                self.fault = _fault_of(body)
                answer = asdict(self.fault)
            except (ValueError, TypeError) as wrong:
                status, answer = 400, {"detail": str(wrong)}
        elif request.method == b"DELETE":
            with self._changed:
                self.seen.clear()
                self.counts.clear()
        await client.respond(status, json.dumps(answer).encode(), b"application/json")

    def _report(self) -> dict[str, Any]:
        with self._changed:
            return {"counts": dict(self.counts), "seen": [asdict(each) for each in self.seen]}


def _fault_of(body: bytes) -> Fault:
    """A fault from JSON. Raises `ValueError`, `TypeError` for what is none."""
    named = json.loads(body)
    if not isinstance(named, dict):
        raise ValueError("a fault is an object")
    return Fault(**{**named, "methods": tuple(named.get("methods", ()))})


def main(argv: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m fieldpost.testing.faultproxy")
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int)
    arguments = parser.parse_args(argv)
    with FaultProxy(
        arguments.upstream,
        host=arguments.host,
        port=arguments.port,
        control_port=arguments.control_port,
    ) as proxy:
        control = f" (control: {proxy.control_url})" if arguments.control_port is not None else ""
        sys.stdout.write(f"Fault proxy at {proxy.url}{control}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            proxy.join()


if __name__ == "__main__":
    main()

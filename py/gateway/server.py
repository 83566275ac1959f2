"""uvicorn with what it lacks: a time limit on request heads, and logs without payloads."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import create_app
from .gateway import Gateway
from .guard import ShortTracebacks

_KEEP_ALIVE_SECONDS = 30
#: Open connections, idle ones included; uvicorn answers 503 beyond.
_CONNECTIONS_MAX = 1000


class TimedProtocol(H11Protocol):
    """Closes a connection whose request head does not come whole in ``head_seconds``.

    uvicorn limits only the idle time between requests, so a client that sends a byte a minute
    would hold a connection for ever.
    """

    def __init__(self, *arguments: Any, head_seconds: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        # uvicorn types `cycle` as never None; before the first request it is.
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop_watching()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_seconds, self._late)

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        self._head_timer = None
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()


def server_of(gateway: Gateway, grace_seconds: int) -> uvicorn.Server:
    """A server of this gateway; whoever runs it brings the listening socket."""
    logging.getLogger("uvicorn.error").addFilter(ShortTracebacks())
    config = uvicorn.Config(
        create_app(gateway),
        http=functools.partial(  # type: ignore[arg-type]
            TimedProtocol, head_seconds=gateway.settings.limits.head_seconds
        ),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        # Nothing here depends on the client's address, so forwarded headers are not believed.
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
    )
    return uvicorn.Server(config)

"""The real gateway, killed the moment an answer to operations is ready and its commit durable.

An ASGI wrapper of the tests' own: nothing in the gateway knows of it.
"""

from __future__ import annotations

import os
import signal
import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import cli, server
from gateway.app import create_app
from gateway.gateway import Gateway


class DieBeforeAnswer:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def die(message: Message) -> None:
            if scope.get("path", "").startswith("/api/v1/operations"):
                os.kill(os.getpid(), signal.SIGKILL)
            await send(message)

        await self._app(scope, receive, die)


def wrapped(gateway: Gateway) -> ASGIApp:
    return DieBeforeAnswer(create_app(gateway))


if __name__ == "__main__":
    server.create_app = wrapped
    sys.exit(cli.main())

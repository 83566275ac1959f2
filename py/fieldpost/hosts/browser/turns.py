"""Callbacks that are ready together run in one turn of the browser's event loop.

Pyodide's loop asks JavaScript for a timer of its own for every ``call_soon``: with two thousand
tasks that start, are woken and end, most of the time goes into crossing over for each of them. Here
they wait in a list, as in any other asyncio loop, and one timer runs the list.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any


class Turns:
    """The ``call_soon`` of one loop. Order and contexts are asyncio's."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._ready = deque[asyncio.Handle]()
        self._asked = False  # for a turn that has not begun
        self._timer = loop.call_soon

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.loop.call_soon`."""
        handle = asyncio.Handle(callback, args, self._loop, context)
        self._ready.append(handle)
        self._ask()
        return handle

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._timer(self._turn)

    def _turn(self) -> None:
        self._asked = False
        count = len(self._ready)
        if count > 1:
            # A callback may suspend this turn (`run_sync`) and wait for one behind it, or leave it
            # with SystemExit: whatever it does not come to has a turn already.
            self._ask()
        for _ in range(count):
            if not self._ready:
                return  # the other turn was faster, while this one was suspended
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()


def together(loop: asyncio.AbstractEventLoop) -> None:
    """Let this loop run what is ready in one turn. Once for a loop; not for one that does already
    (asyncio's own)."""
    made = type(loop).__module__.startswith("pyodide")
    if made and not isinstance(getattr(loop.call_soon, "__self__", None), Turns):
        loop.call_soon = Turns(loop).call_soon  # type: ignore[assignment,method-assign]

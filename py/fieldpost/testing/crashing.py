"""Crashes at every await: ports that die at the Nth call, before or after it took effect.

Once dead, a world stays dead: every later call of any of its ports dies too, so nothing that runs
in an exception handler can do what a killed process could not have done.
"""

from __future__ import annotations

import inspect
from typing import Any


class Crash(BaseException):
    """The process was killed here. Not an `Exception`: no handler of the product may stop it."""


class Crasher:
    """Counts the calls of all wrapped ports and dies at call ``at`` (from 1; 0 = never).

    ``after``: the call takes effect first, and only its result is lost with the process.
    """

    def __init__(self, at: int = 0, *, after: bool = False):
        self.at = at
        self.after = after
        self.calls = 0
        self.log: list[str] = []
        self.dead = False

    def wrap(self, port: Any) -> Any:
        return _Port(port, self)

    async def call(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        if self.dead:
            raise Crash
        self.calls += 1
        self.log.append(name)
        dies = self.calls == self.at
        if dies and not self.after:
            self.dead = True
            raise Crash
        try:
            result = await function(*args, **kwargs)
        except Exception:
            # A failure that nobody lived to see: the process died with it.
            if not dies and not self.dead:
                raise
        self.dead = self.dead or dies
        if self.dead:
            raise Crash
        return result


class _Port:
    """Stands for the port; its coroutine methods are counted, all else passes."""

    def __init__(self, port: Any, crasher: Crasher):
        self._port = port
        self._crasher = crasher

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def counted(*args: Any, **kwargs: Any) -> Any:
            return await self._crasher.call(name, value, args, kwargs)

        return counted

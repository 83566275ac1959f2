"""The library's own messages as items of kind ``log`` (A44, A57-A59), for whoever looks after it.

A `logging.Handler` on the logger "fieldpost" turns what is at or above the configured level into
items, in batches, behind everything else. Redaction happens here: a message keeps its words and
loses what looks like a credential, an address or a person; of an exception only its type, its code
and the lines of code remain, never its text, which may quote what somebody wrote.

It never feeds itself: what is said while a log is stored is not logged, a failure to store one is
counted and not told, and a message that repeats is counted instead of kept again.
"""

from __future__ import annotations

import asyncio
import contextvars
import fnmatch
import logging
import re
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from fieldpost.engine.config import LogConfig
from fieldpost.engine.errors import QueueError
from fieldpost.ports import Clock

LOGGER = logging.getLogger("fieldpost")

#: Messages that wait to be stored; the oldest go when storing cannot keep up.
_WAITING_MAX = 500
#: The same message again within this time is counted, not kept.
_REPEAT_MS = 60_000
#: Different messages remembered for that.
_REMEMBERED_MAX = 200
_MESSAGE_MAX, _STACK_MAX = 1_000, 4_000

#: What of ``extra`` may be kept: names, numbers and codes of ours.
_CONTEXT = ("lane", "state", "code", "count", "delay_ms")

_LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}
_OFF = 1_000

_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic|token|password|secret|api[-_]?key)([\s=:]+)\S+"), r"\1\2…"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b"), "…"),  # e-mail addresses
    (re.compile(r"(?i)(\w+://)[^\s/]*@"), r"\1…@"),  # user and password in an address
    (re.compile(r"([?&][\w-]+=)[^&\s]+"), r"\1…"),  # values in a query
    (re.compile(r"\b(?=\w*\d)[A-Za-z0-9_-]{32,}(?<![0-9a-f]{12})\b"), "…"),  # keys, but no UUIDs
)

_storing: contextvars.ContextVar[bool] = contextvars.ContextVar("fieldpost_log", default=False)

#: Stores payloads of kind ``log``. Raises `QueueError`.
Keep = Callable[[list[dict[str, Any]]], Awaitable[object]]


def redacted(text: str) -> str:
    """``text`` without what looks like a credential, an e-mail address or a query."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def wanted(config: LogConfig, name: str, level: int) -> bool:
    """Whether a record of this logger and level is to be kept. ``fieldpost:*`` in ``debug`` means
    every part, ``fieldpost:runtime.*`` the loggers below ``fieldpost.runtime``."""
    if config.level != "off" and level >= _LEVELS[config.level]:
        return True
    path = name.replace("fieldpost.", "fieldpost:", 1)
    return any(
        fnmatch.fnmatch(path, pattern) or (pattern in ("*", "fieldpost:*") and path == "fieldpost")
        for pattern in config.debug
    )


def threshold(config: LogConfig) -> int:
    """The lowest level of which anything is wanted."""
    if config.debug:
        return logging.DEBUG
    return _OFF if config.level == "off" else _LEVELS[config.level]


class LogItems(logging.Handler):
    """Between `attach` and `detach` it stores what the logger says."""

    def __init__(self, config: LogConfig, clock: Clock, keep: Keep):
        super().__init__(threshold(config))
        self._config = config
        self._clock = clock
        self._keep = keep
        self._entries: deque[dict[str, Any]] = deque(maxlen=_WAITING_MAX)
        self._repeats: dict[tuple[str, int, str], tuple[int, int]] = {}  # -> (first at, count)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._level_before: int | None = None
        #: Messages that could not be stored.
        self.lost = 0

    def attach(self) -> None:
        """Begin, from within the event loop."""
        if self.level >= _OFF:
            return
        self._loop = asyncio.get_running_loop()
        self._level_before = LOGGER.level
        if LOGGER.getEffectiveLevel() > self.level:
            LOGGER.setLevel(self.level)
        LOGGER.addHandler(self)

    async def detach(self) -> None:
        """Store what waits and end."""
        if self._loop is None:
            return
        LOGGER.removeHandler(self)
        if self._level_before is not None and LOGGER.level == self.level:
            LOGGER.setLevel(self._level_before)
        self._loop = None
        if self._task is not None:
            await self._task
        await self._store()

    def emit(self, record: logging.LogRecord) -> None:
        loop = self._loop
        if loop is None or _storing.get() or not wanted(self._config, record.name, record.levelno):
            return
        entry = self._entry(record)
        if entry is None:
            return
        if len(self._entries) == _WAITING_MAX:
            self.lost += 1
        self._entries.append(entry)
        try:
            loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed: nobody is left to store it
            self.lost += 1

    def _wake(self) -> None:
        if self._loop is not None and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._store())

    async def _store(self) -> None:
        before = _storing.set(True)  # in this task, and in those that it starts
        try:
            while self._entries:
                batch = [self._entries.popleft() for _ in range(min(100, len(self._entries)))]
                try:
                    await self._keep(batch)
                except QueueError:
                    self.lost += len(batch)
        finally:
            _storing.reset(before)

    # --- what is kept of a record ---------------------------------------------------------------

    def _entry(self, record: logging.LogRecord) -> dict[str, Any] | None:
        now = self._clock.now()
        key = (record.name, record.levelno, str(record.msg))
        first, count = self._repeats.pop(key, (now, 0))
        if count and 0 <= now - first < _REPEAT_MS:
            self._repeats[key] = (first, count + 1)
            return None
        self._repeats[key] = (now, 1)
        while len(self._repeats) > _REMEMBERED_MAX:
            del self._repeats[next(iter(self._repeats))]
        entry: dict[str, Any] = {
            "level": _level_name(record.levelno),
            "message": redacted(record.getMessage())[:_MESSAGE_MAX] or "(no text)",
            "timestamp": now,
            "component": record.name,
        }
        context = {name: getattr(record, name) for name in _CONTEXT if hasattr(record, name)}
        context = {k: v for k, v in context.items() if isinstance(v, int | str)}
        if count > 1:
            context["repeated"] = count - 1
        if context:
            entry["context"] = {
                k: redacted(v) if isinstance(v, str) else v for k, v in context.items()
            }
        if isinstance(item_id := getattr(record, "item_id", None), str):
            entry["correlationId"] = item_id
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = described(record.exc_info[1])
        return entry


def _level_name(level: int) -> str:
    return next((name for name, n in reversed(_LEVELS.items()) if level >= n), "debug")


def described(error: BaseException) -> dict[str, str]:
    """Type, code and the lines of code it passed; not its text."""
    frames = traceback.extract_tb(error.__traceback__)
    stack = "\n".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames)
    found = {"message": type(error).__name__, "stack": stack[:_STACK_MAX]}
    code = getattr(error, "code", None)
    return found | ({"code": code} if isinstance(code, str) else {})

"""Group commit: everything that waits while one commit runs shares the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from .tables import Tx

T = TypeVar("T")
Job = Callable[[Tx], Any]

#: Requests that share one commit: bounds how long the first one waits for the last one's work.
GROUP_MAX = 32


class Grouped:
    """One writing thread, and what waits for it; subclasses write `_commit`."""

    def __init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="gateway-writer")
        self._waiting: list[tuple[Job, asyncio.Future[Any]]] = []
        self._running = False
        self.commits = 0

    def _commit(self, jobs: list[Job]) -> list[Any]:
        """Run them in one transaction, on the writing thread; the result of each, or its `Problem`.
        Raises what broke the commit."""
        raise NotImplementedError

    def _one_broke_it(self, error: BaseException) -> bool:  # noqa: ARG002
        """Whether it may be the fault of one job of several, so that each is tried alone."""
        return True

    async def write(self, job: Callable[[Tx], T]) -> T:
        """Run ``job`` in a transaction and return its result once that is durable.

        Raises the job's `Problem` (its changes undone, those of its group kept), and what the
        storage raises when it fails (`tables.Database`).
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if not self._running:
            self._start(GROUP_MAX)
        return await future

    def _start(self, most: int) -> None:
        group, self._waiting = self._waiting[:most], self._waiting[most:]
        self._running = True
        running = asyncio.get_running_loop().run_in_executor(
            self._writer, self._commit, [job for job, _ in group]
        )
        running.add_done_callback(partial(self._finish, group))

    def _finish(
        self, group: list[tuple[Job, asyncio.Future[Any]]], running: asyncio.Future[list[Any]]
    ) -> None:
        error = running.exception()
        self._running = False
        if error is not None and len(group) > 1 and self._one_broke_it(error):
            # One of them broke the commit; alone, each gets its own outcome.
            self._waiting = group + self._waiting
            self._start(1)
            return
        results = [error] * len(group) if error is not None else running.result()
        for (_, future), result in zip(group, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        if self._waiting:
            self._start(GROUP_MAX)

"""Fieldpost: an offline sync queue in Python, in your browser.

``queue = await fieldpost.open(gateway="https://post.example/")`` gives a `Queue` on any host:
IndexedDB in a browser's worker, SQLite or memory on CPython.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from ._version import __version__
from .engine.config import QueueConfig
from .engine.errors import ERRORS, QueueError
from .engine.kinds import Kind
from .engine.model import Item
from .engine.retry import PRESETS, RetryPolicy
from .engine.transitions import State
from .runtime.queue import Queue
from .runtime.routes import Lane

_open_queue: Callable[..., Awaitable[Queue]]
if "_pyodide_core" in sys.modules:  # the one test of where we are
    from .hosts.browser.open import open_queue as _open_queue
else:
    from .hosts.cpython.lazy import open_queue as _open_queue


async def open(gateway: str | None = "./", **options: Any) -> Queue:  # noqa: A001 - fieldpost.open reads well
    """A started queue that delivers to ``gateway``, and by ``lanes`` (`Lane`) to destinations of
    your own; ``close`` it, or use ``async with``.

    In a browser ``gateway`` may be relative to the page, and ``name`` (default ``fieldpost``) names
    the database. On CPython ``path`` names the folder of the store (None: memory). Raises
    `QueueError`, whose ``code``, ``message`` and ``todo`` say what is in the way.
    """
    queue = await _open_queue(gateway, **options)
    await queue.start()
    return queue


__all__ = [
    "ERRORS",
    "PRESETS",
    "Item",
    "Kind",
    "Lane",
    "Queue",
    "QueueConfig",
    "QueueError",
    "RetryPolicy",
    "State",
    "__version__",
    "open",
]

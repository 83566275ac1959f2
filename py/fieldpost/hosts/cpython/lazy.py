"""Opens the CPython host when asked: the engine is importable without the packages a host needs."""

from __future__ import annotations

from typing import Any

from fieldpost.runtime.queue import Queue


async def open_queue(gateway: str, **options: Any) -> Queue:
    """As `hosts.cpython.open.open_queue`; `ModuleNotFoundError` without ``fieldpost[cpython]``."""
    from .open import open_queue as opener  # noqa: PLC0415 - httpx and cryptography are an extra

    return await opener(gateway, **options)

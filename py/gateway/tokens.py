"""Refresh tokens that a server renews: one process asks, all follow, also over restarts; sealed in
the relay's own store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from fieldpost.engine.errors import QueueError
from fieldpost.hosts.cpython.credentials import Credential, OAuth, Tokens
from fieldpost.ports import Leadership, NoAnswer, Store, Tabs
from fieldpost.runtime.queue import Queue
from fieldpost.security.cipher import Cipher

#: Side records: name of the credential -> {"first": mark of the configured token, "token": the
#: newest, "access", "ends", "asked": as `Tokens` has them, each left out where there is none}.
_TABLE = "credential"
#: A renewal is done within its lease: a token endpoint has less time to answer.
LEASE_MS = 30_000
#: For so long another process that renews is waited for before the store is looked at again.
_WAIT_MS = 1_000


def follow_tokens(
    queue: Queue, store: Store, tabs: Tabs, cipher: Cipher, credentials: Mapping[str, Credential]
) -> None:
    """The newest token takes the place of the configured one that it came of; another one in the
    configuration is a new beginning."""
    for name, credential in credentials.items():
        if isinstance(credential, OAuth) and credential.refresh_token is not None:
            first = credential.refresh_token
            mark = cipher.mark("credential", first)
            credential.shared = SharedTokens(queue, store, tabs, name, first, mark)


class SharedTokens:
    """`credentials.Shared` in the queue of gateways that have it in common."""

    def __init__(
        self, queue: Queue, store: Store, tabs: Tabs, name: str, first: str, mark: str
    ) -> None:
        """``first``: the configured token, ``mark``: what stands for it in the store."""
        self._queue, self._store, self._tabs = queue, store, tabs
        self._name, self._first, self._mark = name, first, mark
        self.lease_ms = LEASE_MS

    async def read(self) -> Tokens:
        with _storage():
            kept = json.loads(await self._store.side(_TABLE, self._name) or "{}")
        if kept.get("first") != self._mark:
            return Tokens(self._first)
        return Tokens(
            kept["token"], kept.get("access", ""), kept.get("ends", 0), kept.get("asked", "")
        )

    async def write(self, tokens: Tokens) -> None:
        known: dict[str, str | int] = {
            "access": tokens.access,
            "ends": tokens.ends,
            "asked": tokens.asked,
        }
        note: dict[str, str | int] = {"first": self._mark, "token": tokens.refresh}
        note.update((name, value) for name, value in known.items() if value)
        with _storage():
            await self._queue.keep_notes({(_TABLE, self._name): json.dumps(note)})

    async def alone(self, work: Callable[[Leadership], Awaitable[None]]) -> bool:
        with _storage():
            return await self._tabs.lead(
                work,
                lane=f"credential-{self._name}",
                wait_ms=_WAIT_MS,
                steal_after_ms=self.lease_ms,
            )


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except (QueueError, sqlite3.Error, OSError) as error:
        raise NoAnswer("network", sent=False) from error

"""The relay's queue: a store whose attachments stay where the gateway keeps them."""

from __future__ import annotations

import asyncio
import base64
from typing import Protocol

from fieldpost.ports import Manifest, Store
from fieldpost.stores.sqlite import SqliteStore

from .ledger import Ledger, Progress
from .relayed import file_place
from .tables import Database, PartStore


class Attachments:
    """What arrived of an entry's files, by the ids that the queue knows them by."""

    def __init__(self, database: Database, ledger: Ledger, parts: PartStore) -> None:
        self._database = database
        self._ledger = ledger
        self._parts = parts

    async def manifest(self, attachment_id: str) -> Manifest | None:
        progress = await self._progress(attachment_id)
        if progress is None:
            return None
        each = progress.attachment
        sha256 = tuple(base64.b64encode(digest).decode() for digest in each.sha256)
        return Manifest(attachment_id, each.name, each.type, each.size, sha256)

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        progress = await self._progress(attachment_id)
        if progress is None or not 1 <= n <= progress.held:
            return None
        try:
            return await asyncio.to_thread(self._parts.read, progress, n)
        except FileNotFoundError:
            return None

    async def _progress(self, attachment_id: str) -> Progress | None:
        entry, position = file_place(attachment_id)
        found = await self._database.read(lambda tx: self._ledger.progress(tx, entry))
        return next((each for each in found if each.position == position), None)


class RelayStore(Store, Protocol):
    """A store that can be closed."""

    async def close(self) -> None: ...


class SqliteRelayStore(SqliteStore):
    attachments: Attachments

    async def manifest(self, attachment_id: str) -> Manifest | None:
        return await self.attachments.manifest(attachment_id)

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        return await self.attachments.part(attachment_id, n)

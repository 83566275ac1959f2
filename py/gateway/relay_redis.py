"""The relay's queue in a Redis server that gateways share."""

from __future__ import annotations

from fieldpost.ports import Manifest
from fieldpost.stores.redis_store import RedisStore

from .relay_store import Attachments


class RedisRelayStore(RedisStore):
    attachments: Attachments

    async def manifest(self, attachment_id: str) -> Manifest | None:
        return await self.attachments.manifest(attachment_id)

    async def part(self, attachment_id: str, n: int) -> bytes | None:
        return await self.attachments.part(attachment_id, n)

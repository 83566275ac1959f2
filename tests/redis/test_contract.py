"""The store contract on a real Redis server."""

import pytest

from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.ports import Store
from fieldpost.stores.redis_store import RedisStore
from fieldpost.testing.storecontract import CASES

pytestmark = pytest.mark.full


class OnRedis:
    """A queue that is reopened over new connections."""

    def __init__(self, url: str) -> None:
        self.url, self.ring = url, KeyRing.ephemeral()
        self.store: RedisStore | None = None

    async def reopen(self) -> Store:
        await self.close()
        self.store = await RedisStore.open(self.url, self.ring)
        return self.store

    async def close(self) -> None:
        if self.store is not None:
            await self.store.close()


@pytest.mark.parametrize("case", CASES)
async def test_redis(case: str, url: str) -> None:
    place = OnRedis(url)
    try:
        await CASES[case](await place.reopen(), place.reopen)
    finally:
        await place.close()

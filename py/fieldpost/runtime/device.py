"""This device: its id, made once per store and sent with every request, and its token."""

from __future__ import annotations

import json

from fieldpost.engine.limits import LOCK_WAIT_MS, STEAL_AFTER_MS
from fieldpost.ports import Clock, Commit, Entropy, Leadership, Store, Tabs

_PLACE = ("device", "id")
#: A lock of its own beside those of the lanes, whose names have no capitals.
_LOCK = "DEVICE"
#: The bearer token that the gateway printed when it was paired; sealed like every side record.
TOKEN = ("device", "token")


async def device_id(store: Store, tabs: Tabs, clock: Clock, entropy: Entropy) -> str:
    """The UUID of this store's device. Two contexts that start at once agree: it is made under a
    lock, and whoever holds that for long has found or made it before."""

    async def make(_leadership: Leadership) -> None:
        if await store.side(*_PLACE) is None:
            await store.commit(Commit(side={_PLACE: json.dumps(entropy.uuid7(clock.now()))}))

    while (text := await store.side(*_PLACE)) is None:
        await tabs.lead(make, lane=_LOCK, wait_ms=LOCK_WAIT_MS, steal_after_ms=STEAL_AFTER_MS)
    return str(json.loads(text))


async def device_token(store: Store) -> str | None:
    """The token kept by `Queue.sign_in`, if any."""
    text = await store.side(*TOKEN)
    return None if text is None else str(json.loads(text))

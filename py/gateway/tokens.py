"""Refresh tokens that a server renews: followed over restarts, sealed in the relay's own store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

from fieldpost.hosts.cpython.credentials import Credential, OAuth
from fieldpost.ports import Store
from fieldpost.runtime.queue import Queue
from fieldpost.security.cipher import Cipher

#: Side records: name of the credential -> {"first": mark of the configured token, "token"}.
_TABLE = "credential"


async def follow_tokens(
    queue: Queue, store: Store, cipher: Cipher, credentials: Mapping[str, Credential]
) -> None:
    """The newest token takes the place of the configured one that it came of; another one in the
    configuration is a new beginning."""
    for name, credential in credentials.items():
        if not isinstance(credential, OAuth) or credential.refresh_token is None:
            continue
        first = cipher.mark("credential", credential.refresh_token)
        kept = json.loads(await store.side(_TABLE, name) or "{}")
        if kept.get("first") == first:
            credential.refresh_token = kept["token"]
        credential.kept = partial(_keep, queue, name, first)


async def _keep(queue: Queue, name: str, first: str, token: str) -> None:
    await queue.keep_notes({(_TABLE, name): json.dumps({"first": first, "token": token})})

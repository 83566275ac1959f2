"""Duplicates at the door: the inserting commit is refused while an equal item stands.

The time that counts is that of the rows, from `window_ms` before this moment to as long after it: a
clock that jumped back makes nothing a duplicate (known failure 11), a restart forgets nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fieldpost.engine.duplicates import STANDING, Duplicates, RecordKey
from fieldpost.engine.model import Item, Stored
from fieldpost.ports import Refused, Store, Unique

#: Rows of one fingerprint looked at together; whoever has more of them looks again.
_CANDIDATES = 100


class DoubleWatch:
    """Of one new row: what must not be there, and what a refusal turns out to mean."""

    def __init__(
        self,
        store: Store,
        policy: Duplicates,
        item: Item,
        fingerprint: str,
        record: RecordKey | None,
        payload: Mapping[str, Any],
    ):
        self._store = store
        self._record = record
        self._payload = payload
        self._until: int | None = None
        self._since: dict[str, int] = {}  # fingerprint -> rows before this are known to be others
        if policy.of(item.kind) == "allow":
            return
        if record is not None:
            self._since = dict.fromkeys(record.probes(item.kind, payload), 0)
        elif policy.window_ms:
            self._until = item.created_at + policy.window_ms
            self._since = {fingerprint: item.created_at - policy.window_ms}

    @property
    def is_record(self) -> bool:
        return self._record is not None and bool(self._since)

    @property
    def expect(self) -> list[Unique]:
        return [
            Unique("fingerprint", value, since, self._until)
            for value, since in self._since.items()
            if self._until is None or since <= self._until
        ]

    async def found(self, refusal: Refused) -> Item | None:
        """The item that this one would double; None: what was met is another one, try again.

        Each time brings the place to look on from further, so asking comes to an end.
        """
        met = refusal.expectation
        assert isinstance(met, Unique)
        ids = await self._store.find("fingerprint", met.value, _CANDIDATES)
        wanted = list(dict.fromkeys([*filter(None, [refusal.existing_id]), *ids]))
        seen = self._since[met.value]
        parts = () if self._record is None else ("body",)
        for stored in await self._store.get(wanted, parts):
            at = stored.item.created_at
            if at < seen and stored.item.id != refusal.existing_id:
                continue
            if (self._until is None or at <= self._until) and self._is_same(stored):
                return stored.item
            if stored.item.id == refusal.existing_id or self._until is None:
                self._since[met.value] = max(self._since[met.value], at + 1)
        # Removed meanwhile: look from the same place again.
        return None

    def _is_same(self, stored: Stored) -> bool:
        if stored.item.state not in STANDING:
            return False
        if self._record is None:
            return True
        return self._record.matches(json.loads(stored.parts["body"]), self._payload)

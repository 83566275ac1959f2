"""The part of the queue's public face that a person's acts are: each delegates to `acts.Acts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fieldpost.engine.model import Item
from fieldpost.engine.transitions import Event

from .acts import Acts, Done

Result = TypeVar("Result", Item, Done, int)


class ByHand:
    """Mixed into `Queue`, which tells the other contexts what changed and syncs."""

    acts: Acts

    async def attention(self) -> dict[str, Any]:
        """What needs a person: ``{"counts": {state: n}, "gave_up": {"count", "more", "since"}}``.

        ``gave_up``: dead letters for which only time was lacking, which `retry_all` with the code
        ``QUEUE_MAX_RETRIES_EXCEEDED`` sends; ``since``: when the first of them gave up (ms);
        ``more``: only the newest `acts.COUNTED_MAX` dead letters were looked at.
        """
        return await self.acts.attention()

    async def cancel(self, item_id: str, reason: str = "") -> Item:
        """Take an item back that has not been sent. Raises `IllegalTransition`, `StaleRevision`."""
        return self._acted(await self.acts.act(item_id, Event.CANCEL, reason))

    async def edit(self, item_id: str, payload: Mapping[str, Any], **options: Any) -> Item:
        """Correct an item that was not sent, or not accepted; options ``title``, ``priority``.
        See `Acts.edit`."""
        return self._acted(await self.acts.edit(item_id, payload, **options))

    async def retry(self, item_id: str, reason: str = "") -> Item:
        """Try a dead letter again, with its tries counted from none: the same bytes under the same
        ``send_id``, so that what did arrive the first time has no second effect."""
        return self._acted(await self.acts.act(item_id, Event.REVIVE, reason))

    async def retry_all(
        self, *, kind: str | None = None, code: str | None = None, since: int | None = None
    ) -> int:
        """Try all dead letters again, or those chosen (`Acts.retry_all`); returns how many."""
        return self._acted(await self.acts.retry_all(kind=kind, code=code, since=since))

    async def discard(self, item_id: str, reason: str = "") -> Item:
        """Give a dead letter up; it can be restored."""
        return self._acted(await self.acts.act(item_id, Event.DISCARD, reason))

    async def restore(self, item_id: str, reason: str = "") -> Item:
        """Take a cancel or a discard back."""
        return self._acted(await self.acts.act(item_id, Event.RESTORE, reason))

    async def arrived(self, item_id: str, reason: str = "") -> Item:
        """A person looked at a destination that cannot be asked, and the item is there."""
        return self._acted(await self.acts.act(item_id, Event.DELIVER, reason))

    async def send_again(self, item_id: str, reason: str = "") -> Item:
        """A person looked at a destination that cannot be asked, and the item is not there."""
        return self._acted(await self.acts.act(item_id, Event.LOOKUP_ABSENT, reason))

    async def retry_many(self, ids: Sequence[str], reason: str = "") -> Done:
        """As `retry`, on each; so do the other acts on many. What could not be done is in
        ``left``."""
        return self._acted(await self.acts.act_many(ids, Event.REVIVE, reason))

    async def cancel_many(self, ids: Sequence[str], reason: str = "") -> Done:
        return self._acted(await self.acts.act_many(ids, Event.CANCEL, reason))

    async def discard_many(self, ids: Sequence[str], reason: str = "") -> Done:
        return self._acted(await self.acts.act_many(ids, Event.DISCARD, reason))

    async def restore_many(self, ids: Sequence[str], reason: str = "") -> Done:
        return self._acted(await self.acts.act_many(ids, Event.RESTORE, reason))

    async def redirect(self, ids: Sequence[str], lane: str, reason: str = "") -> Done:
        """Send each by another lane, as long as nothing of it may have arrived where it was to go;
        what may have is in ``left``. Raises `InvalidItem` for a lane that does not exist."""
        return self._acted(await self.acts.redirect(ids, lane, reason))

    async def set_priority(self, ids: Sequence[str], priority: int) -> Done:
        """Give each the priority 1 (low) to 10. Raises `InvalidItem`."""
        return self._acted(await self.acts.set_priority(ids, priority))

    def _acted(self, result: Result) -> Result:
        self._changed()
        return result

    def _changed(self, *, ask_now: bool = False) -> None:
        raise NotImplementedError

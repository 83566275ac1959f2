"""The part of the public queue that steers it: settings, pauses, and what the turns amounted to."""

from __future__ import annotations

import json
from typing import Any

from . import settings as kept
from .committer import Change, Committer
from .contact import by_hand
from .driver import Driver, Host
from .overdue import unpark
from .routes import Routes


class Controls:
    """Of `Queue`, which gives the attributes."""

    routes: Routes
    _host: Host
    _committer: Committer
    _driver: Driver
    _drivers: dict[str, Driver]

    def _announce(self) -> None:
        raise NotImplementedError

    def _changed(self, *, ask_now: bool = False) -> None:
        raise NotImplementedError

    async def pause(self, reason: str = "by hand", lane: str | None = None) -> None:
        """Start no more sends, of one lane or of all, until `resume`; survives a restart. Raises
        `InvalidItem` for a lane that does not exist."""
        for driver in self._chosen(lane):
            driver.paused = reason
        text = json.dumps({"reason": reason, "at": self._host.clock.now()})
        await self._configured({(kept.PAUSES, lane or kept.EVERYWHERE): text}, "pause")
        self._announce()

    async def resume(self, lane: str | None = None) -> None:
        """Send again, in one lane or in all."""
        lanes = [lane] if lane else await self._host.store.sides(kept.PAUSES)
        await self._configured({(kept.PAUSES, key): None for key in lanes}, "resume")
        self._changed(ask_now=True)

    async def breaker(self, action: str, lane: str | None = None) -> dict[str, Any]:
        """``force_open`` (nothing is sent, not even by hand), ``force_close`` or ``reset`` for a
        lane, or the first; what its ``lane`` in `status` holds afterwards. Raises `InvalidItem`."""
        after = await by_hand(self._chosen(lane)[0], action)
        self._changed(ask_now=True)
        return after

    async def settings(self) -> dict[str, Any]:
        """The settings of the queue, and what is paused (`runtime.settings.Settings`)."""
        self._driver.pacing.forget()
        return (await self._driver.pacing.refresh()).as_dict()

    async def configure(self, **changes: Any) -> dict[str, Any]:
        """Change settings, durably and for every context at once, from their next claim on.

        Returns `settings`. Raises `InvalidItem` with an error for each field that is wrong.
        """
        now = self._host.clock.now()
        before = await kept.read_record(self._host.store)
        record = kept.checked(changes, before, now)
        note = f"configure {' '.join(sorted(changes))}"
        await self._configured({kept.PLACE: json.dumps(record)}, note)
        if not changes.keys().isdisjoint({"maintenance", "disruptive_kinds"}):
            kinds = kept.understood(before).disruptive_kinds
            await unpark(self._host.store, self._committer, self._host.clock, kinds)
        self._changed()
        return await self.settings()

    async def history(self, limit: int = 50) -> list[dict[str, Any]]:
        """The latest turns that sent something or failed to, newest first: ``{"lane", "at",
        "by_hand", "ms", "sent", "failed", "bytes", "error", "connection", "quality"}``."""
        turns = [
            {"lane": name, **turn}
            for name, driver in self._drivers.items()
            for turn in await driver.pacing.history(limit)
        ]
        return sorted(turns, key=lambda turn: turn["at"], reverse=True)[: max(0, limit)]

    async def _configured(self, side: dict[tuple[str, str], str | None], note: str) -> None:
        await self._committer.commit(Change(side=side, note=note))
        for driver in self._drivers.values():
            driver.pacing.forget()
        await self._pauses()

    async def _pauses(self) -> None:
        for driver in self._drivers.values():
            driver.paused = (await driver.pacing.refresh()).pause_of(driver.lane)

    def _chosen(self, lane: str | None) -> list[Driver]:
        """Of one lane, or of all. Raises `InvalidItem` for a lane that is not there."""
        self.routes.named(lane)
        return [driver for name, driver in self._drivers.items() if lane in (None, name)]

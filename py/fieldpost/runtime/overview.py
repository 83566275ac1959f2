"""What a queue says of itself to people: its counts and lanes, and why a row is not moving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fieldpost.engine.explain import TITLED_TEXT
from fieldpost.engine.limits import Limits
from fieldpost.engine.machine import needs_person
from fieldpost.engine.model import Item, Part, Stored
from fieldpost.engine.transitions import OPEN_STATES, State

from . import views
from .contact import health
from .driver import Driver, Host
from .loop import SyncLoop
from .waiting import waits_for

_PAGE = 200
#: More are not looked at one by one.
_COUNTED_MAX = 1_000


class Overview:
    """Reads only. The first of ``drivers`` (by their lanes' names) is the home's."""

    def __init__(
        self,
        host: Host,
        drivers: Mapping[str, Driver],
        loop: SyncLoop,
        limits: Limits,
        titles: Mapping[str, str] | None = None,
    ):
        self._host = host
        self._drivers = drivers
        self._loop = loop
        self._limits = limits
        #: Of the lanes that people choose by name.
        self._titles = titles or {}
        #: Items by lane, and the store's revision that it is so at.
        self._waiting: tuple[int, Counter[str]] | None = None
        #: How many wait for a person's word, and the revision likewise.
        self._unsettled: tuple[int, int] | None = None

    async def rows(self, found: Sequence[Stored]) -> list[dict[str, Any]]:
        """For a list; see `views.row`."""
        now = self._host.clock.now()
        words = {lane: await self._word(lane) for lane in {stored.item.lane for stored in found}}
        waits = await waits_for(self._host.store, [stored.item for stored in found])
        return [
            views.row(s, words[s.item.lane], now, self._own(s.item, now), waits.get(s.item.id, ()))
            for s in found
        ]

    async def unsettled(self, *parts: Part) -> list[Stored]:
        """Those of which only a person can find out whether they arrived, newest first; among the
        newest `_PAGE` ones without an answer."""
        if not (await self._host.store.counters()).get(f"state:{State.UNKNOWN}"):
            return []
        page = await self._host.store.page(
            [State.UNKNOWN], limit=_PAGE, newest_first=True, parts=parts
        )
        return [stored for stored in page.rows if needs_person(stored.item)]

    async def _count_unsettled(self, counters: Mapping[str, int]) -> int:
        revision = counters.get("revision", 0)
        if self._unsettled is None or self._unsettled[0] != revision:
            self._unsettled = (revision, len(await self.unsettled()))
        return self._unsettled[1]

    async def detail(self, stored: Stored) -> dict[str, Any]:
        """See `views.detail`."""
        lane, now = await self._word(stored.item.lane), self._host.clock.now()
        own = self._own(stored.item, now)
        return await views.detail(self._host.store, stored, lane, now, own)

    async def status(self) -> dict[str, Any]:
        """See `Queue.status`."""
        counters = await self._host.store.counters()
        counts = {str(s): counters.get(f"state:{s}", 0) for s in State}
        lanes = {name: await self._lane(driver, counters) for name, driver in self._drivers.items()}
        if self._titles and (waiting := await self._by_lane(counters)) is not None:
            for name, lane in lanes.items():
                lane["waiting"] = waiting[name]
        home_driver = next(iter(self._drivers.values()))
        home = lanes[home_driver.lane]
        under_way = [lane["progress"] for lane in lanes.values() if lane["progress"] is not None]
        may_claim = any(driver.may_claim for driver in self._drivers.values())
        # What was handed over is tried by somebody else.
        tries = counters.get("open", 0) > counts[State.HANDED_OVER]
        trouble = self._loop.trouble
        unsettled = await self._count_unsettled(counters)
        return {
            "counts": counts,
            "inbox": counters.get("inbox", 0),
            "limits": self._limits.report(counters),
            "logs": counters.get("open:log", 0),
            "waiting": sum(counts[s] for s in OPEN_STATES - views.NEED_A_PERSON)
            - counters.get("open:log", 0)
            + counters.get("inbox", 0),
            # These are among the waiting, too: they have not been delivered.
            "unsettled": unsettled,
            "attention": sum(counts[s] for s in views.NEED_A_PERSON) + unsettled,
            "sent": counts[State.COMPLETED],
            "revision": counters.get("revision", 0),
            "syncing": bool(under_way),
            "progress": views.together(under_way),
            "held": home["held"],
            "network": home_driver.pacing.network(),
            "connection": home["connection"],
            "connection_text": home["connection_text"],
            "lane": home["lane"],
            "lanes": lanes,
            "paused": None if None in [x["paused"] for x in lanes.values()] else home["paused"],
            "leader": home_driver.leading,
            "next_try_at": self._loop.next_turn_at if tries and may_claim else None,
            "last_sync_at": self._loop.last_sync_at,
            "gateway": getattr(home_driver.destination, "url", None),
            "trouble": trouble.as_dict() if trouble else None,
        }

    async def _lane(self, driver: Driver, counters: Mapping[str, int]) -> dict[str, Any]:
        state, progress = await driver.lane_state(), driver.progress
        held = await driver.pacing.held() if counters.get("open") and progress is None else None
        return {
            "connection": self._connection(state.word),
            "connection_text": state.words,
            "title": self._titles.get(driver.lane),
            "waiting": driver.open_items(counters),
            "progress": await driver.pacing.progress(asdict(progress)) if progress else None,
            "held": asdict(held) if held is not None else None,
            "lane": health(driver, state, counters),
            "paused": driver.paused,
        }

    async def _word(self, lane: str) -> str:
        driver = self._drivers.get(lane)
        if driver is None:
            return "no_lane"
        if driver.paused is not None:
            return "paused"
        word = self._connection((await driver.lane_state()).word)
        if lane in self._titles and word in TITLED_TEXT:
            return TITLED_TEXT[word].format(self._titles[lane])
        held = await driver.pacing.held() if word == "online" else None
        return held.text if held is not None else word

    async def _by_lane(self, counters: Mapping[str, int]) -> Counter[str] | None:
        """How many wait for each lane: items say by themselves where they go, so no counter can
        tell. None where they are too many to be looked at."""
        if counters.get("open", 0) > _COUNTED_MAX:
            return None
        revision = counters.get("revision", 0)
        if self._waiting is None or self._waiting[0] != revision:
            states, found, cursor = sorted(OPEN_STATES - views.NEED_A_PERSON), Counter[str](), None
            while True:
                page = await self._host.store.page(states, limit=_PAGE, cursor=cursor)
                found.update(row.item.lane for row in page.rows if row.item.kind != "log")
                if (cursor := page.next) is None:
                    break
            self._waiting = revision, found
        return self._waiting[1]

    def _own(self, item: Item, now: int) -> str | None:
        driver = self._drivers.get(item.lane)
        return driver.pacing.why(item, now) if driver is not None else None

    def _connection(self, contact: str) -> str:
        if not self._host.link.online:
            return "offline"
        return "online" if contact == "unproven" else contact

"""What lanes owe one another, and each its destination: seen by what leaves and what is stored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from fieldpost.engine.model import Item
from fieldpost.engine.transitions import END_STATES, State
from fieldpost.ports import Request

from .loop import Place
from .sites import Site
from .tabs import Locks
from .wishes import Expected

#: Table of the lanes' records.
_LANE = "lane"


@dataclass(frozen=True, slots=True)
class Flight:
    """A request with items that its sender waits for."""

    place: Place
    lane: str
    ids: Sequence[str]
    request: Request


class Bulkheads:
    def __init__(
        self,
        sites: Mapping[str, Site],
        requests: int,
        locks: Locks,
        expected: Expected,
        violated: Callable[[str, str], NoReturn],
    ) -> None:
        self._sites = sites
        self._requests = requests
        self._locks = locks
        self._wishes = expected.wishes
        self._violated = violated
        self._lanes = {site.host: lane for lane, site in sites.items()}
        self._flights: dict[int, Flight] = {}
        #: (lane, send_id) of what came to an end there, durably.
        self._ended: set[tuple[str, str]] = set()
        #: The most that ever were under way together, by lane and of all.
        self.most: Counter[str] = Counter()

    # --- rows ------------------------------------------------------------------------------------

    def committed(
        self,
        changes: Iterable[tuple[Item | None, Item]],
        side: Mapping[tuple[str, str], str | None],
    ) -> None:
        for old, new in changes:
            if old is not None and old.lane != new.lane:
                text = f"{_short(new.id)} went over from {old.lane} to {new.lane}"
                self._violated("route", text)
            if old is None and new.kind != "quarantine":
                wish = self._wishes.get(new.id)
                if wish is not None and new.lane not in wish.lanes:
                    self._violated("route", f"{_short(new.id)} takes the lane {new.lane}")
            self._note(new)
        for (table, lane), record in side.items():
            if table == _LANE and record is not None:
                self._known_ends(lane, json.loads(record)["acks"], "keeps to acknowledge")

    def reverted(self, rows: Iterable[Item]) -> None:
        self._ended.clear()
        for item in rows:
            self._note(item)

    def _note(self, item: Item) -> None:
        if item.state in END_STATES and item.state is not State.FAILED:
            self._ended.add((item.lane, item.send_id))

    # --- requests --------------------------------------------------------------------------------

    def lane_at(self, request: Request) -> str:
        """Whose address it goes to. Whatever it is, it shows a credential of that place only."""
        lane = self._lanes[urlsplit(request.url).netloc]
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and not self._sites[lane].own(token):
            self._violated("own-credential", f"{lane} is shown a token of another destination")
        return lane

    def acknowledging(self, lane: str, acks: Iterable[str]) -> None:
        self._known_ends(lane, acks, "is told to forget")

    def _known_ends(self, lane: str, acks: Iterable[str], does: str) -> None:
        for send_id in acks:
            if (lane, send_id) not in self._ended:
                text = f"{lane} {does} {_short(send_id)}, whose end is not durable"
                self._violated("acknowledged", text)

    def leaving(self, place: Place, lane: str, request: Request, ids: Sequence[str]) -> None:
        """Now, with these items."""
        self._flights[id(request)] = Flight(place, lane, ids, request)
        if place.name in self._locks[lane].robbed:
            return  # it does not know it yet
        others = [flight for flight in self._leading() if flight.request is not request]
        for flight in others:
            if flight.lane == lane and not set(ids).isdisjoint(flight.ids):
                self._violated("one-attempt", f"{_short(ids[0])} is under way already")
        counts = Counter([lane, *(flight.lane for flight in others)])
        if counts[lane] > self._sites[lane].requests:
            self._violated("requests", f"{lane} has {counts[lane]} requests under way")
        mine = 1 + sum(flight.place is place for flight in others)
        if mine > self._requests:
            self._violated("requests", f"{place.name} has {mine} requests under way in all lanes")
        for name, count in (*counts.items(), ("all", mine)):
            self.most[name] = max(self.most[name], count)

    def answered(self, request: Request) -> None:
        self._flights.pop(id(request), None)

    def sender(self, owner: str | None, item_id: str) -> Place | None:
        """The place of this name, where it waits for an answer about the item."""
        for flight in self._flights.values():
            if flight.place.name == owner and item_id in flight.ids:
                return flight.place
        return None

    def _leading(self) -> list[Flight]:
        """Requests of those that are alive and were not robbed of their lane."""
        self._flights = {key: f for key, f in self._flights.items() if not f.place.dead}
        flights = self._flights.values()
        return [f for f in flights if f.place.name not in self._locks[f.lane].robbed]

    def arrived(self, lane: str, item_id: str, row: Item | None) -> None:
        """Something took effect at the destination of a lane."""
        if row is not None and row.lane != lane:
            text = f"{_short(item_id)} is of the lane {row.lane} and takes effect at {lane}"
            self._violated("route", text)


def _short(item_id: str) -> str:
    return f"…{item_id[-4:]}"

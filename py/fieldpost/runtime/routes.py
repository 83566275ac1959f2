"""Lanes and which one an item takes. Pure.

A lane is a bulkhead: a destination (and zone), or some kinds of work on their way to it, with a
breaker, a retry budget, learnt timeouts and batches, pauses and a bound on requests of its own, so
that whatever goes wrong there holds up nothing else (REQUIREMENTS U38, U45).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fieldpost.destinations.base import Destination
from fieldpost.engine.breaker import RulesLike, rules_of
from fieldpost.engine.errors import ConfigError, InvalidItem
from fieldpost.engine.model import are_names
from fieldpost.engine.retry import PolicyLike, policy_of


@dataclass(frozen=True, slots=True)
class Lane:
    """``name``: kept in every row that takes it, so it must not change; that of the destination
    where it is empty. ``kinds``: only these take it, and nothing else does; None: all that no other
    lane names. ``policy``, ``breaker``: presets by name, or one's own; None: the queue's.
    ``requests``: how many may be under way at once (1 to its `requests_most`); ``failover``: the
    lane that takes over what is known not to be at this one's destination, while that is away.
    ``title``: what people call a destination that they choose by its name, beside those behind the
    gateway; "" of a lane that nobody chooses."""

    destination: Destination
    name: str = ""
    kinds: frozenset[str] | None = None
    policy: PolicyLike | None = None
    breaker: RulesLike = None
    requests: int = 1
    failover: str | None = None
    title: str = ""

    @property
    def lane(self) -> str:
        return self.name or self.destination.lane

    def demand(self, kind: str, *, files: bool) -> None:
        """Raises `InvalidItem` unless the destination takes the kind, and the files if any."""
        declared = self.destination.declaration
        if declared.kinds is not None and kind not in declared.kinds:
            raise InvalidItem(fields={"kind": f"is not taken by {self.lane}"})
        if files and not declared.attachments:
            raise InvalidItem(fields={"attachments": f"cannot be sent to {self.lane}"})


class Routes:
    """All lanes of a queue, the first one its home. Raises `ConfigError`, with an error under each
    lane's name."""

    def __init__(self, lanes: Sequence[Lane]):
        wrong: dict[str, str] = {}
        self._lanes: dict[str, Lane] = {}
        self._by_kind: dict[str, str] = {}
        self._rest: list[str] = []
        for lane in lanes:
            if problem := self._problem(lane):
                wrong[f"lanes.{lane.lane}"] = problem
            self._lanes[lane.lane] = lane
            if lane.kinds is None:
                self._rest.append(lane.lane)
            for kind in lane.kinds or ():
                self._by_kind[kind] = lane.lane
        if not lanes:
            wrong["lanes"] = "must name a destination"
        for lane in lanes:
            if lane.failover is not None and lane.failover not in {*self._lanes} - {lane.lane}:
                wrong[f"lanes.{lane.lane}"] = f"has no other lane {lane.failover!r} to fail over to"
        if wrong:
            raise ConfigError(fields=wrong)

    def _problem(self, lane: Lane) -> str:
        if not are_names(lane.lane):  # a row would not take it
            return "must be at most 64 of a-z, 0-9 and . _ : -, and begin with a letter"
        if lane.lane in self._lanes:
            return "is the name of two lanes"
        twice = sorted(self._by_kind.keys() & (lane.kinds or ()))
        if twice:
            return f"{', '.join(twice)} goes by another lane already"
        most = lane.destination.declaration.requests_most
        if not 1 <= lane.requests <= most:
            return f"requests must be 1 to {most}"
        try:
            rules_of(lane.breaker)
            if lane.policy is not None:
                policy_of(lane.policy)
        except ValueError as error:
            return str(error)
        return ""

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def home(self) -> Lane:
        return next(iter(self))

    def of(self, kind: str, asked: object = None, *, loosely: bool = False) -> Lane:
        """The lane that an item of a kind takes: the one ``asked`` for, the one that names its
        kind, else the first that takes any; ``loosely``, what asks for a lane that is not there
        goes as if it had not. Raises `InvalidItem`. (Whether its destination takes the item:
        `Lane.demand`.)"""
        lane = self._lanes.get(str(asked)) if loosely else self.named(asked)
        lane = lane or self._lanes.get(self._goes_by(kind) or "")
        if lane is None:
            raise InvalidItem(fields={"kind": "goes by none of the lanes"})
        return lane

    def named(self, lane: object) -> Lane | None:
        """None for None. Raises `InvalidItem` for a lane that is not there."""
        if lane is not None and lane not in self._lanes:
            raise InvalidItem(fields={"lane": f"must be one of {', '.join(self._lanes)}"})
        return None if lane is None else self._lanes[str(lane)]

    def chosen(self, destination: object) -> Lane | None:
        """The lane of a destination that people choose by this name, None where it is none."""
        lane = self._lanes.get(str(destination))
        return lane if lane is not None and lane.title else None

    @property
    def titled(self) -> list[Lane]:
        """Those that people choose."""
        return [lane for lane in self if lane.title]

    def open_items(self, lane: str, counters: Mapping[str, int]) -> int:
        """How many wait for the lane, by the counters of their kinds: an estimate where items were
        sent by another lane than their kind's."""
        if len(self) == 1:
            return counters.get("open", 0)
        kinds = [name.partition(":")[2] for name in counters if name.startswith("open:")]
        mine = [kind for kind in kinds if self._goes_by(kind) == lane]
        return sum(counters[f"open:{kind}"] for kind in mine)

    def _goes_by(self, kind: str) -> str | None:
        return self._by_kind.get(kind) or (self._rest[0] if self._rest else None)

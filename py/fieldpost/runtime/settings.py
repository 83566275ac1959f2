"""The queue's settings: durable, one side record, shared by all contexts, switched live.

What a later version wrote is kept when this one changes something, and what this one does not
understand counts as the default (invariant 9).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.limits import BATCH_ITEMS_MAX
from fieldpost.engine.scheduling import MAX_WAIT_MS, STRATEGIES, Strategy
from fieldpost.engine.windows import Window, parse_time, parse_window
from fieldpost.ports import Store

#: Where they lie.
PLACE = ("settings", "queue")
#: Table of the pauses: key ``all`` or a lane, value {"reason", "at"}.
PAUSES = "pause"
EVERYWHERE = "all"
SYNCS = ("immediate", "batched", "scheduled")

_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Settings:
    """As kept, in JSON's own types; `windows` and `times` give what the engine works with."""

    strategy: Strategy = "priority"
    #: Minutes after which a waiting item goes next, whatever the strategy.
    max_wait_minutes: int = MAX_WAIT_MS // 60_000
    sync: str = "immediate"
    #: `batched`: how many make a full batch, and how many seconds the first one waits for others.
    batch_items: int = 50
    batch_seconds: int = 60
    #: `scheduled`: "HH:MM" times of day, and every so many minutes (0: not).
    at_times: tuple[str, ...] = ()
    every_minutes: int = 0
    #: Wait for a network that costs nothing, within the bounds of `engine.network`.
    wait_for_unmetered: bool = False
    #: Do less while the battery is low or nobody looks at the app (`engine.power`).
    save_power: bool = True
    #: Owners of items take turns: one who saves hundreds does not hold up the others.
    share_by_owner: bool = False
    #: As `engine.windows.parse_window` takes them.
    maintenance: tuple[Mapping[str, Any], ...] = ()
    #: Kinds of work sent in windows of use ``disruptive`` only, where there is such a window.
    disruptive_kinds: tuple[str, ...] = ()
    #: Local time minus UTC, in minutes; None: as this device's clock says.
    utc_offset_minutes: int | None = None
    #: When the way to sync was last changed (ms): a schedule begins with the first time after it.
    sync_since: int = 0
    #: Reasons by lane, ``all`` for every lane. Set by `Queue.pause`.
    paused: Mapping[str, str] = field(default_factory=dict)

    @property
    def windows(self) -> tuple[Window, ...]:
        parsed = (parse_window(value) for value in self.maintenance)
        return tuple(window for window in parsed if isinstance(window, Window))

    @property
    def times(self) -> tuple[int, ...]:
        parsed = (parse_time(text) for text in self.at_times)
        return tuple(minutes for minutes in parsed if minutes is not None)

    def pause_of(self, lane: str) -> str | None:
        """Why this lane does not send, None when it does."""
        return self.paused.get(EVERYWHERE, self.paused.get(lane))

    def as_dict(self) -> dict[str, Any]:
        """JSON's types throughout."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def _one_of(*allowed: str) -> Callable[[Any], str]:
    return lambda v: "" if v in allowed else f"must be one of {', '.join(allowed)}"


def _whole(low: int, high: int, *, none: bool = False) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if none and value is None:
            return ""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if whole and low <= value <= high else f"must be a whole number {low} to {high}"

    return check


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _texts(value: Any) -> str:
    fine = isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)
    return "" if fine else "must be a list of texts"


def _times(value: Any) -> str:
    fine = not _texts(value) and all(parse_time(text) is not None for text in value)
    return "" if fine else "must be a list of times as 18:30"


def _maintenance(value: Any) -> str:
    if not isinstance(value, (list, tuple)):
        return "must be a list of windows"
    return next((p for p in map(parse_window, value) if isinstance(p, str)), "")


#: Field -> what is wrong with a value, "" for nothing. `paused` is not configured.
_CHECKS: dict[str, Callable[[Any], str]] = {
    "strategy": _one_of(*STRATEGIES),
    "max_wait_minutes": _whole(1, 7 * _DAY_MINUTES),
    "sync": _one_of(*SYNCS),
    "batch_items": _whole(2, BATCH_ITEMS_MAX),
    "batch_seconds": _whole(1, 24 * 3600),
    "at_times": _times,
    "every_minutes": _whole(0, _DAY_MINUTES),
    "wait_for_unmetered": _flag,
    "save_power": _flag,
    "share_by_owner": _flag,
    "maintenance": _maintenance,
    "disruptive_kinds": _texts,
    "utc_offset_minutes": _whole(-_DAY_MINUTES, _DAY_MINUTES, none=True),
}


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def understood(raw: Mapping[str, Any]) -> Settings:
    """The settings in a stored record; what is not understood stays at its default."""
    known = {
        name: _tupled(raw[name])
        for name, wrong in _CHECKS.items()
        if name in raw and not wrong(raw[name])
    }
    since = raw.get("sync_since")
    return Settings(**known, sync_since=since if isinstance(since, int) else 0)


def checked(changes: Mapping[str, Any], raw: Mapping[str, Any], now: int) -> dict[str, Any]:
    """The record with ``changes``, made at ``now``. Raises `InvalidItem`, with an error for each
    field that is wrong."""
    wrong = {
        name: _CHECKS[name](value) if name in _CHECKS else "is not a setting"
        for name, value in changes.items()
    }
    wrong = {name: why for name, why in wrong.items() if why}
    record = {**raw, **changes}
    if not changes.keys().isdisjoint({"sync", "at_times", "every_minutes"}):
        record["sync_since"] = now
    settings = understood(record)
    never = settings.sync == "scheduled" and not (settings.at_times or settings.every_minutes)
    if never and not wrong:
        wrong["at_times"] = "must name a time, or every_minutes a number, to send on a schedule"
    if wrong:
        raise InvalidItem(fields=wrong)
    return record


async def read_record(store: Store) -> dict[str, Any]:
    text = await store.side(*PLACE)
    record = json.loads(text) if text else {}
    return record if isinstance(record, dict) else {}


async def read(store: Store) -> Settings:
    """As they are now. Raises `DatabaseError`."""
    settings = understood(await read_record(store))
    pauses = await store.sides(PAUSES)
    reasons = {key: str(json.loads(text).get("reason", "")) for key, text in pauses.items()}
    return replace(settings, paused=reasons) if reasons else settings

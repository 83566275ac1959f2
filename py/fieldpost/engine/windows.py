"""Weekly windows: when a lane does not send, or when work that disrupts may be sent. Pure.

Times of day are the people's: the offset from UTC comes from the caller for each moment
(`Offset`), so a change between summer and winter time moves the window with the clocks on the wall.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

#: UTC ms -> local time minus UTC, in ms.
Offset = Callable[[int], int]
Use = Literal["closed", "disruptive"]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_MINUTE = 60_000
_DAY = 24 * 60
_WEEK = 7 * _DAY
#: 1970-01-01 was a Thursday.
_EPOCH_DAY = 3
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """``days``: on which it begins (0 = Monday); ``start``, ``end``: minutes after midnight. An end
    not after the start is on the next day; equal ones make it 24 hours long. ``lane`` "": every
    lane. ``use``: ``closed`` = nothing is sent in it, ``disruptive`` = work of the disruptive kinds
    is sent in it only."""

    days: tuple[int, ...]
    start: int
    end: int
    use: Use = "closed"
    lane: str = ""

    @property
    def minutes(self) -> int:
        return (self.end - self.start) % _DAY or _DAY

    def holds(self, minute: int) -> bool:
        """``minute`` of the local week, from Monday 00:00."""
        return any((minute - d * _DAY - self.start) % _WEEK < self.minutes for d in self.days)

    def of(self, lane: str, use: Use) -> bool:
        return self.use == use and self.lane in ("", lane)


def parse_time(text: object) -> int | None:
    """Minutes after midnight of "HH:MM", None when it is not one."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else int(found[1]) * 60 + int(found[2])


def parse_window(value: object) -> Window | str:
    """The window of ``{"days": ["mon"], "from": "22:00", "to": "02:00", "use"?, "lane"?}``, or what
    is wrong with it."""
    if not isinstance(value, Mapping):
        return "must be an object with days, from and to"
    days = value.get("days") or list(DAYS)
    if not isinstance(days, (list, tuple)) or not set(days) <= set(DAYS):
        return f"days must be among {', '.join(DAYS)}"
    start, end = parse_time(value.get("from")), parse_time(value.get("to"))
    if start is None or end is None:
        return "from and to must be times as 22:30"
    use: Any = value.get("use", "closed")
    if use not in get_args(Use):
        return f"use must be one of {', '.join(get_args(Use))}"
    lane = value.get("lane") or ""
    if not isinstance(lane, str):
        return "lane must be a text"
    return Window(tuple(sorted(DAYS.index(day) for day in set(days))), start, end, use, lane)


def week_minute(at: int, offset: Offset) -> int:
    """Minute of the local week at ``at`` (UTC ms)."""
    return ((at + offset(at)) // _MINUTE + _EPOCH_DAY * _DAY) % _WEEK


def inside(windows: Iterable[Window], at: int, offset: Offset) -> bool:
    minute = week_minute(at, offset)
    return any(window.holds(minute) for window in windows)


def next_change(windows: Iterable[Window], at: int, offset: Offset) -> int | None:
    """When `inside` next changes after ``at``; None when it never does."""
    found = list(windows)
    now = inside(found, at, offset)
    ends = {
        (day * _DAY + minute) % _WEEK
        for window in found
        for day in window.days
        for minute in (window.start, window.start + window.minutes)
    }
    local = (at + offset(at)) // _MINUTE
    here = (local + _EPOCH_DAY * _DAY) % _WEEK
    for ahead in sorted({(end - here - 1) % _WEEK + 1 for end in ends}):
        moment = to_utc((local + ahead) * _MINUTE, offset)
        if moment > at and inside(found, moment, offset) != now:
            return moment
    return None


def to_utc(local: int, offset: Offset) -> int:
    """The UTC ms of a local time. One that the clocks skip, or pass twice, gives a moment within
    the hour."""
    return local - offset(local - offset(local))


def latest_slot(times: Iterable[int], every: int | None, now: int, offset: Offset) -> int | None:
    """The latest moment at or before ``now`` when a schedule begins: at ``times`` (minutes after
    local midnight), and every so many minutes counted from local midnight."""
    return max((s for s in _slots(times, every, now, offset, -1) if s <= now), default=None)


def next_slot(times: Iterable[int], every: int | None, now: int, offset: Offset) -> int | None:
    """The first such moment after ``now``."""
    return min((s for s in _slots(times, every, now, offset, 1) if s > now), default=None)


def _slots(
    times: Iterable[int], every: int | None, now: int, offset: Offset, way: int
) -> list[int]:
    midnight = (now + offset(now)) // (_DAY * _MINUTE) * _DAY
    minutes = [midnight + day * _DAY + time for day in (0, way) for time in times]
    if every:
        since = (now + offset(now)) // _MINUTE - midnight
        at = midnight + since // every * every
        minutes += [at, min(at + every, midnight + _DAY)]
    return [to_utc(minute * _MINUTE, offset) for minute in minutes]


def clock_time(at: int, offset: Offset) -> str:
    """ "18:00", as the clock on the wall shows it."""
    minute = (at + offset(at)) // _MINUTE % _DAY
    return f"{minute // 60:02}:{minute % 60:02}"

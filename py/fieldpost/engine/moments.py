"""Points in time as payloads carry them: milliseconds, or RFC 3339 text. Pure."""

from __future__ import annotations

import re
from typing import Any

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"(?:[Zz]|([+-])(\d\d):?(\d\d))?"
)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def milliseconds(value: Any) -> int | None:
    """``value`` as milliseconds since the epoch, UTC; None when it is no point in time.

    Takes whole numbers (milliseconds) and RFC 3339 text; text without an offset counts as UTC.
    """
    if type(value) is int:
        return value
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute = map(int, match.groups()[:5])
    second = int(match[6] or 0)
    if not (1 <= month <= 12 and 1 <= day <= _days_in(year, month)):
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    offset = 0
    if match[8]:
        offset = (int(match[9]) * 60 + int(match[10])) * (-1 if match[8] == "-" else 1)
    minutes = (_days_before(year, month, day) * 24 + hour) * 60 + minute - offset
    return (minutes * 60 + second) * 1000 + int((match[7] or "0").ljust(3, "0")[:3])


def _days_in(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS[month - 1] + (month == 2 and leap)


def _days_before(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to the given one: years are counted from March, so that a leap day is
    the last of its year."""
    year -= month <= 2
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719_468

"""What became of every ticket, counted from both ends: the queues of those who wrote it, and the
records of the systems. The gateway, whose work is judged here, is not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fieldpost import State
from fieldpost.testing.vendors.base import Vendor

from .technicians import Sent

#: What is counted, in the order people read it. ``attention``: refused, and waiting for a person.
COUNTS = ("captured", "waiting", "gateway", "delivered", "attention", "doubled", "lost", "photos")
#: Nothing changes here any more, unless a person acts.
_OVER = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED, State.DISCARDED})


async def look(sent: Sequence[Sent]) -> None:
    """Bring the states up to date."""
    for each in sent:
        if each.state not in _OVER:
            each.state = (await each.queue.get(each.id)).state


def count(sent: Sequence[Sent], vendors: Mapping[str, Vendor]) -> dict[str, dict[str, int]]:
    """By destination, and ``total``: see `COUNTS`. ``photos``: whole ones that are there."""
    there = {name: Counter(_open(vendor)) for name, vendor in vendors.items()}
    files = {name: _files(vendor) for name, vendor in vendors.items()}
    result = {name: dict.fromkeys(COUNTS, 0) for name in (*vendors, "total")}
    for name, ops in there.items():
        result[name]["doubled"] = sum(many - 1 for many in ops.values())
    for each in sent:
        row = result[each.destination]
        row["captured"] += 1
        row[_where(each, arrived=each.id in there[each.destination])] += 1
        row["photos"] += bool(each.photo) and (each.id, each.photo) in files[each.destination]
    for name in vendors:
        for key in COUNTS:
            result["total"][key] += result[name][key]
    return result


def _where(sent: Sent, *, arrived: bool) -> str:
    if sent.state is State.COMPLETED:
        return "delivered" if arrived else "lost"
    if sent.state is State.FAILED:
        return "attention"
    if sent.state in _OVER:
        return "delivered" if arrived else "lost"
    return "gateway" if sent.state is State.HANDED_OVER else "waiting"


def _open(vendor: Vendor) -> list[str]:
    return [record.op for record in vendor.records if record.open and record.op]


def _files(vendor: Vendor) -> set[tuple[str, bytes]]:
    return {(record.op, data) for record in vendor.records for _, _, data in record.files}

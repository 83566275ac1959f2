"""Load shedding: what waits a little longer so that the rest gets through (U47). Pure.

Shed means put off: the item stays stored, and goes later. Only a kind that was declared droppable
(logs whose ring says so) may be dropped, and only under the worst pressure; nothing else ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .model import PRIORITIES


class Verdict(StrEnum):
    SEND = "send"
    DEFER = "defer"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Both must be exceeded: a deep queue before a quick server drains by itself, a slow server
    with little to do is only slow. ``age_ms``: an item that has waited so long is put off no more
    (every wait is bounded)."""

    depth: int = 2_000
    mean_ms: int = 5_000
    defer_ms: int = 60_000
    age_ms: int = 3_600_000

    def __post_init__(self) -> None:
        if min(self.depth, self.mean_ms, self.defer_ms, self.age_ms) < 1:
            raise ValueError("bounds of shedding must be 1 or more")


def pressure(depth: int, mean_ms: float, bounds: Bounds) -> float:
    """0 = within bounds; 1 = at both; 2 = one of them is exceeded twofold, and so on."""
    if depth < bounds.depth or mean_ms < bounds.mean_ms:
        return 0.0
    return max(depth / bounds.depth, mean_ms / bounds.mean_ms)


def verdict(
    *, priority: int, age_ms: int, droppable: bool, pressed: float, bounds: Bounds
) -> Verdict:
    """For one item. Under pressure (1 or more) what is of low priority waits, from 2 on what is
    normal too; high and critical never. From 4 on the low ones of droppable kinds are dropped."""
    if pressed < 1 or priority >= PRIORITIES["high"]:
        return Verdict.SEND
    low = priority <= PRIORITIES["low"] + 1
    if droppable and low and pressed >= 4:
        return Verdict.DROP
    if age_ms >= bounds.age_ms or not (low or pressed >= 2):
        return Verdict.SEND
    return Verdict.DEFER

"""How much of what is ready goes with the next request: the lane's health and load shedding
applied. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fieldpost.destinations.base import Reading
from fieldpost.engine.batching import Size
from fieldpost.engine.health import Reaction, admitted
from fieldpost.engine.machine import Deferred, Dropped, step
from fieldpost.engine.model import Item, Stored
from fieldpost.engine.outcome import ARRIVED, RETRYABLE, Class, Outcome
from fieldpost.engine.shedding import Bounds, Verdict, pressure, verdict
from fieldpost.engine.transitions import State
from fieldpost.ports import Put

from .committer import Write
from .lane import LaneState

_THROUGH = ARRIVED | {Class.HANDED_OVER}
_NOT_THROUGH = RETRYABLE | {Class.UNKNOWN}
BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Load:
    """``depth``: items waiting; ``mean_ms``: of recent requests, ``took_ms``: of the latest;
    ``reaction``: to the lane's health."""

    depth: int
    mean_ms: float
    reaction: Reaction
    took_ms: float = 0


def load_of(state: LaneState, now: int, *, online: bool, depth: int, took_ms: float = 0) -> Load:
    react = state.reaction(now, online=online, depth=depth)
    return Load(depth, state.mean_ms(now), react, took_ms)


def paced(state: LaneState, load: Load) -> LaneState:
    """The lane as the choice of the next rows must see it; never stored."""
    return replace(state, size=Size(load.reaction.limit(state.batch)))


def chosen(
    rows: Sequence[Stored],
    load: Load,
    droppable: Callable[[str], bool],
    now: int,
    bounds: Bounds = BOUNDS,
) -> tuple[list[Stored], list[Write]]:
    """The rows to send of those picked, and the writes that put the others off.

    Shedding makes room for what is more important: where nothing else was picked, nothing is put
    off. A row whose last attempt nobody answered is never shed: it may have arrived.
    """
    pressed = pressure(load.depth, load.mean_ms, bounds)
    send: list[Stored] = []
    writes: list[Write] = []
    for row in rows:
        item = row.item
        said = Verdict.SEND
        if pressed >= 1 and item.state is State.PENDING and item.step == 0:
            said = verdict(
                priority=item.priority,
                age_ms=now - item.created_at,
                droppable=droppable(item.kind),
                pressed=pressed,
                bounds=bounds,
            )
        if said is Verdict.SEND:
            send.append(row)
        else:
            happening = Dropped() if said is Verdict.DROP else Deferred(bounds.defer_ms)
            writes.append(Write(Put(step(item, happening, now)), was=item.state))
    if not send:
        send, writes = list(rows), []
    return admitted(send, [r.item.priority for r in send], load.reaction), writes


def learnt(
    state: LaneState, sent: Sequence[Item], reading: Reading, load: Load, *, most: int
) -> LaneState:
    """With what the answer to a request taught of how many items may go together; ``sent``: those
    of the request, ``most``: what the destination takes."""
    if reading.whole:
        return replace(state, size=state.size.bisected(len(sent))) if len(sent) > 1 else state
    success = got_through(reading.outcomes)
    if success is None or sent[0].step > 0:
        return state
    size = state.size.answered(
        success=success, took_ms=load.took_ms, load=load.reaction.load, most=most
    )
    return replace(state, size=size)


def got_through(outcomes: Sequence[Outcome]) -> float | None:
    """Share of items that a request got through, of those that it could have; None of none. What
    was refused for itself says nothing of how many may go together."""
    good = sum(o.cls in _THROUGH for o in outcomes)
    bad = sum(o.cls in _NOT_THROUGH for o in outcomes)
    return good / (good + bad) if good + bad else None

"""Attachments after the text: one part a request, each acknowledgement durable before the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fieldpost.engine.machine import PartAcknowledged, step
from fieldpost.engine.outcome import Class
from fieldpost.ports import Leadership, Put

from .committer import Write
from .lane import LaneState
from .settle import Claim

if TYPE_CHECKING:
    from .driver import Driver


async def send_parts(
    driver: Driver, leadership: Leadership, state: LaneState, taken: Claim
) -> tuple[LaneState, list[Write]]:
    """Send the item's remaining parts in order; returns the lane and the writes left to commit.

    A restart, a cut or a text that became ready meanwhile ends it early: the row says where to
    resume. Between two parts the row is written once, with the part acknowledged.
    """
    while True:
        attachment_id, n = _next_part(taken)
        reading = await driver.send_part(taken, attachment_id, n)
        (outcome,) = reading.outcomes
        acked = outcome.acked.get(attachment_id)
        more = outcome.cls is Class.ACCEPTED and acked == n and _remaining(taken) > 1
        if not more:
            return driver.settle_all(state, [taken], reading)
        now = driver.host.clock.now()
        item = step(taken.item, PartAcknowledged(attachment_id, n), now)
        write = Write(Put(item), was=item.state)
        going = driver.may_claim and not leadership.lost and await driver.picker.may_go_on()
        if not going or await _text_waits(driver):
            return driver.settle_all(state, [replace(taken, item=item)], reading)
        if item.id not in await driver.commit_each([write]):
            return state, []  # somebody else took the row over
        taken = replace(taken, item=item.changed(revision=item.revision + 1))


def _next_part(taken: Claim) -> tuple[str, int]:
    """The first part not acknowledged; when all are, the last one again, for the final answer."""
    attachment = taken.item.next_attachment
    if attachment is not None:
        return attachment.id, attachment.acked + 1
    last = taken.item.attachments[-1]
    return last.id, last.parts


def _remaining(taken: Claim) -> int:
    return sum(a.parts - a.acked for a in taken.item.attachments if not a.done)


async def _text_waits(driver: Driver) -> bool:
    rows = await driver.host.store.ready(driver.destination.lane, 1)
    return bool(rows) and rows[0].item.step == 0

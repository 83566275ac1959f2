"""Attachments after the text: one part a request, each acknowledgement durable before the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fieldpost.destinations.base import Contact, Reading
from fieldpost.engine.errors import AttachmentUnreadable, DecryptionError
from fieldpost.engine.limits import PART_BYTES
from fieldpost.engine.machine import PartAcknowledged, step
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.timeouts import Durations
from fieldpost.ports import Leadership, NoAnswer, Put, Request, Response

from .asking import ask
from .committer import Write
from .contact import listen
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
        reading, durations, took_ms = await _send_part(driver, state, taken, attachment_id, n)
        state = replace(state, parts=durations)
        (outcome,) = reading.outcomes
        acked = outcome.acked.get(attachment_id)
        more = outcome.cls is Class.ACCEPTED and acked == n and _remaining(taken) > 1
        if not more:
            return driver.settle_all(state, [taken], reading, took_ms)
        now = driver.host.clock.now()
        item = step(taken.item, PartAcknowledged(attachment_id, n), now)
        write = Write(Put(item), was=item.state)
        state = await listen(driver, state)
        going = driver.may_claim and not leadership.lost and not state.held
        going = going and await driver.picker.may_go_on() and driver.pacing.may_go(item.level)
        if not going or await _text_waits(driver):
            return driver.settle_all(state, [replace(taken, item=item)], reading, took_ms)
        if item.id not in await driver.commit_each([write]):
            return state, []  # somebody else took the row over
        taken = replace(taken, item=item.changed(revision=item.revision + 1))


async def _send_part(
    driver: Driver, state: LaneState, taken: Claim, attachment_id: str, n: int
) -> tuple[Reading, Durations, float]:
    """Send one part and read the answer; with how long the lane's parts take, and this one took.

    What this device cannot read any more is a final outcome of the item, said plainly: a missing
    attachment never counts as sent.
    """
    attachment = next(a for a in taken.item.attachments if a.id == attachment_id)
    request = driver.destination.part_request(taken.item, attachment, n)

    async def send(timed: Request) -> Response:
        return await driver.host.transport.send_part(timed, attachment_id, n)

    size = min(PART_BYTES, attachment.size)
    try:
        asked = await ask(driver.host.clock, state.parts, request, send, size)
    except (AttachmentUnreadable, DecryptionError) as error:
        lost = Outcome(Class.PERMANENT, AttachmentUnreadable.code, error.message)
        return Reading(Contact("online"), [lost]), state.parts, 0.0
    if isinstance(asked.answer, NoAnswer):
        reading = driver.destination.no_answer(asked.answer)
    else:
        reading = driver.destination.read_part(taken.item, attachment, n, asked.answer)
    return reading, asked.durations, asked.took_ms


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

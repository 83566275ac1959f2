"""Attachments after the text: one part a request, or one whole file, as the destination takes them;
each acknowledgement durable before the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fieldpost.destinations.base import Contact, Reading
from fieldpost.engine.errors import AttachmentUnreadable, DecryptionError
from fieldpost.engine.limits import PART_BYTES
from fieldpost.engine.machine import PartAcknowledged, step
from fieldpost.engine.model import Attachment
from fieldpost.engine.outcome import ARRIVED, FINAL, Class, Outcome, RefusedFile
from fieldpost.engine.record import Head
from fieldpost.ports import NoAnswer, Put, Request, Response

from .asking import ask
from .committer import Write
from .contact import heard
from .conversing import converse, of_lane
from .followups import ATTACH, NO_REMOTE
from .settle import Claim

if TYPE_CHECKING:
    from .driver import Driver
    from .sending import Sending


async def send_parts(sending: Sending, taken: Claim) -> list[Write]:
    """Send the item's remaining parts in order; returns the writes left to commit.

    A restart, a cut or a text that became ready meanwhile ends it early: the row says where to
    resume. Between two parts the row is written once, with the part acknowledged.
    """
    driver = sending.driver
    while True:
        attachment_id, n = _next_part(taken)
        reading, took_ms = await _send_part(sending, taken, attachment_id, n)
        (outcome,) = reading.outcomes
        acked = outcome.acked.get(attachment_id)
        more = outcome.cls is Class.ACCEPTED and acked == n and _remaining(taken) > 1
        if not more:
            return sending.settle([taken], reading, took_ms)
        now = driver.host.clock.now()
        item = step(taken.item, PartAcknowledged(attachment_id, n), now)
        write = Write(Put(item), was=item.state)
        sending.state = sending.state.told(await heard(driver))
        going = driver.may_claim and not sending.leadership.lost and not sending.state.held
        going = going and await driver.picker.may_go_on() and driver.pacing.may_go(item.level)
        if not going or await _text_waits(driver):
            return sending.settle([replace(taken, item=item)], reading, took_ms)
        if item.id not in await driver.commit_each([write]):
            await sending.overtaken([taken])  # somebody else has the row
            return []
        taken = replace(taken, item=item.changed(revision=item.revision + 1))


async def _send_part(
    sending: Sending, taken: Claim, attachment_id: str, n: int
) -> tuple[Reading, float]:
    """Send one part, or the whole file, and read the answer; with how many ms it took.

    What this device cannot read any more is a final outcome of the item, said plainly: a missing
    attachment never counts as sent.
    """
    driver = sending.driver
    attachment = next((a for a in taken.item.attachments if a.id == attachment_id), None)
    if attachment is None:  # nothing is left: the last file was refused before it was noted
        return Reading(Contact("online"), [Outcome(Class.DELIVERED)]), 0.0
    if driver.destination.declaration.whole_files:
        return await _send_file(sending, taken, attachment)
    request = driver.destination.part_request(taken.item, attachment, n)

    async def send(timed: Request) -> Response:
        return await driver.host.transport.send_part(timed, attachment_id, n)

    size = min(PART_BYTES, attachment.size)
    try:
        asked = await ask(driver.host.clock, sending.state.parts, request, send, size)
    except (AttachmentUnreadable, DecryptionError) as error:
        lost = Outcome(Class.PERMANENT, AttachmentUnreadable.code, error.message)
        return Reading(Contact("online"), [lost]), 0.0
    sending.state = replace(sending.state, parts=asked.counted(sending.state.parts))
    if isinstance(asked.answer, NoAnswer):
        reading = driver.destination.no_answer(asked.answer)
    else:
        reading = driver.destination.read_part(taken.item, attachment, n, asked.answer)
    return reading, asked.took_ms


async def _send_file(
    sending: Sending, taken: Claim, attachment: Attachment
) -> tuple[Reading, float]:
    """Hand over one whole file. One that is refused for good is a dead letter of its own, and the
    item goes on without it."""
    driver = sending.driver
    manifest = await driver.host.store.manifest(attachment.id)
    remote_id = Head.load(taken.parts.get("head")).remote_id
    if manifest is None or remote_id is None:
        what = AttachmentUnreadable.code if manifest is None else "QUEUE_NO_REMOTE_ID"
        text = "The file is not on this device any more." if manifest is None else NO_REMOTE
        return Reading(Contact("online"), [_refused(taken, attachment, what, text, "")]), 0.0
    most = driver.destination.declaration.file_bytes
    if most is not None and attachment.size > most:
        text = f"{manifest.name} has {attachment.size} bytes; at most {most} are taken there."
        refused = _refused(taken, attachment, Class.TOO_LARGE, text, manifest.name)
        return Reading(Contact("online"), [refused]), 0.0
    if attachment.done:  # its answer was the last that was missing
        return Reading(Contact("online"), [_there(taken, attachment)]), 0.0
    script = driver.destination.attach(taken.item, manifest, remote_id, again=taken.unknown)
    try:
        answer, took_ms = await converse(script, of_lane(sending))
    except (AttachmentUnreadable, DecryptionError) as error:
        lost = _refused(taken, attachment, AttachmentUnreadable.code, error.message, manifest.name)
        return Reading(Contact("online"), [lost]), 0.0
    if isinstance(answer, NoAnswer):
        return driver.destination.no_answer(answer), took_ms
    (outcome,) = answer.outcomes
    if outcome.cls in ARRIVED:
        answer = replace(answer, outcomes=[_there(taken, attachment)])
    elif outcome.cls in FINAL and not outcome.lane:
        code = outcome.code or outcome.cls
        refused = _refused(taken, attachment, code, outcome.text, manifest.name)
        answer = replace(answer, outcomes=[refused])
    return answer, took_ms


def _there(taken: Claim, attachment: Attachment) -> Outcome:
    left = [a for a in taken.item.attachments if not a.done and a.id != attachment.id]
    cls = Class.ACCEPTED if left else Class.DELIVERED
    return Outcome(cls, acked={attachment.id: attachment.parts})


def _refused(taken: Claim, attachment: Attachment, code: str, text: str, name: str) -> Outcome:
    left = [a for a in taken.item.attachments if not a.done and a.id != attachment.id]
    refused = {attachment.id: RefusedFile(code, text, name)}
    if taken.item.operation == ATTACH:  # it is that dead letter already
        return Outcome(Class.PERMANENT, code, text)
    return Outcome(Class.ACCEPTED if left else Class.DELIVERED, text=text, refused=refused)


def _next_part(taken: Claim) -> tuple[str, int]:
    """The first part not acknowledged; when all are, the last one again, for the final answer."""
    attachment = taken.item.next_attachment
    if attachment is not None:
        return attachment.id, attachment.acked + 1
    if not taken.item.attachments:
        return "", 0
    last = taken.item.attachments[-1]
    return last.id, last.parts


def _remaining(taken: Claim) -> int:
    return sum(a.parts - a.acked for a in taken.item.attachments if not a.done)


async def _text_waits(driver: Driver) -> bool:
    rows = await driver.host.store.ready(driver.lane, 1)
    return bool(rows) and rows[0].item.step == 0

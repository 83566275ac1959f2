"""Scripts of an adapter, spoken with its destination: several requests in a row, read as one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from fieldpost.destinations.answers import dated
from fieldpost.destinations.base import Script
from fieldpost.engine.timeouts import whole_file_ms
from fieldpost.ports import NoAnswer, Request, Upload

from .asking import Asked, ask

if TYPE_CHECKING:
    from .sending import Sending

T = TypeVar("T")


async def converse(sending: Sending, script: Script[T]) -> tuple[T | NoAnswer, float]:
    """Send what the script yields, one after another, until it returns or a request has no answer;
    with how many ms the last request took.

    Each request without a file counts for the lane's learnt timeouts, as a text does. Raises
    `AttachmentUnreadable` and `DecryptionError` of a file that this device cannot read any more,
    and whatever the script raises.
    """
    took_ms = 0.0
    try:
        asked = next(script)
        while True:
            if sending.leadership.lost:  # whoever took over asks from the beginning
                script.close()
                return NoAnswer("aborted", sent=False), took_ms
            answered = await _ask(sending, asked)
            took_ms = answered.took_ms
            if isinstance(answered.answer, NoAnswer):
                script.close()
                return answered.answer, took_ms
            asked = script.send(answered.answer)
    except StopIteration as end:
        return end.value, took_ms


async def _ask(sending: Sending, asked: Request | Upload) -> Asked:
    host, state = sending.driver.host, sending.state
    if isinstance(asked, Request):
        answered = await ask(host.clock, state.texts, asked, host.transport.send, len(asked.body))
        sending.state = replace(sending.state, texts=answered.counted(sending.state.texts))
        return answered

    # What parts of one size took says nothing of a whole file, so nothing is learnt here.
    timed = replace(asked.request, timeout_ms=whole_file_ms(asked.length))
    began = host.clock.monotonic()
    try:
        response = await host.transport.send_file(replace(asked, request=timed))
    except NoAnswer as failure:
        return Asked(failure, host.clock.monotonic() - began)
    return Asked(dated(response, host.clock.now()), host.clock.monotonic() - began)

"""Scripts of an adapter, spoken with its destination: several requests in a row, read as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from fieldpost.destinations.answers import dated
from fieldpost.destinations.base import Reading, Script
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import ARRIVED, Class
from fieldpost.engine.timeouts import whole_file_ms
from fieldpost.ports import NoAnswer, Request, Response, Transport, Upload

from .asking import Asked, ask

if TYPE_CHECKING:
    from .sending import Sending

T = TypeVar("T")
#: Sends one request of a script.
Ask = Callable[[Request | Upload], Awaitable[Asked]]


async def converse(script: Script[T], ask_for: Ask) -> tuple[T | NoAnswer, float]:
    """Send what the script yields, one after another, until it returns or a request has no answer;
    with how many ms the last request took.

    Raises `AttachmentUnreadable` and `DecryptionError` of a file that this device cannot read any
    more, and whatever the script raises.
    """
    took_ms = 0.0
    try:
        asked = next(script)
        while True:
            answered = await ask_for(asked)
            took_ms = answered.took_ms
            if isinstance(answered.answer, NoAnswer):
                script.close()
                return answered.answer, took_ms
            asked = script.send(answered.answer)
    except StopIteration as end:
        return end.value, took_ms


def of_lane(sending: Sending) -> Ask:
    """Asks as a drain does: what holds no file counts for the lane's learnt timeouts, as a text
    does; nothing is asked any more once the lane's lock is lost."""
    host = sending.driver.host

    async def ask_for(asked: Request | Upload) -> Asked:
        if sending.leadership.lost:  # whoever took over asks from the beginning
            return Asked(NoAnswer("aborted", sent=False), 0.0)
        if isinstance(asked, Request):
            texts, size = sending.state.texts, len(asked.body)
            answered = await ask(host.clock, texts, asked, host.transport.send, size)
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

    return ask_for


def of_transport(transport: Transport) -> Ask:
    """Asks outside of any drain: what a destination offers, whether it is there."""

    async def ask_for(asked: Request | Upload) -> Asked:
        assert isinstance(asked, Request)
        answer: Response | NoAnswer
        try:
            answer = await transport.send(asked)
        except NoAnswer as failure:
            answer = failure
        return Asked(answer, 0.0)

    return ask_for


async def enriched(sending: Sending, intents: Sequence[bytes]) -> Sequence[bytes] | Reading:
    """The intents with what the destination could be asked for besides; or why they stay here: it
    is away, or takes nothing. A question that takes too long keeps nothing back."""
    destination = sending.driver.destination
    said, _ = await converse(destination.enrich(intents), of_lane(sending))
    if isinstance(said, NoAnswer):
        if said.reason == "timeout":
            return intents
        said = destination.no_answer(said.before())
    if not isinstance(said, Reading):
        return said
    here = [
        replace(one, cls=Class.TRANSIENT) if one.cls is Class.UNKNOWN else one
        for one in said.outcomes
    ]
    return replace(said, outcomes=here)


async def named(sending: Sending, items: Sequence[Item], reading: Reading) -> Reading:
    """With what people over there call each that arrived, where the answer did not say it and can
    be asked for. Without one it has arrived all the same."""
    outcomes = []
    for item, outcome in zip(items, reading.outcomes, strict=False):
        if outcome.cls in ARRIVED and outcome.remote_id and not outcome.remote_name:
            script = sending.driver.destination.called(item, outcome.remote_id)
            said, _ = await converse(script, of_lane(sending))
            if isinstance(said, str):
                outcome = replace(outcome, remote_name=said)  # noqa: PLW2901
        outcomes.append(outcome)
    return replace(reading, outcomes=[*outcomes, *reading.outcomes[len(outcomes) :]])

"""One request with its learnt timeout, measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from fieldpost.destinations.answers import dated
from fieldpost.engine.timeouts import Durations
from fieldpost.ports import Clock, NoAnswer, Request, Response


@dataclass(frozen=True, slots=True)
class Asked:
    """``answer``: the response, or why there is none."""

    answer: Response | NoAnswer
    took_ms: float

    def counted(self, durations: Durations) -> Durations:
        """With this request's."""
        if not isinstance(self.answer, NoAnswer):
            return durations.answered(self.took_ms)
        return durations.timed_out() if self.answer.reason == "timeout" else durations


async def ask(
    clock: Clock,
    durations: Durations,
    request: Request,
    send: Callable[[Request], Awaitable[Response]],
    body_bytes: int,
) -> Asked:
    """Raises what ``send`` raises, but for `NoAnswer`."""
    timed = replace(request, timeout_ms=durations.timeout_ms(body_bytes))
    began = clock.monotonic()
    try:
        response = await send(timed)
    except NoAnswer as failure:
        return Asked(failure, clock.monotonic() - began)
    return Asked(dated(response, clock.now()), clock.monotonic() - began)

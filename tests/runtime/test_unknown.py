"""An attempt without an answer stays one, whatever is said of the attempts after it (invariant
4)."""

from __future__ import annotations

import pytest
from tests.runtime.worlds import World

from fieldpost.engine.errors import IllegalTransition
from fieldpost.engine.transitions import State
from fieldpost.testing.fakes import Fault, answers, lose_answer

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    "later",
    [
        answers(429, b'{"code": "OVERLOADED"}', content_type=PROBLEM, retry_after="20"),
        answers(503, b'{"code": "OVERLOADED"}', content_type=PROBLEM),
        answers(401, b"{}", content_type="application/json"),
        answers(409, b'{"code": "BUSY"}', content_type=PROBLEM),
    ],
    ids=["429", "503", "401", "409"],
)
async def test_later_is_no_answer_to_the_attempt_before(later: Fault) -> None:
    """It may have arrived: that this attempt was turned away does not let it be taken back."""
    world = World()
    item = await world.queue.enqueue("ticket", {"summary": "x"})
    for fault in (lose_answer, later):
        world.gateway.faults = [fault]
        await world.queue.sync()
        assert (await world.queue.get(item.id)).state is State.UNKNOWN
        with pytest.raises(IllegalTransition):
            await world.queue.cancel(item.id)
    await world.settle()
    bodies = {r.body for r in world.gateway.requests if r.url.endswith("/operations")}
    assert (len(bodies), world.gateway.inbox) == (1, [item.id])
    assert (await world.queue.get(item.id)).state is State.COMPLETED

"""Looking for doubles, some minutes after a delivery that followed a lookup which proved little."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fieldpost.destinations.base import Reading
from fieldpost.engine.record import Head
from fieldpost.ports import NoAnswer

from .committer import Write
from .conversing import converse, of_lane
from .settle import Claim

if TYPE_CHECKING:
    from .sending import Sending


async def send_sweeps(sending: Sending, claims: Sequence[Claim]) -> list[Write]:
    """Each in turn. A sweep may be done again at any time: it only closes what is there twice."""
    driver = sending.driver
    writes: list[Write] = []
    for at, taken in enumerate(claims):
        swept = json.loads(taken.parts["body"])["sweep_of"]
        # What was delivered last is known by its name, whatever the search shows of it yet.
        rows = await driver.host.store.get([swept], ("head",))
        known = Head.load(rows[0].parts.get("head")).remote_id if rows else None
        script = driver.destination.sweep(taken.item, swept, known)
        answer, took_ms = await converse(script, of_lane(sending))
        reading = driver.destination.no_answer(answer) if isinstance(answer, NoAnswer) else answer
        if not reading.contact.ok:  # of the lane, so of all the others too
            whole = Reading(reading.contact, reading.outcomes, whole=True)
            return [*writes, *sending.settle(claims[at:], whole, took_ms)]
        writes += sending.settle([taken], reading, took_ms)
    return writes

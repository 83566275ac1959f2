"""Looking for doubles, some minutes after a delivery that followed a lookup which proved little, or
after a row was taken over from a sender whose request may have left all the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fieldpost.destinations.base import Contact, Destination, Reading, Script
from fieldpost.engine.errors import Doubled
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.record import Head
from fieldpost.ports import NoAnswer

from .committer import Write
from .conversing import converse, of_lane
from .settle import Claim

if TYPE_CHECKING:
    from .sending import Sending


async def send_sweeps(sending: Sending, claims: Sequence[Claim]) -> list[Write]:
    """Each in turn. A sweep may be done again at any time: it only closes what is there twice, or
    says that it is."""
    driver = sending.driver
    writes: list[Write] = []
    for at, taken in enumerate(claims):
        body = json.loads(taken.parts["body"])
        rows = await driver.host.store.get([body["sweep_of"]], ("head",))
        if "said" in body or not rows:
            script = _stands(body.get("said", ""))
        elif _has_its_own(driver.destination):
            # What was delivered last is known by its name, whatever the search shows of it yet.
            known = Head.load(rows[0].parts.get("head")).remote_id
            script = driver.destination.sweep(taken.item, body["sweep_of"], known)
        else:
            script = _look(driver.destination, rows[0].item)
        answer, took_ms = await converse(script, of_lane(sending))
        reading = driver.destination.no_answer(answer) if isinstance(answer, NoAnswer) else answer
        if not reading.contact.ok:  # of the lane, so of all the others too
            whole = Reading(reading.contact, reading.outcomes, whole=True)
            return [*writes, *sending.settle(claims[at:], whole, took_ms)]
        writes += sending.settle([taken], reading, took_ms)
    return writes


def _has_its_own(destination: Destination) -> bool:
    lookup = destination.declaration.lookup
    return lookup is not None and lookup.sweep_ms is not None


def _stands(said: str) -> Script[Reading]:
    """Without a question: what only a person can find out, or what is kept here no more."""
    if said:
        return Reading(Contact("online"), [Outcome(Class.PERMANENT, Doubled.code, said)])
    return Reading(Contact("online"), [Outcome(Class.DELIVERED, text="It is not kept any more.")])
    yield  # a script without requests


def _look(destination: Destination, item: Item) -> Script[Reading]:
    """Whether the item is there once. A double is a dead letter: nobody may close it but a person,
    whose "Retry" looks again."""
    finding = destination.read_find(item, (yield destination.find(item)))
    if finding.doubled and finding.outcome is not None:
        said = Outcome(Class.PERMANENT, Doubled.code, finding.outcome.text)
    elif finding.outcome is not None:
        said = Outcome(Class.DELIVERED, text="It is there once.")
    elif finding.absent:
        said = Outcome(Class.DELIVERED, text="It is not there (any more).")
    else:
        lane = not finding.contact.ok
        said = Outcome(Class.TRANSIENT, text="The destination did not say.", lane=lane)
    return Reading(finding.contact, [said])

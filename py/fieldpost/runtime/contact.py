"""A lane's first word: asking it before its items risk becoming ``unknown``, and a person's word on
its breaker."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fieldpost.destinations.answers import dated
from fieldpost.engine.breaker import CLOSED
from fieldpost.engine.errors import InvalidItem
from fieldpost.ports import NoAnswer

from .committer import Change
from .device import device_token
from .lane import ACTIONS, WORD, LaneState

if TYPE_CHECKING:
    from .driver import Driver

log = logging.getLogger("fieldpost")

_LISTEN_EVERY_MS = 1_000


async def make_contact(driver: Driver, state: LaneState) -> LaneState:
    """Ask a lane that is not proven open. Where its breaker is not closed this is a probe, durable
    with its deadline before it leaves: one that never returns has failed."""
    host = driver.host
    # The person may have signed in in another tab; nobody else is ever shown what was given there.
    if state.contact == "signed_out" and driver.signs_in:
        token = await device_token(host.store)
        if token is not None:
            driver.destination.sign_in(token)
    request = driver.destination.probe()
    if request is None:  # it cannot be asked for less than an item, which is the probe then
        return state.supposed()
    if (asked := state.probing(host.clock.now())) != state:
        state = asked
        await driver.keep_lane(state)
    began = host.clock.monotonic()
    try:
        response = await host.transport.send(request)
    except NoAnswer as failure:
        contact = driver.destination.no_answer(failure).contact
    else:
        contact = driver.destination.read_probe(
            dated(response, host.clock.now()), known=state.known
        )
    took_ms = host.clock.monotonic() - began
    now, fraction = host.clock.now(), host.entropy.fraction()
    after = state.after(contact, now, fraction, took_ms=took_ms, question=True)
    if after != state:
        note(driver.lane, state, after)
        await driver.keep_lane(after)
    return after


def note(lane: str, before: LaneState, after: LaneState) -> None:
    """A line of the log when the breaker changed."""
    if after.breaker.word != before.breaker.word:
        level = logging.INFO if after.breaker.word == CLOSED else logging.WARNING
        log.log(level, "lane %s: breaker %s", lane, after.breaker.word)


async def word(driver: Driver) -> dict[str, str] | None:
    """What a person said last of the lane's breaker, here or in another context."""
    text = await driver.host.store.side(WORD, driver.lane)
    return json.loads(text) if text else None


async def heard(driver: Driver) -> dict[str, str] | None:
    """As `word`, for a drain under way: once a second, and at once where it was said here."""
    clock, last = driver.host.clock.monotonic(), driver.heard_at
    if last is not None and 0 <= clock - last < _LISTEN_EVERY_MS:
        return None
    driver.heard_at = clock
    return await word(driver)


async def by_hand(driver: Driver, action: str) -> dict[str, Any]:
    """Force the breaker open or closed, or reset it; `LaneState.as_health` afterwards. Journalled,
    valid in every context. Raises `InvalidItem` for an action that does not exist.

    The word is a record of its own: a drain under way writes the lane's record with each batch, and
    would write over it.
    """
    if action not in ACTIONS:
        raise InvalidItem(fields={"action": "must be " + ", ".join(ACTIONS)})
    host = driver.host
    said = {"id": host.entropy.uuid7(host.clock.now()), "action": action}
    side: dict[tuple[str, str], str | None] = {(WORD, driver.lane): json.dumps(said)}
    await driver.committer.commit(Change(side=side, note=f"breaker {action}"))
    driver.heard_at = None
    return health(driver, await driver.lane_state(), await host.store.counters())


def health(driver: Driver, state: LaneState, counters: Mapping[str, int]) -> dict[str, Any]:
    """`LaneState.as_health` with what the driver knows: the time, the network and what waits."""
    host, depth = driver.host, driver.open_items(counters)
    return state.as_health(host.clock.now(), online=host.link.online, depth=depth)

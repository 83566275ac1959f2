"""Receipts: the ends of items that the gateway took over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.transitions import State
from fieldpost.ports import NoAnswer

from .lane import LaneState
from .settle import Claim, besides, settle

if TYPE_CHECKING:
    from .driver import Driver


_DONE = (Class.DELIVERED, Class.DUPLICATE)


async def collect_receipts(driver: Driver, state: LaneState) -> None:
    """Ends of items that the gateway took over; row and cursor change in one commit."""
    request = driver.destination.receipts(state.cursor)
    if request is None:
        return
    try:
        response = await driver.host.transport.send(request)
    except NoAnswer as failure:
        await driver.store_lane(state, driver.destination.no_answer(failure).contact)
        return
    contact, receipts, cursor = driver.destination.read_receipts(response)
    if not contact.ok:
        await driver.store_lane(state, contact)
        return
    by_id = {r.item_id: r for r in receipts}
    rows = await driver.host.store.get(list(by_id), ("head", "history"))
    now = driver.host.clock.now()
    writes = []
    for row in rows:
        receipt = by_id[row.item.id]
        after_all = row.item.state is State.FAILED and receipt.outcome.cls in _DONE
        waits = row.item.state is State.HANDED_OVER or after_all
        if waits and row.item.send_id == receipt.send_id:
            taken = Claim(row.item, row.parts, b"", row.item.updated_at)
            outcome = await _named(driver, receipt.outcome)
            _, write = settle(taken, outcome, driver.policy, now, 0.0)
            writes += [write, *besides(taken, outcome, now)]
    await driver.store_lane(replace(state, cursor=cursor), contact, *writes, keep=True)


async def _named(driver: Driver, outcome: Outcome) -> Outcome:
    """Refused files with their names: the gateway repeats none, this device knows them."""
    refused = dict(outcome.refused)
    for attachment_id, why in refused.items():
        manifest = await driver.host.store.manifest(attachment_id)
        if manifest is not None:
            refused[attachment_id] = replace(why, name=manifest.name)
    return replace(outcome, refused=refused)

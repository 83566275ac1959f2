"""Bugs of lanes and of several requests under way, put into the real code as those of `planted`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.runtime import driver as drivers
from fieldpost.runtime.adopt import Intake
from fieldpost.runtime.driver import Driver
from fieldpost.runtime.laneloop import LaneLoop
from fieldpost.runtime.sending import Sending
from fieldpost.runtime.settle import acknowledgeable
from fieldpost.testing.simulator.loop import PLACE
from fieldpost.testing.simulator.sites import HOME


class AnyLane(str):
    """Takes every lane for its own."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


@contextlib.contextmanager
def recover_ignores_the_lane() -> Iterator[None]:
    """Who gets one lane's lock takes all rows in progress for left behind."""
    real = drivers.recover

    async def recover(driver: Driver, leadership: Any) -> None:
        lane, driver.lane = driver.lane, AnyLane(driver.lane)
        try:
            await real(driver, leadership)
        finally:
            driver.lane = lane

    with mock.patch.object(drivers, "recover", recover):
        yield


@contextlib.contextmanager
def acknowledged_early() -> Iterator[None]:
    """What was answered is acknowledged with whatever leaves next, written or not."""
    real = Sending.settle

    def settle(self: Sending, *args: Any) -> Any:
        writes = real(self, *args)
        ended = [w.put.item.send_id for w in writes if acknowledgeable(w.put.item)]
        self.state = replace(self.state, acks=(*self.state.acks, *ended))
        return writes

    with mock.patch.object(Sending, "settle", settle):
        yield


@contextlib.contextmanager
def asked_lane_forgotten() -> Iterator[None]:
    """Its kind alone says where an item goes, whatever lane it was saved for."""
    real = Intake.write

    def write(self: Intake, data: Any, **more: Any) -> Any:
        return real(self, {key: data[key] for key in data if key != "lane"}, **more)

    with mock.patch.object(Intake, "write", write):
        yield


@contextlib.contextmanager
def address_shared() -> Iterator[None]:
    """Two adapters of one class keep their address in one place."""
    real = GatewayDestination._request
    last = {}

    def begun(self: GatewayDestination, intents: Any, acknowledge: Any) -> Any:
        last["url"] = self.url
        return built(self, intents, acknowledge)

    def request(self: GatewayDestination, method: str, path: str, *args: Any, **more: Any) -> Any:
        made = real(self, method, path, *args, **more)
        if method != "PUT":
            return made
        return replace(made, url=made.url.replace(self.url, last.get("url", self.url)))

    built = GatewayDestination.request
    with (
        mock.patch.object(GatewayDestination, "request", begun),
        mock.patch.object(GatewayDestination, "_request", request),
    ):
        yield


@contextlib.contextmanager
def turns_one_by_one() -> Iterator[None]:
    """A context's lanes take turns, so a slow one holds the others."""
    real = LaneLoop.turn
    locks: dict[Any, asyncio.Lock] = {}

    async def turn(self: LaneLoop) -> bool:
        async with locks.setdefault(PLACE.get(), asyncio.Lock()):
            return await real(self)

    with mock.patch.object(LaneLoop, "turn", turn):
        yield


@contextlib.contextmanager
def one_record_for_all_lanes() -> Iterator[None]:
    """Breaker, acknowledgements and timeouts are kept once for all destinations."""
    state, keep = Driver.lane_state, Driver.keep_lane

    async def at_home(driver: Driver, work: Callable[..., Any], *args: Any) -> Any:
        lane, driver.lane = driver.lane, HOME
        try:
            return await work(driver, *args)
        finally:
            driver.lane = lane

    with (
        mock.patch.object(Driver, "lane_state", lambda self: at_home(self, state)),
        mock.patch.object(Driver, "keep_lane", lambda self, *args: at_home(self, keep, *args)),
    ):
        yield


@contextlib.contextmanager
def bound_of_requests_forgotten() -> Iterator[None]:
    """Every request calls another one, as long as there is something to send."""

    def call_another(self: Sending) -> None:
        self._others.append(asyncio.create_task(self._sender()))

    with (
        mock.patch.object(Sending, "_call_another", call_another),
        mock.patch.object(Sending, "_crowded", False),
    ):
        yield


@contextlib.contextmanager
def bound_over_all_forgotten() -> Iterator[None]:
    """Each lane counts its own requests only."""
    real = Driver.__init__

    def init(self: Driver, host: Any, committer: Any, lane: Any, *args: Any) -> None:
        real(self, host, committer, lane, *args)
        self.slots = asyncio.Semaphore(lane.requests)

    with mock.patch.object(Driver, "__init__", init):
        yield


@contextlib.contextmanager
def refused_claim_is_sent() -> Iterator[None]:
    """Who was too late with a claim sends the row all the same."""
    real = Driver.commit_each

    async def commit_each(self: Driver, writes: Sequence[Any], *args: Any) -> set[str]:
        await real(self, writes, *args)
        return {write.put.item.id for write in writes}

    with mock.patch.object(Driver, "commit_each", commit_each):
        yield


@contextlib.contextmanager
def token_shown_to_all() -> Iterator[None]:
    """Whoever says "sign in" is shown the device's token: it was so until seed 66 showed it."""
    always = property(lambda _self: True, lambda _self, _value: None)
    with mock.patch.object(Driver, "signs_in", always, create=True):
        yield


#: Name -> the bug.
PLANTED_LANES: dict[str, Callable[[], Any]] = {
    "recovery ignores the lane": recover_ignores_the_lane,
    "acknowledged before it is durable": acknowledged_early,
    "the lane asked for is forgotten": asked_lane_forgotten,
    "two destinations share an address": address_shared,
    "lanes take turns": turns_one_by_one,
    "one record for all lanes": one_record_for_all_lanes,
    "the bound on requests is forgotten": bound_of_requests_forgotten,
    "the bound over all lanes is forgotten": bound_over_all_forgotten,
    "a refused claim is sent": refused_claim_is_sent,
    "the token is shown to every destination": token_shown_to_all,
}

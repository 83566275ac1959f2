"""The contract finds what it is there for: adapters with one mistake each fail the case that names
it; and it holds for declarations that promise less."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.destinations import benches, roundup

from fieldpost.destinations.answers import ONLINE
from fieldpost.destinations.base import Finding, Lookup, Reading
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Response
from fieldpost.testing.adaptercontract import CASES, Bench, NotForThis, SteadyClock, maker
from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.vendors.base import Ask, answer

GUIDE = roundup.guide()
HONEST = GUIDE.LOOKED_FOR_FIRST
DELIVERED = Outcome(Class.DELIVERED, remote_id="issue1")


class BelievesItsStatus(GUIDE.Roundup):
    def read(self, items: Any, response: Response) -> Reading:
        if response.status < 300:
            return Reading(ONLINE, [DELIVERED] * len(items))
        return super().read(items, response)


class TakesAnErrorForARefusal(GUIDE.Roundup):
    def failed(self, count: int, response: Response) -> Reading:
        if response.status >= 500:
            return Reading(ONLINE, [Outcome(Class.TRANSIENT)] * count)
        return super().failed(count, response)


class TakesAnythingForIt(GUIDE.Roundup):
    def read_find(self, item: Any, response: Response) -> Finding:
        rows = self._rows(response)
        return Finding(ONLINE, DELIVERED) if rows else super().read_find(item, response)


class TakesNothingOfItsOwnForAbsent(GUIDE.Roundup):
    def read_find(self, item: Any, response: Response) -> Finding:
        found = super().read_find(item, response)
        if self._rows(response) and found.outcome is None:
            return replace(found, absent=True)
        return found


class TakesAPageForAbsent(GUIDE.Roundup):
    def read_find(self, item: Any, response: Response) -> Finding:
        found = super().read_find(item, response)
        return replace(found, contact=ONLINE, absent=found.outcome is None)


class SaysNothingOfTwo(GUIDE.Roundup):
    def read_find(self, item: Any, response: Response) -> Finding:
        found = super().read_find(item, response)
        return replace(found, outcome=found.outcome and replace(found.outcome, text=""))


class NeverLooksForAFile(GUIDE.Roundup):
    def _rows(self, response: Response) -> Any:
        rows = super()._rows(response)
        return [] if rows and "file" in str(response.url) else rows


class MarksAFileInFront(GUIDE.Roundup):
    def _upload(self, manifest: Any) -> Any:
        upload = super()._upload(manifest)
        field, _, end = upload.after.removeprefix(b"\r\n").rpartition(b"\r\n--")
        return replace(upload, before=field + b"\r\n" + upload.before, after=b"\r\n--" + end)


class NeverTheSame(GUIDE.Roundup):
    count = itertools.count()

    def intent(self, item: Any, body: bytes, manifests: Any) -> bytes:
        return bytes(super().intent(item, body, manifests)) + b" " * next(self.count)


class GivesUpWhenSignedOut(GUIDE.Roundup):
    def failed(self, count: int, response: Response) -> Reading:
        if response.status == 401:
            return Reading(ONLINE, [Outcome(Class.PERMANENT)] * count)
        return super().failed(count, response)


class NeverWaits(GUIDE.Roundup):
    def failed(self, count: int, response: Response) -> Reading:
        if response.status == 429:
            return Reading(ONLINE, [Outcome(Class.RATE_LIMITED, retry_after_ms=1)] * count)
        return super().failed(count, response)


class SaysNoReason(GUIDE.Roundup):
    def failed(self, count: int, response: Response) -> Reading:
        read = super().failed(count, response)
        return replace(read, outcomes=[replace(o, text="", fields={}) for o in read.outcomes])


def bench_of(adapter: type, **declared: Any) -> Callable[[FakeClock], Bench]:
    def make(clock: FakeClock) -> Bench:
        bench = roundup.bench(clock)
        changed = replace(HONEST, **declared)
        bench.adapter = adapter("tracker", changed, "bot:secret", url=roundup.ORIGIN + "/trk/")
        return bench

    return make


def forgetful(clock: FakeClock) -> Bench:
    """A warehouse that keeps no keys, behind an adapter that says it does."""
    bench = benches.warehouse(clock)
    assert isinstance(bench.remote, benches.WarehouseFake)
    bench.remote.day_ms = 0
    return bench


MISTAKES: list[tuple[Callable[[FakeClock], Bench], str]] = [
    (
        bench_of(GUIDE.Roundup, guarantee="strong", replay_window_ms=None),
        "answer_lost_after_the_commit",
    ),
    (bench_of(GUIDE.Roundup, guarantee="strong"), "a_sender_suspended_before_its_request"),
    (bench_of(BelievesItsStatus), "pages_of_others"),
    (bench_of(TakesAnErrorForARefusal), "after_a_server_error_it_is_not_known"),
    (bench_of(TakesAnythingForIt), "unrelated_records_are_not_taken_for_it"),
    (bench_of(TakesNothingOfItsOwnForAbsent), "unrelated_records_are_not_taken_for_it"),
    (bench_of(TakesAPageForAbsent), "a_lookup_that_fails_is_asked_again"),
    (bench_of(SaysNothingOfTwo), "two_are_found"),
    (bench_of(SaysNothingOfTwo), "a_sender_suspended_before_its_request"),
    (bench_of(NeverLooksForAFile), "each_answer_lost_after_the_commit"),
    (bench_of(MarksAFileInFront), "half_a_file_is_not_taken_for_a_whole_one"),
    (bench_of(NeverTheSame), "the_intent_is_the_same_bytes_each_time"),
    (bench_of(GivesUpWhenSignedOut), "signed_out_and_in_again"),
    (bench_of(NeverWaits), "429_in_seconds"),
    (bench_of(SaysNoReason), "a_wrong_field_is_named"),
    (bench_of(SaysNoReason), "403_is_a_dead_letter"),
    (forgetful, "answer_lost_after_the_commit"),
    (forgetful, "a_sender_suspended_before_its_request"),
]


@pytest.mark.parametrize(("factory", "case"), MISTAKES)
async def test_a_mistake_fails(factory: Callable[[FakeClock], Bench], case: str) -> None:
    with pytest.raises(AssertionError):
        await CASES[case](maker(factory, SteadyClock))


# --- declarations that promise less --------------------------------------------------------------

LAGS = Lookup(settle_ms=2_000, repeat_ms=(15_000, 60_000, 300_000), sweep_ms=600_000)


class Sweeps(GUIDE.Roundup):
    """Of a tracker whose search lags: what is there twice is closed but for the oldest."""

    def sweep(self, item: Any, swept: str, remote_id: str | None) -> Any:
        found = yield self._asking("GET", f"issue?external_id:={swept}&@fields=external_id")
        rows = self._rows(found)
        if rows is None:
            return self.failed(1, found)
        mine = sorted(int(row["id"]) for row in rows if row["external_id"] == swept)
        for number in mine[1:]:
            done = yield self._asking("DELETE", f"issue/{number}")
            if done.status != 200:
                return self.failed(1, done)
        text = f"It was there {len(mine)} times; all but one are closed." if mine[1:] else ""
        return Reading(ONLINE, [Outcome(Class.DELIVERED, text=text)])


class Retiring(roundup.RoundupFake):
    def route(self, ask: Ask) -> Response:
        if ask.method != "DELETE":
            return super().route(ask)
        (record,) = [r for r in self.records if ask.path.endswith(f"/{r.number}")]
        record.open = False
        return answer({"data": {"status": "ok"}})


def sweeping(clock: FakeClock) -> Bench:
    bench = bench_of(Sweeps, guarantee="repaired", lookup=LAGS)(clock)
    bench.remote = Retiring(roundup.ORIGIN, now=clock.now)
    return bench


PROMISE_LESS: dict[str, Callable[[FakeClock], Bench]] = {
    "sweeps": sweeping,
    "asks a person": bench_of(GUIDE.Roundup, guarantee="repaired", lookup=None),
    "believes only what is there": bench_of(
        GUIDE.Roundup, guarantee="repaired", lookup=Lookup(proves_absence=False)
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("factory", PROMISE_LESS)
async def test_it_holds_for_those_that_promise_less(factory: str, case: str) -> None:
    try:
        await CASES[case](maker(PROMISE_LESS[factory], SteadyClock))
    except NotForThis as why:
        pytest.skip(str(why))


async def test_a_bench_must_have_a_clock_that_stands_still() -> None:
    with pytest.raises(TypeError, match="SteadyClock"):
        await CASES["created"](maker(roundup.bench, FakeClock))

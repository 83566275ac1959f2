"""The contract of a destination adapter, as plain functions: the same ones run on every adapter.

Each case is ``async def case_…(make)``; ``make()`` gives a new `Bench`: your adapter, a fake of
your system, and the clock of both. A case drives a real queue over a store in memory, with faults
on the line between the two, and ends with what must hold: nothing lost, nothing doubled, or said
where the declaration makes no such promise. One that returns has passed; one that does not raises
`AssertionError`; one that asks for what the declaration does not promise raises `NotForThis`.

    def bench(clock):                     # a fake in this process; see `vendors.base.Vendor`
        fake = MySystem("https://my.example", now=clock.now)
        return MyAdapter("my", url=fake.url, credential="my"), fake, {"my": {"X-Key": "k"}}

    @pytest.mark.parametrize("case", CASES)
    async def test_my_adapter(case):
        try:
            await CASES[case](maker(bench, SteadyClock))
        except NotForThis as why:
            pytest.skip(str(why))

Faults come from the line, so the fake has only to be true to your system; docs/adapters.md says
more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fieldpost.testing.fakes import SteadyClock

from . import answers, files, silence, standing
from .bench import Bench, Make, NotForThis, Remote, maker

Case = Callable[[Make], Awaitable[None]]

#: name -> case, in the order written.
CASES: dict[str, Case] = {
    name.removeprefix("case_"): value
    for module in (answers, silence, files, standing)
    for name, value in vars(module).items()
    if name.startswith("case_")
}

__all__ = ["CASES", "Bench", "Case", "Make", "NotForThis", "Remote", "SteadyClock", "maker"]

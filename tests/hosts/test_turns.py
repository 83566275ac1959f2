"""Callbacks that are ready together share a turn; order and rights are asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fieldpost.hosts.browser.turns import Turns, together


class Timers(asyncio.SelectorEventLoop):
    """A loop whose ``call_soon`` is a timer each, as Pyodide's: `run` fires one."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[Callable[[], Any]] = []

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        self.timers.append(lambda: callback(*args))
        return asyncio.Handle(callback, args, self, context)

    def fire(self) -> None:
        self.timers.pop(0)()


@pytest.fixture
def loop() -> Iterator[Timers]:
    made = Timers()
    yield made
    made.close()


def test_what_is_ready_together_takes_one_turn(loop: Timers) -> None:
    turns, heard = Turns(loop), list[str]()
    for n in range(1000):
        turns.call_soon(heard.append, str(n))
    assert len(loop.timers) == 1
    loop.fire()
    assert heard == [str(n) for n in range(1000)]


def test_what_becomes_ready_meanwhile_waits_for_the_next(loop: Timers) -> None:
    turns, heard = Turns(loop), list[str]()

    def first() -> None:
        turns.call_soon(heard.append, "later")
        heard.append("now")

    turns.call_soon(first)
    loop.fire()
    assert heard == ["now"]
    loop.fire()
    assert heard == ["now", "later"]
    assert loop.timers == []


def test_a_cancelled_one_is_left_out(loop: Timers) -> None:
    turns, heard = Turns(loop), list[str]()
    turns.call_soon(heard.append, "a").cancel()
    turns.call_soon(heard.append, "b")
    loop.fire()
    assert heard == ["b"]


def test_a_suspended_or_left_turn_holds_up_nobody(loop: Timers) -> None:
    """`run_sync` suspends a callback in JavaScript's sense: other timers fire meanwhile."""
    turns, heard = Turns(loop), list[str]()

    def suspended() -> None:
        loop.fire()  # what it waits for stands behind it
        heard.append("woken")

    def leaves() -> None:
        raise SystemExit(1)

    turns.call_soon(suspended)
    turns.call_soon(heard.append, "awaited")
    loop.fire()
    assert heard == ["awaited", "woken"]
    turns.call_soon(leaves)
    turns.call_soon(heard.append, "after")
    with pytest.raises(SystemExit):
        loop.fire()
    loop.fire()
    assert heard == ["awaited", "woken", "after"]


def test_asyncios_own_loops_are_left_alone(loop: Timers) -> None:
    together(loop)
    assert "call_soon" not in vars(loop)

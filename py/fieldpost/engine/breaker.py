"""The circuit breaker of a lane: when its destination may be asked. Pure.

REQUIREMENTS part 3, "Circuit breaker". Closed: requests go; each failure counts one, each success
takes half of one off, and at the threshold it opens. Open: none goes before the wait is over, which
doubles with each earlier opening of the last hour. Half-open: a bounded number of probes; enough
that succeed close it, one that fails opens it again, and one that nobody heard of again by its
deadline has failed (known failure 23). The deadline is part of the state, so that it is durable
before the probe leaves.

``until`` is the one truth of when the lane may next be tried, also while the breaker is closed (the
caller's back-off) and where the server named a time (``pause_ms``, which wins). The wall clock may
jump: what is left of a wait is never more than the wait was, or the clock was set back and the wait
is over (invariant 8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from .limits import REQUEST_TIMEOUT_MS

CLOSED, OPEN, HALF_OPEN, HELD = "closed", "open", "half_open", "held"

#: No wait is longer than a day, whoever asks for it: a typo in an answer must not strand a lane.
WAIT_MS_MAX = 24 * 3600 * 1000
_HOUR_MS = 3_600_000
#: The wait doubles for each earlier opening of the last hour, this many times at most (x64).
_DOUBLINGS_MAX = 6
_JITTER = 0.25
_SUCCESS_OFF = 0.5

#: Learning: every 30 s, over 5 minutes in slots of 30 s, from 10 requests on.
SLOT_MS, WINDOW_MS = 30_000, 300_000
_REQUESTS_MIN = 10
_TIGHTEN_ABOVE, _RELAX_BELOW, _SLOW_MS = 0.20, 0.05, 10_000
FAILURES_BOUNDS, SUCCESSES_BOUNDS = (2, 15), (2, 10)


@dataclass(frozen=True, slots=True)
class Rules:
    """``failures`` open it, ``successes`` of probes close it, ``wait_ms`` is the first wait;
    ``probes`` at once in half-open, each lost after ``probe_ms``."""

    failures: int = 5
    successes: int = 3
    wait_ms: int = 60_000
    probes: int = 1
    #: A request has its whole timeout, and the answer some time to be stored.
    probe_ms: int = REQUEST_TIMEOUT_MS + 10_000

    def __post_init__(self) -> None:
        for name, (low, high) in {
            "failures": FAILURES_BOUNDS,
            "successes": SUCCESSES_BOUNDS,
            "wait_ms": (1, WAIT_MS_MAX),
            "probes": (1, 10),
            "probe_ms": (1, WAIT_MS_MAX),
        }.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"a breaker's {name} must be {low} to {high}")


PRESETS: dict[str, Rules] = {
    "default": Rules(),
    "production": Rules(3, 5, 30_000),
    "redis": Rules(2, 10, 15_000),
    "development": Rules(10, 2, 120_000),
}

#: As a caller may name rules (`rules_of`).
RulesLike = str | Mapping[str, int] | Rules | None


def rules_of(value: RulesLike) -> Rules:
    """A preset by name, custom rules by their fields, or rules as they are; None: the default.

    Raises `ValueError` for a name or a field that does not exist and for values out of bounds.
    """
    if value is None or isinstance(value, Rules):
        return value or PRESETS["default"]
    if isinstance(value, str):
        if value not in PRESETS:
            raise ValueError(f"there is no breaker '{value}'; known: {', '.join(PRESETS)}")
        return PRESETS[value]
    unknown = sorted(set(value) - {f.name for f in fields(Rules)})
    if unknown:
        raise ValueError(f"breaker: there is no {', '.join(unknown)}")
    return Rules(**value)


#: One slot of the window: its start, requests, failures, ms that they took together.
Slot = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Breaker:
    """``score``: failures counted while closed; ``passed``: probes that succeeded; ``until``: no
    request before, ``wait``: how long that wait was when it began; ``openings``: when it opened,
    within the last hour; ``probes``: deadlines of those under way; ``forced``: a person keeps it
    open; ``failures``/``successes``: learnt thresholds, 0 = those of the rules."""

    mode: str = CLOSED
    score: float = 0.0
    passed: int = 0
    until: int = 0
    wait: int = 0
    openings: tuple[int, ...] = ()
    probes: tuple[int, ...] = ()
    forced: bool = False
    failures: int = 0
    successes: int = 0
    tuned_at: int = 0
    window: tuple[Slot, ...] = ()

    # --- asking ----------------------------------------------------------------------------------

    @property
    def word(self) -> str:
        """``closed``, ``open``, ``half_open``, or ``held`` by a person."""
        return HELD if self.forced else self.mode

    def opens_at(self, rules: Rules) -> int:
        """Failures at which it opens."""
        return self.failures or rules.failures

    def closes_at(self, rules: Rules) -> int:
        """Probes that must succeed before it closes."""
        return self.successes or rules.successes

    def wait_ms(self, now: int, rules: Rules) -> int:
        """How long until a request may go, 0 for now. Call `lapsed` first."""
        if self.forced:
            return WAIT_MS_MAX
        waits = _left(self.until, now, self.wait)
        if self.mode == HALF_OPEN and len(self.probes) >= rules.probes:
            waits = max(waits, min(_left(d, now, rules.probe_ms) for d in self.probes))
        return waits

    def figures(self, now: int) -> tuple[int, float, float]:
        """Of the last five minutes: requests, share of failures, mean duration in ms."""
        slots = [s for s in self.window if 0 <= now - s[0] < WINDOW_MS]
        requests = sum(s[1] for s in slots)
        if not requests:
            return 0, 0.0, 0.0
        return requests, sum(s[2] for s in slots) / requests, sum(s[3] for s in slots) / requests

    # --- what happens ----------------------------------------------------------------------------

    def probing(self, now: int, rules: Rules) -> Self:
        """A request is about to go. Unless closed it is a probe, with a deadline; make that durable
        before a byte leaves. Nobody is held back here: `wait_ms` is the caller's to ask, because a
        person or a network that came back need not wait."""
        if self.mode == CLOSED:
            return self
        half = self if self.mode == HALF_OPEN else replace(self, mode=HALF_OPEN, passed=0)
        probes = (*half.probes, now + rules.probe_ms)[-rules.probes :]
        return replace(half, probes=probes)

    def lapsed(self, now: int, fraction: float, rules: Rules) -> Self:
        """With probes that never returned counted as failed."""
        lost = [d for d in self.probes if not 0 < d - now <= rules.probe_ms]
        return self._reopened(now, fraction, rules, None) if lost else self

    def succeeded(self, now: int, took_ms: int, rules: Rules) -> Self:
        after = self._recorded(now, failed=False, took_ms=took_ms, rules=rules)
        if after.mode == CLOSED:
            return replace(after, score=max(0.0, after.score - _SUCCESS_OFF), until=0, wait=0)
        if after.mode == OPEN:
            return after  # an answer to a request from before: nothing was asked of it
        passed = after.passed + 1
        if passed >= after.closes_at(rules):
            # What the outage was like says nothing of the lane as it is now.
            closed = replace(after, mode=CLOSED, score=0.0, passed=0, until=0, wait=0)
            return replace(closed, probes=(), window=())
        return replace(after, passed=passed, until=0, wait=0, probes=after.probes[1:])

    def failed(
        self,
        now: int,
        took_ms: int,
        fraction: float,
        rules: Rules,
        *,
        backoff_ms: int = 0,
        pause_ms: int | None = None,
    ) -> Self:
        """``fraction``: uniform in [0, 1), spreads the wait by +-25 %. ``backoff_ms``: the wait
        while it stays closed. ``pause_ms``: the time that the server named; it wins."""
        after = self._recorded(now, failed=True, took_ms=took_ms, rules=rules)
        if after.mode == HALF_OPEN:
            return after._reopened(now, fraction, rules, pause_ms)
        if after.mode == OPEN:
            return after if pause_ms is None else after._waiting(now, pause_ms)
        after = replace(after, score=after.score + 1)
        if after.score >= after.opens_at(rules):
            return after._opened(now, fraction, rules, pause_ms)
        return after._waiting(now, backoff_ms if pause_ms is None else pause_ms)

    def paused(self, now: int, pause_ms: int) -> Self:
        """An answer that speaks neither for nor against the server's health (it is busy, wants a
        sign-in or an update) asks for quiet. A probe that got it has come back."""
        return replace(self, probes=self.probes[1:])._waiting(now, pause_ms)

    def reached(self) -> Self:
        """The server answered a question about itself: no wait is left while closed."""
        return replace(self, until=0, wait=0) if self.mode == CLOSED else self

    # --- by hand ---------------------------------------------------------------------------------

    def force_open(self) -> Self:
        """Nothing goes until a person says otherwise."""
        return replace(self, forced=True, probes=())

    def force_close(self) -> Self:
        """Requests go at once; it may open again by itself."""
        return replace(
            self, mode=CLOSED, score=0.0, passed=0, until=0, wait=0, probes=(), forced=False
        )

    def reset(self) -> Self:
        """As new: also what it has learnt and how often it opened is forgotten."""
        return type(self)()

    # --- helpers ---------------------------------------------------------------------------------

    def _waiting(self, now: int, wait_ms: int) -> Self:
        wait = max(0, min(wait_ms, WAIT_MS_MAX))
        return replace(self, until=now + wait, wait=wait)

    def _reopened(self, now: int, fraction: float, rules: Rules, pause_ms: int | None) -> Self:
        """A probe failed. One that was sent ahead of its time (by hand, or because the network came
        back) leaves the schedule as it was: asking again and again must not lengthen the wait."""
        if self.mode == HALF_OPEN and _left(self.until, now, self.wait) and pause_ms is None:
            return replace(self, mode=OPEN, passed=0, probes=())
        return self._opened(now, fraction, rules, pause_ms)

    def _opened(self, now: int, fraction: float, rules: Rules, pause_ms: int | None) -> Self:
        earlier = [t for t in self.openings if 0 <= now - t < _HOUR_MS]
        wait = rules.wait_ms << min(len(earlier), _DOUBLINGS_MAX)
        wait = int(wait * (1 + _JITTER * (2 * fraction - 1)))
        openings = (*earlier[-_DOUBLINGS_MAX:], now)
        after = replace(self, mode=OPEN, score=0.0, passed=0, probes=(), openings=openings)
        return after._waiting(now, wait if pause_ms is None else pause_ms)

    def _recorded(self, now: int, *, failed: bool, took_ms: int, rules: Rules) -> Self:
        start = now // SLOT_MS * SLOT_MS
        slots = {s[0]: s for s in self.window if 0 <= start - s[0] < WINDOW_MS}
        _, requests, failures, took = slots.get(start, (start, 0, 0, 0))
        took += max(0, min(took_ms, WAIT_MS_MAX))
        slots[start] = (start, requests + 1, failures + failed, took)
        window = tuple(slots[key] for key in sorted(slots))
        after = replace(self, window=window, tuned_at=self.tuned_at or now)
        if 0 <= now - after.tuned_at < SLOT_MS:
            return after
        return replace(after, tuned_at=now)._tuned(now, rules)

    def _tuned(self, now: int, rules: Rules) -> Self:
        """Thresholds by what the last minutes were like."""
        requests, failing, mean_ms = self.figures(now)
        if requests < _REQUESTS_MIN:
            return self
        if failing > _TIGHTEN_ABOVE or mean_ms > _SLOW_MS:
            by = 1
        elif failing < _RELAX_BELOW:
            by = -1
        else:
            return self
        return replace(
            self,
            failures=_within(self.opens_at(rules) - by, FAILURES_BOUNDS),
            successes=_within(self.closes_at(rules) + by, SUCCESSES_BOUNDS),
        )

    # --- as stored -------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Plain data without what is as new; small, because it is written with each batch."""
        return {name: value for name, value in self._values() if value != _FRESH[name]}

    def _values(self) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in _FRESH)

    @classmethod
    def load(cls, value: dict[str, Any] | None) -> Self:
        """Of `dump`; names that a later version added are left out."""
        known = {name: v for name, v in (value or {}).items() if name in _FRESH}
        for name in ("openings", "probes"):
            known[name] = tuple(known.get(name, ()))
        known["window"] = tuple(tuple(slot) for slot in known.get("window", ()))
        return cls(**known)


_FRESH: dict[str, Any] = {f.name: f.default for f in fields(Breaker)}


def _left(until: int, now: int, wait: int) -> int:
    """Of a wait that ends at ``until``; none where more is left than it ever was."""
    left = until - now
    return left if 0 < left <= wait else 0


def _within(value: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(value, bounds[1]))

"""What is sent next: five strategies over the ready rows of a lane, and ageing over all of them.

Pure. A strategy chooses among the first rows of each level (`Item.level`), which the stores' index
gives without a scan; formulas: REQUIREMENTS part 3. Texts are always before files. "Oldest" is the
smallest sequence: the clock may have jumped (invariant 8), it only tells how long a row has waited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from .limits import PRIORITY_MAX

Strategy = Literal["fifo", "lifo", "priority", "weighted", "adaptive"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)

#: A row that could have been sent for this long is taken next, whatever the strategy (U37).
MAX_WAIT_MS = 15 * 60_000
#: After an outage everything is old: then the oldest get one place in so many, and urgent rows keep
#: the others.
OLD_SHARE = 4

_MINUTE = 60_000
_ALPHA = 0.1
_DECAY_A_MINUTE = 0.95
#: 0.95 ** 1,000 is nothing; bounds the power after a clock that jumped by years.
_DECAY_MINUTES_MAX = 1_000
_SAMPLES_ENOUGH = 10


class ReadyKey(NamedTuple):
    """One entry of a lane's ready index."""

    level: int
    sequence: int
    id: str


class Seen(NamedTuple):
    """What is known of a ready row beyond its key. ``created_at``: ms; ``attempts``: tries used;
    ``owner``: whose it is, where that matters."""

    created_at: int
    attempts: int = 0
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Average:
    """How a level fared: moving averages of success (0 to 1) and response (ms), as of ``at``."""

    success: float
    response_ms: float
    samples: int
    at: int

    def decayed(self, now: int) -> Average:
        minutes = min(max(now - self.at, 0) / _MINUTE, _DECAY_MINUTES_MAX)
        kept = _DECAY_A_MINUTE**minutes
        return Average(self.success * kept, self.response_ms * kept, self.samples, now)


def observed(before: Average | None, ok: bool, response_ms: float, now: int) -> Average:
    """With one more answer; the first one is taken as it is."""
    if before is None:
        return Average(float(ok), response_ms, 1, now)
    old = before.decayed(now)
    return Average(
        old.success + _ALPHA * (ok - old.success),
        old.response_ms + _ALPHA * (response_ms - old.response_ms),
        old.samples + 1,
        now,
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """How to choose. ``since``: when this lane last began to send after a silence; waiting that
    nobody could have ended does not count. ``averages``: by priority; ``share``: owners take turns
    (U42), within a level where the strategy goes by priority."""

    strategy: Strategy = "priority"
    max_wait_ms: int = MAX_WAIT_MS
    since: int = 0
    averages: Mapping[int, Average] | None = None
    share: bool = False


def priority_of(level: int) -> int:
    return PRIORITY_MAX - level % PRIORITY_MAX


def is_text(level: int) -> bool:
    return level < PRIORITY_MAX


def texts_or_files(keys: Iterable[ReadyKey]) -> list[ReadyKey]:
    """The texts; the files when there is no text."""
    known = list(keys)
    return [key for key in known if is_text(key.level)] or known


def is_old(row: Seen, rule: Rule, now: int) -> bool:
    """It was made longer ago than the bound, whether it could have been sent or not."""
    return now - row.created_at >= rule.max_wait_ms


def is_overdue(row: Seen, rule: Rule, now: int) -> bool:
    """It could have been sent for longer than the bound. A row of the future (the clock was set
    back) counts from when the lane began to send."""
    made = row.created_at if row.created_at <= now else rule.since
    return now - max(made, min(rule.since, now)) >= rule.max_wait_ms


def choose(
    keys: Sequence[ReadyKey],
    seen: Mapping[str, Seen],
    rule: Rule,
    limit: int,
    now: int,
    draw: Callable[[], float],
) -> list[ReadyKey]:
    """The next ``limit`` rows, in the order to send them.

    ``keys``: up to ``limit`` first rows of each level, and for `lifo` as many last ones; ``seen``:
    at least the first row of each level, all where owners share; ``draw``: chance, uniform in
    [0, 1).
    """
    pool = sorted(set(texts_or_files(keys)), key=lambda key: key.sequence)
    known = {key.id: seen[key.id] for key in pool if key.id in seen}
    chosen = [key for key in pool if key.id in known and is_overdue(known[key.id], rule, now)]
    chosen = chosen[:limit]
    left = _without(pool, chosen)
    places = limit - len(chosen)
    aged = [key for key in left if key.id in known and is_old(known[key.id], rule, now)]
    if aged:
        aged = aged[: places // OLD_SHARE or int(draw() * OLD_SHARE < places)]
    left = _without(left, aged)
    by_rule = _ordered(left, known, rule, len(left) if rule.share else places, now, draw)
    if rule.share:
        by_rule = _in_turns(by_rule, known, rule)
    return [*chosen, *aged, *by_rule[: places - len(aged)]]


def _in_turns(keys: Sequence[ReadyKey], seen: Mapping[str, Seen], rule: Rule) -> list[ReadyKey]:
    """The first one of each owner, then the second one of each, and so on."""
    by_level = rule.strategy == "priority"
    counts: Counter[tuple[int, str | None]] = Counter()
    turns: dict[ReadyKey, tuple[int, int]] = {}
    for key in keys:
        level = key.level if by_level else 0
        place = level, seen[key.id].owner if key.id in seen else None
        turns[key] = level, counts[place]
        counts[place] += 1
    return sorted(keys, key=turns.__getitem__)


def _without(keys: Sequence[ReadyKey], taken: Sequence[ReadyKey]) -> list[ReadyKey]:
    gone = set(taken)
    return [key for key in keys if key not in gone]


def _ordered(
    pool: list[ReadyKey],
    seen: Mapping[str, Seen],
    rule: Rule,
    limit: int,
    now: int,
    draw: Callable[[], float],
) -> list[ReadyKey]:
    """``pool`` (by sequence) in the order of the strategy; at least the first ``limit``."""
    if rule.strategy == "fifo":
        return pool
    if rule.strategy == "lifo":
        return pool[::-1]
    if rule.strategy == "priority":
        return sorted(pool, key=lambda key: (key.level, key.sequence))
    groups: dict[int, list[ReadyKey]] = {}
    for key in pool:
        groups.setdefault(key.level, []).append(key)
    heads = {level: seen.get(keys[0].id, Seen(now)) for level, keys in groups.items()}
    if rule.strategy == "adaptive":
        averages = rule.averages or {}
        scores = {
            level: score(priority_of(level), head, averages.get(priority_of(level)), now)
            for level, head in heads.items()
        }
        best = sorted(groups, key=lambda level: (-scores[level], level))
        return [key for level in best for key in groups[level]]
    weights = {level: weight(priority_of(level), head, now) for level, head in heads.items()}
    return _drawn(groups, weights, limit, draw)


def _drawn(
    groups: dict[int, list[ReadyKey]],
    weights: Mapping[int, float],
    limit: int,
    draw: Callable[[], float],
) -> list[ReadyKey]:
    """One draw a place; the weights are those at the claim. What rounding leaves over is the last
    level's."""
    rest = {level: iter(keys) for level, keys in sorted(groups.items())}
    counts = {level: len(groups[level]) for level in rest}
    drawn: list[ReadyKey] = []
    while rest and len(drawn) < limit:
        at = draw() * sum(weights[level] for level in rest)
        level = next(iter(rest))
        for level in rest:
            at -= weights[level]
            if at < 0:
                break
        drawn.append(next(rest[level]))
        counts[level] -= 1
        if not counts[level]:
            del rest[level]
    return drawn


def weight(priority: int, oldest: Seen, now: int) -> float:
    """Of a priority group in the draw: p^2 * (1 + min(age / 60 s, 2))."""
    age = max(now - oldest.created_at, 0)
    return priority**2 * (1 + min(age / _MINUTE, 2))


def score(priority: int, head: Seen, average: Average | None, now: int) -> float:
    """Of a level in `adaptive`, by its first row; a level never seen is tried out early."""
    age = max(now - head.created_at, 0)
    value = priority * (1 + 0.5 * min(age / (5 * _MINUTE), 1)) * 0.9 ** min(head.attempts, 1_000)
    if average is None or not average.samples:
        return value * 1.5
    known = average.decayed(now)
    value *= (0.5 + 0.5 * known.success) * (1 - 0.3 * min(known.response_ms / 5_000, 1))
    return value * 1.2 if known.samples < _SAMPLES_ENOUGH else value

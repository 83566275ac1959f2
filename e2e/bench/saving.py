"""Saving in the browser: bulk, one at a time, all at once; the page's own capture; storage."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from .rows import Row, milliseconds, paired, percentile, rate
from .world import call

_PLAIN = "plain JS: objects in clear, same 10 indexes, same records (item, journal line, counters)"
_OURS = "Fieldpost: AES-256-GCM, HMAC marks, hash-chained journal, from Python in Pyodide"
_STRICT = "strict durability everywhere"


@dataclass(frozen=True, slots=True)
class Sizes:
    rounds: int
    bulk: int
    single: int
    concurrent: int
    captures: int
    drain: int

    def scaled(self, share: float, rounds: int | None) -> Sizes:
        """With this share of the items, for a look at one thing on a busy machine."""
        items = (self.bulk, self.single, self.concurrent, self.captures, self.drain)
        return Sizes(rounds or self.rounds, *(max(10, int(n * share)) for n in items))


_BULK = (
    ("fieldpost", "bulk"),
    ("plain", "bulk"),
    ("plain", "bulkItems"),
    ("plain", "dexieBulk"),
)
_SINGLE = (
    ("fieldpost", "single"),
    ("plain", "single"),
    ("plain", "singleItems"),
    ("plain", "dexieSingle"),
)
_CONCURRENT = (("fieldpost", "concurrent"), ("plain", "concurrent"), ("plain", "dexieConcurrent"))

Samples = dict[tuple[str, str], list[dict[str, Any]]]


def interleaved(page: Page, sides: tuple[tuple[str, str], ...], rounds: int, n: int) -> Samples:
    """Each round runs each side once, in another order; a small round before warms up."""
    found: Samples = defaultdict(list)
    for side, name in sides:
        call(page, side, name, min(n, 200))
    for each in range(rounds):
        turned = sides[each % len(sides) :] + sides[: each % len(sides)]
        for side, name in turned:
            found[side, name].append(call(page, side, name, n))
    return found


def times(found: Samples, side: str, name: str) -> list[float]:
    return [one["ms"] for one in found[side, name]]


def measure(page: Page, sizes: Sizes) -> list[Row]:
    # First, and kept: what a deletion frees comes back at a time of the browser's choosing.
    stored = {side: call(page, side, "bulk", sizes.bulk, True) for side in ("fieldpost", "plain")}
    bulk = interleaved(page, _BULK, sizes.rounds, sizes.bulk)
    return [
        *_bulk(bulk, sizes.bulk),
        _single(interleaved(page, _SINGLE, sizes.rounds, sizes.single), sizes.single),
        _concurrent(
            interleaved(page, _CONCURRENT, sizes.rounds, sizes.concurrent), sizes.concurrent
        ),
        _capture(page, sizes.captures),
        _storage(stored, sizes.bulk),
    ]


def _bulk(found: Samples, n: int) -> list[Row]:
    ours, plain = times(found, "fieldpost", "bulk"), times(found, "plain", "bulk")
    dexie = times(found, "plain", "dexieBulk")
    values = {
        "Fieldpost": rate(n, ours),
        "plain JS": rate(n, plain),
        "plain JS, items only": rate(n, times(found, "plain", "bulkItems")),
        "Dexie bulkAdd": rate(n, dexie),
    }
    how = f"{n:,} tickets of 600 bytes, one commit; {_OURS}; {_PLAIN}; {_STRICT}"
    raw = {"fieldpost_ms": ours, "plain_ms": plain, "dexie_ms": dexie}
    return [
        Row("bulk enqueue", how, values, paired(ours, plain), "× plain JS", 1.0, raw=raw),
        Row(
            "bulk enqueue against Dexie",
            "Dexie: objects in clear, items only, same indexes, chromeTransactionDurability strict",
            {"Fieldpost": values["Fieldpost"], "Dexie bulkAdd": values["Dexie bulkAdd"]},
            paired(ours, dexie),
            "× Dexie",
            1.0,
        ),
    ]


def _single(found: Samples, n: int) -> Row:
    ours, plain = times(found, "fieldpost", "single"), times(found, "plain", "single")
    each = [one for sample in found["fieldpost", "single"] for one in sample["each"]]
    return Row(
        "one at a time, awaited",
        f"{n} tickets, one transaction each; {_OURS}; {_PLAIN}; {_STRICT}",
        {
            "Fieldpost": rate(n, ours),
            "p50": milliseconds([percentile(each, 0.5)]),
            "p99": milliseconds([percentile(each, 0.99)]),
            "plain JS": rate(n, plain),
            "plain JS, items only": rate(n, times(found, "plain", "singleItems")),
            "Dexie add": rate(n, times(found, "plain", "dexieSingle")),
        },
        paired(ours, plain),
        "× plain JS",
        0.95,
        raw={"fieldpost_ms": ours, "plain_ms": plain},
    )


def _concurrent(found: Samples, n: int) -> Row:
    ours, plain = times(found, "fieldpost", "concurrent"), times(found, "plain", "concurrent")
    return Row(
        "concurrent enqueues",
        f"{n:,} at once; Fieldpost: group commit; plain JS, Dexie: one transaction each; {_STRICT}",
        {
            "Fieldpost": rate(n, ours),
            "plain JS": rate(n, plain),
            "Dexie add": rate(n, times(found, "plain", "dexieConcurrent")),
        },
        paired(ours, plain),
        "× plain JS",
        5.0,
        raw={"fieldpost_ms": ours, "plain_ms": plain},
    )


def _capture(page: Page, n: int) -> Row:
    each = page.evaluate("(n) => captures(n)", n)
    return Row(
        "Save on the page",
        f"{n} captures, awaited: sealed and committed to the inbox by the glue; strict",
        {
            "p50": milliseconds([percentile(each, 0.5)]),
            "p99": milliseconds([percentile(each, 0.99)]),
        },
        raw={"p50": percentile(each, 0.5), "p99": percentile(each, 0.99)},
    )


def _storage(found: dict[str, Any], n: int) -> Row:
    ours, plain = (found[side]["stored"] / n for side in ("fieldpost", "plain"))
    return Row(
        "storage per 600-byte item",
        "growth of navigator.storage.estimate (IndexedDB) over the bulk, indexes and journal "
        "included; sealed bytes do not compress, clear ones do",
        {"Fieldpost": f"{ours:,.0f} bytes", "plain JS": f"{plain:,.0f} bytes"},
        ours,
        "bytes",
        1000,
        at_least=False,
    )

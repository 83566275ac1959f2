"""Delivering to the gateway over loopback, and what stays in memory afterwards."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from .rows import Row, median, paired, rate
from .saving import Sizes
from .world import call

_BATCH = 100


def measure(page: Page, sizes: Sizes) -> list[Row]:
    """Drain and bare fetch by turns, on the same gateway."""
    n = sizes.drain
    call(page, "plain", "fetches", min(n, 200), _BATCH)
    first: dict[str, Any] = call(page, "fieldpost", "drain", min(n, 200))
    ours: list[dict[str, Any]] = []
    bare: list[dict[str, Any]] = []
    for each in range(sizes.rounds):
        turns = [(ours, "fieldpost", "drain", [n]), (bare, "plain", "fetches", [n, _BATCH])]
        for found, side, name, args in turns if each % 2 == 0 else turns[::-1]:
            found.append(call(page, side, name, *args))
    return [_drain(ours, bare, n), _heap(first, ours, n)]


def _drain(ours: list[dict[str, Any]], bare: list[dict[str, Any]], n: int) -> Row:
    own_ms, bare_ms = [one["ms"] for one in ours], [one["ms"] for one in bare]
    return Row(
        "drain to the gateway",
        f"{n:,} tickets of 600 bytes in batches of {_BATCH}, loopback; Fieldpost: intent sealed "
        "and durable before, answer durable after, journal; fetch: the same bytes ready in memory, "
        "nothing stored",
        {
            "Fieldpost": rate(n, own_ms),
            "per minute": f"{n / median(own_ms) * 60_000:,.0f}",
            "bare fetch": rate(n, bare_ms),
        },
        paired(own_ms, bare_ms),
        "× bare fetch",
        0.7,
        raw={"fieldpost_ms": own_ms, "fetch_ms": bare_ms},
    )


def _heap(first: dict[str, Any], ours: list[dict[str, Any]], n: int) -> Row:
    grown = (ours[-1]["wasm"] - ours[0]["wasm"]) / 1e6
    peak = (ours[0]["wasm"] - first["wasm"]) / 1e6
    objects = ours[-1]["objects"] - ours[0]["objects"]
    return Row(
        "heap growth of the worker",
        f"WebAssembly memory after {len(ours) - 1} more times {n:,} enqueued and drained; first: "
        "what the first time added (a peak: this memory never shrinks)",
        {
            "grown": f"{grown:.1f} MB",
            "first": f"{peak:.1f} MB",
            "Python objects": f"{objects:+,}",
            "memory": f"{ours[-1]['wasm'] / 1e6:.0f} MB",
        },
        grown,
        "MB",
        10,
        at_least=False,
        raw={"samples": ours},
    )

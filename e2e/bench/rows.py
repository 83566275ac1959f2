"""One line of the table: what was measured, how, against what, and whether its bar is met."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Row:
    """``values``: what stood side by side, first our own, as text for people; ``ratio`` is said in
    ``ratio_of``; ``bar``: the ratio (or number) to reach, as ``at_least`` says."""

    work: str
    how: str  # representations and durability
    values: dict[str, str]
    ratio: float | None = None
    ratio_of: str = ""
    bar: float | None = None
    at_least: bool = True
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        if self.bar is None or self.ratio is None:
            return None
        return self.ratio >= self.bar if self.at_least else self.ratio <= self.bar


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def paired(ours: Sequence[float], others: Sequence[float]) -> float:
    """Median over the rounds of theirs / ours: what else the machine did hit both of a round."""
    return median([b / a for a, b in zip(ours, others, strict=True)])


def rate(n: int, ms: Sequence[float]) -> str:
    return f"{n / median(ms) * 1000:,.0f}/s"


def milliseconds(samples: Sequence[float]) -> str:
    value = median(samples)
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.2f} ms"


def percentile(samples: Sequence[float], share: float) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(rows: Sequence[Row]) -> str:
    """For a terminal: two lines a row."""
    lines = []
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        said = "   ".join(f"{name} {value}" for name, value in row.values.items())
        lines.append(f"{row.work}")
        lines.append(f"    {said}")
        if row.ratio is not None:
            sign = "≥" if row.at_least else "≤"
            bar = f" (bar {sign} {row.bar:g}: {verdict})" if row.bar is not None else ""
            lines.append(f"    {row.ratio:.3g} {row.ratio_of}{bar}")
        lines.append(f"    [{row.how}]")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Where and when: numbers of two machines are not to be compared, ratios may be."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit.stdout.strip(),
        "cpus": os.cpu_count(),
        "load": [round(each, 2) for each in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def save(path: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = [{**asdict(row), "met": row.met} for row in rows]
    path.write_text(json.dumps({"about": about, "rows": found}, indent=1) + "\n")

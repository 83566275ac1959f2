"""Numbers for Prometheus (text exposition format 0.0.4). Labels are closed sets."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()  # (route, status)
        self.operations: Counter[str] = Counter()  # by answered status
        self.part_bytes = 0
        self.in_flight = 0
        self._buckets = [0] * (len(_SECONDS) + 1)
        self._seconds = 0.0

    def request(self, route: str, status: int, seconds: float) -> None:
        self.requests[route, status] += 1
        self._buckets[bisect_left(_SECONDS, seconds)] += 1
        self._seconds += seconds

    def render(self, commits: int, rows: dict[str, int]) -> str:
        """``rows``: ledger rows by state."""
        out: list[str] = []

        def metric(name: str, kind: str, about: str, samples: list[tuple[str, float]]) -> None:
            out.append(f"# HELP fieldpost_{name} {about}\n# TYPE fieldpost_{name} {kind}")
            out.extend(f"fieldpost_{name}{labels} {value:g}" for labels, value in samples)

        metric(
            "requests_total",
            "counter",
            "Requests answered.",
            [
                (f'{{route="{route}",status="{status}"}}', n)
                for (route, status), n in sorted(self.requests.items())
            ],
        )
        metric(
            "operations_total",
            "counter",
            "Operations answered, by the status they got.",
            [(f'{{status="{status}"}}', n) for status, n in sorted(self.operations.items())],
        )
        metric(
            "ledger_rows",
            "gauge",
            "Keys the ledger remembers, by state.",
            [(f'{{state="{state}"}}', n) for state, n in sorted(rows.items())],
        )
        metric("part_bytes_total", "counter", "Attachment bytes taken.", [("", self.part_bytes)])
        metric("commits_total", "counter", "Transactions made durable.", [("", commits)])
        metric("requests_in_flight", "gauge", "Requests being worked on.", [("", self.in_flight)])
        metric("request_seconds", "histogram", "Time to answer.", self._histogram())
        return "\n".join(out) + "\n"

    def _histogram(self) -> list[tuple[str, float]]:
        samples: list[tuple[str, float]] = []
        total = 0
        for bound, n in zip((*_SECONDS, float("inf")), self._buckets, strict=True):
            total += n
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            samples.append((f'_bucket{{le="{le}"}}', total))
        return [*samples, ("_sum", self._seconds), ("_count", total)]

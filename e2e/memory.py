"""How much memory a browser takes while something goes on."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from e2e.machines import Device

_EVERY_SECONDS = 0.05


def descendants(roots: list[int]) -> set[int]:
    """These processes and all below them."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            text = stat.read_text()
            parents[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    found, more = set(roots), True
    while more:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
    return found


def anonymous_mb(pids: set[int]) -> dict[int, float]:
    """What each of these processes holds that is no file's copy (RssAnon)."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    found[pid] = int(line.split()[1]) / 1024
    return found


def kind_of(pid: int) -> str:
    """What a browser's process is for, by its command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").split()
    except OSError:
        return "ended"
    named = [w.partition("=")[2] for w in words if w.startswith(("--type=", "--utility-sub-type="))]
    return named[-1] if named else "browser"


class Watch:
    """Samples all processes of the device's browser; `growth_mb` = the peak over the beginning."""

    def __init__(self, device: Device):
        self._device = device
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.first: dict[int, float] = {}
        self.peak: dict[int, float] = {}
        self.kinds: dict[int, str] = {}

    def __enter__(self) -> Watch:
        self.first = self.peak = self._now()
        assert sum(self.first.values()) > 0
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()

    def _now(self) -> dict[int, float]:
        pids = descendants(self._device.pids())
        self.kinds = {pid: self.kinds.get(pid) or kind_of(pid) for pid in {*pids, *self.kinds}}
        return anonymous_mb(pids)

    def _run(self) -> None:
        while not self._end.wait(_EVERY_SECONDS):
            self.peak = max(self.peak, self._now(), key=lambda sample: sum(sample.values()))

    @property
    def growth_mb(self) -> float:
        return sum(self.peak.values()) - sum(self.first.values())

    def __str__(self) -> str:
        grown = (f"{self.kinds[p]} {mb - self.first.get(p, 0):.0f}" for p, mb in self.peak.items())
        return f"{self.growth_mb:.0f} MB more: {', '.join(grown)}"

"""Worker processes on one queue folder, what they said, and their deaths."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.gateway.process import environment

WORKER = Path(__file__).with_name("worker.py")
#: Far more than anything here takes on a loaded machine; a wait that lasts longer is a failure.
PATIENCE_S = 60.0


@dataclass
class Worker:
    process: subprocess.Popen[bytes]
    errors: Path
    last: str = ""
    rest: bytes = b""

    @property
    def fd(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()


@dataclass
class Crew:
    """``saved``: ids that some worker said were saved; ``store``: a Redis queue in place of a file
    in the folder, which then holds the keys only."""

    folder: Path
    gateway: str
    logs: Path
    store: str | None = None
    saved: set[str] = field(default_factory=set)
    workers: list[Worker] = field(default_factory=list)
    #: What each victim had begun, by its last whole line, when it was no more.
    deaths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._born = 0

    def hire(self) -> None:
        self._born += 1
        errors = self.logs / f"worker-{self._born}.txt"
        words = [sys.executable, str(WORKER), str(self.folder), self.gateway, str(self._born)]
        words += [self.store] if self.store else []
        with errors.open("wb") as file:
            process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=file, bufsize=0, env=environment()
            )
        worker = Worker(process, errors)
        os.set_blocking(worker.fd, False)
        self._selector.register(worker.fd, selectors.EVENT_READ, worker)
        self.workers.append(worker)

    def lines(self) -> Iterator[tuple[Worker, str]]:
        """What is said from now on, in order, without end. Raises when nobody says anything."""
        while True:
            ready = self._selector.select(PATIENCE_S)
            assert ready, f"no worker said anything for {PATIENCE_S} s"
            for key, _ in ready:
                worker: Worker = key.data
                if worker not in self.workers:
                    continue  # killed by whoever reads these lines
                for line in self._read(worker):
                    yield worker, line
                    if worker not in self.workers:
                        break

    def _read(self, worker: Worker) -> list[str]:
        """Whole lines; a torn last one was not said."""
        data = os.read(worker.fd, 65_536)
        assert data, f"a worker ended by itself: {worker.errors.read_text()}"
        return self._heard(worker, data)

    def _heard(self, worker: Worker, data: bytes) -> list[str]:
        *whole, worker.rest = (worker.rest + data).split(b"\n")
        lines = [line.decode() for line in whole]
        for line in lines:
            worker.last = line
            word, _, item_id = line.partition(" ")
            if word == "saved":
                self.saved.add(item_id)
        return lines

    def kill(self, worker: Worker) -> None:
        """SIGKILL; what it had said before counts."""
        self.workers.remove(worker)
        self._selector.unregister(worker.fd)
        worker.process.kill()
        worker.process.wait(PATIENCE_S)
        os.set_blocking(worker.fd, True)  # its end is closed: this ends with the last byte
        while data := os.read(worker.fd, 65_536):
            self._heard(worker, data)
        assert worker.process.stdout is not None
        worker.process.stdout.close()
        self.deaths.append(worker.last.partition(" ")[0])

    def kill_all(self) -> None:
        for worker in list(self.workers):
            self.kill(worker)
        self._selector.close()

    def until(self, phase: str, nth: int) -> Worker:
        """Whoever is the ``nth`` to begin ``phase``, at once when it says so."""
        deadline = time.monotonic() + PATIENCE_S
        for worker, line in self.lines():
            nth -= line == phase
            if nth == 0:
                return worker
            assert time.monotonic() < deadline, f"no {phase} in {PATIENCE_S} s"
        raise AssertionError("unreachable")

"""The real gateway as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ADDRESS = re.compile(r"Fieldpost is at (http://\S+?)/ ")


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str
    first_line: str

    @property
    def address(self) -> str:
        """host:port"""
        return self.url.removeprefix("http://")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._close()

    def end(self) -> tuple[int, str]:
        """SIGTERM, if it still runs; (exit status, what it wrote to stderr)."""
        if self.process.stdout is None or self.process.stdout.closed:
            return self.process.wait(), ""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def _close(self) -> None:
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def command(data: Path, *arguments: str, module: tuple[str, ...] = ("-m", "gateway")) -> list[str]:
    return [sys.executable, *module, "--data", str(data), *arguments]


def environment() -> dict[str, str]:
    paths = [str(ROOT / "py"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def start(
    data: Path, *arguments: str, port: int = 0, module: tuple[str, ...] = ("-m", "gateway")
) -> Running:
    """Returns when it says where it is. Raises `RuntimeError` with its words if it does not."""
    process = subprocess.Popen(
        command(data, "--port", str(port), *arguments, module=module),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = _ADDRESS.match(line)
    if found is None:
        _, errors = process.communicate(timeout=20)
        raise RuntimeError(f"{process.returncode}: {line}{errors}")
    return Running(process, found[1], line)

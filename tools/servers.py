"""Servers for the tests and the benchmarks: use what is there, fetch what is not, end by pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tools.browsers import apt, may_apt
from tools.paths import BuildError, say

#: Where the tests take redis-server from; empty or unset: from PATH.
VARIABLE = "FIELDPOST_REDIS"
#: Far more than a start takes on a loaded machine.
_PATIENCE_S = 30.0
#: What Fieldpost asks of a server that acknowledges (docs/redis.md), for a server that is alone.
DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
    "save": "",
}


def redis() -> str:
    """Path of a redis-server; installs one if it has to. Raises `BuildError`."""
    found = _found()
    if found is None and may_apt():
        say("apt-get install redis-server")
        # The package would start one of its own, which nobody here asked for.
        apt(["redis-server"], {"RUNLEVEL": "1"})
        found = _found()
    if found is None:
        raise BuildError(
            "These tests need redis-server. Install it (Debian: apt install redis-server), "
            f"or set {VARIABLE} to its path."
        )
    say(f"Tests use {found}")
    return found


def _found() -> str | None:
    named = os.environ.get(VARIABLE)
    return named if named and Path(named).exists() else shutil.which("redis-server")


class RedisServer:
    """A server of one's own on a free loopback port, its files in a folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.settings = {**DURABLE, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, queue: str = "fieldpost", more: str = "") -> str:
        return f"redis://127.0.0.1:{self.port}/0?queue={queue}{more}"

    def start(self) -> RedisServer:
        """Returns when it answers, with the log of its last run taken in."""
        program = _found()
        if program is None:
            raise BuildError("redis-server is not installed; `make test-full` installs it")
        words = [program, "--port", str(self.port), "--bind", "127.0.0.1"]
        words += ["--dir", str(self.folder), "--daemonize", "no"]
        for name, value in self.settings.items():
            words += [f"--{name}", *(value.split() or [""])]
        log = self.folder / "server.log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(words, stdout=file, stderr=file)
        until = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise BuildError(f"redis-server did not start:\n{log.read_text()}")
            time.sleep(0.01)  # it tells nobody when it is ready
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                line.sendall(b"PING\r\n")
                return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as a machine would that lost its power."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, by: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(by)
            process.wait(_PATIENCE_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

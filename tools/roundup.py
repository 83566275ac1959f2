"""A Roundup tracker of one's own for the tests: installed into a new folder, served, ended by pid.

Roundup (a dependency of the tests) refuses to serve as root; there it becomes `nobody`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.paths import BuildError

USER, PASSWORD = "admin", "adminpw"
#: The lines of docs/roundup.md, by the line of the classic schema that they stand behind.
SCHEMA = {
    'file = FileClass(db, "file",': ["external_id=String(),"],
    'issue = IssueClass(db, "issue",': ["external_id=String(),", "description=String(),"],
}
#: Far more than a start takes on a loaded machine.
_PATIENCE_S = 60.0
_NOBODY = "nobody"


class Tracker:
    """At ``port`` of the loopback; ``web``: the address that it believes to have."""

    def __init__(self, port: int, web: str) -> None:
        # Not in a test's own folder: nobody else may look into that.
        self.folder = Path(tempfile.mkdtemp(prefix="fieldpost-roundup-"))
        self.folder.chmod(0o755)
        self.home = self.folder / "tracker"
        self.port, self.web = port, web
        self._log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def install(self) -> Tracker:
        """Raises `BuildError` with what Roundup said."""
        settings = {
            "tracker_web": self.web,
            "mail_domain": "example.test",
            "mail_host": "localhost",
            # Each request is signed in by a password: the usual rounds would be most of its time.
            "password_pbkdf2_default_rounds": "1000",
        }
        said = ",".join(f"{name}={value}" for name, value in settings.items())
        self._admin("install", "classic", "sqlite", said)
        schema = self.home / "schema.py"
        text = schema.read_text()
        for line, more in SCHEMA.items():
            if text.count(line) != 1:
                raise BuildError(f"Roundup's classic schema has no line {line!r}")
            text = text.replace(line, "\n    ".join([line, *more]))
        schema.write_text(text)
        self._admin("initialise", PASSWORD)
        if os.geteuid() == 0:
            for path in (self.home, *self.home.rglob("*")):
                shutil.chown(path, _NOBODY)
        return self

    def start(self) -> Tracker:
        """Returns when it answers."""
        words = [sys.executable, "-m", "roundup.scripts.roundup_server"]
        words += ["-n", "127.0.0.1", "-p", str(self.port), "-t", "thread"]
        words += ["-u", _NOBODY] if os.geteuid() == 0 else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*words, f"trk={self.home}"], stdout=log, stderr=log, cwd=self.folder
            )
        until = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise BuildError(f"Roundup did not start:\n{self._log.read_text()}")
            time.sleep(0.02)  # it tells nobody when it is ready
        return self

    def stop(self) -> None:
        """Ends it and takes the folder away."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(_PATIENCE_S)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def _admin(self, *words: str) -> None:
        command = [sys.executable, "-m", "roundup.scripts.roundup_admin", "-i", str(self.home)]
        done = subprocess.run(
            [*command, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        # It leaves with 0 after some mistakes, too.
        if done.returncode or "Error" in done.stdout + done.stderr:
            raise BuildError(f"roundup-admin {words[0]}: {done.stdout}{done.stderr}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""A PostgreSQL server of one's own for the tests: in a new folder, on a socket in it, ended by pid.

PostgreSQL refuses to run as root; there it becomes `postgres` (the package's user) or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tools.browsers import apt, may_apt
from tools.paths import BuildError, say

#: Folder with `initdb` and `postgres`; empty or unset: the newest that Debian installed, or PATH.
VARIABLE = "FIELDPOST_POSTGRES"
ROLE = "fieldpost"
#: Far more than a start takes on a loaded machine.
_PATIENCE_S = 60.0


def programs() -> Path:
    """The folder of the programs; installs them if it has to. Raises `BuildError`."""
    found = _found()
    if found is None and may_apt():
        say("apt-get install postgresql")
        # The package would make and start a cluster of its own, which nobody here asked for.
        apt(["postgresql"], {"RUNLEVEL": "1"})
        found = _found()
    if found is None:
        raise BuildError(
            "These tests need PostgreSQL. Install it (Debian: apt install postgresql), "
            f"or set {VARIABLE} to the folder of its programs."
        )
    return found


def _found() -> Path | None:
    named = os.environ.get(VARIABLE)
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    places = [*([Path(named)] if named else []), *reversed(debian)]
    places += [Path(on_path).parent] if on_path else []
    return next((each for each in places if (each / "initdb").exists()), None)


class PostgresServer:
    """``dsn``: of its database, for the superuser `ROLE`."""

    def __init__(self) -> None:
        self._programs = programs()
        # Not in a test's own folder: nobody else may look into that.
        self.folder = Path(tempfile.mkdtemp(prefix="fieldpost-postgres-"))
        self._as: dict[str, int] = {}
        if os.geteuid() == 0:
            user = _user()
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return f"host={self.folder} user={ROLE} dbname=postgres"

    def start(self) -> PostgresServer:
        """Returns when it takes connections. Raises `BuildError` with what it said."""
        data = self.folder / "data"
        if not data.exists():
            words = [self._programs / "initdb", "-D", data, "-U", ROLE, "-A", "trust"]
            self._run([*words, "-E", "UTF8", "--locale=C", "--no-sync"])
        words = [self._programs / "postgres", "-D", data, "-k", self.folder]
        words += ["-c", "listen_addresses=", "-c", "fsync=off"]
        log = self.folder.with_suffix(".log")
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [str(word) for word in words], stdout=file, stderr=file, cwd="/", **self._as
            )
        until = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise BuildError(f"postgres did not start:\n{log.read_text()}")
            time.sleep(0.02)  # it tells nobody when it is ready
        return self

    def _answers(self) -> bool:
        words = [self._programs / "pg_isready", "-q", "-h", self.folder, "-U", ROLE]
        return subprocess.run([str(word) for word in words], check=False).returncode == 0

    def stop(self) -> None:
        """Ends it at once, and takes its folder away."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast": connections are cut
            process.wait(_PATIENCE_S)
        shutil.rmtree(self.folder)
        self.folder.with_suffix(".log").unlink(missing_ok=True)

    def _run(self, words: list[str | Path]) -> None:
        done = subprocess.run(
            [str(word) for word in words], capture_output=True, cwd="/", check=False, **self._as
        )
        if done.returncode:
            raise BuildError(f"{words[0]} failed:\n{done.stderr.decode(errors='replace')}")


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")

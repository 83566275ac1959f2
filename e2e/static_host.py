"""A static host as one gets it anywhere: files, and nothing that answers but files."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from e2e.machines import free_port


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class StaticHost:
    """Serves ``folder`` between `start` and `stop`, always at the same address."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self._server: _Server | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> StaticHost:
        handler = functools.partial(_Files, directory=str(self.folder))
        self._server = _Server(("127.0.0.1", self.port), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> StaticHost:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

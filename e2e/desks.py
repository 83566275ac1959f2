"""Systems behind the gateway, over HTTP: fakes, each at an address of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

from tests.gateway.desk import SECRET, Desk

from fieldpost.ports import NoAnswer, Request
from fieldpost.testing.vendors.base import Vendor

AnyVendor = TypeVar("AnyVendor", bound=Vendor)


@contextmanager
def serving(desk: AnyVendor) -> Iterator[AnyVendor]:
    """The fake at an address of its own, ``desk.url``, until the block ends."""
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = desk.url + self.path
            request = Request(self.command, url, dict(self.headers.items()), body)
            try:
                with one_at_a_time:
                    said = desk.answer(request)
            except NoAnswer:
                self.close_connection = True
                return
            self.send_response(said.status)
            for name, text in said.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 - the server's own names

        def log_message(self, *_: object) -> None:
            """Not among what the tests print."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    desk.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield desk
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def destinations_file(path: Path, **systems: tuple[str, str, Desk]) -> Path:
    """What `--destinations` names; each system: its type, its title, and the fake itself."""
    tables = [
        f'[destinations.{name}]\ntype = "{kind}"\ntitle = "{title}"\n'
        f'settings = {{url = "{desk.url}"}}\n'
        f'[destinations.{name}.credential]\ntype = "headers"\n'
        f'headers = {{Authorization = "{SECRET}"}}\n'
        for name, (kind, title, desk) in systems.items()
    ]
    path.write_text("\n".join(tables))
    path.chmod(0o600)
    return path

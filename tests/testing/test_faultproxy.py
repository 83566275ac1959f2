"""The fault proxy does what each of its modes says, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from fieldpost.testing.faultproxy import MODES, Fault, FaultProxy
from fieldpost.testing.faults import MIXED


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # the default of 5 resets connections of its own


class Upstream:
    """A server that remembers what reached it."""

    def __init__(self) -> None:
        seen = self.seen = []
        self.cut = threading.Event()
        cut = self.cut

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = self.chunks()
                    wanted = len(body)
                else:
                    wanted = int(self.headers.get("Content-Length", 0))
                    body = self.rfile.read(wanted)
                if len(body) < wanted:
                    seen.append((self.command, self.path, body))
                    cut.set()
                    self.close_connection = True
                    return
                seen.append((self.command, self.path, body))
                answer = json.dumps({"id": "a", "results": [{"send_id": "b"}]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST  # noqa: N815

            def chunks(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy(upstream.address, control_port=0) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=20) as client:
        yield client


BODY = b"x" * 300_000


def test_everything_passes(upstream: Upstream, proxy: FaultProxy, client: httpx.Client) -> None:
    for method in ("POST", "PUT", "GET"):
        response = client.request(method, "/api/x?y=1", content=BODY)
        assert response.json()["id"] == "a"
    assert [(m, p, len(b)) for m, p, b in upstream.seen] == [
        ("POST", "/api/x?y=1", len(BODY)),
        ("PUT", "/api/x?y=1", len(BODY)),
        ("GET", "/api/x?y=1", len(BODY)),
    ]
    assert [(s.method, s.bytes, s.mode, s.status) for s in proxy.seen] == [
        ("POST", len(BODY), "pass", 200),
        ("PUT", len(BODY), "pass", 200),
        ("GET", len(BODY), "pass", 200),
    ]


def test_a_body_without_a_length_passes(upstream: Upstream, client: httpx.Client) -> None:
    assert client.post("/api/x", content=iter([b"a", b"b"])).status_code == 200
    assert upstream.seen[0][2] == b"ab"


@pytest.mark.parametrize("mode", ["down", "cut_before", "cut_during", "cut_after"])
def test_cuts(upstream: Upstream, proxy: FaultProxy, client: httpx.Client, mode: str) -> None:
    proxy.fault = Fault(mode, times=1)
    with pytest.raises(httpx.TransportError):
        client.post("/api/x", content=BODY)
    proxy.wait_for(mode)
    if mode == "cut_during":
        assert upstream.cut.wait(10)
    reached = {"cut_during": [len(BODY) // 2], "cut_after": [len(BODY)]}.get(mode, [])
    assert [len(body) for _, _, body in upstream.seen] == reached
    assert client.post("/api/x", content=BODY).status_code == 200
    assert proxy.counts == {mode: 1, "pass": 1}


@pytest.mark.parametrize(
    ("mode", "status", "says"),
    [
        ("http_500", 500, "went wrong"),
        ("http_503_retry_after", 503, ""),
        ("html_200", 200, "<!doctype html>"),
        ("redirect_login", 302, "Sign in"),
        ("captive_portal", 200, "Free Wi-Fi"),
    ],
)
def test_answers_in_the_servers_place(
    upstream: Upstream, proxy: FaultProxy, client: httpx.Client, mode: str, status: int, says: str
) -> None:
    proxy.fault = Fault(mode, retry_after=7)
    response = client.post("/api/x", content=BODY)
    assert response.status_code == status
    assert says in response.text
    assert response.headers.get("retry-after") == ("7" if status == 503 else None)
    assert upstream.seen == []
    assert client.get("/elsewhere").json()["id"] == "a"


def test_wrong_ids(proxy: FaultProxy, client: httpx.Client) -> None:
    proxy.fault = Fault("wrong_id")
    answer = client.post("/api/x").json()
    assert answer["id"] != "a"
    assert answer["results"][0]["send_id"] != "b"


def test_slow_answers_come_late_but_have_happened(
    upstream: Upstream, proxy: FaultProxy, client: httpx.Client
) -> None:
    proxy.fault = Fault("slow", seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/x", timeout=0.3)
    until = time.monotonic() + 30
    while not upstream.seen:  # it gets there, also where nobody waits for it any more
        assert time.monotonic() < until
        time.sleep(0.01)
    proxy.fault = Fault("slow", seconds=0.05)
    assert client.post("/api/x").status_code == 200


def test_a_fault_hits_only_what_it_names(proxy: FaultProxy, client: httpx.Client) -> None:
    proxy.fault = Fault("http_500", times=2, prefix="/api/v1/", methods=("PUT",))
    assert client.get("/api/v1/x").status_code == 200
    assert client.put("/api/x").status_code == 200
    assert [client.put("/api/v1/x").status_code for _ in range(3)] == [500, 500, 200]
    assert proxy.fault == Fault()


def test_a_500_that_comes_after_the_server_has_acted(
    upstream: Upstream, proxy: FaultProxy, client: httpx.Client
) -> None:
    proxy.fault = Fault("http_500_after")
    response = client.post("/api/x", content=BODY)
    assert (response.status_code, "went wrong" in response.text) == (500, True)
    assert len(upstream.seen) == 1


def test_a_share_of_the_requests_is_hit(upstream: Upstream) -> None:
    with FaultProxy(upstream.address, seed=7) as proxy, httpx.Client(base_url=proxy.url) as client:
        proxy.fault = Fault("http_500", percent=30)
        hit = sum(client.get("/api/x").status_code == 500 for _ in range(200))
        assert 40 <= hit <= 80
        assert proxy.counts == {"http_500": hit, "pass": 200 - hit}
        proxy.fault = Fault("http_500", percent=0)
        assert client.get("/api/x").status_code == 200


def test_mixed_is_each_of_them_in_turn_by_lot(upstream: Upstream) -> None:
    with FaultProxy(upstream.address, seed=7) as proxy, httpx.Client(base_url=proxy.url) as client:
        proxy.fault = Fault("mixed", seconds=0.01)
        for _ in range(60):
            with contextlib.suppress(httpx.TransportError):
                client.post("/api/x", content=BODY)
        assert set(proxy.counts) == set(MIXED)


def test_down_cuts_connections_that_are_open(proxy: FaultProxy, client: httpx.Client) -> None:
    assert client.get("/x").status_code == 200
    proxy.fault = Fault("down")
    with pytest.raises(httpx.TransportError):
        client.get("/x")
    proxy.fault = Fault()
    assert client.get("/x").status_code == 200


def test_a_server_that_is_not_there_is_a_502() -> None:
    with FaultProxy("127.0.0.1:1") as proxy:
        assert httpx.get(f"{proxy.url}/api/x").status_code == 502


def test_it_is_controlled_from_outside(proxy: FaultProxy, client: httpx.Client) -> None:
    control = proxy.control_url
    put = httpx.put(f"{control}/fault", json={"mode": "http_500", "times": 1, "methods": ["GET"]})
    assert put.json()["mode"] == "http_500"
    assert client.get("/api/x").status_code == 500
    report = httpx.get(control).json()
    assert report["counts"] == {"http_500": 1}
    assert report["seen"][0]["path"] == "/api/x"
    assert httpx.put(f"{control}/fault", json={"mode": "none such"}).status_code == 400
    assert httpx.put(f"{control}/fault", json=[]).status_code == 400
    assert httpx.delete(control).status_code == 200
    assert httpx.get(control).json() == {"counts": {}, "seen": []}


def test_many_at_once(proxy: FaultProxy) -> None:
    async def all_of_them() -> list[int]:
        async with httpx.AsyncClient(base_url=proxy.url, timeout=20) as client:
            answers = await asyncio.gather(
                *(client.post("/api/x", content=BODY) for _ in range(30))
            )
            return [each.status_code for each in answers]

    assert asyncio.run(all_of_them()) == [200] * 30


def test_what_is_no_http_harms_nothing(proxy: FaultProxy, client: httpx.Client) -> None:
    import socket  # noqa: PLC0415

    address = proxy.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=10) as odd:
        odd.sendall(b"\x16\x03\x01 not http\r\n\r\n")
        assert odd.recv(100) == b""
    assert client.get("/x").status_code == 200


def test_modes_are_a_closed_set() -> None:
    with pytest.raises(ValueError, match="no such mode"):
        Fault("sideways")
    with pytest.raises(ValueError, match="percent"):
        Fault("slow", percent=101)
    assert len(set(MODES)) == len(MODES)
    assert set(MIXED) < set(MODES)


def test_as_a_process(upstream: Upstream) -> None:
    command = [sys.executable, "-m", "fieldpost.testing.faultproxy", "--upstream", upstream.address]
    with subprocess.Popen(
        [*command, "--control-port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[3]
        assert httpx.get(f"{url}/x").json()["id"] == "a"
        process.terminate()

"""Who may ask at all: hosts, origins, tokens; and how much."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers
from tests.gateway.wires import (
    DEVICE,
    OTHER_DEVICE,
    client_of,
    code_of,
    envelope,
    operation,
    post,
    receipts,
)

from gateway import cli
from gateway.app import routes
from gateway.devices import DevicesFile as Devices
from gateway.gateway import Gateway
from gateway.guard import ShortTracebacks, foreign
from gateway.ratelimit import DEVICES_MAX, RateLimit
from gateway.settings import Limits

#: One request of every route.
EVERYWHERE = [
    ("POST", "/api/v1/operations"),
    ("GET", "/api/v1/operations/x"),
    ("PUT", "/api/v1/operations/x/attachments/y/1"),
    ("GET", "/api/v1/receipts"),
    ("GET", "/api/v1/destinations"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/inbox"),
    ("GET", "/inbox/style.css"),
    ("GET", "/inbox/FP-000001"),
    ("GET", "/inbox/FP-000001/attachments/0"),
    ("GET", "/manage"),
    ("GET", "/manage/"),
    ("POST", "/manage/queue"),
    ("GET", "/manage/static/app.css"),
    ("GET", "/"),
]
FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example:8000"},
    {"Host": "localhost.evil.example"},
    {"Host": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://localhost:8000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda each: " ".join(*each.items()))
async def test_foreign_requests_are_refused_on_every_route(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for method, path in EVERYWHERE:
        response = await client.request(method, path, headers=headers)
        assert (response.status_code, code_of(response)) == (403, "FORBIDDEN_ORIGIN"), path


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost:8000", "Origin": "http://localhost:8000"},
        {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
        {"Host": "127.0.0.1:9000", "Origin": "http://127.0.0.1:9000"},  # through a proxy
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_our_own_page_is_not_foreign(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await client.get("/healthz", headers=headers)).status_code == 200


def test_two_hosts_are_foreign() -> None:
    raw = [(b"host", b"localhost"), (b"host", b"localhost")]
    assert foreign(Headers(raw=raw), frozenset({"localhost"}))


async def test_allowed_hosts_are_named(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(allow_hosts=frozenset({"desk.example"}))
    async with client_of(gateway) as client:
        headers = {"Host": "Desk.example", "Origin": "https://desk.example"}
        assert (await client.get("/healthz", headers=headers)).status_code == 200
        other = await client.get("/healthz", headers={"Host": "example"})
        assert other.status_code == 403


APP = "https://app.example"
FROM_APP = {"Origin": APP, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}


@pytest.fixture
async def shared(open_gateway: Callable[..., Gateway]) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(open_gateway(allow_origins=frozenset({APP}))) as client:
        yield client


async def test_pages_of_an_allowed_origin_may_deliver(shared: httpx.AsyncClient) -> None:
    shared.headers.update(FROM_APP)
    [result] = await post(shared, operation())
    assert result["status"] == "delivered"
    for path in ("/api/v1/receipts", "/api/v1/destinations", "/api/v1/nothing", "/healthz"):
        response = await shared.get(path, headers={"Fieldpost-Device": DEVICE})
        assert response.headers["access-control-allow-origin"] == APP, path
        assert "Retry-After" in response.headers["access-control-expose-headers"]
        assert "Origin" in response.headers["vary"]
        assert "access-control-allow-credentials" not in response.headers


async def test_a_preflight_allows_what_the_wire_needs_and_no_more(
    shared: httpx.AsyncClient,
) -> None:
    asked = {
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-digest,fieldpost-device,fieldpost-send-id",
    }
    path = "/api/v1/operations/x/attachments/y/1"
    response = await shared.options(path, headers={**FROM_APP, **asked})
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-allow-methods"] == "GET, POST, PUT"
    named = response.headers["access-control-allow-headers"].lower()
    assert set(asked["Access-Control-Request-Headers"].split(",")) <= set(named.split(", "))
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/", "/inbox", "/metrics", "/openapi.json", "/inbox/style.css"])
async def test_an_allowed_origin_sees_nothing_but_the_wire(
    shared: httpx.AsyncClient, path: str
) -> None:
    for method in ("GET", "OPTIONS"):
        response = await shared.request(method, path, headers=FROM_APP)
        assert (response.status_code, code_of(response)) == (403, "FORBIDDEN_ORIGIN")
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    "origin",
    [f"{APP}.evil.example", f"{APP}:444", f"{APP}/", f"{APP}, {APP}", "null", "http://app.example"],
)
async def test_other_origins_stay_foreign(shared: httpx.AsyncClient, origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        response = await shared.request(method, "/healthz", headers={**FROM_APP, "Origin": origin})
        assert (response.status_code, code_of(response)) == (403, "FORBIDDEN_ORIGIN")
        assert "access-control-allow-origin" not in response.headers


async def test_an_allowed_origin_is_no_way_around_the_host(shared: httpx.AsyncClient) -> None:
    response = await shared.get("/healthz", headers={**FROM_APP, "Host": "evil.example"})
    assert (response.status_code, code_of(response)) == (403, "FORBIDDEN_ORIGIN")


@pytest.mark.parametrize(
    "text",
    ["*", "null", "app.example", f"{APP}/", f"{APP}:443", "https://App.example", "https://a@b"],
)
def test_an_origin_is_written_as_browsers_write_it(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--allow-origin", text])
    assert "is no origin" in capsys.readouterr().err


async def test_a_person_who_follows_a_link_is_told_in_words(client: httpx.AsyncClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    response = await client.get("/", headers=headers)
    assert response.status_code == 403
    assert response.headers["content-type"].startswith("text/html")


def test_every_route_is_in_the_list(gateway: Gateway) -> None:
    count = sum(len(getattr(each, "routes", None) or [each]) for each in routes(gateway))
    assert count == len(EVERYWHERE)


async def test_security_headers_are_everywhere(client: httpx.AsyncClient) -> None:
    for method, path in [*EVERYWHERE, ("GET", "/nothing"), ("DELETE", "/api/v1/receipts")]:
        response = await client.request(method, path)
        assert response.headers["x-content-type-options"] == "nosniff", path
        assert response.headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert "unsafe-inline" not in response.headers["content-security-policy"]
        assert "server" not in response.headers
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "NOT_FOUND"),
        ("GET", "/api/v1/", 404, "NOT_FOUND"),
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("PUT", "/api/v1/operations", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/api/v1/receipts", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/inbox", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/api/v1/operations/x/attachments/y/one", 404, "NOT_FOUND"),
    ],
)
async def test_wrong_turns_are_problems(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, code_of(response)) == (status, code)
    assert ("allow" in response.headers) == (status == 405)


async def test_a_bug_shows_nothing_of_the_payload(
    gateway: Gateway, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object) -> None:
        raise KeyError("secret summary")

    monkeypatch.setattr(gateway.intake, "submit", bug)
    response = await client.post(
        "/api/v1/operations",
        content=envelope(operation()),
        headers={"Content-Type": "application/json", "Fieldpost-Device": DEVICE},
    )
    assert (response.status_code, code_of(response)) == (500, "INTERNAL")
    assert "secret" not in response.text
    monkeypatch.undo()
    [result] = await post(client, operation())
    assert result["status"] == "delivered"


async def test_one_bad_request_does_not_break_those_it_shares_a_commit_with(
    gateway: Gateway, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = gateway.intake.submit

    def sometimes(tx: object, who: object, batch: object, now: int) -> object:
        if getattr(batch, "operations", ()) == ():
            raise KeyError("bug")
        return submit(tx, who, batch, now)  # type: ignore[arg-type]

    monkeypatch.setattr(gateway.intake, "submit", sometimes)
    headers = {"Content-Type": "application/json", "Fieldpost-Device": DEVICE}

    async def empty() -> int:
        return (
            await client.post("/api/v1/operations", content=envelope(), headers=headers)
        ).status_code

    async def good() -> int:
        return len(await post(client, operation()))

    results = await asyncio.gather(*(work() for _ in range(10) for work in (good, empty)))
    assert results == [1, 500] * 10


def test_logged_exceptions_have_no_words_in_them() -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 1, "Exception", (), None)
    try:
        raise ValueError("secret summary")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    assert ShortTracebacks().filter(record)
    text = logging.Formatter().format(record)
    assert "secret" not in text
    assert text.startswith("ValueError at ")


# --- limits ----------------------------------------------------------------------------------


@pytest.fixture
async def tight(open_gateway: Callable[..., Gateway]) -> AsyncIterator[httpx.AsyncClient]:
    limits = Limits(operations_bytes=1000, discard_bytes=5000, idle_seconds=0.05, body_seconds=0.2)
    async with client_of(open_gateway(limits=limits)) as client:
        yield client


async def send_stream(client: httpx.AsyncClient, chunks: AsyncIterator[bytes]) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Fieldpost-Device": DEVICE}
    return await client.post("/api/v1/operations", content=chunks, headers=headers)


@pytest.mark.parametrize("count", [11, 1_000_000])
async def test_a_body_is_limited_while_it_comes(tight: httpx.AsyncClient, count: int) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(count):
            sent += 100
            yield b"x" * 100

    response = await send_stream(tight, chunks())
    assert (response.status_code, code_of(response)) == (413, "TOO_LARGE")


async def test_an_announced_length_is_believed(tight: httpx.AsyncClient) -> None:
    headers = {
        "Content-Type": "application/json",
        "Fieldpost-Device": DEVICE,
        "Content-Length": str(10**9),
    }
    response = await tight.post("/api/v1/operations", content=b"{}", headers=headers)
    assert code_of(response) == "TOO_LARGE"


async def test_a_body_that_stands_still_is_given_up(tight: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    response = await send_stream(tight, chunks())
    assert (response.status_code, code_of(response)) == (503, "UNAVAILABLE")
    assert response.headers["retry-after"]


async def test_each_device_has_its_own_rate(open_gateway: Callable[..., Gateway]) -> None:
    limits = Limits(burst_requests=3, requests_per_second=0.1)
    async with client_of(open_gateway(limits=limits)) as client:
        for _ in range(3):
            await receipts(client)
        refused = await client.get("/api/v1/receipts", headers={"Fieldpost-Device": DEVICE})
        assert (refused.status_code, code_of(refused)) == (429, "RATE_LIMITED")
        assert 9 <= int(refused.headers["retry-after"]) <= 10
        await receipts(client, device=OTHER_DEVICE)


def test_the_bucket_refills() -> None:
    now = 0.0
    limit = RateLimit(2, 4, clock=lambda: now)
    assert [limit.take("a") for _ in range(3)] == [0, 0, 0.25]
    now = 0.25
    assert [limit.take("a"), limit.take("a")] == [0, 0.25]
    now = 100.0
    assert [limit.take("a") for _ in range(3)] == [0, 0, 0.25]
    for n in range(DEVICES_MAX):
        limit.take(str(n))
    assert limit.take("a") == 0


async def test_a_crowd_is_bounded(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(limits=Limits(in_flight=1))
    gateway.metrics.in_flight = 1
    async with client_of(gateway) as client:
        response = await client.get("/healthz")
        assert (response.status_code, code_of(response)) == (503, "UNAVAILABLE")
        gateway.metrics.in_flight = 0
        assert (await client.get("/healthz")).status_code == 200


# --- devices ---------------------------------------------------------------------------------


def bearer(token: str, device: str = DEVICE) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Fieldpost-Device": device}


async def test_once_a_device_is_paired_tokens_are_required(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    assert (await receipts(client))["cursor"] == 0
    token = gateway.devices.pair("Van 3")
    for headers in ({}, bearer("wrong"), {"Authorization": "Basic !"}, bearer("")):
        for method, path in EVERYWHERE[:5]:
            response = await client.request(
                method, path, headers={"Fieldpost-Device": DEVICE, **headers}
            )
            assert (response.status_code, code_of(response)) == (401, "UNAUTHORISED")
            assert response.headers["www-authenticate"] == "Bearer"
    good = await client.get("/api/v1/receipts", headers=bearer(token))
    assert good.status_code == 200
    assert (await client.get("/healthz")).status_code == 200
    gateway.devices.unpair("Van 3")
    gateway.devices.pair("Van 4")
    gone = await client.get("/api/v1/receipts", headers=bearer(token))
    assert gone.status_code == 401


async def test_people_sign_in_with_a_readers_token(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    device, reader = gateway.devices.pair("Van 3"), gateway.devices.pair("Office", role="reader")
    basic = base64.b64encode(f"me:{reader}".encode()).decode()
    for path in ("/inbox", "/inbox/FP-000001", "/inbox/FP-000001/attachments/0", "/metrics"):
        for headers in ({}, bearer(device)):
            refused = await client.get(path, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
        allowed = await client.get(path, headers={"Authorization": f"Basic {basic}"})
        assert allowed.status_code in (200, 404)
    response = await client.get("/api/v1/receipts", headers=bearer(reader))
    assert (response.status_code, code_of(response)) == (403, "FORBIDDEN")


async def test_workspaces_and_devices_are_apart(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    here, there = gateway.devices.pair("A"), gateway.devices.pair("B", workspace="other")
    second = gateway.devices.pair("C")
    op = operation()
    numbers = []
    for token in (here, there):
        client.headers["Authorization"] = f"Bearer {token}"
        [result] = await post(client, op)
        numbers.append((result["remote_id"], "replayed" in result))
    assert numbers == [("FP-000001", False), ("FP-000002", False)]
    client.headers["Authorization"] = f"Bearer {second}"
    [result] = await post(client, op)
    assert (result["remote_id"], result["replayed"]) == ("FP-000001", True)


def test_pairing_stores_only_a_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    assert cli.main(["pair", "--data", str(data), "--name", "Van 3"]) == 0
    token = capsys.readouterr().out.split()[-1]
    path = data / "devices.json"
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert data.stat().st_mode & 0o777 == 0o700
    found = Devices(path).find(token)
    assert found is not None
    assert (found.name, found.workspace, found.role) == ("Van 3", "default", "device")
    assert cli.main(["unpair", "--data", str(data), "--name", "Van 3"]) == 0
    assert cli.main(["unpair", "--data", str(data), "--name", "Van 3"]) == 1
    assert Devices(path).find(token) is None

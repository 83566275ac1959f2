"""/inbox for people, /metrics and /openapi.json for machines; what lies on the disk."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route
from tests.gateway.conftest import in_a_folder
from tests.gateway.wires import client_of, operation, parts_of, post, put, ticket

from fieldpost.engine.limits import PART_BYTES
from gateway import openapi
from gateway.app import routes
from gateway.gateway import Gateway
from gateway.pages import PAGE_ROWS
from gateway.settings import CannotStart

NASTY = "<script>alert(1)</script>\"'&"
PHOTO = b"\x89PNG" + bytes(PART_BYTES)


async def test_an_empty_inbox_says_so(client: httpx.AsyncClient) -> None:
    response = await client.get("/inbox")
    assert "Nothing has arrived yet" in response.text
    assert "script" not in response.headers["content-security-policy"]


async def test_the_list_shows_what_arrived_newest_first(client: httpx.AsyncClient) -> None:
    await post(client, operation(), operation(ticket(summary="Door stuck", severity="critical")))
    page = (await client.get("/inbox")).text
    assert page.index("FP-000002") < page.index("FP-000001")
    for text in ("Door stuck", "critical", "Pump 3 leaks", "high", "Ann", "2 arrived"):
        assert text in page


async def test_logs_of_devices_have_a_list_of_their_own(client: httpx.AsyncClient) -> None:
    entry = {
        "level": "warn",
        "message": "The breaker opened",
        "component": "fieldpost",
        "timestamp": 1_750_000_000_000,
    }
    await post(client, operation(entry, kind="log"), operation())
    page = (await client.get("/inbox")).text
    assert "The breaker opened" not in page
    assert "Pump 3 leaks" in page
    assert "1 arrived" in page
    assert "Logs of devices (1)" in page
    logs = (await client.get("/inbox?kind=log")).text
    assert "The breaker opened" in logs
    assert "Pump 3 leaks" not in logs


async def test_html_is_escaped_everywhere(client: httpx.AsyncClient) -> None:
    payload = {
        "summary": NASTY,
        "description": NASTY,
        "category": NASTY,
        "user": {"name": NASTY, NASTY: NASTY},
        NASTY: NASTY,
        "list": [NASTY, {NASTY: NASTY}],
    }
    op = operation(payload, files=[(NASTY, "text/html", b"<b>"), (NASTY, "image/png", b"x")])
    await post(client, op)
    await put(client, op, 1, b"<b>")
    feedback = operation({"rating": 3, "comment": NASTY, "userName": NASTY}, kind="feedback")
    await post(client, feedback)
    for path in ("/inbox", "/inbox/FP-000001", "/inbox/FP-000002"):
        page = (await client.get(path)).text
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert "alert(1)" in page


async def test_the_detail_shows_all_fields(client: httpx.AsyncClient) -> None:
    payload = ticket(
        description="Since\nnoon", systemInfo={"os": "Linux", "cores": 4, "gone": None}, extra=[1]
    )
    await post(client, operation(payload))
    page = (await client.get("/inbox/FP-000001")).text
    for text in ("Pump 3 leaks", "Since\nnoon", "Linux", "cores", "extra", "2023-11-14 22:13 UTC"):
        assert text in page


async def test_attachments_are_downloaded_whole_and_harmless(client: httpx.AsyncClient) -> None:
    files = [('pümp "1".png', "image/png", PHOTO), ("evil.html", "text/html", b"<script>")]
    op = operation(files=files)
    await post(client, op)
    assert "0 of 2 parts" in (await client.get("/inbox/FP-000001")).text
    assert (await client.get("/inbox/FP-000001/attachments/0")).status_code == 404
    for n, part in enumerate(parts_of(PHOTO), 1):
        await put(client, op, n, part)
    await put(client, op, 1, b"<script>", which=1)
    photo = await client.get("/inbox/FP-000001/attachments/0")
    assert photo.content == PHOTO
    assert photo.headers["content-type"] == "image/png"
    assert photo.headers["content-length"] == str(len(PHOTO))
    assert photo.headers["content-disposition"] == (
        "attachment; filename=\"p_mp _1_.png\"; filename*=UTF-8''p%C3%BCmp%20_1_.png"
    )
    page = await client.get("/inbox/FP-000001/attachments/1")
    assert page.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in page.headers["content-security-policy"]
    assert page.headers["content-disposition"].startswith("attachment")
    assert '<img src="FP-000001/attachments/0"' in (await client.get("/inbox/FP-000001")).text
    assert (await client.get("/inbox/FP-000001/attachments/2")).status_code == 404


async def test_pages_go_on(client: httpx.AsyncClient) -> None:
    await post(client, *(operation(ticket(summary=f"Item {n}")) for n in range(PAGE_ROWS + 3)))
    first = (await client.get("/inbox")).text
    older = re.search(r'href="inbox\?before=(\d+)"', first)
    assert older is not None
    second = (await client.get(f"/inbox?before={older[1]}")).text
    rows = [len(re.findall(r'scope="row"', page)) for page in (first, second)]
    assert rows == [PAGE_ROWS, 3]
    assert "Older" not in second
    assert (await client.get("/inbox?before=x")).text == first


@pytest.mark.parametrize("reference", ["FP-000001", "FP-1", "FP-00000x", "x", "FP-" + "9" * 30])
async def test_numbers_that_are_none(client: httpx.AsyncClient, reference: str) -> None:
    assert (await client.get(f"/inbox/{reference}")).status_code == 404


async def test_odd_times_and_files_do_not_break_the_page(client: httpx.AsyncClient) -> None:
    await post(client, operation(captured_at=2**53 - 1), operation(captured_at=0))
    assert (await client.get("/inbox/FP-000001")).status_code == 200
    assert (await client.get("/inbox/FP-000002")).status_code == 200


@in_a_folder
async def test_rows_that_were_changed_on_the_disk_are_shown_and_stop_nothing(
    open_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    op = operation()
    async with client_of(open_gateway()) as client:
        await post(client, op)
    with sqlite3.connect(tmp_path / "data" / "gateway.sqlite3") as tampered:
        tampered.execute("UPDATE arrivals SET head = zeroblob(99), body = zeroblob(99)")
        tampered.execute("UPDATE ledger SET answer = zeroblob(99)")
    tampered.close()
    async with client_of(open_gateway()) as client:
        assert "does not open" in (await client.get("/inbox")).text
        assert "does not open" in (await client.get("/inbox/FP-000001")).text
        again, other = await post(client, op, operation())
        assert (again["status"], again["code"]) == ("delivered", "ANSWER_UNREADABLE")
        assert other["status"] == "delivered"


async def test_nothing_lies_in_clear_on_the_disk(
    open_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    marker = "Zebra-7731"
    op = operation(
        ticket(summary=marker, description=marker, user={"name": marker, "email": marker}),
        files=[(marker, "text/plain", marker.encode())],
    )
    async with client_of(open_gateway()) as client:
        await post(client, op)
        await put(client, op, 1, marker.encode())
    found = [each for each in (tmp_path / "data").rglob("*") if each.is_file()]
    assert found
    for each in found:
        assert marker.encode() not in each.read_bytes(), each
        assert op["payload_sha256"].encode() not in each.read_bytes(), each
        assert each.stat().st_mode & 0o077 == 0, each


def test_a_key_file_that_others_can_read_is_refused(
    open_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    open_gateway().close()
    keys = tmp_path / "data" / "keys.json"
    assert keys.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604):
        keys.chmod(mode)
        with pytest.raises(CannotStart, match="chmod 600"):
            open_gateway()
    keys.write_text("{}")
    keys.chmod(0o600)
    with pytest.raises(CannotStart, match="restore it from a backup"):
        open_gateway()


@in_a_folder
def test_a_key_file_that_cannot_be_made_has_no_backup(
    open_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CannotStart, match="There is no key file, and none can be made") as caught:
        open_gateway(keys=tmp_path / "file" / "keys.json")
    assert "backup" not in str(caught.value)


@in_a_folder
def test_a_damaged_database_is_left_alone(
    open_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    open_gateway().close()
    database = tmp_path / "data" / "gateway.sqlite3"
    database.write_bytes(b"not a database" * 1000)
    with pytest.raises(CannotStart, match="restore a backup"):
        open_gateway()
    assert database.read_bytes().startswith(b"not a database")


@in_a_folder
def test_a_second_gateway_on_the_same_data_is_refused(gateway: Gateway) -> None:
    with pytest.raises(CannotStart, match="Another gateway is running"):
        Gateway(gateway.settings)


async def test_metrics(client: httpx.AsyncClient) -> None:
    op = operation(files=[("note.txt", "text/plain", b"falls")])
    await post(client, op, operation(ticket(summary="")))
    await put(client, op, 1, b"falls")
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    assert 'fieldpost_operations_total{status="accepted"} 1' in lines
    assert 'fieldpost_operations_total{status="rejected"} 1' in lines
    assert 'fieldpost_ledger_rows{state="delivered"} 1' in lines
    assert "fieldpost_part_bytes_total 5" in lines
    assert 'fieldpost_requests_total{route="part",status="200"} 1' in lines
    sample = re.compile(r'fieldpost_\w+(\{\w+="[\w+.]+"(,\w+="[\w+.]+")*\})? [\d.e+-]+|# .+')
    for line in lines:
        assert sample.fullmatch(line), line


def paths_of(all_routes: list[BaseRoute], prefix: str = "") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for route in all_routes:
        if isinstance(route, Mount):
            found |= paths_of(list(route.routes), prefix + route.path)
        else:
            assert isinstance(route, Route)
            path = re.sub(r"\{(\w+):\w+\}", r"{\1}", prefix + route.path)
            found[path] = {each.lower() for each in route.methods or {"get"}} - {"head"}
    return found


async def test_openapi_names_every_route(gateway: Gateway, client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document == openapi.DOCUMENT
    assert document["openapi"].startswith("3.1")
    described = {path: set(calls) for path, calls in document["paths"].items()}
    assert described == paths_of(routes(gateway))


def test_openapi_refers_to_what_it_defines_and_names_its_parameters() -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(references, value))
        if not isinstance(value, dict):
            return set()
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(references(each) for each in value.values()))

    schemas = openapi.DOCUMENT["components"]["schemas"]
    used = {each.removeprefix("#/components/schemas/") for each in references(openapi.DOCUMENT)}
    assert used == set(schemas)
    for path, calls in openapi.PATHS.items():
        named = set(re.findall(r"\{(\w+)\}", path))
        for call in calls.values():
            assert {p["name"] for p in call.get("parameters", []) if p["in"] == "path"} == named
    for schema in schemas.values():
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))

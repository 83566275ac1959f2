"""Fakes of vendors over real sockets: what is sent arrives as it is, what is switched happens."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.gateway.desk import SECRET, Desk

from fieldpost.ports import Response
from fieldpost.testing.faultproxy import Fault
from fieldpost.testing.vendors import server
from fieldpost.testing.vendors.base import Ask, Vendor, answer, cut_before, lose_answer

MB = 1024 * 1024


class Echo(Vendor):
    """Answers with what it was asked."""

    def route(self, ask: Ask) -> Response:
        if ask.path == "/empty":
            return Response(204, {"Retry-After": "3"}, b"")
        said = {
            "method": ask.method,
            "path": ask.path,
            "query": ask.query,
            "header": ask.headers.get("x-some-header"),
            "sha256": hashlib.sha256(ask.body).hexdigest(),
        }
        return answer(said, 201, X_Made_By="echo", Location=f"{self.url}/made")


@pytest.fixture
async def place() -> AsyncIterator[server.Place]:
    async with server.serving([Echo("https://echo.example")]) as places:
        yield places[0]


@pytest.fixture
async def client(place: server.Place) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=place.line.url, timeout=60) as opened:
        yield opened


async def test_a_request_arrives_as_it_is(place: server.Place, client: httpx.AsyncClient) -> None:
    headers = {"X-Some-Header": "said"}
    response = await client.put("/a%20b/c?q=1%262", content=b"data", headers=headers)
    assert response.status_code == 201
    assert response.json() == {
        "method": "PUT",
        "path": "/a b/c",
        "query": {"q": "1&2"},
        "header": "said",
        "sha256": hashlib.sha256(b"data").hexdigest(),
    }
    assert response.headers["x-made-by"] == "echo"
    assert response.headers["location"] == f"{place.line.url}/made"  # where it is now
    empty = await client.get("/empty")
    assert (empty.status_code, empty.headers["retry-after"], empty.content) == (204, "3", b"")


async def test_a_large_body_comes_in_pieces(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_BYTES_MAX", 8 * MB)
    pieces = [bytes([n]) * MB for n in range(8)]

    async def streamed(more: bytes = b"") -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        yield more

    said = (await client.post("/", content=streamed())).json()
    assert said["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert (await client.post("/", content=streamed(b"x"))).status_code == 413


async def test_it_remembers_no_more_than_it_has_room_for(
    place: server.Place, client: httpx.AsyncClient
) -> None:
    for n in range(120):
        await client.post(f"/{n}")
    assert len(place.vendor.requests) == 100
    assert place.vendor.requests[-1].url == f"{place.line.url}/119"


@pytest.mark.parametrize(("mode", "made"), [("cut_before", 0), ("cut_after", 1)])
async def test_the_line_cuts_before_or_after_the_record_is_there(mode: str, made: int) -> None:
    desk = Desk()
    async with server.serving([desk]) as [place]:
        place.line.fault = Fault(mode, prefix="/", times=1)
        async with httpx.AsyncClient(base_url=desk.url) as client:
            ticket = {"summary": "s", "op": "1"}
            headers = {"Authorization": SECRET}
            with pytest.raises(httpx.TransportError):
                await client.post("/tickets", json=ticket, headers=headers)
            assert len(desk.records) == made
            again = await client.post("/tickets", json=ticket, headers=headers)
            assert (again.status_code, len(desk.records)) == (201, made + 1)


@pytest.mark.parametrize(("fault", "made"), [(cut_before, 0), (lose_answer, 1)])
async def test_faults_of_the_fake_itself_cut_its_answer(fault: object, made: int) -> None:
    desk = Desk()
    desk.faults = [fault]  # type: ignore[list-item]
    async with server.serving([desk]), httpx.AsyncClient(base_url=desk.url) as client:
        with pytest.raises(httpx.TransportError):
            await client.post(
                "/tickets", json={"summary": "s", "op": "1"}, headers={"Authorization": SECRET}
            )
        assert len(desk.records) == made


async def test_several_at_once_each_on_a_port_of_its_own() -> None:
    async with server.serving([Echo("https://a.example"), Echo("https://b.example")]) as places:
        assert len({place.vendor.url for place in places}) == 2
        async with httpx.AsyncClient() as client:
            found = await asyncio.gather(
                *(client.get(f"{places[n % 2].vendor.url}/{n}") for n in range(40))
            )
        assert [one.json()["path"] for one in found] == [f"/{n}" for n in range(40)]

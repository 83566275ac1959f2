"""The demo's parts in this process: a storm over real sockets, and what the page says of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fieldpost.engine.transitions import State
from fieldpost.testing.vendors.server import listening
from gateway.demo import tally
from gateway.demo.behind import benches
from gateway.demo.demo import DEVICES, FAULTS, Demo, running
from gateway.demo.switchboard import Switchboard

#: Systems whose lookup is believed soon after a send that nobody answered.
QUICK = ("postgrest", "salesforce", "webhook", "zendesk")
SETTLED_SECONDS = 60


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    async with running(names=QUICK, every=0.1) as started:
        yield started


@pytest.fixture
async def page(demo: Demo) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        listening(Switchboard(demo, None).app()) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client,
    ):
        yield client


async def until(client: httpx.AsyncClient, true: Any, seconds: float) -> dict[str, Any]:
    """Asks the page, as its script does, until it says so."""
    async with asyncio.timeout(seconds):
        while not true(state := (await client.get("/state")).json()):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        return dict(state)


def counted_otherwise(demo: Demo) -> dict[str, int]:
    """The truth, from the records alone."""
    ops = Counter(r.op for b in demo.benches.values() for r in b.vendor.records if r.open)
    data = {d for b in demo.benches.values() for r in b.vendor.records for _, _, d in r.files}
    ids = {sent.id for sent in demo.sent}
    return {
        "captured": len(ids),
        "delivered": len(ids & set(ops)),
        "doubled": ops.total() - len(ops),
        "lost": len(ids - set(ops)),
        "photos": sum(1 for sent in demo.sent if sent.photo and sent.photo in data),
        "waiting": 0,
        "gateway": 0,
        "attention": 0,
    }


async def test_a_storm_loses_and_doubles_nothing(demo: Demo, page: httpx.AsyncClient) -> None:
    began = (await page.post("/storm", json={})).json()
    assert began["storm"] > 20
    assert {line["mode"] for line in began["lines"].values()} == {"mixed"}

    def has_raged(state: dict[str, Any]) -> bool:
        hits = {name: state["lines"][name]["hit"] for name in (DEVICES, *QUICK)}
        everywhere = min(hits.values()) >= 1 and sum(hits[name] for name in QUICK) >= 5
        return bool(
            everywhere and hits[DEVICES] >= 10 and state["counts"]["total"]["captured"] >= 20
        )

    await until(page, has_raged, began["storm"])
    stormy = (await page.post("/people", json={"working": False})).json()
    assert not stormy["working"]
    calm = (await page.post("/calm", json={})).json()
    assert {line["mode"] for line in calm["lines"].values()} == {"pass"}

    def over(state: dict[str, Any]) -> bool:
        total = state["counts"]["total"]
        return bool(total["waiting"] + total["gateway"] == 0)

    total = (await until(page, over, SETTLED_SECONDS))["counts"]["total"]
    assert total == counted_otherwise(demo)
    assert total["captured"] == len(demo.sent) >= 20
    assert total["delivered"] == total["captured"]
    assert (total["lost"], total["doubled"]) == (0, 0)
    assert total["photos"] == sum(1 for sent in demo.sent if sent.photo) > 0


async def test_each_line_has_its_switch(demo: Demo, page: httpx.AsyncClient) -> None:
    said = {"mode": "captive_portal", "percent": 100}
    state = (await page.post("/lines/webhook", json=said)).json()
    assert state["lines"]["webhook"]["mode"] == "captive_portal"
    assert state["lines"]["zendesk"]["mode"] == "pass"
    await until(page, lambda s: s["lines"]["webhook"]["hit"] >= 1, 30)
    later = await until(page, lambda s: s["counts"]["zendesk"]["delivered"] >= 2, 30)
    assert later["counts"]["webhook"]["delivered"] <= 1  # what came before the switch
    wrong = ({"mode": "sideways", "percent": 1}, {"mode": "slow", "percent": 101}, {}, [])
    for bad in wrong:
        assert (await page.post("/lines/webhook", json=bad)).status_code == 400
    assert (await page.post("/lines/nowhere", json=said)).status_code == 404
    assert demo.lines["webhook"].mode == "captive_portal"


async def test_a_page_elsewhere_switches_nothing(demo: Demo, page: httpx.AsyncClient) -> None:
    answer = await page.post("/storm", headers={"Origin": "http://elsewhere.example"})
    assert answer.status_code == 403
    assert (await page.get("/", headers={"Host": "rebound.example"})).status_code == 403
    assert demo.lines[DEVICES].mode == "pass"


async def test_what_arrived_can_be_looked_at(demo: Demo, page: httpx.AsyncClient) -> None:
    await until(page, lambda s: s["counts"]["zendesk"]["photos"] >= 1, 30)
    shown = await page.get("/")
    assert all(f'value="{mode}"' in shown.text for mode in FAULTS)
    assert "unsafe-inline" not in shown.headers["content-security-policy"]
    assert "<style" not in shown.text
    inbox = (await page.get("/inbox/zendesk")).text
    position, record = next(
        (n, r) for n, r in enumerate(demo.benches["zendesk"].vendor.records) if r.files
    )
    assert f"/inbox/zendesk/{position}/0" in inbox
    picture = await page.get(f"/inbox/zendesk/{position}/0")
    assert (picture.content, picture.headers["content-type"]) == (record.files[0][2], "image/png")
    assert (await page.get("/inbox/zendesk/9999/0")).status_code == 404
    assert (await page.get("/inbox/nowhere")).status_code == 404


async def test_what_is_lost_or_doubled_is_said(demo: Demo) -> None:
    """The counts can tell: one record taken away, another one made twice."""
    await demo.rest()
    async with asyncio.timeout(30):
        while len(demo.benches["postgrest"].vendor.records) < 2:
            demo.sent.append(await demo.people[0].capture())
            await asyncio.sleep(0.05)
        while any(sent.state is not State.COMPLETED for sent in demo.sent):
            await tally.look(demo.sent)
            await asyncio.sleep(0.05)
    records = demo.benches["postgrest"].vendor.records
    captured = [r for r in records if any(sent.id == r.op for sent in demo.sent)]
    records.remove(captured[0])
    records.append(captured[1])
    counts = (await demo.state())["counts"]
    assert (counts["postgrest"]["lost"], counts["postgrest"]["doubled"]) == (1, 1)
    assert (counts["total"]["lost"], counts["total"]["doubled"]) == (1, 1)


def test_every_fake_over_http_takes_part() -> None:
    names = {each.name for each in benches()}
    assert names >= {*QUICK, "autotask", "jira", "servicenow"}
    assert "file" not in names

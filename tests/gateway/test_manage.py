"""/manage: people at the gateway, and what their acts mean for the devices."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.desk import DECLARED, SECRET, Desk, DeskAdapter
from tests.gateway.test_guard import bearer
from tests.gateway.test_relay import TICKET, attached, ended, until
from tests.gateway.wires import HOST, client_of, code_of

from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython.credentials import Headers
from fieldpost.hosts.cpython.open import open_queue
from fieldpost.ports import Request
from fieldpost.runtime.queue import Queue
from fieldpost.testing.vendors.base import VendorTransport, lose_answer
from gateway.app import create_app
from gateway.gateway import Gateway
from gateway.manage_queue import ACTS, LOOKS
from gateway.manage_systems import Behind
from gateway.settings import Settings
from gateway.systems import System

#: Nobody can ask it whether something has arrived: a person has to look.
NOBODY_CAN_ASK = replace(DECLARED, guarantee="repaired", lookup=None)


class World:
    """A gateway with the desk behind it, a device before it, and somebody at /manage."""

    def __init__(self, gateway: Gateway, desk: Desk, client: httpx.AsyncClient, device: Queue):
        self.gateway, self.desk, self.client, self.device = gateway, desk, client, device

    async def call(self, method: str, token: str = "", /, **args: Any) -> Any:
        """What came of it, which went well."""
        answer = await self.ask(method, token, **args)
        assert "ok" in answer, answer
        return answer["ok"]

    async def ask(self, method: str, token: str = "", /, **args: Any) -> Any:
        body = {"method": method, "args": args}
        response = await self.client.post(
            "/manage/queue", json=body, headers=bearer(token) if token else {}
        )
        assert SECRET.split()[1] not in response.text
        return response.json()

    async def row(self, view: str = "waiting") -> dict[str, Any]:
        """The one row of the gateway's list, once it is there."""
        rows: list[dict[str, Any]] = []

        async def there() -> bool:
            rows[:] = (await self.call("list", view=view))["rows"]
            return bool(rows)

        await until(there)
        [row] = rows
        return row

    async def needs_a_person(self) -> dict[str, Any]:
        async def asked() -> bool:
            return "arrived" in (await self.row())["can"]

        await until(asked)
        return await self.row()

    async def hand_over(self, **options: Any) -> str:
        item = await self.device.enqueue("ticket", TICKET, destination="desk", **options)
        await self.device.sync()
        return item.id

    async def state(self, item_id: str) -> tuple[str, str | None]:
        """At the device, once it has an end there."""
        await ended(self.device, item_id)
        detail = await self.device.detail(item_id)
        return detail["state"], detail["remote_id"]


@asynccontextmanager
async def world_of(
    data: Path, desk: Desk, store: str | None, token: str = "", **adapter: Any
) -> AsyncIterator[World]:
    credential = Headers({"Authorization": SECRET})
    made = DeskAdapter("desk", credential="desk", **adapter)
    system = System("desk", "The desk", made, credential, 1, "desk")
    settings = Settings(data=data, store=store)
    gateway = Gateway(
        settings, systems=[system], outward=lambda store: VendorTransport(store, [desk])
    )
    await gateway.start()
    transport = httpx.ASGITransport(app=create_app(gateway))  # type: ignore[arg-type]
    try:
        async with (
            client_of(gateway) as client,
            httpx.AsyncClient(transport=transport) as line,
            await open_queue("http://localhost/", client=line) as device,
        ):
            if token:
                await device.sign_in(token)
            yield World(gateway, desk, client, device)
    finally:
        await gateway.stop()
        gateway.close()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def world(tmp_path: Path, store: str | None, desk: Desk) -> AsyncIterator[World]:
    async with world_of(tmp_path, desk, store, declaration=NOBODY_CAN_ASK) as made:
        yield made


# --- what becomes of an item, at the device -----------------------------------------------------


async def test_it_is_there_ends_as_sent_on_the_device(world: World) -> None:
    world.desk.faults = [lose_answer]
    id_ = await world.hand_over()
    row = await world.needs_a_person()
    assert row["destination"] == "desk"
    assert "edit" not in row["can"]
    told = await world.call("arrived", id=row["id"], reason="I looked")
    assert told["state"] == "completed"
    assert told["history"][-1]["text"] == "I looked (at the gateway)"
    assert await world.state(id_) == ("completed", None)
    assert len(world.desk.records) == 1


async def test_files_of_what_was_seen_there_are_told_as_refused(world: World) -> None:
    world.desk.faults = [lose_answer]
    photo = await attached(world.device, "a.jpg", b"a" * 100)
    id_ = await world.hand_over(attachments=[photo])
    await world.call("arrived", id=(await world.needs_a_person())["id"])
    assert (await world.state(id_))[0] == "completed"
    [left] = (await world.device.list("attention"))["rows"]
    assert (left["kind"], left["title"]) == ("attachment", "a.jpg")


async def test_send_again_sends_it_and_the_device_hears_where_it_is(world: World) -> None:
    world.desk.faults = [lose_answer]
    id_ = await world.hand_over()
    row = await world.needs_a_person()
    world.desk.records.clear()  # it never got there, as the person saw
    await world.call("send_again", id=row["id"])
    assert await world.state(id_) == ("completed", "D-1")
    assert len(world.desk.records) == 1


async def test_what_is_cancelled_here_comes_back_to_the_device(world: World) -> None:
    await world.call("pause", lane="desk", reason="moving house")
    assert "moving house (at the gateway)" in (await world.call("status"))["paused"]
    id_ = await world.hand_over()
    row = await world.row()
    await world.call("cancel", id=row["id"])
    assert (await world.state(id_))[0] == "failed"
    [left] = (await world.device.list("attention"))["rows"]
    assert left["answer"]["text"] == "It was cancelled at the gateway."
    # Taken back, it goes after all.
    await world.call("restore", id=row["id"])
    await world.call("resume")

    async def sent() -> bool:
        await world.device.sync()
        return (await world.device.get(id_)).state is State.COMPLETED

    await until(sent)
    assert len(world.desk.records) == 1


@pytest.mark.parametrize("here_first", [True, False])
async def test_a_refused_file_goes_again_once_whoever_asks(world: World, here_first: bool) -> None:
    """Both the gateway and the device have a dead letter of it."""
    world.desk.largest = 50
    photo = await attached(world.device, "a.jpg", b"a" * 100)
    id_ = await world.hand_over(attachments=[photo])
    assert (await world.state(id_))[0] == "completed"
    [left] = (await world.device.list("attention"))["rows"]
    row = await world.row("attention")
    world.desk.largest = 1_000
    if here_first:
        await world.call("retry", id=row["id"])

        async def sent() -> bool:
            return (await world.call("detail", id=row["id"]))["state"] == "completed"

        await until(sent)
    await world.device.retry(left["id"])
    assert (await world.state(left["id"]))[0] == "completed"
    refused = await world.ask("retry", id=row["id"])
    assert refused["error"]["code"] == "QUEUE_ILLEGAL_TRANSITION"
    assert [name for name, _, _ in world.desk.records[0].files] == ["a.jpg"]


async def refused_while_another_waits(world: World) -> tuple[str, dict[str, Any]]:
    """A ticket of two files, of which the first was refused here and the second still waits."""
    world.desk.largest, world.desk.busy = 150, {"b.jpg"}
    large = await attached(world.device, "a.jpg", b"a" * 200)
    small = await attached(world.device, "b.jpg", b"b" * 100)
    id_ = await world.hand_over(attachments=[large, small])
    return id_, await world.row("attention")


async def test_a_file_given_up_here_before_the_others_are_through_is_told(world: World) -> None:
    """Found by reading: the device was told that all of it had arrived."""
    id_, row = await refused_while_another_waits(world)
    await world.call("discard", id=row["id"], reason="not needed")
    world.desk.busy = set()
    assert (await world.state(id_))[0] == "completed"
    [left] = (await world.device.list("attention"))["rows"]
    assert (left["title"], left["answer"]["text"]) == ("a.jpg", "It was given up at the gateway.")


async def test_a_file_tried_again_here_before_the_others_are_through_keeps_its_bytes(
    world: World,
) -> None:
    """Found by reading: they were removed as those of an item that had arrived whole."""
    id_, row = await refused_while_another_waits(world)
    world.desk.largest, world.desk.busy = 1_000, {"a.jpg", "b.jpg"}
    await world.call("retry", id=row["id"])
    world.desk.busy = {"a.jpg"}
    assert (await world.state(id_))[0] == "completed"
    [left] = (await world.device.list("attention"))["rows"]
    assert "being tried again at the gateway" in left["answer"]["text"]
    world.desk.busy = set()
    await world.device.retry(left["id"])
    assert (await world.state(left["id"]))[0] == "completed"
    assert [data for _, _, data in world.desk.records[0].files] == [b"b" * 100, b"a" * 200]


async def test_what_went_as_a_later_version_is_not_restored(world: World) -> None:
    """Found while this was written: it would have arrived twice."""
    await world.call("pause", lane="desk")
    id_ = await world.hand_over()
    row = await world.row()
    await world.call("cancel", id=row["id"])
    await ended(world.device, id_)
    await world.device.edit(id_, {**TICKET, "summary": "Once more"})
    await world.device.sync()

    async def came() -> bool:
        return bool((await world.call("list", view="waiting"))["rows"])

    await until(came)
    refused = await world.ask("restore", id=row["id"])
    assert refused["error"]["code"] == "SUPERSEDED"
    many = await world.call("restore_many", ids=[row["id"]])
    assert (many["ids"], many["left"][row["id"]]["code"]) == ([], "SUPERSEDED")
    await world.call("resume")
    assert await world.state(id_) == ("completed", "D-1")
    assert [record.fields["summary"] for record in world.desk.records] == ["Once more"]


async def test_what_is_given_up_and_what_is_tried_again(world: World) -> None:
    world.desk.refuses["Pump is leaking"] = "says too little"
    id_ = await world.hand_over()
    assert (await world.state(id_))[0] == "failed"
    row = await world.row("attention")
    assert (await world.call("discard", id=row["id"]))["state"] == "discarded"
    await world.call("restore", id=row["id"])
    assert (await world.device.get(id_)).state is State.FAILED
    world.desk.refuses.clear()
    assert (await world.call("retry_many", ids=[row["id"]]))["count"] == 1

    async def sent() -> bool:
        await world.device.sync()
        return (await world.device.get(id_)).state is State.COMPLETED

    await until(sent)
    assert len(world.desk.records) == 1


async def test_a_persons_name_stands_in_the_items_history(
    tmp_path: Path, store: str | None, desk: Desk
) -> None:
    desk.refuses["Pump is leaking"] = "says too little"
    async with world_of(tmp_path, desk, store) as world:
        kim = world.gateway.devices.pair("Kim", role="operator")
        van = world.gateway.devices.pair("Van 3")
        await world.device.sign_in(van)
        await ended(world.device, await world.hand_over())
        [row] = (await world.call("list", kim, view="attention"))["rows"]
        told = await world.call("discard", kim, id=row["id"], reason="spam")
        assert told["history"][-1]["text"] == "spam (Kim, at the gateway)"
        assert told["from"] == "Van 3"


async def test_the_rest_that_a_person_may_do(world: World) -> None:
    await world.call("pause")
    await world.hand_over()
    row = await world.row()
    done = await world.call("set_priority", ids=[row["id"]], priority=9)
    assert done["count"] == 1
    assert (await world.call("detail", id=row["id"]))["priority"] == 9
    changed = await world.call("configure", strategy="fifo")
    assert changed["strategy"] == "fifo"
    assert "share_by_owner" not in changed
    assert (await world.call("breaker", action="force_open", lane="desk"))["breaker"] == "held"
    await world.call("breaker", action="reset", lane="desk")
    assert (await world.call("verify"))["ok"]
    assert (await world.call("sync"))["started"]
    assert (await world.call("retry_all"))["count"] == 0
    assert (await world.call("cancel_many", ids=[row["id"], "x"]))["count"] == 1
    assert [r["id"] for r in (await world.call("list", view="ended"))["rows"]] == [row["id"]]


# --- who may ask, and what ----------------------------------------------------------------------

ARGS: dict[str, dict[str, Any]] = {
    "detail": {"id": "x"},
    "breaker": {"action": "reset"},
    "set_priority": {"ids": [], "priority": 5},
    "test_connection": {"name": "desk"},
    "dry_run": {"name": "desk", "kind": "ticket", "payload": TICKET},
    "revoke": {"id": "x"},
    **{name: {"id": "x"} for name in ACTS if "id" in ACTS[name].needs},
    **{name: {"ids": []} for name in ACTS if name.endswith("_many")},
}


async def test_a_reader_looks_an_operator_acts_a_device_does_neither(world: World) -> None:
    devices = world.gateway.devices
    tokens = {role: devices.pair(role, role=role) for role in ("device", "reader", "operator")}
    looks, acts = [*LOOKS, *Behind.LOOKS, "gateway"], [*ACTS, *Behind.ACTS]
    for method in looks + acts:
        said = {}
        for role, token in {**tokens, "nobody": "", "stranger": "fp_wrong"}.items():
            response = await world.client.post(
                "/manage/queue",
                json={"method": method, "args": ARGS.get(method, {})},
                headers=bearer(token) if token else {},
            )
            said[role] = response.status_code
            if response.status_code == 401:
                assert response.headers["www-authenticate"] == "Bearer"
        assert (said["operator"], said["reader"]) == (200, 200 if method in looks else 403), method
        assert (said["device"], said["nobody"], said["stranger"]) == (401, 401, 401)
    assert not (await world.call("gateway", tokens["reader"]))["may_act"]
    assert await world.call("settings", tokens["reader"]) == {"paused": {}}
    # An operator looks everywhere a reader does, and delivers as little.
    basic = base64.b64encode(f"me:{tokens['operator']}".encode()).decode()
    for path in ("/inbox", "/metrics"):
        page = await world.client.get(path, headers={"Authorization": f"Basic {basic}"})
        assert page.status_code == 200
    wire = await world.client.get("/api/v1/receipts", headers=bearer(tokens["operator"]))
    assert (wire.status_code, code_of(wire)) == (403, "FORBIDDEN")


async def test_a_readers_rows_offer_no_acts(world: World) -> None:
    reader = world.gateway.devices.pair("Office", role="reader")
    van = world.gateway.devices.pair("Van 3")
    await world.device.sign_in(van)
    world.desk.faults = [lose_answer]
    await world.hand_over()

    async def there() -> bool:
        return bool((await world.call("list", reader))["rows"])

    await until(there)
    [row] = (await world.call("list", reader))["rows"]
    assert row["can"] == []


@pytest.mark.parametrize(
    "method",
    [
        *("enqueue", "sign_in", "rescue_out", "rescue_in", "link", "device", "nudge"),
        *("edit", "redirect", "_queue", "__init__", ""),
    ],
)
async def test_nothing_else_can_be_called(world: World, method: str) -> None:
    answer = await world.ask(method)
    assert answer["error"]["code"] == "QUEUE_INVALID_ITEM"
    assert "no method" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "args", "wrong"),
    [
        ("list", {"view": "everything"}, "view"),
        ("list", {"cursor": "1"}, "cursor"),
        ("list", {"limit": True}, "limit"),
        ("list", {"limit": 2**70}, "limit"),
        ("detail", {}, "id"),
        ("detail", {"id": 5}, "id"),
        ("cancel", {"id": "x", "event": "deliver"}, "event"),
        ("cancel_many", {"ids": "abc"}, "ids"),
        ("cancel_many", {"ids": [1]}, "ids"),
        ("set_priority", {"ids": [], "priority": 11}, "priority"),
        ("breaker", {"action": "explode"}, "action"),
        ("pause", {"lane": "nowhere"}, "lane"),
        ("configure", {"share_by_owner": False}, "share_by_owner"),
        ("configure", {"strategy": []}, "strategy"),
        ("dry_run", {"name": "desk", "kind": "ticket"}, "payload"),
        ("dry_run", {"name": "nowhere", "kind": "ticket", "payload": {}}, "name"),
        ("test_connection", {"name": []}, "name"),
    ],
)
async def test_wrong_arguments_are_named(
    world: World, method: str, args: dict[str, Any], wrong: str
) -> None:
    answer = await world.ask(method, **args)
    assert wrong in answer["error"]["fields"], answer


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"method": 5}', b'{"method": "list", "args": []}', b"[" * 100_000]
)
async def test_what_is_no_call_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post("/manage/queue", content=body, headers=headers)
    assert (response.status_code, code_of(response)) == (400, "BAD_REQUEST")
    response = await client.post("/manage/queue", content=body)
    assert (response.status_code, code_of(response)) == (415, "UNSUPPORTED_TYPE")


async def test_pages_that_may_deliver_may_not_manage(
    open_gateway: Callable[..., Gateway],
) -> None:
    gateway = open_gateway(allow_origins=frozenset({"https://app.example"}))
    async with client_of(gateway) as client:
        for origin in ("https://app.example", "https://evil.example", "null"):
            headers = {"Origin": origin, "Content-Type": "application/json"}
            asked = await client.post("/manage/queue", content=b"{}", headers=headers)
            assert (asked.status_code, code_of(asked)) == (403, "FORBIDDEN_ORIGIN")
            assert "access-control-allow-origin" not in asked.headers
            preflight = await client.options("/manage/queue", headers=headers)
            assert preflight.status_code in (403, 405)
            assert "access-control-allow-origin" not in preflight.headers
        mine = await client.post(
            "/manage/queue",
            json={"method": "gateway"},
            headers={"Origin": HOST, "Sec-Fetch-Site": "same-origin"},
        )
        assert mine.status_code == 200


# --- a gateway with nothing behind it -----------------------------------------------------------


async def test_without_destinations_that_is_said(client: httpx.AsyncClient) -> None:
    async def ask(method: str) -> Any:
        response = await client.post(
            "/manage/queue", json={"method": method, "args": ARGS.get(method, {})}
        )
        assert response.status_code == 200
        return response.json()

    for method in [*LOOKS, *ACTS]:
        assert (await ask(method))["error"]["code"] == "NO_DESTINATIONS"
    assert (await ask("gateway"))["ok"]["relays"] is False
    assert (await ask("destinations"))["ok"] == []
    assert (await ask("devices"))["ok"] == {"devices": [], "others": 0}
    assert (await ask("test_connection"))["error"]["code"] == "QUEUE_INVALID_ITEM"


async def test_the_page_is_the_apps_and_asks_who_it_is(
    open_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    (site / "static").mkdir(parents=True)
    (site / "static/manage.html").write_text("<!doctype html><title>Gateway</title>")
    (site / "static/app.css").write_text("body {}")
    gateway = open_gateway(site=site)
    async with client_of(gateway) as client:
        page = await client.get("/manage/")
        assert (page.status_code, "Gateway" in page.text) == (200, True)
        assert "script-src 'self' 'unsafe-eval'" in page.headers["content-security-policy"]
        assert (await client.get("/manage")).headers["location"] == "manage/"
        token = gateway.devices.pair("Kim", role="operator")
        refused = await client.get("/manage/")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert (await client.get("/manage/", headers=bearer(token))).status_code == 200
        assert (await client.get("/manage/static/app.css")).status_code == 200
        assert (await client.get("/manage/../data/keys.json")).status_code == 404


# --- destinations -------------------------------------------------------------------------------


async def test_the_connection_is_tested_with_our_credential(world: World) -> None:
    assert await world.call("test_connection", name="desk") == {
        "state": "unproven",
        "text": "It can only be tried with an item: use the dry run.",
    }


@pytest.mark.parametrize("state", ["online", "signed_out", "unreachable"])
async def test_what_testing_says(
    tmp_path: Path, desk: Desk, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        DeskAdapter, "probe", lambda self: self.signed(Request("POST", f"{self.url}/fields"))
    )
    async with world_of(tmp_path, desk, None) as world:
        if state == "signed_out":
            monkeypatch.setattr(desk, "authorised", lambda ask: False)
        if state == "unreachable":
            desk.faults = [lose_answer] * 2  # its own look at the start may meet the first
        told = await world.call("test_connection", name="desk")
        assert told["state"] == state


async def test_a_dry_run_shows_the_request_and_no_secret(world: World) -> None:
    token = SECRET.split()[1]
    payload = {**TICKET, "description": f"I typed {token} here, and {SECRET}"}
    shown = await world.call("dry_run", name="desk", kind="ticket", payload=payload)
    assert (shown["method"], shown["url"]) == ("POST", "https://desk.example/tickets")
    assert shown["headers"]["(credential desk)"] == "•••"
    assert shown["body"]["summary"] == TICKET["summary"]
    assert token not in json.dumps(shown)
    assert "•••" in shown["body"]["description"]
    refused = await world.ask("dry_run", name="desk", kind="feedback", payload={"rating": 3})
    assert refused["error"]["fields"] == {"comment": "is required"}
    whole = {"rating": 3, "comment": "Fine"}
    refused = await world.ask("dry_run", name="desk", kind="feedback", payload=whole)
    assert refused["error"]["fields"] == {"kind": "is not taken; it takes ticket"}
    assert world.desk.records == []


async def test_destinations_are_described(world: World) -> None:
    async def discovered() -> bool:
        [known] = await world.call("destinations")
        return bool(known["of_kind"]["ticket"]["fields"]["required"] == ["summary", "category"])

    await until(discovered)
    [known] = await world.call("destinations")
    assert (known["name"], known["title"], known["type"]) == ("desk", "The desk", "desk")
    assert (known["guarantee"], known["kinds"], known["credential"]) == (
        "repaired",
        ["ticket"],
        True,
    )
    assert known["of_kind"]["ticket"]["map"] is None  # the desk takes it as it is
    assert known["of_kind"]["ticket"]["sample"]["summary"]
    assert await world.call("catalogue") == {
        "destinations": [{"name": "desk", "title": "The desk", "kinds": ["ticket"]}]
    }


# --- devices ------------------------------------------------------------------------------------


async def test_devices_are_listed_with_what_waits_and_revoked(world: World) -> None:
    devices = world.gateway.devices
    kim, van = devices.pair("Kim", role="operator"), devices.pair("Van 3")
    await world.device.sign_in(van)
    await world.call("pause", kim)
    await world.hand_over()
    told = await world.call("devices", kim)
    by_name = {each["name"]: each for each in told["devices"]}
    assert by_name["Van 3"]["waiting"] == 1
    assert by_name["Van 3"]["seen_at"] >= by_name["Van 3"]["paired_at"]
    assert (by_name["Kim"]["mine"], by_name["Kim"]["waiting"], told["others"]) == (True, 0, 0)
    assert "sha256" not in json.dumps(told)
    refused = await world.ask("revoke", kim, id=by_name["Kim"]["id"])
    assert "signed in" in refused["error"]["message"]
    left = await world.call("revoke", kim, id=by_name["Van 3"]["id"])
    assert [each["name"] for each in left["devices"]] == ["Kim"]
    assert left["others"] == 1
    refused = await world.ask("revoke", kim, id=by_name["Van 3"]["id"])
    assert "not paired" in refused["error"]["message"]
    await world.device.sync()
    assert (await world.device.status())["connection"] == "signed_out"
    # What it had handed over goes on.
    await world.call("resume", kim)

    async def arrived() -> bool:
        return len(world.desk.records) == 1

    await until(arrived)

    async def told_so() -> bool:
        return bool((await world.call("devices", kim))["others"] == 0)

    await until(told_so)


async def test_when_a_device_was_last_heard_outlives_the_process(
    open_gateway: Callable[..., Gateway],
) -> None:
    now = 1_700_000_000_000
    gateway = open_gateway(clock=lambda: now)
    token, other = gateway.devices.pair("Van 3"), gateway.devices.pair("Van 4")
    found = gateway.devices.find(token)
    assert found is not None
    async with client_of(gateway) as client:
        await client.get("/api/v1/destinations", headers=bearer(token))
    assert gateway.devices.seen() == {found.id: now}
    await gateway.stop()
    again = open_gateway()
    assert again.devices.seen() == {found.id: now}
    # Written down once a minute, not with every request.
    assert not again.devices.heard(found, now + 1)
    again.devices.unpair("Van 3")
    late = again.devices.find(other)
    assert late is not None
    again.devices.heard(late, now + 2)
    again.devices.write_seen()
    assert again.devices.seen() == {late.id: now + 2}


async def test_counting_what_waits_reads_only_what_waits(tmp_path: Path) -> None:
    """A ledger keeps every row for 400 days."""
    gateway = Gateway(Settings(data=tmp_path / "data"))
    try:
        plan = await gateway.database.read(
            lambda tx: tx.execute(  # type: ignore[attr-defined]
                "EXPLAIN QUERY PLAN SELECT workspace, device, count(*) FROM ledger WHERE state IN"
                " ('accepted', 'handed_over', 'busy') GROUP BY workspace, device"
            ).fetchall()
        )
        assert "ledger_open" in plan[0][3]
        assert await gateway.database.read(lambda tx: tx.open_of()) == {}
    finally:
        gateway.close()

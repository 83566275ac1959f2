"""What holds of every vendor's adapter in the same way, against its fake; beside the contract of
adapters, whose faults come from the line and not from the vendor."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.destinations.readings import an_item, one, said
from tests.destinations.world import HOUR, Bench, World, goes_through

from fieldpost.engine.outcome import Class
from fieldpost.engine.transitions import State
from fieldpost.testing.adaptercontract.bench import refused, refused_list
from fieldpost.testing.vendors import (
    autotask,
    jira,
    postgrest,
    salesforce,
    servicenow,
    webhook,
    zendesk,
)
from fieldpost.testing.vendors.base import cut_before, lose_answer, says, says_after

#: Those that take tickets with their files.
DESKS: dict[str, Bench] = {
    "autotask": autotask.bench,
    "jira-cloud": jira.bench,
    "jira-datacenter": partial(jira.bench, flavour="datacenter"),
    "salesforce": salesforce.bench,
    "servicenow": servicenow.bench,
    "zendesk": zendesk.bench,
}
ALL: dict[str, Bench] = {**DESKS, "postgrest": postgrest.bench, "webhook": webhook.bench}
IN_SECONDS = {"retry_after": "120"}
UNTIL_A_DATE = {
    "retry_after": "Mon, 23 Nov 2026 10:02:00 GMT",
    "date": "Mon, 23 Nov 2026 10:00:00 GMT",
}

of_all = pytest.mark.parametrize("world", ALL, indirect=True)
of_desks = pytest.mark.parametrize("world", DESKS, indirect=True)
in_each_form = pytest.mark.parametrize("headers", [IN_SECONDS, UNTIL_A_DATE])
too_busy = pytest.mark.parametrize("status", [429, 503])


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    made = World(ALL[request.param])
    if request.param == "autotask":  # it asks for its zone first
        made.adapter.zone = made.vendor.url + made.vendor.zone_path  # type: ignore[attr-defined]
    return made


# --- asked to wait -------------------------------------------------------------------------------


@too_busy
@in_each_form
@of_all
def test_how_long_to_wait_is_read(world: World, status: int, headers: dict[str, str]) -> None:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    for response in (refused(status, "Later."), refused_list(status, "Later.")):
        asked = replace(response, headers={**response.headers, **named})
        contact, outcome = one(world.adapter.read([an_item()], asked))
        assert (contact.pause_ms, outcome.retry_after_ms) == (120_000, 120_000)
        assert outcome.lane
        if status == 429:
            assert (contact.state, outcome.cls) == ("limited", Class.RATE_LIMITED)


@too_busy
@in_each_form
@of_all
async def test_asked_to_wait_it_waits(world: World, status: int, headers: dict[str, str]) -> None:
    body = refused(status, "Not now").body
    world.vendor.faults = [says(status, body, content_type="application/json", **headers)]
    item = await world.add()
    await world.turn()
    asked = len(world.vendor.requests)
    world.clock.advance(119_000)
    await world.turn()
    assert len(world.vendor.requests) == asked
    await world.delivered(item)


@of_all
async def test_a_credential_that_is_not_taken_burns_no_try(world: World) -> None:
    right = {name: dict(headers) for name, headers in world.credentials.items()}
    for headers in world.credentials.values():
        headers.update(dict.fromkeys(headers, "nobody"))
    item = await world.add()
    await world.settle(HOUR / 2)
    assert await world.state(item) is State.PENDING
    assert (await world.queue.get(item)).attempts == 0
    world.credentials.update(right)
    await world.delivered(item)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [lose_answer, cut_before, says_after(500), says(500)])
@of_desks
async def test_a_file_without_an_answer_is_there_once(world: World, fault: Any) -> None:
    item = await world.add(await world.file(b"photo", "Sägewerk 50%.jpg"))
    world.vendor.faults = [goes_through, fault]
    record = await world.delivered(item)
    assert [data for _, _, data in record.files] == [b"photo"]


@pytest.mark.parametrize("fault", [lose_answer, cut_before])
@pytest.mark.parametrize("size", [4, 1_200_000])  # the hash of the whole file is known, or not
@of_desks
async def test_two_files_of_one_name_and_size_are_told_apart(
    world: World, fault: Any, size: int
) -> None:
    files = [bytes([n]) * size for n in (1, 2)]
    item = await world.add(*[await world.file(data) for data in files])
    world.vendor.faults = [goes_through, goes_through, fault]
    record = await world.delivered(item)
    assert [data for _, _, data in record.files] == files


# --- what it says of itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [said(401, {"error": "Who?"}), said(403, {"error": "Forbidden"}), said(200, b"<html>")],
)
@of_desks
def test_discovering_without_an_answer_says_nothing(world: World, response: Any) -> None:
    script = world.adapter.discover()
    next(script)
    with pytest.raises(StopIteration) as end:
        script.send(response)
    assert end.value.value is None


@of_desks
def test_discovering_without_the_right_to_says_nothing(world: World) -> None:
    world.credentials.clear()
    assert world.talk(world.adapter.discover()) is None

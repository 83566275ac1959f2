"""What the system, or somebody in between, says to a new item."""

from __future__ import annotations

from email.utils import formatdate

from fieldpost.engine.transitions import State
from fieldpost.ports import Response

from .bench import Make, refused
from .line import Fault, Line, page, portal, redirect, renamed, says
from .world import MINUTE, World

_OTHER = "00000000-0000-7000-8000-00000000abcd"


async def case_created(make: Make) -> None:
    """One item, one record, and its id kept."""
    world = World(make())
    item = await world.enqueue()
    await world.deliver()
    await world.check()
    assert len(world.line.of("create")) == 1
    if world.declaration.attachments:  # else nobody needs to know how it is called
        assert (await world.queue.detail(item.id))["remote_id"]


async def case_many_are_all_delivered(make: Make) -> None:
    """Also where one request takes several."""
    world = World(make())
    for _ in range(5):
        await world.enqueue()
    await world.deliver()
    await world.check()


async def case_the_intent_is_the_same_bytes_each_time(make: Make) -> None:
    """Nothing in it may change between two attempts: no time, no chance, no order of a set."""
    bench, other = make(), make()
    world = World(bench)
    item = await world.enqueue()
    (row,) = await world.store.get([item.id], ("body",))
    intents = [b.adapter.intent(row.item, row.parts["body"], ()) for b in (bench, other)]
    assert intents[0] == intents[1]


async def case_no_secret_in_intents_and_requests(make: Make) -> None:
    """What an adapter makes is stored and logged; the host adds the credential at the last moment,
    by its name."""
    bench = make()
    world = World(bench)
    world.needs(bool(bench.credentials), "it keeps no credential by name")
    item = await world.enqueue()
    (row,) = await world.store.get([item.id], ("body",))
    intent = bench.adapter.intent(row.item, row.parts["body"], ())
    await world.deliver()
    secrets = [text for named in bench.credentials.values() for text in named.values()]
    for secret in secrets:
        assert secret.encode() not in intent
        for sent in world.line.sent:
            assert secret not in repr((sent.request.url, sent.request.headers, sent.request.body))


async def case_signed_out_and_in_again(make: Make) -> None:
    """401 loses nothing and gives nothing up; with a new credential it goes."""
    world = World(make())
    item = await world.enqueue()
    denied = says(refused(401, "Sign in."))
    world.line.faults["create"] = [denied]
    for _ in range(4):
        await world.turn()
        world.line.any = [denied] * 3
        assert await world.state(item) in (State.PENDING, State.UNKNOWN)
        assert not world.copies(item)
        world.clock.advance(5 * MINUTE)
    world.line.any = []
    await world.deliver()
    await world.check()


async def case_a_credential_that_is_not_taken(make: Make) -> None:
    """In the system's own words: the lane says "signed out", however often it is tried."""
    bench = make()
    world = World(bench)
    world.needs(bool(bench.credentials), "it keeps no credential by name")
    item = await world.enqueue()
    kept = {name: dict(headers) for name, headers in bench.credentials.items()}
    for headers in bench.credentials.values():
        headers.clear()
    for _ in range(8):
        status = await world.queue.sync()
        world.clock.advance(5 * MINUTE)
    (lane,) = status["lanes"].values()
    assert lane["connection"] == "signed_out"
    assert await world.state(item) in (State.PENDING, State.UNKNOWN)
    for name, headers in kept.items():
        bench.credentials[name].update(headers)
    await world.deliver()
    await world.check()


def _http(make: Make) -> World:
    world = World(make())
    world.needs(world.bench.speaks_http, "its answers are none of HTTP")
    return world


async def _refused_for_good(make: Make, status: int) -> None:
    """A dead letter that says why; tried again by hand, it arrives once."""
    world = _http(make)
    item = await world.enqueue()
    world.line.faults["create"] = [says(world.bench.refused(status, "Not like this."))]
    await world.queue.sync()
    assert await world.state(item) is State.FAILED
    assert not world.copies(item)
    assert "Not like this." in await world.texts()
    await world.queue.retry(item.id)
    await world.deliver()
    await world.check()


async def case_403_is_a_dead_letter(make: Make) -> None:
    await _refused_for_good(make, 403)


async def case_413_is_a_dead_letter(make: Make) -> None:
    await _refused_for_good(make, 413)


async def case_400_is_a_dead_letter(make: Make) -> None:
    await _refused_for_good(make, 400)


async def case_a_wrong_field_is_named(make: Make) -> None:
    """422, or whatever the system says: a dead letter, with its reason and the field."""
    world = _http(make)
    bench = world.bench
    item = await world.enqueue()
    world.line.faults["create"] = [says(bench.refusal("summary", "must be shorter"))]
    await world.queue.sync()
    assert await world.state(item) is State.FAILED
    detail = await world.queue.detail(item.id)
    assert "must be shorter" in repr(detail["history"])
    if hasattr(bench.remote, "refusal"):
        assert detail["history"][-1].get("fields"), "the field is not named"
    await world.queue.retry(item.id)
    await world.deliver()
    await world.check()


async def _in_the_end_once(make: Make, fault: Fault, times: int = 1) -> World:
    """Whatever this answer is read as: never delivered by it unless it is there, and once."""
    world = World(make())
    item = await world.enqueue()
    world.line.faults["create"] = [fault] * times
    await world.turn()
    if await world.state(item) is State.COMPLETED:
        assert world.copies(item), "believed to be delivered"
    for _ in range(3):
        await world.deliver()
        if not await world.again(item):
            break
    await world.check()
    return world


async def case_404_409_412(make: Make) -> None:
    """Each system means something of its own by these; a person's retry settles it at last."""
    for status in (404, 409, 412):
        await _in_the_end_once(make, says(refused(status, "Not now.")))


async def case_after_a_server_error_it_is_not_known(make: Make) -> None:
    """500, 502, 503, 504 and 408, with and without the record behind it."""
    for status in (500, 502, 503, 504, 408):
        for acts in (False, True):
            for response in (Response(status, {}, b"oops"), refused(status, "Trouble.")):
                await _in_the_end_once(make, says(response, acts=acts))


async def case_pages_of_others(make: Make) -> None:
    """HTML with status 200, redirects, captive portals, an empty 200 and a proxy's 403 and 404,
    with and without the record behind them."""
    empty = Response(200, {"content-type": "application/json"}, b"{}")
    others = [Response(s, {"content-type": "text/html"}, b"<h1>Blocked</h1>") for s in (403, 404)]
    for acts in (False, True):
        answers = [page(acts=acts), redirect(acts=acts), portal(acts=acts)]
        answers += [says(response, acts=acts) for response in (empty, *others)]
        for fault in answers:
            await _in_the_end_once(make, fault, 2)


async def case_an_answer_about_another_item(make: Make) -> None:
    """Where the answer names the item: one that names another proves nothing."""
    world = World(make())
    item = await world.enqueue()
    world.line.faults["create"] = [renamed({item.id: _OTHER, item.send_id: _OTHER})]
    seen: list[bytes] = []

    async def overheard(_line: Line, _request: object, go: object) -> Response:
        response: Response = await go()  # type: ignore[operator]
        seen.append(response.body)
        return response

    plain = World(make())
    plain.line.around["create"] = overheard
    same = await plain.enqueue()
    await plain.deliver()
    named = any(name.encode() in body for body in seen for name in (same.id, same.send_id))
    world.needs(named, "its answer to a new item does not name it")
    await world.turn()
    assert await world.state(item) is not State.COMPLETED
    await world.deliver()
    await world.check()


async def _waits(make: Make, status: int, header: str | None) -> None:
    """Nothing is sent before the time that the answer names, and then once."""
    world = _http(make)
    item = await world.enqueue()
    date = formatdate((world.clock.now() + 10 * MINUTE) / 1000, usegmt=True)
    response = refused(status, "Later.", None, retry_after=header or date)
    world.line.faults["create"] = [says(response)]
    began = world.clock.now()
    for _ in range(2 * 9):
        await world.turn()
        world.clock.advance(MINUTE / 2)
    assert len(world.line.of("create")) == 1, f"again after {world.clock.now() - began} ms"
    assert await world.state(item) in (State.PENDING, State.UNKNOWN)
    await world.deliver()
    await world.check()


async def case_429_in_seconds(make: Make) -> None:
    await _waits(make, 429, "600")


async def case_429_until_a_date(make: Make) -> None:
    await _waits(make, 429, None)


async def case_503_in_seconds(make: Make) -> None:
    await _waits(make, 503, "600")


async def case_503_until_a_date(make: Make) -> None:
    await _waits(make, 503, None)

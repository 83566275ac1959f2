"""Attachments: in their order, byte for byte, each once, whatever is lost on the way."""

from __future__ import annotations

from dataclasses import replace

from fieldpost.engine.transitions import State

from .bench import Make, refused
from .line import Fault, cut_body, lost_after, lost_before, page, says, slow
from .world import FILES, World


def _world(make: Make) -> World:
    world = World(make())
    world.needs(world.declaration.attachments, "it takes no files")
    return world


async def case_files_arrive_as_they_are(make: Make) -> None:
    world = _world(make)
    await world.enqueue(FILES)
    await world.deliver()
    await world.check()
    assert not await world.failed_files()


async def case_the_text_goes_before_any_file(make: Make) -> None:
    """Of two items with files, both texts are there before the first byte of a file."""
    world = _world(make)
    for _ in range(2):
        await world.enqueue(FILES[:1])
    await world.deliver()
    await world.check()
    purposes = [sent.purpose for sent in world.line.of("create", "upload")]
    assert "create" not in purposes[purposes.index("upload") :]


async def _each_request(make: Make, fault: Fault) -> None:
    """The fault hits each request of a delivery in turn, each time from the beginning."""
    world = _world(make)
    await world.enqueue(FILES)
    await world.deliver()
    await world.check()
    for at in range(len(world.line.sent)):
        world = World(make())
        await world.enqueue(FILES)
        world.line.any = [*[None] * at, fault]
        await world.deliver()
        await world.check()
        assert not world.line.any, "the fault hit nothing"
        failed = await world.failed_files()
        assert not failed or world.told, f"request {at + 1} gave a file up"


async def case_each_answer_lost_after_the_commit(make: Make) -> None:
    await _each_request(make, lost_after)


async def case_each_answer_lost_before_the_commit(make: Make) -> None:
    await _each_request(make, lost_before)


async def case_each_answer_too_late(make: Make) -> None:
    await _each_request(make, slow)


async def case_each_answer_with_its_second_half_missing(make: Make) -> None:
    await _each_request(make, cut_body)


async def case_each_answer_a_page_of_others(make: Make) -> None:
    await _each_request(make, page())
    await _each_request(make, page(acts=True))


async def case_half_a_file_is_not_taken_for_a_whole_one(make: Make) -> None:
    """Where the system keeps what came of a request that was cut."""
    world = _world(make)
    world.needs(getattr(world.bench.remote, "takes_half", False), "it wants requests whole")
    await world.enqueue(FILES)
    world.line.halves = 2
    await world.deliver()
    await world.check()
    assert not world.line.halves


async def case_files_of_a_context_that_was_killed(make: Make) -> None:
    """Whoever comes next goes on behind the last file that is known to be there."""
    world = _world(make)
    await world.enqueue(FILES)
    world.line.faults["upload"] = [None, lost_after]
    await world.turn()
    world.queue = world.open("next")
    await world.deliver()
    await world.check()


async def case_signed_out_between_two_files(make: Make) -> None:
    world = _world(make)
    item = await world.enqueue(FILES)
    world.line.faults["upload"] = [None, says(refused(401, "Sign in."))]
    await world.turn()
    assert await world.state(item) not in (State.FAILED, State.COMPLETED)
    await world.deliver()
    await world.check()
    assert not await world.failed_files()


async def case_a_file_that_is_refused_is_a_dead_letter_of_its_own(make: Make) -> None:
    """413: the item and its other files go on without it; by hand, it follows to the same
    record."""
    world = _world(make)
    world.needs(world.declaration.whole_files, "it takes files in parts")
    world.needs(world.bench.speaks_http, "its answers are none of HTTP")
    item = await world.enqueue(FILES)
    world.line.faults["upload"] = [None, says(world.bench.refused(413, "Too large."))]
    await world.deliver()
    file = world.files[item.id][1]
    assert list(await world.failed_files()) == [file.id]
    await world.check()
    await world.queue.retry(file.id)
    await world.deliver()
    assert not await world.failed_files()
    (record,) = world.copies(item)
    wanted = [data for _, _, data in (FILES[0], FILES[2], FILES[1])]
    assert [data for *_, data in record.files] == wanted


async def case_a_file_that_is_known_to_be_too_large_is_not_sent(make: Make) -> None:
    bench = make()
    most = max(len(FILES[0][2]), len(FILES[2][2]))
    world = World(bench, replace(bench.declaration, file_bytes=most))
    world.needs(world.declaration.attachments, "it takes no files")
    world.needs(world.declaration.whole_files, "it takes files in parts")
    item = await world.enqueue(FILES)
    await world.deliver()
    assert await world.failed_files() == {world.files[item.id][1].id: "too_large"}
    assert len(world.line.of("upload")) == 2
    await world.check()


async def case_files_of_an_item_whose_answer_was_lost(make: Make) -> None:
    """The item is found, or answered again; its files follow it all the same."""
    world = _world(make)
    await world.enqueue(FILES)
    world.line.faults["create"] = [lost_after]
    await world.turn()
    await world.deliver()
    await world.check()

"""Refresh tokens that a server renewed are known to the next process."""

from __future__ import annotations

from tests.runtime.worlds import RING, World

from fieldpost.hosts.cpython.credentials import OAuth
from gateway.tokens import follow_tokens


def credential(world: World, token: str = "from-the-file") -> OAuth:
    return OAuth("https://login.example/token", {}, world.gateway, token)


async def test_the_newest_takes_the_place_of_the_one_it_came_of() -> None:
    world = World()
    first = credential(world)
    await follow_tokens(world.queue, world.store, RING, {"desk": first})
    assert first.refresh_token == "from-the-file"
    await first.kept("renewed")
    again = credential(world)
    await follow_tokens(world.queue, world.store, RING, {"desk": again})
    assert again.refresh_token == "renewed"
    await again.kept("renewed twice")
    last = credential(world)
    await follow_tokens(world.queue, world.store, RING, {"desk": last})
    assert last.refresh_token == "renewed twice"
    # An administrator has put another one into the file: that is a new beginning.
    other = credential(world, "another one")
    await follow_tokens(world.queue, world.store, RING, {"desk": other})
    assert other.refresh_token == "another one"

"""The storage takes no change: nothing is said to be saved, and what can be read gets out."""

from __future__ import annotations

import json

import pytest
from tests.runtime.worlds import RING, World

from fieldpost.engine.errors import DatabaseError
from fieldpost.engine.model import Capture
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.faultystore import Fault, FaultyStore

TICKET = {"summary": "Pump 3 is leaking"}
WRITES = frozenset({"commit"})


class Box:
    """Rescue files that are not sealed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def write(self, passphrase: str, lines: list[str]) -> str:
        self.lines = lines
        return "file:x"

    async def read(self, passphrase: str, url: str) -> list[str]:
        return self.lines


@pytest.mark.parametrize("when", ["before", "after"])
async def test_enqueue_raises_and_the_same_id_again_saves_once(when: str) -> None:
    store = FaultyStore(MemoryStore(RING))
    world = World(store=store)
    item_id = world.entropy.uuid7(world.clock.now())
    store.fault = Fault(1, "before" if when == "before" else "after", only=WRITES)
    with pytest.raises(DatabaseError):
        await world.queue.enqueue("ticket", TICKET, id=item_id)
    there = (await world.queue.list())["rows"]
    assert [row["id"] for row in there] == ([] if when == "before" else [item_id])
    assert (await world.queue.enqueue("ticket", TICKET, id=item_id)).id == item_id
    await world.queue.sync()
    assert world.gateway.inbox == [item_id]


async def test_what_can_be_read_is_rescued_captures_too() -> None:
    store, box = FaultyStore(MemoryStore(RING)), Box()
    lost, new = World(store=store), World()
    for world in (lost, new):
        world.queue._rescue._box = box
    row = await lost.queue.enqueue("ticket", TICKET, destination="jira")
    store.fault = Fault(1, persistent=True, only=WRITES)
    saved, odd = (lost.entropy.uuid7(lost.clock.now()) for _ in range(2))
    send_id = lost.entropy.uuid7(lost.clock.now())
    data = {"kind": "ticket", "payload": TICKET, "send_id": send_id, "attachments": []}
    data["destination"] = "zendesk"
    await store.capture(Capture(saved, 5, json.dumps(data).encode()))
    await store.capture(Capture(odd, 6, b"{not json"))
    assert (await lost.queue.rescue_out("phrase"))["items"] == 3
    assert await new.queue.rescue_in("phrase", "file:x") == {"added": 3, "known": 0}
    assert (await new.queue.get(row.id)).send_id == row.send_id
    assert (await new.queue.get(saved)).send_id == send_id
    assert (await new.queue.get(saved)).created_at == 5
    assert (await new.queue.get(row.id)).handed_to == "jira"
    assert (await new.queue.get(saved)).handed_to == "zendesk"
    assert (await new.queue.get(odd)).kind == "quarantine"

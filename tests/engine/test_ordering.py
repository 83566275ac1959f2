"""Lines, circles and references: the pure part."""

from __future__ import annotations

import json

import pytest
from tests.runtime.test_order import enqueue
from tests.runtime.worlds import World

from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import IllegalTransition, InvalidItem
from fieldpost.engine.machine import Freed, Held, Lapsed, ParentGone, step
from fieldpost.engine.model import Item
from fieldpost.engine.ordering import Links, in_circle, resolved, standing, turn
from fieldpost.engine.transitions import State
from fieldpost.ports import Put
from fieldpost.runtime.ordering import Write
from fieldpost.runtime.related import check_parents

ID = "01890000-0000-7000-8000-00000000000{}"
NOW = 1_750_000_000_000


def item(n: int, **changes: object) -> Item:
    made = Item(ID.format(n), "ticket", "create", "gateway", ID.format(9), NOW, NOW, entity="e")
    return made.changed(sequence=n, **changes)


def test_those_under_way_come_first_then_by_sequence_then_new_ones() -> None:
    rows = [
        item(4, state=State.UNKNOWN),
        item(2, state=State.BLOCKED),
        item(1, state=State.COMPLETED),
        item(3, state=State.FAILED),
        item(5).changed(sequence=0),
    ]
    assert [row.id for row in standing(rows, ())] == [ID.format(n) for n in (4, 2, 3, 5)]
    revived = item(2, attempt=3)
    assert standing([item(1), revived], ())[0] is revived
    assert standing([item(1), revived], {revived.id})[0].id == ID.format(1)
    assert turn(item(1).changed(entity=None)) is None


@pytest.mark.parametrize(
    ("parents_of", "circle"),
    [({}, False), ({"b": ["a"]}, True), ({"b": ["c"], "c": ["d"], "d": ["a"]}, True)],
)
def test_circles(parents_of: dict[str, list[str]], circle: bool) -> None:
    assert in_circle("a", ["b"], parents_of) is circle
    assert in_circle("a", [], parents_of) is False
    assert in_circle("x", ["y"], {"y": ["z"], "z": ["y"]}) is False, "somebody else's: it ends"


async def test_an_edit_that_closes_a_circle_is_refused() -> None:
    world = World()
    world.link.set(False)
    one = await enqueue(world, 1)
    two = await enqueue(world, 2, depends_on=[one.id])
    three = await enqueue(world, 3, depends_on=[two.id])
    for parents, word in (([three.id], "circle"), ([two.id], "circle"), ([ID.format(7)], "here")):
        edited = Write(Put(one.changed(parents=tuple(parents))), was=one.state)
        with pytest.raises(InvalidItem) as error:
            await check_parents(world.store, [edited])
        assert word in error.value.fields["depends_on"]
    other = await enqueue(world, 4)
    await check_parents(world.store, [Write(Put(three.changed(parents=(other.id,))), three.state)])


def test_references_are_resolved_where_the_name_is_known() -> None:
    known = Links("e", {"a": "R-1", "b": ""})
    body = canonical(
        {"x": {"$ref": "a"}, "y": [{"$ref": "b"}, {"$ref": "c"}], "z": {"$ref": "a", "n": 1}}
    )
    assert json.loads(resolved(body, known.dump())) == {
        "x": "R-1",
        "y": [{"$ref": "b"}, {"$ref": "c"}],
        "z": {"$ref": "a", "n": 1},
    }
    assert resolved(body, None) is body
    assert Links.load(known.with_parent("c", None).dump()) == Links(
        "e", {"a": "R-1", "b": "", "c": ""}
    )
    assert Links.load(b'{"later": 1}') == Links()


def test_steps_of_those_that_wait() -> None:
    held = step(item(1, expires_at=NOW + 1, not_before=NOW + 5), Held(), NOW)
    assert (held.state, held.ready) == (State.BLOCKED, False)
    assert not step(held, Freed(), NOW).ready, "its own date is still to come"
    assert step(held, Freed(), NOW + 5).ready
    assert step(held, ParentGone(), NOW).state is State.CANCELLED
    with pytest.raises(IllegalTransition):
        step(held, Lapsed(), NOW)
    assert step(held, Lapsed(), NOW + 1).state is State.EXPIRED
    for state in (State.UNKNOWN, State.IN_PROGRESS, State.HANDED_OVER):
        with pytest.raises(IllegalTransition):
            step(item(1, expires_at=NOW, state=state), Lapsed(), NOW)

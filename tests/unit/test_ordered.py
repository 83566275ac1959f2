"""`Ordered` is a sorted set, however its entries come and go."""

from hypothesis import given
from hypothesis import strategies as st

from fieldpost.stores.ordered import Ordered

STEPS = st.lists(st.tuples(st.sampled_from("aadr"), st.integers(0, 300)), max_size=400)


@given(STEPS, st.integers(-1, 301))
def test_as_a_sorted_set(steps: list[tuple[str, int]], cursor: int) -> None:
    ordered, model = Ordered(), set[int]()
    for what, value in steps:
        if what == "a":
            ordered.add(value)
            model.add(value)
        elif what == "d":
            ordered.discard(value)
            model.discard(value)
        else:
            assert next(ordered.ascending(), None) == min(model, default=None)
    assert len(ordered) == len(model)
    assert list(ordered.ascending()) == sorted(model)
    assert list(ordered.descending()) == sorted(model, reverse=True)
    assert list(ordered.ascending(cursor)) == sorted(v for v in model if v > cursor)
    assert list(ordered.descending(cursor)) == sorted(v for v in model if v < cursor)[::-1]


def test_a_claim_does_not_walk_over_what_is_gone() -> None:
    ordered = Ordered()
    for value in range(1000):
        ordered.add(value)
    for value in range(400):
        ordered.discard(value)
    assert next(ordered.ascending()) == 400
    assert ordered._first == 400
    ordered.add(3)
    assert next(ordered.ascending()) == 3

"""The transition table and the pure step: exhaustively, and by laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.errors import IllegalTransition, InvalidItem
from fieldpost.engine.machine import (
    Answered,
    Claimed,
    Orphaned,
    PartAcknowledged,
    Person,
    Released,
    Woken,
    step,
)
from fieldpost.engine.model import Attachment, Item, item_from_columns, item_to_columns
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.retry import PRESETS
from fieldpost.engine.transitions import (
    CLAIMABLE_STATES,
    END_STATES,
    OPEN_STATES,
    TRANSITIONS,
    Event,
    State,
    next_state,
)

ID = "01890000-0000-7000-8000-000000000001"
NOW = 1_750_000_000_000

#: Events by which an item may leave the open states (invariant 1): an answer or a receipt, a named
#: person, or the caller's own expiry.
ENDING = {
    Event.DELIVER,
    Event.REJECT,
    Event.GIVE_UP,
    Event.CANCEL,
    Event.DISCARD,
    Event.EXPIRE,
}

outcomes = st.builds(
    Outcome,
    cls=st.sampled_from(Class),
    code=st.none() | st.just("CODE"),
    retry_after_ms=st.none() | st.integers(0, 10**12),
    lane=st.booleans(),
    acked=st.dictionaries(st.sampled_from(["a", "b", "zzz"]), st.integers(-2, 9), max_size=3),
    resume=st.booleans(),
    restart=st.booleans(),
)
items = st.builds(
    Item,
    id=st.just(ID),
    kind=st.just("ticket"),
    operation=st.just("create"),
    lane=st.just("gateway"),
    send_id=st.just(ID),
    created_at=st.just(NOW),
    updated_at=st.just(NOW),
    state=st.sampled_from(State),
    priority=st.integers(1, 10),
    revision=st.integers(1, 9),
    ready=st.booleans(),
    attempts=st.integers(0, 2000),
    step=st.integers(0, 1),
    due_at=st.none() | st.integers(0, 2 * NOW),
    attachments=st.just(()) | st.just((Attachment("a", 30, 3, 1), Attachment("b", 10, 1))),
)
happenings = st.one_of(
    st.builds(Claimed, owner=st.just("me"), lease_ms=st.integers(1, 10**6)),
    st.builds(Released),
    st.builds(Orphaned, sent_possible=st.booleans()),
    st.builds(
        Answered,
        outcome=outcomes,
        policy=st.sampled_from(list(PRESETS.values())),
        fraction=st.floats(0, 1, exclude_max=True),
    ),
    st.builds(PartAcknowledged, attachment_id=st.sampled_from("ab"), acked=st.integers(0, 9)),
    st.builds(Woken),
    st.builds(Person, event=st.sampled_from(Event)),
)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_in_the_table_or_raises(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert next_state(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalTransition):
            next_state(state, event)


def test_only_answers_receipts_persons_and_expiry_end_an_item() -> None:
    for state in OPEN_STATES:
        for event, after in TRANSITIONS[state].items():
            assert after in OPEN_STATES or event in ENDING, (state, event)


def test_nothing_sends_an_unknown_item_plainly_again() -> None:
    """Invariant 4: out of ``unknown`` leads the same bytes again, or proof of what happened: it
    never arrived, or its text did and only files follow."""
    to_pending = {e for e, s in TRANSITIONS[State.UNKNOWN].items() if s is State.PENDING}
    assert to_pending == {Event.LOOKUP_ABSENT, Event.ADVANCE}
    assert Event.EDIT not in TRANSITIONS[State.UNKNOWN]
    assert Event.CANCEL not in TRANSITIONS[State.UNKNOWN]


def test_handed_over_is_left_only_by_a_receipt() -> None:
    assert set(TRANSITIONS[State.HANDED_OVER]) == {Event.DELIVER, Event.REJECT, Event.CONFLICT}


@given(items, happenings)
def test_a_step_follows_the_table_and_keeps_what_is_not_its_own(
    item: Item, happening: object
) -> None:
    before = item_to_columns(item)
    try:
        after = step(item, happening, NOW + 5)
    except IllegalTransition:
        assert item_to_columns(item) == before
        return
    assert after.state is item.state or after.state in TRANSITIONS[item.state].values()
    for name in ("id", "kind", "lane", "created_at", "revision", "sequence", "priority", "size"):
        assert getattr(after, name) == getattr(item, name)
    assert after.send_id == item.send_id
    # A row that can be claimed is ready or has a time at which it will be.
    if after.state in CLAIMABLE_STATES and after.state is not item.state:
        assert after.ready or after.due_at is not None
    if after.state in END_STATES or after.state is State.IN_PROGRESS:
        assert not after.ready or after.state is item.state
    if after.state is not State.IN_PROGRESS and item.state is State.IN_PROGRESS:
        assert after.lease_owner is None
        assert after.lease_until is None
    for attachment in after.attachments:
        assert attachment.acked <= attachment.parts


@given(items, outcomes, st.floats(0, 1, exclude_max=True))
def test_what_concerns_the_whole_lane_burns_no_try(
    item: Item, outcome: Outcome, fraction: float
) -> None:
    item = item.changed(state=State.IN_PROGRESS)
    after = step(item, Answered(outcome, PRESETS["itsm"], fraction), NOW)
    if outcome.lane:
        assert after.attempts == item.attempts
    if outcome.cls is Class.UNKNOWN:
        assert after.state is State.UNKNOWN
        assert after.send_id == item.send_id


def test_the_tries_end_with_a_dead_letter() -> None:
    policy, item = PRESETS["itsm"], _item(State.PENDING)
    transient = Outcome(Class.TRANSIENT, "X")
    waits = []
    for _ in range(policy.max_attempts):
        item = step(item, Claimed("me", 1), NOW)
        item = step(item, Answered(transient, policy, 0.0), NOW)
        waits.append(item.due_at and item.due_at - NOW)
        if item.state is State.PENDING:
            item = step(item, Woken(), NOW)
    assert waits == [30_000, 60_000, 120_000, 240_000, None]
    assert item.state is State.FAILED
    revived = step(item, Person(Event.REVIVE), NOW)
    assert (revived.state, revived.attempts, revived.ready) == (State.PENDING, 0, True)


def test_an_item_whose_text_is_sent_cannot_be_cancelled() -> None:
    with pytest.raises(IllegalTransition, match="has been sent"):
        step(_item(State.PENDING).changed(step=1), Person(Event.CANCEL), NOW)


def test_acknowledged_parts_never_go_back_unless_the_server_says_where_to_resume() -> None:
    item = _item(State.IN_PROGRESS).changed(attachments=(Attachment("a", 30, 3, 2),), step=1)
    late = Answered(Outcome(Class.ACCEPTED, acked={"a": 1}), PRESETS["itsm"], 0.0)
    assert step(item, late, NOW).attachments[0].acked == 2
    gap = Outcome(Class.TRANSIENT, "PART_GAP", acked={"a": 0}, resume=True)
    assert step(item, Answered(gap, PRESETS["itsm"], 0.0), NOW).attachments[0].acked == 0


@given(items)
def test_columns_are_the_item(item: Item) -> None:
    assert item_from_columns(item_to_columns(item)) == item
    assert item_from_columns({**item_to_columns(item), "of_a_later_version": 1}) == item


def test_an_item_checks_itself() -> None:
    with pytest.raises(InvalidItem) as error:
        _item(State.PENDING).changed(id="NOT-A-UUID", priority=11, kind="Big Kind")
    assert set(error.value.fields) == {"id", "priority", "kind"}


def _item(state: State) -> Item:
    return Item(ID, "ticket", "create", "gateway", ID, NOW, NOW, state=state)

"""The one transition table: which event takes an item from which state to which.

Rules
1. Everything that decides an item's next state is in ``TRANSITIONS``; no other code compares or
   assigns states to find out whether a move is allowed.
2. A move that is not in the table raises `IllegalTransition` and changes nothing.
3. Invariant 1 (conservation): only a classified answer (``deliver``, ``reject``, ``give_up``), a
   receipt (``deliver``/``reject`` from ``handed_over``) or a named person (``cancel``, ``discard``)
   takes an item out of the open states; ``expire`` is a caller's own wish, stated at enqueue or
   for its whole kind (``droppable``, under load).
4. Invariant 4: nothing leads from ``unknown`` to ``pending`` but ``lookup_absent`` (it never
   arrived) and ``advance`` (the text did, its files follow): an attempt without a classified answer
   is sent again only as the same bytes (``claim`` from ``unknown``).

The diagram in docs/states.md is generated from this table (tools/docs.py).
"""

from __future__ import annotations

from enum import StrEnum

from .errors import IllegalTransition


class State(StrEnum):
    """Where an item is. The values are stored; they never change."""

    PENDING = "pending"
    BLOCKED = "blocked"
    IN_PROGRESS = "in_progress"
    UNKNOWN = "unknown"
    HANDED_OVER = "handed_over"
    CONFLICTED = "conflicted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DISCARDED = "discarded"


class Event(StrEnum):
    """What can happen to an item."""

    CLAIM = "claim"  # a drainer takes it, intent durable
    RELEASE = "release"  # the drainer died or stopped before a byte left
    LOSE = "lose"  # a byte may have left and no classified answer came
    DELIVER = "deliver"  # proved: expected status and echoed id
    HAND_OVER = "hand_over"  # the gateway has it durably
    ADVANCE = "advance"  # one step done (text, a part), more to do
    RETRY = "retry"  # a classified answer says: later
    REJECT = "reject"  # a classified answer says: never as it is
    GIVE_UP = "give_up"  # retryable, but the policy's tries are used up
    CONFLICT = "conflict"  # the destination has a different version
    LOOKUP_ABSENT = "lookup_absent"  # the destination proved it never took it
    BLOCK = "block"  # waits for a parent or an earlier row of its entity
    UNBLOCK = "unblock"
    EDIT = "edit"  # new payload, new send_id
    CANCEL = "cancel"  # a person's wish
    EXPIRE = "expire"  # its own expiry time passed before it was sent
    REVIVE = "revive"  # a person retries a dead letter
    DISCARD = "discard"  # a person gives a dead letter up, with a reason
    RESTORE = "restore"  # a person takes cancel or discard back


_S, _E = State, Event

TRANSITIONS: dict[State, dict[Event, State]] = {
    _S.PENDING: {
        _E.CLAIM: _S.IN_PROGRESS,
        _E.BLOCK: _S.BLOCKED,
        _E.EDIT: _S.PENDING,
        _E.CANCEL: _S.CANCELLED,
        _E.EXPIRE: _S.EXPIRED,
    },
    _S.BLOCKED: {
        _E.UNBLOCK: _S.PENDING,
        _E.EDIT: _S.BLOCKED,
        _E.CANCEL: _S.CANCELLED,
        _E.EXPIRE: _S.EXPIRED,
        _E.GIVE_UP: _S.FAILED,
    },
    _S.IN_PROGRESS: {
        _E.RELEASE: _S.PENDING,
        _E.LOSE: _S.UNKNOWN,
        _E.DELIVER: _S.COMPLETED,
        _E.HAND_OVER: _S.HANDED_OVER,
        _E.ADVANCE: _S.PENDING,
        _E.RETRY: _S.PENDING,
        _E.REJECT: _S.FAILED,
        _E.GIVE_UP: _S.FAILED,
        _E.CONFLICT: _S.CONFLICTED,
    },
    _S.UNKNOWN: {
        _E.CLAIM: _S.IN_PROGRESS,
        _E.LOSE: _S.UNKNOWN,
        _E.LOOKUP_ABSENT: _S.PENDING,
        _E.ADVANCE: _S.PENDING,
        _E.DELIVER: _S.COMPLETED,
        _E.HAND_OVER: _S.HANDED_OVER,
        _E.REJECT: _S.FAILED,
        _E.CONFLICT: _S.CONFLICTED,
    },
    _S.HANDED_OVER: {
        _E.DELIVER: _S.COMPLETED,
        _E.REJECT: _S.FAILED,
        _E.CONFLICT: _S.CONFLICTED,
    },
    _S.CONFLICTED: {
        _E.EDIT: _S.PENDING,
        _E.DELIVER: _S.COMPLETED,
        _E.DISCARD: _S.DISCARDED,
    },
    _S.FAILED: {
        _E.DELIVER: _S.COMPLETED,  # by a receipt: a person at the gateway sent it after all
        _E.REVIVE: _S.PENDING,
        _E.EDIT: _S.PENDING,
        _E.DISCARD: _S.DISCARDED,
    },
    _S.CANCELLED: {_E.RESTORE: _S.PENDING},
    _S.DISCARDED: {_E.RESTORE: _S.FAILED},
    _S.COMPLETED: {},
    _S.EXPIRED: {_E.REVIVE: _S.PENDING},
}

#: States in which an item still has to reach its destination (they count against the limit).
OPEN_STATES = frozenset(
    {_S.PENDING, _S.BLOCKED, _S.IN_PROGRESS, _S.UNKNOWN, _S.HANDED_OVER, _S.CONFLICTED}
)
#: States a drainer may claim from.
CLAIMABLE_STATES = frozenset({_S.PENDING, _S.UNKNOWN})
END_STATES = frozenset(State) - OPEN_STATES


def next_state(state: State, event: Event) -> State:
    """The state that `event` leads to from `state`; raises `IllegalTransition` where there is
    none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"An item that is {state} cannot take '{event}'.") from None

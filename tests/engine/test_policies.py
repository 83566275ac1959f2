"""Retry schedules, kinds, explanations, answers: the small pure parts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.destinations.answers import read_json, retry_after_ms, whole_failure
from fieldpost.engine.errors import ERRORS, InvalidItem
from fieldpost.engine.explain import LANE_TEXT, STATE_TEXT, duration, why
from fieldpost.engine.ids import uuid7
from fieldpost.engine.kinds import standard_kinds
from fieldpost.engine.limits import HEAD_BYTES_MAX, HISTORY_ATTEMPTS_MAX
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class
from fieldpost.engine.record import Head, history_with
from fieldpost.engine.retry import DELAY_MS_MAX, PRESETS, RetryPolicy
from fieldpost.engine.transitions import State
from fieldpost.ports import Response

SECOND, MINUTE = 1000, 60_000


@pytest.mark.parametrize(
    ("preset", "delays"),
    [
        ("itsm", [30 * SECOND, 60 * SECOND, 120 * SECOND, 240 * SECOND, None]),
        ("api", [1 * SECOND, 2 * SECOND, None]),
        ("interactive", [1 * SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, None]),
        ("evidence", [m * MINUTE for m in (2, 4, 8, 16, 32, 60, 60, 60, 60)] + [None]),
        ("browser", [10 * SECOND, 20 * SECOND, None]),
    ],
)
def test_presets_keep_the_schedules_of_the_source_documents(
    preset: str, delays: list[int | None]
) -> None:
    policy = PRESETS[preset]
    fraction = 0.5 if policy.jitter_ratio else 0.0
    assert [policy.decide(n, fraction) for n in range(1, len(delays) + 1)] == delays


@given(
    st.builds(
        RetryPolicy,
        base_ms=st.integers(1, 10**6),
        factor=st.floats(1, 100),
        jitter_ms=st.integers(0, 10**6),
        jitter_ratio=st.floats(0, 1),
        max_attempts=st.integers(1, 10**9),
    ),
    st.integers(1, 10**9),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.integers(0, 10**18),
)
def test_no_delay_overflows_or_strands(
    policy: RetryPolicy, used: int, fraction: float, retry_after: int | None
) -> None:
    delay = policy.decide(used, fraction, retry_after)
    assert delay is None or 1 <= delay <= DELAY_MS_MAX


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "120"}, 120_000),
        ({"retry-after": "0"}, 0),
        (
            {
                "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT",
                "date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            30_000,
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "²"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_both_forms(headers: dict[str, str], expected: int | None) -> None:
    assert retry_after_ms(headers) == expected


@given(
    st.integers(0, 599),
    st.dictionaries(
        st.sampled_from(["content-type", "retry-after", "date"]),
        st.sampled_from(["application/json", "text/html", "12", "x", "application/problem+json"]),
    ),
    st.binary()
    | st.builds(lambda v: json.dumps(v).encode(), st.dictionaries(st.text(), st.text())),
    st.booleans(),
)
def test_no_answer_to_a_whole_request_ever_proves_delivery(
    status: int, headers: dict[str, str], body: bytes, redirected: bool
) -> None:
    """Invariant 10, over everything a network can answer."""
    response = Response(status, headers, body, redirected=redirected)
    contact, outcome = whole_failure(response, read_json(response))
    assert outcome.cls not in (Class.DELIVERED, Class.DUPLICATE, Class.ACCEPTED, Class.HANDED_OVER)
    assert contact.state


def test_kinds_name_every_wrong_field() -> None:
    kinds = standard_kinds()
    payload = {"summary": "  ", "severity": "HIGH", "user": {"name": 5, "email": "x" * 300}}
    with pytest.raises(InvalidItem) as error:
        kinds.check("ticket", payload)
    assert set(error.value.fields) == {"summary", "severity", "user.name", "user.email"}
    with pytest.raises(InvalidItem) as error:
        kinds.check("feedback", {"rating": True, "comment": "x"})
    assert set(error.value.fields) == {"rating"}
    with pytest.raises(InvalidItem):
        kinds.check("ticket", ["not", "an", "object"])
    with pytest.raises(InvalidItem):
        kinds.check("hologram", {})
    assert kinds.priority("ticket", {"summary": "x", "severity": "critical"}) == 10
    assert kinds.priority("ticket", {"summary": "x"}) == 5


@given(
    st.text(max_size=2_000),
    st.none() | st.text(max_size=30),
    st.none() | st.text(max_size=300),
)
def test_a_head_fits_and_keeps_what_identifies_the_item(
    title: str, remote: str | None, of: str | None
) -> None:
    data = Head(title, remote, of=of).dump() if _encodable(title, remote, of) else b"{}"
    assert len(data) <= HEAD_BYTES_MAX
    head = Head.load(data)
    assert title.startswith(head.title)
    if data != b"{}":
        assert head.remote_id == (remote or None)
        # What it comes of is whole, or gone; it never costs the title a letter.
        assert head.of in (of or None, None)
        assert head.of is None or head.title == title


def _encodable(*texts: str | None) -> bool:
    return all(t is None or t.isprintable() or t.isascii() for t in texts)


def test_history_is_bounded_and_keeps_the_latest() -> None:
    data: bytes | None = None
    for n in range(HISTORY_ATTEMPTS_MAX + 5):
        data = history_with(data, {"n": n})
    kept = json.loads(data or b"")
    assert [h["n"] for h in kept] == list(range(5, HISTORY_ATTEMPTS_MAX + 5))


def test_every_error_says_what_happened_and_what_to_do() -> None:
    for code, cls in ERRORS.items():
        if code == "QUEUE_DUPLICATE":
            continue
        error = cls()
        assert error.message.endswith("."), code
        assert error.todo.endswith("."), code


def test_people_are_told_in_plain_words() -> None:
    words = [*STATE_TEXT.values(), *LANE_TEXT.values()]
    assert set(STATE_TEXT) == set(State)
    for inner in ("lane", "courier", "intent", "sealed", "ledger", "journal", "drain", "lease"):
        assert not any(inner in text.lower().split() for text in words), inner
    item = Item(
        "0" * 8 + "-0000-0000-0000-" + "0" * 12,
        "ticket",
        "create",
        "gateway",
        "0" * 8 + "-0000-0000-0000-" + "0" * 12,
        0,
        0,
        ready=False,
        due_at=90_000,
        attempts=1,
    )
    assert why(item, "online", 0) == "Tried 1 time. Next try in 2 minutes."
    assert why(item, "offline", 0).startswith("No network")
    assert duration(1) == "1 second"
    assert duration(86_400_000 * 3) == "3 days"


def test_uuid7_sorts_by_time() -> None:
    early, late = uuid7(1, b"\xff" * 10), uuid7(2, b"\x00" * 10)
    assert early < late
    assert early[14] == "7"
    assert early[19] in "89ab"

"""The fuzzy record key: symmetric, and complete within a second however the buckets fall."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.kinds import CALL, standard_kinds
from fieldpost.engine.moments import milliseconds

NOW = 1_750_000_000_000
KEY = CALL.record
assert KEY is not None
CALLS = st.fixed_dictionaries(
    {
        "line": st.sampled_from(["1", "2"]),
        "number": st.sampled_from(["+49 170 1", "+49 170 2"]),
        "direction": st.sampled_from(["incoming", "outgoing"]),
        "time": st.integers(NOW - 3_000, NOW + 3_000),
    },
    optional={"duration": st.integers(0, 4)},
)


def plainly_same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """C10, as it is written."""
    return (
        all(a[name] == b[name] for name in ("line", "number", "direction"))
        and abs(a["time"] - b["time"]) <= 1_000
        and ("duration" in a) == ("duration" in b)
        and abs(a.get("duration", 0) - b.get("duration", 0)) <= 1
    )


@given(CALLS, CALLS)
def test_the_record_key_finds_exactly_what_is_the_same(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    assert KEY is not None
    same = plainly_same(a, b)
    assert KEY.matches(a, b) == KEY.matches(b, a) == same
    if same:
        assert KEY.own("call", a) in KEY.probes("call", b)
        assert KEY.own("call", b) in KEY.probes("call", a)
    assert KEY.own("call", a) not in KEY.probes("message", a)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T23:59:59.5Z", 1_709_251_199_500),
        ("2026-11-22T23:58:09.123456+01:00", 1_795_388_289_123),
        ("1969-12-31 23:59:59", -1_000),
        ("2000-03-01T00:00", 951_868_800_000),
        ("2023-02-29T00:00:00Z", None),
        ("2023-13-01T00:00:00Z", None),
        ("yesterday", None),
        (True, None),
        (1.5, None),
        (7, 7),
    ],
)
def test_points_in_time(text: Any, ms: int | None) -> None:
    assert milliseconds(text) == ms


def wrong(kind: str, payload: dict[str, Any]) -> dict[str, str]:
    try:
        standard_kinds().check(kind, payload)
    except InvalidItem as invalid:
        return invalid.fields
    return {}


def test_every_wrong_field_has_its_own_error() -> None:
    ticket = {
        "summary": "Pump",
        "severity": "loud",
        "user": {"id": 7},
        "systemInfo": "Windows",
        "skillResults": [
            {"skillId": "ping", "status": "success", "executionTimeMs": 12},
            {"skillId": " ", "status": "maybe", "executionTimeMs": -1},
            "no object",
        ],
        "destination": {"type": "email"},
    }
    assert wrong("ticket", ticket) == {
        "severity": "must be one of low, medium, high, critical",
        "user.id": "must be text",
        "systemInfo": "must be an object",
        "skillResults[2]": "must be an object",
        "skillResults[1].skillId": "is required",
        "skillResults[1].status": "must be one of success, error, timeout",
        "skillResults[1].executionTimeMs": "must be at least 0",
        "destination.type": "must be one of servicenow, jira, zendesk, salesforce",
    }
    assert wrong("ticket", {"summary": "Pump", "user": {"name": "Ann"}}) == {}
    assert wrong("log", {"level": "loud", "message": "x", "timestamp": "noon"}) == {
        "component": "is required",
        "level": "must be one of debug, info, warn, error, fatal",
        "timestamp": "must be a point in time (RFC 3339 text, or milliseconds)",
    }
    assert wrong("api-request", {"endpoint": "tickets", "method": "FETCH", "zone": "a b"}) == {
        "endpoint": "does not have the form it must have",
        "method": "must be one of GET, POST, PUT, PATCH, DELETE",
        "zone": "does not have the form it must have",
    }
    call = {"line": "1", "number": "+49 170 1", "time": NOW, "direction": "incoming"}
    assert wrong("call", call) == {}
    assert wrong("call", call | {"duration": True, "number": "<x>"}) == {
        "duration": "must be a number",
        "number": "does not have the form it must have",
    }
    assert wrong("evidence", {"bundle_id": "b", "sha256": "12"}).keys() == {"sha256"}
    assert wrong("feedback", {"rating": 5, "comment": "x", "context": []}).keys() == {"context"}

"""What adapters of one's own leave to `Adapter.failed`: answers that prove nothing are unknown."""

from __future__ import annotations

import pytest

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.refusals import read_list
from fieldpost.engine.outcome import Class
from fieldpost.ports import Response

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("status", [200, 201, 202, 208])
def test_a_success_that_was_not_found_proved_is_no_refusal(status: int) -> None:
    """It may have been meant for the item: a dead letter would be sent again by hand."""
    read = Adapter("own").failed(2, Response(status, JSON, b'{"key": "another"}'))
    assert [outcome.cls for outcome in read.outcomes] == [Class.UNKNOWN] * 2
    assert not read.outcomes[0].lane  # of the item: what stands before a server speaks no JSON
    assert read.contact.ok


@pytest.mark.parametrize("body", [b"", b'{"code": "SLOW", "detail": "Too slow."}'])
@pytest.mark.parametrize("status", [408, 502, 504])
def test_a_time_out_says_nothing_of_the_item(status: int, body: bytes) -> None:
    read = Adapter("own").failed(1, Response(status, JSON, body))
    (outcome,) = read.outcomes
    assert (outcome.cls, outcome.lane) == (Class.UNKNOWN, True)
    assert read.contact.state == "unreachable"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"detail": "cut \\ud83d"}', "cut ?"),
        (b'{"detail": "cut \\uD83D"}', "cut ?"),
        (b'{"detail": "cut \xed\xa0\xbd"}', "cut ?"),
        (b'{"detail": "whole \\ud83d\\ude00"}', "whole \U0001f600"),
        (b'{"detail": "no character: \\\\ud83d"}', "no character: \\ud83d"),
    ],
)
def test_a_text_that_was_cut_inside_a_character_can_be_stored(body: bytes, text: str) -> None:
    """Servers cut texts at so many units of UTF-16, and an emoji has two of them."""
    (outcome,) = Adapter("own").failed(1, Response(422, JSON, body)).outcomes
    assert outcome.text == text
    assert outcome.text.encode()
    whole = Response(200, JSON, b"[" + body + b"]")
    assert read_list(whole) == [{"detail": text}]

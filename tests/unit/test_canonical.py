"""RFC 8785: the examples of the standard, and what is refused."""

import enum
import json

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpost.engine.canonical import canonical, sha256_hex
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.transitions import State

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_the_standards_example() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_utf_16_units() -> None:
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    assert list(json.loads(canonical(value))) == [
        "\r",
        "1",
        "\x80",
        "\xf6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


@pytest.mark.parametrize(
    "value",
    [2**53, -(2**53), float("nan"), float("inf"), b"x", {1: 2}, {"\ud800": 1}, "\udc00", {1, 2}],
    ids=repr,
)
def test_what_is_not_plain_json_is_refused_without_quoting_it(value: object) -> None:
    with pytest.raises(InvalidItem) as caught:
        canonical(value)
    assert caught.value.code == "QUEUE_INVALID_ITEM"
    assert "9007199254740992" not in str(caught.value)


def test_nesting_without_end_is_refused() -> None:
    deep: list[object] = []
    deep.append(deep)
    with pytest.raises(InvalidItem):
        canonical(deep)


@given(PLAIN)
def test_round_trip_and_stable(value: object) -> None:
    once = canonical(value)
    assert json.loads(once) == value
    assert canonical(json.loads(once)) == once


#: All that a caller may hand in, and more: floats, keys that sort differently in UTF-16 and by code
#: point, characters that are escaped, half surrogate pairs, subclasses, numbers out of range.
ODD = '\x00\x08\t\n\x0b\x0c\r\x1b\x1f\x7f\x80"\\/\u2028\ud800\ue000\uffff😀'
TEXT = st.text(st.characters() | st.sampled_from(ODD))
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    | st.floats()
    | TEXT
    | st.sampled_from([State.PENDING, b"x"]),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(TEXT | st.integers(0, 9), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=1_000)
@given(ANYTHING)
def test_the_fast_way_writes_what_the_library_writes(value: object) -> None:
    """Whatever the one refuses the other refuses; else every byte is the same."""
    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(InvalidItem):
            canonical(value)
    else:
        assert canonical(value) == expected


def test_enum_strings_and_tuples() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    assert canonical((Colour.RED, 1)) == b'["red",1]'


def test_sha256_hex() -> None:
    assert sha256_hex(b"abc").startswith("ba7816bf8f01cfea414140de5dae2223")

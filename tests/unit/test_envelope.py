"""Envelope v1 against the shared vectors, and its framing rules one by one."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.errors import DecryptionError
from fieldpost.hosts.cpython.keyring import Key, KeyRing
from fieldpost.security import envelope

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "envelope.json").read_text("utf-8")
)


def ring(kid: str = "d1-00000001", nonce: bytes = bytes(12)) -> KeyRing:
    """The ring of the vectors, sealing with ``kid``."""
    keys = [
        Key(
            row["kid"],
            row["purpose"],
            base64.b64decode(row["key"]),
            1,
            row["purpose"] == "index" or row["kid"] == kid,
        )
        for row in VECTORS["keys"]
    ]
    return KeyRing(keys, nonces=lambda _: nonce)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda c: c["name"])
def test_vector_opens_and_seals_to_the_same_bytes(case: dict[str, str]) -> None:
    place = (case["id"], case["kind"], case["part"])
    data, sealed = base64.b64decode(case["data"]), base64.b64decode(case["envelope"])
    assert ring().open(case["kid"], *place, sealed) == data
    kid, again = ring(case["kid"], base64.b64decode(case["nonce"])).seal(*place, data)
    assert kid == case["kid"]
    if case["encoding"] == "plain":
        assert again == sealed
        assert len(sealed) == len(data) + envelope.OVERHEAD_BYTES
    else:
        assert len(sealed) < len(data)


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda c: c["name"])
def test_vector_is_refused(case: dict[str, str]) -> None:
    sealed = base64.b64decode(case["envelope"])
    with pytest.raises(DecryptionError):
        ring().open(case["kid"], case["id"], case["kind"], case["part"], sealed)


@pytest.mark.parametrize("case", VECTORS["marks"], ids=lambda c: c["mark"])
def test_vector_of_a_mark(case: dict[str, str]) -> None:
    assert ring().mark(case["mark"], case["value"]) == case["hmac"]


@given(st.binary(max_size=5000), st.booleans())
def test_frame_and_back(data: bytes, compress: bool) -> None:
    framed = envelope.frame(data, compress=compress)
    assert envelope.unframe(framed) == data
    assert len(framed) <= len(data) + 2
    if len(data) < 1024 or not compress:
        assert framed[1] == envelope.ENCODING_PLAIN


def test_the_deflated_form_is_raw() -> None:
    framed = envelope.frame(b"a" * 1024)
    assert framed[:2] == b"\x01\x01"
    assert zlib.decompress(framed[2:], wbits=-15) == b"a" * 1024


def test_text_over_1_kb_shrinks_by_60_percent() -> None:
    text = json.dumps([{"line": i, "text": "valve 3 opened by hand"} for i in range(40)]).encode()
    assert len(text) > 1024
    assert len(envelope.frame(text)) <= 0.4 * len(text)


def test_a_nonce_of_the_wrong_length_is_a_bug() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        ring(nonce=bytes(8)).seal("id", "ticket", "head", b"")


@given(st.data())
def test_any_changed_bit_is_refused(data: st.DataObject) -> None:
    _, sealed = ring().seal("id", "ticket", "head", b"hello")
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecryptionError):
        ring().open("d1-00000001", "id", "ticket", "head", bytes(changed))

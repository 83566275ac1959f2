"""Envelope v1: the framing of everything that is sealed (docs/formats.md §1).

``form(1) ‖ nonce(12) ‖ AES-256-GCM ciphertext ‖ tag(16)``, where the plaintext is
``schema(1) ‖ encoding(1) ‖ data``. The cipher and the nonces come from the host; this module only
puts bytes in their places, so that every host writes the same ones (tests/vectors/envelope.json).
"""

from __future__ import annotations

import zlib
from typing import Protocol

from fieldpost.engine.errors import DecryptionError
from fieldpost.engine.limits import COMPRESS_FROM_BYTES

FORM_DATA_KEY = 0x01  # sealed with a data key of this device's ring
FORM_RECIPIENT = 0x02  # reserved: sealed for a public key
SCHEMA = 0x01
ENCODING_PLAIN, ENCODING_DEFLATE = 0x00, 0x01

NONCE_BYTES = 12  # NIST SP 800-38D §8.2.2: random, 96 bits; at most 2**32 seals under one key
TAG_BYTES = 16
OVERHEAD_BYTES = 1 + NONCE_BYTES + 2 + TAG_BYTES

_FORM = bytes((FORM_DATA_KEY,))
_PLAIN, _DEFLATED = bytes((SCHEMA, ENCODING_PLAIN)), bytes((SCHEMA, ENCODING_DEFLATE))
_RAW_DEFLATE = -15  # zlib's window size for RFC 1951 without header


class Aead(Protocol):
    """AES-256-GCM under one key; the tag stands at the end of the ciphertext."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Raises `DecryptionError` when the tag does not match."""


def associated_data(id: str, kind: str, part: str, kid: str) -> bytes:
    """What the tag covers beside the ciphertext: the place these bytes belong to."""
    return f"fieldpost|1|{id}|{kind}|{part}|{kid}".encode()


def compressible(kind: str, part: str) -> bool:
    """Attachment parts are photos and archives: deflating them costs time and gains nothing. An
    intent lives for one attempt: the time is lost and the room is free again at once."""
    return part != "intent" and (kind != "attachment" or part == "manifest")


def frame(data: bytes, *, compress: bool = True) -> bytes:
    """The plaintext to encrypt: schema, encoding, data (deflated only where that is smaller)."""
    if compress and len(data) >= COMPRESS_FROM_BYTES:
        deflate = zlib.compressobj(wbits=_RAW_DEFLATE)
        packed = deflate.compress(data) + deflate.flush()
        if len(packed) < len(data):
            return _DEFLATED + packed
    return _PLAIN + data


def unframe(plaintext: bytes) -> bytes:
    """The inverse of `frame`. Raises `DecryptionError` for a schema or encoding not known here."""
    if len(plaintext) < 2 or plaintext[0] != SCHEMA:
        raise DecryptionError
    if plaintext[1] == ENCODING_PLAIN:
        return plaintext[2:]
    if plaintext[1] != ENCODING_DEFLATE:
        raise DecryptionError
    inflate = zlib.decompressobj(wbits=_RAW_DEFLATE)
    try:
        data = inflate.decompress(plaintext[2:]) + inflate.flush()
    except zlib.error:
        raise DecryptionError from None
    if not inflate.eof or inflate.unused_data:
        raise DecryptionError
    return data


def seal(aead: Aead, nonce: bytes, place: bytes, data: bytes, *, compress: bool = True) -> bytes:
    """The envelope of ``data``; ``nonce`` must be fresh, ``place`` is `associated_data`."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    # Most parts are short: one call less for these.
    plain = _PLAIN + data if len(data) < COMPRESS_FROM_BYTES else frame(data, compress=compress)
    return b"%b%b%b" % (_FORM, nonce, aead.encrypt(nonce, plain, place))


def open_sealed(aead: Aead, place: bytes, sealed: bytes) -> bytes:
    """The data in an envelope. Raises `DecryptionError`: other form, cut, changed, wrong place."""
    if len(sealed) < OVERHEAD_BYTES or sealed[0] != FORM_DATA_KEY:
        raise DecryptionError
    nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    return unframe(aead.decrypt(nonce, body, place))

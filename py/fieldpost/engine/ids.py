"""UUIDv7 (RFC 9562 section 5.7) from given time and random bytes. Pure."""

from __future__ import annotations


def uuid7(now: int, random: bytes) -> str:
    """``now``: ms since the epoch (48 bits); ``random``: 10 bytes, of which 74 bits are used."""
    value = bytearray(now.to_bytes(6, "big") + random)
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

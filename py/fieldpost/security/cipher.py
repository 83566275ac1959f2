"""What a store needs of cryptography: sealing, opening and marks, without knowing any key."""

from __future__ import annotations

from typing import Protocol


class Cipher(Protocol):
    """Seals with the newest data key, opens with any; docs/formats.md §1 and §2.

    ``id``, ``kind`` and ``part`` are bound into the envelope: sealed bytes open only in the place
    they were sealed for.
    """

    def seal(self, id: str, kind: str, part: str, data: bytes) -> tuple[str, bytes]:
        """(kid of the data key used, envelope). Raises `EncryptionError`."""

    def open(self, kid: str, id: str, kind: str, part: str, sealed: bytes) -> bytes:
        """The plain bytes. Raises `DecryptionError`: unknown kid, wrong place, changed bytes."""

    def mark(self, mark: str, value: str) -> str:
        """HMAC of ``value`` for the column ``mark``: base64url without padding, 43 characters."""

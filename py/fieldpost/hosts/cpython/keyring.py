"""The key ring on CPython: data keys and index key in a file of mode 0600 (docs/formats.md §2)."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fieldpost.engine.errors import DecryptionError, EncryptionError
from fieldpost.security import envelope

KEY_FILE_VERSION = 1
KEY_BYTES = 32
#: Of the 44 characters of base64 that 32 bytes make, the last is padding.
_MARK_CHARS = 43


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the ring. ``kid``: ``d1-`` or ``i1-`` and 8 hex digits; ``created_at``: ms."""

    kid: str
    purpose: Literal["data", "index"]
    key: bytes
    created_at: int
    active: bool = True

    def __repr__(self) -> str:  # a key must not get into a log through a traceback
        return f"Key({self.kid!r})"


class _Gcm:
    """`envelope.Aead` over cryptography's AESGCM, with this library's error."""

    def __init__(self, key: bytes) -> None:
        aes = AESGCM(key)
        self.encrypt = aes.encrypt
        self._decrypt = aes.decrypt

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        try:
            return self._decrypt(nonce, data, associated_data)
        except InvalidTag:
            raise DecryptionError from None


class KeyRing:
    """`security.cipher.Cipher` with keys held in memory.

    The newest active data key seals, all of them open. ``nonces`` is replaced in tests only.
    """

    def __init__(self, keys: Iterable[Key], *, nonces: Callable[[int], bytes] = os.urandom) -> None:
        keys = tuple(keys)
        data = [k for k in keys if k.purpose == "data"]
        usable = [k for k in data if k.active]
        index = [k for k in keys if k.purpose == "index" and k.active]
        if not usable or not index or any(len(k.key) != KEY_BYTES for k in keys):
            raise EncryptionError("The key file holds no usable keys.")
        self._nonces = nonces
        self._ciphers = {k.kid: _Gcm(k.key) for k in data}
        self._kid = max(usable, key=lambda k: (k.created_at, k.kid)).kid
        self._cipher = self._ciphers[self._kid]
        # Keyed once: a copy takes half the time of keying anew.
        self._hmac = hmac.new(
            min(index, key=lambda k: (k.created_at, k.kid)).key, digestmod="sha256"
        )

    @classmethod
    def ephemeral(cls) -> KeyRing:
        """A ring that ends with the process."""
        return cls(_fresh_keys())

    @classmethod
    def load_or_create(cls, path: Path) -> KeyRing:
        """The ring in ``path``; made there, durably, when there is none.

        Processes that start at once agree: the first to link its file into place wins, the others
        read it. Raises `EncryptionError` when the file can be read by others or is not a key file.
        """
        try:
            if not path.exists():
                _create(path)
            return cls(_load(path))
        except OSError as error:
            raise EncryptionError(f"The key file cannot be used: {error.strerror}.") from error

    def seal(self, id: str, kind: str, part: str, data: bytes) -> tuple[str, bytes]:
        """(kid, envelope); the place (id, kind, part) is bound into it."""
        place = envelope.associated_data(id, kind, part, self._kid)
        nonce = self._nonces(envelope.NONCE_BYTES)
        compress = envelope.compressible(kind, part)
        return self._kid, envelope.seal(self._cipher, nonce, place, data, compress=compress)

    def open(self, kid: str, id: str, kind: str, part: str, sealed: bytes) -> bytes:
        """The plain bytes. Raises `DecryptionError`."""
        cipher = self._ciphers.get(kid)
        if cipher is None:
            raise DecryptionError
        place = envelope.associated_data(id, kind, part, kid)
        return envelope.open_sealed(cipher, place, sealed)

    def mark(self, mark: str, value: str) -> str:
        """Base64url without padding of HMAC-SHA-256(index key, ``mark|value``)."""
        keyed = self._hmac.copy()
        keyed.update(f"{mark}|{value}".encode())
        return base64.urlsafe_b64encode(keyed.digest())[:_MARK_CHARS].decode()


def _fresh_keys() -> tuple[Key, Key]:
    now = time.time_ns() // 1_000_000
    return (
        Key(f"d1-{secrets.token_hex(4)}", "data", secrets.token_bytes(KEY_BYTES), now),
        Key(f"i1-{secrets.token_hex(4)}", "index", secrets.token_bytes(KEY_BYTES), now),
    )


def _create(path: Path) -> None:
    """Write a new key file whole and durably, or leave the one that another process made."""
    rows = [
        {
            "kid": k.kid,
            "purpose": k.purpose,
            "key": base64.b64encode(k.key).decode(),
            "created_at": k.created_at,
            "active": k.active,
        }
        for k in _fresh_keys()
    ]
    text = json.dumps({"version": KEY_FILE_VERSION, "keys": rows}, indent=1).encode()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            # Not a rename: that would silently replace the keys another process has just made,
            # and with them everything sealed in between.
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load(path: Path) -> list[Key]:
    handle = os.open(path, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        # Windows has no such bits; there the folder's access list has to do.
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise EncryptionError("The key file can be read by others: set its mode to 0600.")
        text = file.read()
    try:
        content: dict[str, Any] = json.loads(text)
        if content["version"] != KEY_FILE_VERSION:
            raise EncryptionError("The key file was written by another version.")
        return [
            Key(
                str(row["kid"]),
                row["purpose"],
                base64.b64decode(row["key"], validate=True),
                int(row["created_at"]),
                bool(row["active"]),
            )
            for row in content["keys"]
        ]
    except (KeyError, TypeError, ValueError, binascii.Error):
        # No "from": the cause would carry pieces of the file.
        raise EncryptionError("The key file is damaged.") from None

"""Attachment parts on the disk: sealed, fsynced before they count, named after ledger rows.

Files and not rows: 1 MiB blobs would go through the write-ahead log twice and hold up the writing
thread. ``parts/<entry>/<position>/<n>`` = kid, newline, envelope; no name from outside is in it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from fieldpost.engine.errors import DecryptionError
from fieldpost.security.cipher import Cipher

from .devices import sync_directory
from .ledger import Progress


class Parts:
    def __init__(self, root: Path, cipher: Cipher) -> None:
        self._root = root
        self._cipher = cipher
        self._root.mkdir(mode=0o700, exist_ok=True)

    def write(self, progress: Progress, n: int, data: bytes) -> None:
        """Seal part ``n`` and make it durable. The same part again replaces it by its equal.

        Raises `OSError` when the disk does not take it.
        """
        folder = self._folder(progress)
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(self._root)
            sync_directory(folder.parent)
        kid, sealed = self._cipher.seal(progress.attachment_id, "attachment", str(n), data)
        # Written aside: a reader, or a second sender of the same part, never sees half of it.
        draft = folder / f".{n}.{secrets.token_hex(4)}"
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(kid.encode() + b"\n" + sealed)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(folder / str(n))
        finally:
            draft.unlink(missing_ok=True)  # a full disk is not made fuller by what failed
        sync_directory(folder)

    def read(self, progress: Progress, n: int) -> bytes:
        """The plain bytes of part ``n``. Raises `DecryptionError`, `OSError`."""
        kid, newline, sealed = (self._folder(progress) / str(n)).read_bytes().partition(b"\n")
        if not newline:
            raise DecryptionError
        return self._cipher.open(
            kid.decode(errors="replace"), progress.attachment_id, "attachment", str(n), sealed
        )

    def remove(self, entry: int) -> None:
        """All attachments of an entry: they are where they were to go. Idempotent."""
        shutil.rmtree(self._root / str(entry), ignore_errors=True)

    def stream(self, progress: Progress) -> Iterator[bytes]:
        """The whole attachment, a part at a time."""
        for n in range(1, progress.attachment.parts + 1):
            yield self.read(progress, n)

    def _folder(self, progress: Progress) -> Path:
        return self._root / str(progress.entry) / str(progress.position)

"""A file of JSON lines that several processes append to: each key once, durable, whole lines only.

A line is known by its ``id`` and ``send_id``. Whether one is there is answered from memory for all
that is new (a filter of fixed size, made of the file as it grows); what may be there is looked for
in the file itself, so the filter is never the last word.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Key = tuple[str, str]  # id, send_id

#: 4 MiB: of a million lines, about one new one in 1,500 is looked for in vain.
_BITS = 32 * 1024 * 1024
_PLACES = 3
_BLOCK = 1024 * 1024
#: How lines of ours begin.
_BEGINS = re.compile(rb'\{"id":"([^"\\]*)","send_id":"([^"\\]*)"')


@dataclass(frozen=True, slots=True)
class Appended:
    """``written``: by this call; ``known``: were there before it."""

    written: list[Key]
    known: list[Key]


class LineFile:
    """Not for threads: one call at a time. Every method raises `OSError`."""

    def __init__(self, path: Path):
        self.path = path
        self._inode = -1
        #: The end of the last whole line that the filter has.
        self._seen_to = 0
        self._filter = bytearray(_BITS // 8)

    def append(self, lines: Sequence[tuple[Key, bytes]]) -> Appended:
        """Each line (without its end) whose key is not there yet, in one write. On return all of
        them are durable; after an error, none of those that were not there before stays."""
        with self._opened() as file:
            size = self._mended(file)
            known = self._there(file, {key for key, _ in lines})
            new = {key: line for key, line in reversed(lines) if key not in known}
            new = {key: new[key] for key, _ in lines if key in new}  # each once, in their order
            try:
                _write(file, b"".join(line + b"\n" for line in new.values()))
                # Also for what was there: whoever wrote it may have been killed before this.
                os.fsync(file)
            except OSError:
                # What is not durable must not be found as if it were.
                os.ftruncate(file, size)
                raise
            self._read_on(file)
            return Appended([*new], [key for key in dict(lines) if key in known])

    def find(self, keys: set[Key]) -> set[Key]:
        """Those that are there, durable on return."""
        with self._opened() as file:
            self._mended(file)
            known = self._there(file, keys)
            os.fsync(file)
            return known

    # --- the file --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """The file under its lock, made where it is not; what others appended has been seen."""
        with _locked(self.path.with_name(self.path.name + ".lock")):
            flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
            try:
                file = os.open(self.path, flags)
            except FileNotFoundError:
                file = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
                sync_folder(self.path.parent)
            try:
                found = os.fstat(file)
                if found.st_ino != self._inode or found.st_size < self._seen_to:
                    # It was moved away, or cut: the filter is made anew.
                    self._inode, self._seen_to = found.st_ino, 0
                    self._filter = bytearray(_BITS // 8)
                self._read_on(file)
                yield file
            finally:
                os.close(file)

    def _mended(self, file: int) -> int:
        """Without a last line that a crash tore; the size of the file. A torn line was never
        answered, so it is sent again; one that lacks its end only gets it."""
        size = os.fstat(file).st_size
        if size == self._seen_to:
            return size
        torn = os.pread(file, size - self._seen_to, self._seen_to)
        if _whole(torn):
            _write(file, b"\n")
            self._read_on(file)
        else:
            os.ftruncate(file, self._seen_to)
        return self._seen_to

    def _there(self, file: int, keys: set[Key]) -> set[Key]:
        maybe = {key for key in keys if all(self._bit(place) for place in _places(key))}
        if not maybe:
            return set()
        return maybe.intersection(
            key for key, line in _lines(file, 0) if key in maybe and _whole(line)
        )

    # --- the filter ------------------------------------------------------------------------------

    def _read_on(self, file: int) -> None:
        for key, line in _lines(file, self._seen_to):
            self._seen_to += len(line)
            for place in _places(key) if key else ():
                self._filter[place >> 3] |= 1 << (place & 7)

    def _bit(self, place: int) -> bool:
        return bool(self._filter[place >> 3] & (1 << (place & 7)))


def sync_folder(folder: Path) -> None:
    """Make the names in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lines(file: int, start: int) -> Iterator[tuple[Key | None, bytes]]:
    """Each whole line from ``start`` on, with its end; what is not ours has no key."""
    rest = b""
    while block := os.pread(file, _BLOCK, start):
        start += len(block)
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield _key(line), line + b"\n"


def _key(line: bytes) -> Key | None:
    found = _BEGINS.match(line)
    if found is None:
        return None
    return found[1].decode(errors="replace"), found[2].decode(errors="replace")


def _whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _places(key: Key) -> list[int]:
    digest = hashlib.sha256("\n".join(key).encode()).digest()
    return [int.from_bytes(digest[4 * n : 4 * n + 4], "big") % _BITS for n in range(_PLACES)]


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]

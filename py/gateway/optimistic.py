"""A transaction that reads ahead and writes at its end: what `shared.RedisTx` is made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol


class Server(Protocol):
    """What a transaction asks the server. Keys without the queue's prefix."""

    def get(self, keys: Sequence[str]) -> list[bytes | None]: ...

    def ask(self, command: str, key: str, *words: Any) -> Any: ...

    def number(self, of: str) -> int:
        """The next entry ("n") or arrival ("number")."""

    def foresee(self, count: int) -> None:
        """So many numbers will be asked for."""


def pack(columns: Sequence[Any], *blobs: bytes | None) -> bytes:
    """Columns as JSON in the first line, with the lengths of the blobs behind it."""
    lengths = [None if blob is None else len(blob) for blob in blobs]
    line = json.dumps([columns, lengths], separators=(",", ":"))
    return b"\n".join((line.encode(), b"".join(blob for blob in blobs if blob is not None)))


def unpack(data: bytes) -> tuple[list[Any], list[bytes | None]]:
    line, _, rest = data.partition(b"\n")
    columns, lengths = json.loads(line)
    blobs: list[bytes | None] = []
    at = 0
    for length in lengths:
        blobs.append(None if length is None else rest[at : at + length])
        at += length or 0
    return columns, blobs


class Optimistic:
    """``reads``: key -> what was there; ``writes``: key -> what is to be (None: gone);
    ``moves``: [command, key, …] of what changes without being read."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.reads: dict[str, bytes | None] = {}
        self.writes: dict[str, bytes | None] = {}
        self.moves: list[list[Any]] = []

    def back_to(self, writes: dict[str, bytes | None], moves: int) -> None:
        """Undo one job of several; what it read was read."""
        self.writes = writes
        del self.moves[moves:]

    def _get(self, key: str) -> bytes | None:
        if key in self.writes:
            return self.writes[key]
        if key not in self.reads:
            self._fetch([key])
        return self.reads[key]

    def _fetch(self, keys: Sequence[str]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self.reads]
        if missing:
            self.reads |= dict(zip(missing, self._server.get(missing), strict=True))

    def _list(self, key: str) -> list[Any]:
        value = self._get(key)
        found: list[Any] = [] if value is None else json.loads(value)
        return found

    def _put_list(self, key: str, value: list[Any]) -> None:
        self.writes[key] = json.dumps(value, separators=(",", ":")).encode()

    def _ask(self, command: str, key: str, *words: Any) -> Any:
        """An index: not looked at again by the commit."""
        return self._server.ask(command, key, *words)

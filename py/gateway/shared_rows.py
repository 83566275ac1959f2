"""How rows lie in a Redis server, and what a transaction asks of it."""

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


def key_of(workspace: str, send_id: str) -> str:
    return f"k:{workspace}/{send_id}"


def inbox_of(*, logs: bool) -> str:
    return "logs" if logs else "inbox"


def pairs(found: list[Any]) -> list[tuple[bytes, int]]:
    """Members with their scores."""
    return [
        (member, int(float(score))) for member, score in zip(found[::2], found[1::2], strict=True)
    ]

"""What a transaction of the Redis tables has read, and what it is to write (see `shared`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .shared_rows import Server


class Kept:
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
        return self._server.ask(command, key, *words)

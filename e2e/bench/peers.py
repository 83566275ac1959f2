"""Other queues on SQLite: put, take, done, with the durability that is asked for.

They are installed by `make bench` only (extra ``bench``) and left out where they are missing.
Payloads are JSON in clear; none seals, keeps a journal or orders by priority and retry time.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol


class Peer(Protocol):
    """One queue in one file. ``level``: SQLite's ``synchronous``, FULL, NORMAL or OFF."""

    name: str

    def durability(self, level: str) -> None: ...

    def put(self, text: str) -> None: ...

    def put_many(self, texts: Sequence[str]) -> bool:
        """In one transaction; False when it has no way of doing so."""

    def take(self) -> Any: ...

    def done(self, taken: Any) -> None: ...

    def close(self) -> None: ...


class PersistQueue:
    """persist-queue's SQLiteAckQueue: a commit each for put, get and ack."""

    name = "persist-queue"

    def __init__(self, folder: Path) -> None:
        make = import_module("persistqueue").SQLiteAckQueue
        self._queue = make(str(folder / "persist"), multithreading=True)

    def durability(self, level: str) -> None:
        for connection in (self._queue._putter, self._queue._getter):
            connection.execute(f"PRAGMA synchronous = {level}")

    def put(self, text: str) -> None:
        self._queue.put(text)

    def put_many(self, texts: Sequence[str]) -> bool:
        return False

    def take(self) -> Any:
        return self._queue.get(block=False, raw=True)

    def done(self, taken: Any) -> None:
        self._queue.ack(taken)

    def close(self) -> None:
        self._queue.close()


class LiteQueue:
    """litequeue: pop locks the message, done marks it."""

    name = "litequeue"

    def __init__(self, folder: Path) -> None:
        self._queue = import_module("litequeue").LiteQueue(folder / "lite.db")

    def durability(self, level: str) -> None:
        self._queue.conn.execute(f"PRAGMA synchronous = {level}")

    def put(self, text: str) -> None:
        self._queue.put(text)

    def put_many(self, texts: Sequence[str]) -> bool:
        with self._queue.transaction():
            for text in texts:
                self._queue.put(text)
        return True

    def take(self) -> Any:
        return self._queue.pop()

    def done(self, taken: Any) -> None:
        self._queue.done(taken.message_id)

    def close(self) -> None:
        self._queue.conn.close()


class Huey:
    """huey's SqliteStorage: dequeue deletes, so a worker that dies has lost the task; no done."""

    name = "huey"

    def __init__(self, folder: Path) -> None:
        make = import_module("huey.storage").SqliteStorage
        self._storage = make(filename=str(folder / "huey.db"))

    def durability(self, level: str) -> None:
        self._storage.conn.execute(f"PRAGMA synchronous = {level}")

    def put(self, text: str) -> None:
        self._storage.enqueue(text.encode(), 5)

    def put_many(self, texts: Sequence[str]) -> bool:
        return False

    def take(self) -> Any:
        return self._storage.dequeue()

    def done(self, taken: Any) -> None:
        assert taken is not None

    def close(self) -> None:
        self._storage.close()


_PEERS = {"persistqueue": PersistQueue, "litequeue": LiteQueue, "huey": Huey}


def installed(folder: Path) -> list[Peer]:
    """A queue of each that is here, in files of its own under ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [make for module, make in _PEERS.items() if find_spec(module)]
    return [make(folder) for make in found]

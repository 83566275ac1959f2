"""A place for a SQLite store, and keys for it."""

from pathlib import Path

import pytest

from fieldpost.hosts.cpython.keyring import KeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "queue.db"


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.ephemeral()

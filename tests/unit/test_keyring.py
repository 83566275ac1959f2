"""The key file: made once, whole, for its owner only; and what a ring does with its keys."""

import json
import os
import threading
import traceback
from pathlib import Path

import pytest

from fieldpost.engine.errors import DecryptionError, EncryptionError
from fieldpost.hosts.cpython.keyring import Key, KeyRing

PLACE = ("018c2f5a-7b1e-7c3d-9e4f-0123456789ab", "ticket", "head")


def key(n: int, *, at: int, active: bool = True) -> Key:
    return Key(f"d1-{n:08x}", "data", bytes([n]) * 32, at, active)


INDEX = Key("i1-00000009", "index", bytes(32), 1)


def test_made_on_first_use_and_read_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    kid, sealed = KeyRing.load_or_create(path).seal(*PLACE, b"x")
    again = KeyRing.load_or_create(path)
    assert again.open(kid, *PLACE, sealed) == b"x"
    assert again.mark("entity", "e") == KeyRing.load_or_create(path).mark("entity", "e")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["keys.json"]


def test_threads_that_start_at_once_agree(tmp_path: Path) -> None:
    path, marks = tmp_path / "keys.json", set[str]()
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        marks.add(KeyRing.load_or_create(path).mark("entity", "e"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(marks) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    KeyRing.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(EncryptionError, match="0600"):
        KeyRing.load_or_create(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"version": 2, "keys": []}',
        '{"version": 1, "keys": []}',
        '{"version": 1, "keys": [{"kid": "d1-00000000"}]}',
        (
            '{"version": 1, "keys": [{"kid": "d", "purpose": "data", "key": "?", "created_at": 1,'
            ' "active": true}]}'
        ),
    ],
)
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(EncryptionError):
        KeyRing.load_or_create(path)
    assert path.read_text() == text


def test_no_error_shows_a_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    KeyRing.load_or_create(path)
    content = json.loads(path.read_text())
    secret = content["keys"][0]["key"]
    path.write_text(path.read_text() + "}")
    with pytest.raises(EncryptionError) as caught:
        KeyRing.load_or_create(path)
    assert secret[:20] not in "".join(traceback.format_exception(caught.value))
    assert "abcd" not in repr(Key("d1-00000000", "data", b"abcd" * 8, 1))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EncryptionError):
        KeyRing.load_or_create(tmp_path / "file" / "keys.json")


def test_the_newest_active_key_seals_and_all_open() -> None:
    old = KeyRing([key(1, at=1), INDEX])
    kid_old, sealed = old.seal(*PLACE, b"x")
    new = KeyRing([key(1, at=1), key(2, at=2), key(3, at=3, active=False), INDEX])
    kid_new, _ = new.seal(*PLACE, b"x")
    assert (kid_old, kid_new) == ("d1-00000001", "d1-00000002")
    assert new.open(kid_old, *PLACE, sealed) == b"x"
    with pytest.raises(DecryptionError):
        KeyRing([key(2, at=2), INDEX]).open(kid_old, *PLACE, sealed)


def test_nonces_are_fresh() -> None:
    ring = KeyRing.ephemeral()
    assert len({ring.seal(*PLACE, b"")[1][1:13] for _ in range(1000)}) == 1000


def test_marks_of_different_columns_differ() -> None:
    ring = KeyRing.ephemeral()
    assert ring.mark("entity", "a") != ring.mark("owner", "a")
    assert len(ring.mark("entity", "a")) == 43


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        KeyRing.load_or_create(tmp_path / "keys.json")
    finally:
        os.umask(before)
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600

"""A commit sealed before its transaction, for the stores that others write to as well."""

from __future__ import annotations

from typing import NamedTuple

from fieldpost.ports import Commit, Put, Unique
from fieldpost.security.cipher import Cipher

from . import rows


class SealedPut(NamedTuple):
    """A put with its parts sealed and its marks computed."""

    put: Put
    kid: str | None
    parts: dict[str, bytes | None]
    marks: dict[str, str]


class SealedCommit(NamedTuple):
    """A commit with everything sealed that needs no look at what is stored."""

    commit: Commit
    puts: list[SealedPut]
    uniques: dict[int, str]  # index of a `Unique` -> HMAC of its value
    side: dict[tuple[str, str], tuple[str, bytes] | None]


def seal_commit(cipher: Cipher, commit: Commit) -> SealedCommit:
    """Runs outside the transaction, so that nobody waits for it."""
    puts = []
    for put in commit.puts:
        marks = {mark: cipher.mark(mark, value) for mark, value in put.marks.items()}
        kid, parts = rows.seal_parts(cipher, put.item, put.parts)
        puts.append(SealedPut(put, kid, parts, marks))
    uniques = {
        index: cipher.mark(expected.mark, expected.value)
        for index, expected in enumerate(commit.expect)
        if isinstance(expected, Unique)
    }
    side = {
        place: None if text is None else rows.seal_side(cipher, *place, text)
        for place, text in commit.side.items()
    }
    return SealedCommit(commit, puts, uniques, side)

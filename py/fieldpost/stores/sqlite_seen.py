"""The rows this process has read or written last: what a commit need not look up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from .sqlite_rows import NAMES, Values

#: Rows kept: those under way at a time, a batch for each of some lanes. About 1 kB each.
_MAX = 1000


class Seen:
    """Rows by id, the latest at the end; only what is durable. Used from one thread.

    Never the truth: whoever writes by what it says has the statement check number and revision.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Values] = {}

    def get(self, id_: str) -> Values | None:
        return self._rows.get(id_)

    def read(self, found: Sequence[Values]) -> None:
        """Rows as selected with `SELECT_COLUMNS`, with or without parts behind."""
        self.add({row[0]: row[: len(NAMES)] for row in found[-_MAX:]})

    def add(self, found: Mapping[str, Values]) -> None:
        rows = self._rows
        for id_ in found:
            rows.pop(id_, None)
        rows.update(found)
        if len(rows) > _MAX:
            for id_ in list(islice(rows, len(rows) - _MAX)):
                del rows[id_]

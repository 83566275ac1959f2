"""The sealed parts of a row as data: head, intent and history, to and from bytes. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from .limits import HEAD_BYTES_MAX, HISTORY_ATTEMPTS_MAX
from .outcome import Outcome

#: Longest server text kept of one attempt, in characters.
_TEXT_MAX = 300
#: Fields kept of one answer, and the longest name of one.
_FIELDS_MAX, _NAME_MAX = 20, 64


# Made once: json.dumps would make an encoder for each call that is not to its defaults.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump(value: Any) -> bytes:
    return _encode(value).encode()


@dataclass(frozen=True, slots=True)
class Head:
    """What a list shows of one row; at most `limits.HEAD_BYTES_MAX` bytes: the title is cut, and
    ``of`` goes where there is no room for both.

    ``of``: the title of the row that this one comes of, where it says more than its own;
    ``remote_name``: what people at the destination call it, where that is not ``remote_id``.
    """

    title: str
    remote_id: str | None = None
    remote_url: str | None = None
    of: str | None = None
    remote_name: str | None = None

    def dump(self) -> bytes:
        others = (self.remote_id, self.remote_url, self.of, self.remote_name)
        if others == (None, None, None, None):
            whole = b'{"t":%b}' % _encode(self.title).encode()  # of a new item: nearly all of them
            if len(whole) <= HEAD_BYTES_MAX:
                return whole
        rest = {k: v for k, v in zip("ruon", others, strict=True) if v}
        whole = dump({"t": self.title, **rest})
        if len(whole) <= HEAD_BYTES_MAX:
            return whole
        if rest.pop("o", None) is not None:
            return replace(self, of=None).dump()
        room = HEAD_BYTES_MAX - len(dump({"t": "", **rest}))
        title = self.title
        while len(dump(title)) - 2 > max(room, 0):
            title = title[: max(0, len(title) - 1 - (len(dump(title)) - room) // 4)]
        return dump({"t": title, **rest})

    @classmethod
    def load(cls, data: bytes | None) -> Head:
        value = json.loads(data) if data else {}
        return cls(
            value.get("t", ""), value.get("r"), value.get("u"), value.get("o"), value.get("n")
        )


def history_with(data: bytes | None, attempt: dict[str, Any]) -> bytes:
    """The history with one more attempt at its end; the oldest beyond the limit goes."""
    attempts = json.loads(data) if data else []
    return dump([*attempts, attempt][-HISTORY_ATTEMPTS_MAX:])


def first_try_at(data: bytes | None) -> int | None:
    """When the oldest attempt known began (ms), of those since a person last acted on the item."""
    first = None
    for entry in reversed(json.loads(data) if data else []):
        if not entry.get("n"):  # a person's act
            break
        first = int(entry["at"])
    return first


def attempt_entry(number: int, started: int, ended: int, outcome: Outcome) -> dict[str, Any]:
    """One line of the timeline: {n, at, ended_at, outcome, code, status, text, fields}; times in
    ms, ``fields``: field name -> what the server found wrong with it."""
    text = outcome.text
    if outcome.fields:
        text += " " + "; ".join(f"{name}: {wrong}" for name, wrong in outcome.fields.items())
    entry = {
        "n": number,
        "at": started,
        "ended_at": ended,
        "outcome": str(outcome.cls),
        "code": outcome.code,
        "status": outcome.status,
        "text": text.strip()[:_TEXT_MAX] or None,
        "fields": {
            name[:_NAME_MAX]: wrong[:_TEXT_MAX]
            for name, wrong in list(outcome.fields.items())[:_FIELDS_MAX]
        }
        or None,
    }
    return {name: value for name, value in entry.items() if value is not None}

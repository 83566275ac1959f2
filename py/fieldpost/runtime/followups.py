"""Rows that come of other rows: a file that was refused, and the search for a double. Pure.

The first two are written in the commit that causes them, so neither can be lost between two.
"""

from __future__ import annotations

from typing import Any

from fieldpost.destinations.base import Declaration
from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import Doubled
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.engine.record import Head, attempt_entry, history_with
from fieldpost.engine.transitions import State
from fieldpost.ports import Put

from .committer import Write

#: Kinds (and operations) of these rows. They are nobody's work of their own.
ATTACHMENT, ATTACH = "attachment", "attach"
SWEEP = "sweep"
#: Why a file cannot follow an item of which only a person knows that it arrived.
NO_REMOTE = "It is not known what the destination calls the item, so no file can follow it."
#: What is said where nothing but a person can look.
_SENT_TWICE = (
    "A sender that had been suspended sent this after another one had taken it over, and the"
    " destination cannot be asked: it may be there twice."
)
_FILE_TWICE = (
    "A sender that had been suspended handed a file over after another one had taken the item over:"
    " that file may be there twice."
)
#: The intent of a sweep: what it asks follows from the row that it looks after.
SWEEP_INTENT = b"sweep"
#: Behind all that people wait for.
_SWEEP_PRIORITY = 1


def refused_files(item: Item, head: bytes | None, outcome: Outcome, now: int) -> list[Write]:
    """A dead letter for each attachment of ``item`` (as it was) that the destination refused while
    it took the rest. Its id is the attachment's: the same refusal heard twice is one row.

    It is where its item has got to: a person's "Retry" hands the file to the same record.
    """
    known = Head.load(head)
    writes = []
    for attachment in item.attachments:
        why = outcome.refused.get(attachment.id)
        if why is None:
            continue
        body = canonical({"attachment_of": item.id, "name": why.name, "title": known.title})
        row = Item(
            id=attachment.id,
            kind=ATTACHMENT,
            operation=ATTACH,
            lane=item.lane,
            send_id=attachment.id,
            created_at=item.created_at,
            updated_at=now,
            state=State.FAILED,
            priority=item.priority,
            ready=False,
            attempt=1,
            step=1,
            size=len(body) + attachment.size,
            body_bytes=len(body),
            error_code=why.code,
            handed_to=item.handed_to,
            attachments=(attachment,),
        )
        said = Outcome(Class.PERMANENT, why.code, why.text)
        parts: dict[str, bytes | None] = {
            "head": _named_head(why.name, known).dump(),
            "body": body,
            "history": history_with(None, attempt_entry(1, now, now, said)),
        }
        writes.append(Write(Put(row, parts=parts, insert=True), was=None))
    return writes


def _named_head(name: str, known: Head) -> Head:
    """The head of a refused file's row: its own name, and that of the item it belongs to."""
    if not name:
        return Head(known.title, known.remote_id, known.remote_url)
    return Head(name, known.remote_id, known.remote_url, known.title or None)


def _looking(item: Item, sweep_id: str, body: bytes, now: int, **columns: Any) -> Item:
    """A new row that looks after ``item``, with these ``columns`` besides."""
    return Item(
        id=sweep_id,
        kind=SWEEP,
        operation=SWEEP,
        lane=item.lane,
        send_id=sweep_id,
        created_at=now,
        updated_at=now,
        priority=_SWEEP_PRIORITY,
        ready=False,
        size=len(body),
        body_bytes=len(body),
        handed_to=item.handed_to,
        **columns,
    )


def sweep_of(item: Item, head: bytes | None, sweep_id: str, at: int, now: int) -> Write:
    """A row that looks, at ``at`` (ms) and after ``item`` was delivered, whether it is over there
    twice."""
    body = canonical({"sweep_of": item.id})
    row = _looking(
        item,
        sweep_id,
        body,
        now,
        not_before=at,
        parents=(item.id,),
        on_parent_failed="cancel",
    )
    parts: dict[str, bytes | None] = {"head": Head(Head.load(head).title).dump(), "body": body}
    return Write(Put(row, parts=parts, insert=True), was=None)


def overtaken(
    item: Item, head: bytes | None, declared: Declaration, sweep_id: str, now: int
) -> Write | None:
    """For a row (as it was claimed) that another context took over while this one's request may
    have been on its way: a look for what may be there twice, or a dead letter that says so where
    only a person can look. None where nothing can be doubled."""
    if item.operation == SWEEP:
        return None
    if item.step > 0:
        once = declared.files_once or not declared.whole_files
        return None if once else _perhaps_twice(item, head, sweep_id, _FILE_TWICE, now)
    if declared.guarantee == "strong":
        return None
    if declared.lookup is None:
        return _perhaps_twice(item, head, sweep_id, _SENT_TWICE, now)
    return sweep_of(item, head, sweep_id, now + declared.lookup.look_ms, now)


def _perhaps_twice(item: Item, head: bytes | None, sweep_id: str, text: str, now: int) -> Write:
    body = canonical({"sweep_of": item.id, "said": text})
    row = _looking(
        item,
        sweep_id,
        body,
        now,
        state=State.FAILED,
        attempt=1,
        error_code=Doubled.code,
    )
    known = Head.load(head)
    said = Outcome(Class.PERMANENT, Doubled.code, text)
    parts: dict[str, bytes | None] = {
        "head": Head(known.title, known.remote_id, known.remote_url).dump(),
        "body": body,
        "history": history_with(None, attempt_entry(1, now, now, said)),
    }
    return Write(Put(row, parts=parts, insert=True), was=None)
